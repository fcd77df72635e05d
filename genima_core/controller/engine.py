"""Calls a controller network without what a plain forward pass does again in every call."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from genima_core.capture import Captured, channels_last, compile_frozen, shared_twin
from genima_core.controller.network import Network, Prediction
from genima_core.controller.resnet import Block, FilmResNet, FrozenBatchNorm


class Engine:
    """One batched pass for the four views, norms folded into the convolutions, and on a GPU one captured graph."""

    def __init__(self, network: Network, tuned: bool = True, compiled: bool = False) -> None:
        """
        Args:
            network: Shared, not copied.
            tuned: Fold norms and capture graphs. Weights must not change any more.
            compiled: Compile the network with torch.compile; the first chunk then takes a minute or two. Likewise.
        """
        self.device = next(network.parameters()).device
        self._network: Callable[..., Prediction] = fold_norms(shared_twin(network)) if tuned else network
        if compiled:
            self._network = compile_frozen(self._network, self.device)
        self._captured = Captured(self.device, tuned)

    def act(self, targets: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Joints (B, K, 7) rad and openings (B, K) 0 to 1, on the CPU.

        `targets` (B, 4, H, W, 3) uint8 RGB, q (B, 7) rad, gripper (B,) and text (B, text_dim).
        """
        with torch.no_grad():
            joints, opened = self._captured(len(targets), self._act, [targets, q, gripper, text])
        return joints.cpu(), opened.cpu()

    def _act(self, targets: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        images = targets.permute(0, 1, 4, 2, 3).to(q.dtype) / 255
        prediction = self._network(images, q, gripper, text)
        return prediction.joints, prediction.gripper


def fold_norms(module: nn.Module) -> nn.Module:
    """Multiplies frozen norms into the convolutions before them; changes the module's structure and returns it."""
    for part in module.modules():
        if isinstance(part, (FilmResNet, Block)):
            for name in ("1", "2"):
                if isinstance(getattr(part, f"bn{name}", None), FrozenBatchNorm):
                    setattr(part, f"conv{name}", _folded(getattr(part, f"conv{name}"), getattr(part, f"bn{name}")))
                    setattr(part, f"bn{name}", nn.Identity())
        if isinstance(part, Block) and isinstance(part.downsample, nn.Sequential):
            convolution, norm = part.downsample
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, FrozenBatchNorm):
                part.downsample = _folded(convolution, norm)
    return module


@torch.no_grad()
def _folded(convolution: nn.Conv2d, norm: FrozenBatchNorm) -> nn.Conv2d:
    c = convolution
    scale = norm.weight * (norm.running_var + 1e-5).rsqrt()
    folded = copy.deepcopy(c).requires_grad_(False)
    folded.weight.copy_(c.weight * scale[:, None, None, None])
    folded.bias = nn.Parameter(norm.bias - norm.running_mean * scale, requires_grad=False)
    return channels_last(folded)
