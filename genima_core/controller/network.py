"""What every controller network is: configuration, inputs, prediction and losses; each has a file of its own."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from genima_core.cameras import CameraRig
from genima_core.controller.kinematics import DrawnFrames
from genima_core.files import read_json, write_json
from genima_core.geometry import checked_numbers
from genima_core.targets.look import OURS, Look

STATE = ACTION = 8
"""Seven joints and the gripper; in `act` it comes first in the state, everywhere else last."""


@dataclass(frozen=True)
class ControllerConfig:
    """What all networks share; each adds its own sizes and loss weights, and says what they are called."""

    network: ClassVar[str]
    """Value of the key `network` in config.json."""

    size: tuple[int, int] = (256, 256)
    """Width and height of one view in pixels."""
    chunk_size: int = 20
    """K, actions a chunk."""
    dt_s: float = 0.05
    """Time between two actions; training takes it from the data set's rate."""
    text_dim: int = 512
    """Width of the instruction's embedding (CLIP's pooled text embedding)."""
    look: Look = OURS
    """Of the targets that it follows."""

    def save(self, path: Path) -> None:
        write_json(path, {"network": self.network, **asdict(self)})


Statistics: TypeAlias = dict[str, Tensor]
"""What a network normalises joints and actions with, by the names of its buffers."""


@dataclass(frozen=True)
class Prediction:
    """A chunk for each sample of a batch: joints (B, K, 7) rad, and the probability (B, K) that the gripper should be
    open.

    If the network says, the pixels (B, views, 4 targets, 2) where spheres were found, and the goal (B, 7) rad solved
    from them.
    """

    joints: Tensor
    gripper: Tensor
    pixels: Tensor | None = None
    goal: Tensor | None = None


@dataclass(frozen=True)
class TrainingBatch:
    """What the losses are computed from: images (B, V, 3, H, W) in [0, 1], q (B, 7) rad, gripper (B,) 0 to 1 and text
    (B, text_dim) now; actions (B, K, 7) rad, of which also the last is the pose that the spheres show, and
    action_gripper (B, K).

    `is_pad` (B, K) is true after the demonstration's end, where its last action is repeated; `pixels` (B, V, 4
    targets, 2) are those of the spheres, `shown` (B, V, 4) where they can be seen.
    """

    images: Tensor
    q: Tensor
    gripper: Tensor
    text: Tensor
    actions: Tensor
    action_gripper: Tensor
    is_pad: Tensor
    pixels: Tensor
    shown: Tensor


class Network(nn.Module, ABC):
    """Turns drawings, joints and an instruction into a chunk of actions.

    A new one is a file with its config and its network, and a preset in `config`.
    What it learns are its parameters; `statistics` are buffers, which lie in statistics.json.
    """

    config_type: ClassVar[type[ControllerConfig]]
    any_order: ClassVar[bool] = False
    """Whether the views may come in another order than in training."""
    training_only: ClassVar[tuple[str, ...]] = ()
    """Beginnings of the names of parameters that use does not need; they are not shipped."""

    q_mean: Tensor
    q_std: Tensor
    """(7,) rad."""
    action_mean: Tensor
    action_std: Tensor
    """(7,) or (K, 7) rad, as the network decides."""

    def __init__(self, config: ControllerConfig, rig: CameraRig, statistics: Statistics | None = None) -> None:
        """ValueError: the rig's views have another size than those that the network reads."""
        if rig.size != tuple(config.size):
            given = f"the rig's views are {rig.size[0]}x{rig.size[1]} pixels"
            read = f"the network reads {config.size[0]}x{config.size[1]}"
            raise ValueError(f"{given}, {read}: use rig.resize, or set size")
        super().__init__()
        self.config = config
        self.frames = DrawnFrames(rig)
        for name, value in (statistics or self.unit_statistics(config.chunk_size)).items():
            self.register_buffer(name, value.clone(), persistent=False)

    @classmethod
    def unit_statistics(cls, chunk_size: int) -> Statistics:
        """Of no data: they change nothing."""
        zero, one = torch.zeros(7), torch.ones(7)
        return {"q_mean": zero, "q_std": one, "action_mean": zero, "action_std": one}

    @classmethod
    def measure(cls, q: Tensor, actions: Tensor, is_pad: Tensor, frames: DrawnFrames) -> Statistics:
        """From joints (N, 7) rad, actions (N, K, 7) rad and their padding mask (N, K)."""
        # The published code normalises the joints by the mean and deviation of the actions; they differ by a step.
        # Its deviations have no floor: a joint that hardly moves in the data would be blown up to unit variance.
        known = actions[~is_pad].double()
        mean, std = known.mean(0).float(), known.std(0, correction=0).clamp(min=0.05).float()
        return {"q_mean": q.mean(0), "q_std": q.std(0).clamp(min=0.05), "action_mean": mean, "action_std": std}

    @classmethod
    def read_statistics(cls, path: Path, chunk_size: int) -> Statistics:
        """Those of a controller's folder; FileNotFoundError, ValueError: missing, other keys or shapes, not finite."""
        data, unit = read_json(path), cls.unit_statistics(chunk_size)
        if set(data) != set(unit):
            raise ValueError(f"{path} needs the keys {list(unit)}")
        arrays = {name: checked_numbers(data[name], tuple(unit[name].shape), f"{name} in {path}") for name in unit}
        return {name: torch.from_numpy(array).float() for name, array in arrays.items()}

    @abstractmethod
    def forward(self, images: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> Prediction:
        """The chunk of images (B, V, 3, H, W) in [0, 1], q (B, 7) rad, gripper (B,) 0 to 1 and text (B, text_dim)."""

    @abstractmethod
    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Weighted terms, whose sum is minimised, by the names that curves and logs carry."""

    def load_backbone(self, source: str | Path) -> None:
        """Takes pretrained image weights from a name, folder or file; ValueError: this network has no such backbone."""
        raise ValueError(f"the network {self.config.network!r} trains its backbone from scratch; leave --backbone out")

    @property
    def statistics(self) -> Statistics:
        return {name: getattr(self, name) for name in self.unit_statistics(self.config.chunk_size)}

    def parameters_of(self, backbone: bool) -> list[nn.Parameter]:
        """Those of the backbone, which has a learning rate of its own, or the others."""
        return [p for name, p in self.named_parameters() if name.startswith("backbone.") is backbone]

    def shipped(self) -> dict[str, Tensor]:
        return {k: v for k, v in self.state_dict().items() if not k.startswith(self.training_only)}
