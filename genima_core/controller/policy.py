"""The trained controller: drawing in, chunk of joint positions out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from genima_core.arm import Arm
from genima_core.cameras import CameraRig
from genima_core.capture import Captured, channels_last, compile_frozen, shared_twin
from genima_core.controller.config import NETWORKS, load_config
from genima_core.controller.network import Network, Prediction
from genima_core.controller.resnet import fold_norms
from genima_core.device import choose_device
from genima_core.files import check_complete, check_regular, replaced_folder, told_as_damage, write_json
from genima_core.language import TextEncoder
from genima_core.pixels import check_views
from genima_core.weights import check_finite, check_size

PARTS = ("config.json", "rig.json", "statistics.json", "model.safetensors", "text_encoder", "tokenizer")
MARGIN_RAD = 0.01
"""Joint positions stay this far inside the arm's limits."""


class Engine:
    """One batched pass for all views, norms folded into the convolutions, and on a GPU one captured graph."""

    def __init__(self, network: Network, tuned: bool = True, compiled: bool = False) -> None:
        """`tuned` folds norms and captures graphs, `compiled` takes minutes at first; weights must then stay."""
        self.device = next(network.parameters()).device
        self._network: Callable[..., Prediction] = fold_norms(shared_twin(network)) if tuned else network
        if compiled:
            self._network = compile_frozen(self._network, self.device)
        self._captured = Captured(self.device, tuned)

    def act(self, targets: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, K, 7), openings (B, K) on the CPU, of targets (B, V, H, W, 3) uint8, q (B, 7), gripper, text."""
        with torch.no_grad():
            joints, opened = self._captured(len(targets), self._act, [targets, q, gripper, text])
        return joints.cpu(), opened.cpu()

    def _act(self, targets: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        images = targets.permute(0, 1, 4, 2, 3).to(q.dtype) / 255
        prediction = self._network(images, q, gripper, text)
        return prediction.joints, prediction.gripper


@dataclass(frozen=True)
class Controller:
    """Follows drawings that show where the arm should be in K steps."""

    model: Network
    text: TextEncoder
    tuned: bool = False
    compiled: bool = False
    """See `Engine`."""
    cell_arm: Arm | None = None
    """The arm that is moved, where it is not the one of training: an FR3 may follow what a Panda taught."""

    @cached_property
    def engine(self) -> Engine:
        return Engine(self.model, self.tuned, self.compiled)

    @property
    def arm(self) -> Arm:
        return self.cell_arm or self.model.frames.rig.arm

    @property
    def chunk_size(self) -> int:
        return self.model.config.chunk_size

    @property
    def dt_s(self) -> float:
        return self.model.config.dt_s

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of one view in pixels."""
        return self.model.config.size

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> "Controller":
        """Reads a folder that `save` wrote, to be used as it is; FileNotFoundError, ValueError: missing, damaged."""
        path = Path(path)
        device = choose_device(device)
        check_complete(path, PARTS, "is not a complete controller:")
        with told_as_damage(path):
            config = load_config(path / "config.json")
            network = NETWORKS[config.network]
            statistics = network.read_statistics(path / "statistics.json", config.chunk_size)
            rig = CameraRig.load(path / "rig.json")
            file = check_regular(path / "model.safetensors")
            check_size(lambda: network(config, rig, statistics), [file], "config.json")
            model = network(config, rig, statistics)
            weights = {name: tensor.float() for name, tensor in load_file(file).items()}
            if wrong := sorted(set(weights) ^ set(model.shipped())):
                raise ValueError(f"weights do not fit config.json: {wrong[:3]} ...")
            check_finite(weights, file.name)
            model.load_state_dict(weights, strict=False)
        channels_last(model, device).eval().requires_grad_(False)
        return cls(model, TextEncoder.load(path, device), tuned=True)

    def save(self, path: Path | str, dtype: torch.dtype = torch.float16) -> None:
        """Writes all parts, weights in `dtype`, in place of an older one; FileExistsError where something else is."""
        with replaced_folder(Path(path), "config.json", PARTS, "a controller") as temporary:
            self.model.config.save(temporary / "config.json")
            self.model.frames.rig.save(temporary / "rig.json")
            statistics = {name: value.tolist() for name, value in self.model.statistics.items()}
            write_json(temporary / "statistics.json", statistics, None)
            weights = {name: value.to("cpu", dtype).contiguous() for name, value in self.model.shipped().items()}
            save_file(weights, temporary / "model.safetensors")
            self.text.save(temporary)

    def act(
        self, targets: np.ndarray, q: np.ndarray, gripper: float, instruction: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The chunk that leads to what is drawn: joint positions (K, 7) float64 rad within the limits, and openings
        (K,) 0 or 1.

        Action k is due `(k + 1) * dt_s` after the drawing's observation. `targets` (V, H, W, 3) uint8 RGB is the
        drawing, views in the order of the rig, of `size`; `q` (7,) rad and `gripper`, 0 closed to 1 open, are those of
        now.

        ValueError: inputs of another shape or type, or not finite; RuntimeError: the network gave numbers that are not.
        """
        check_views(targets, len(self.model.frames.rig.cameras), self.size, "targets are")
        q = np.asarray(q, dtype=np.float64)
        if q.shape != (7,) or not np.isfinite(q).all():
            raise ValueError(f"joint positions are {q.tolist()}; the controller needs 7 finite numbers in rad")
        if not 0 - 0.05 <= float(gripper) <= 1 + 0.05:
            raise ValueError(f"gripper opening is {gripper}; valid is 0 (closed) to 1 (open)")
        images = torch.from_numpy(np.ascontiguousarray(targets))[None]
        opening = torch.tensor([float(gripper)]).clamp(0, 1)
        q_now, text = torch.tensor(q, dtype=torch.float32)[None], self.text.pooled([instruction])
        joints, opened = self.engine.act(images, q_now, opening, text)
        positions, openings = joints[0].double().numpy(), opened[0].double().numpy()
        if not np.isfinite(positions).all() or not np.isfinite(openings).all():
            raise RuntimeError("the output is not finite: the weights are damaged; copy or train them again")
        return self.arm.clip(positions, MARGIN_RAD), (openings > 0.5).astype(np.float64)
