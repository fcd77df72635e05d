"""From pictures to keypoints: a small ResNet, heat maps, and one token a view (preset `demo`)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from genima_core.controller.resnet import ResNet

KEYPOINTS = 4
"""One heat map for each drawn frame, in each view."""


class PatchResNet(ResNet):
    """Feature map (B, C, h, w) of images (B, 3, H, W) in [0, 1], modulated by an embedding (B, text_dim).

    A stem of 4x4 patches at stride 2 keeps many cells: small spheres vanish behind ResNet's stride of 4. Group norm,
    because nothing is pretrained whose statistics could be frozen.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        strides: tuple[int, ...],
        film_stages: tuple[int, ...],
        text_dim: int,
    ) -> None:
        super().__init__(nn.Conv2d(3, widths[0], 4, 2, 1, bias=False), widths, blocks, strides, _norm)
        self.film_stages = film_stages
        # After a stage, where the paper's lies inside of its blocks; starts as the identity.
        self.film = nn.ModuleList(nn.Linear(text_dim, 2 * widths[i]) for i in film_stages)
        for parameter in self.film.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor, text: Tensor) -> Tensor:
        x = self.stem(images)
        for i, stage in enumerate(self.stages()):
            for block in stage:
                x = block(x)
            if i in self.film_stages:
                scale, shift = self.film[self.film_stages.index(i)](text)[:, :, None, None].chunk(2, dim=1)
                x = x * (1 + scale) + shift
        return x


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(max(1, channels // 16), channels)


@dataclass(frozen=True)
class Keypoints:
    """What the heat maps of a batch say: logits (B, views, 4 targets, h * w + 1), the last of "not in this view", the
    expected position (B, views, 4, 2) around the highest peak, and the probability (B, views, 4) that it is there.
    """

    heat: Tensor
    pixels: Tensor
    weight: Tensor


class KeypointTokens(nn.Module):
    """One token for each view: where its keypoints are, how sure that is, and what they look like there.

    A heat map competes with a constant "not in this view"; the expected position around its highest peak has sub-cell
    precision, and a second peak, from something of a sphere's colour, does not pull it away.
    """

    def __init__(self, channels: int, views: int, size: tuple[int, int], descriptor: int, hidden: int) -> None:
        """`size` is a view's width and height in pixels; `descriptor` numbers say what a keypoint looks like."""
        super().__init__()
        n, d = KEYPOINTS, descriptor
        self.extent: Tensor
        # A buffer: numbers that travel to the device in the forward pass would keep it from being captured.
        self.register_buffer("extent", torch.tensor(size, dtype=torch.float32), persistent=False)
        self.heat = nn.Conv2d(channels, n, 1)
        self.absent = nn.Parameter(torch.zeros(n))
        self.describe = nn.Conv2d(channels, d, 1)
        self.project = nn.ModuleList(nn.Linear(n * (_POSITION + 3 + d), hidden) for _ in range(views))

    def forward(self, features: Tensor) -> tuple[Tensor, Keypoints]:
        """Tokens (B, views, hidden) and the keypoints, from features (B, views, C, h, w)."""
        B, V, _, h, w = features.shape
        flat = features.flatten(0, 1)
        logits = torch.cat([self.heat(flat).flatten(2), self.absent[:, None].expand(B * V, -1, 1)], -1)
        chance = logits.softmax(-1)[..., :-1]
        grid = cell_centres(h, w, features.device)
        peak = grid[chance.detach().argmax(-1)]  # (B V, n, 2)
        apart = (grid - peak[:, :, None]).abs()
        near = chance * ((apart[..., 0] <= 1.6 * 2 / w) & (apart[..., 1] <= 1.6 * 2 / h))
        weight = near.sum(-1, keepdim=True)
        near = near / weight.clamp(min=1e-6)
        position = near @ grid  # -1 .. 1
        look = near @ self.describe(flat).flatten(2).transpose(1, 2)
        shown = chance.sum(-1, keepdim=True)
        highest = near.amax(-1, keepdim=True)
        seen = torch.cat([encode_positions(position) * weight, weight, shown, highest, look * weight], -1)
        seen = seen.reshape(B, V, -1)
        tokens = torch.stack([project(seen[:, v]) for v, project in enumerate(self.project)], dim=1)
        pixels = (position + 1) / 2 * self.extent - 0.5
        return tokens, Keypoints(
            logits.reshape(B, V, KEYPOINTS, -1), pixels.reshape(B, V, KEYPOINTS, 2), weight.reshape(B, V, KEYPOINTS)
        )


_OCTAVES = 4
_POSITION = 2 + 4 * _OCTAVES


def encode_positions(position: Tensor) -> Tensor:
    """(..., 18) from positions (..., 2) in -1 .. 1: themselves and sines, so that small differences are seen."""
    angles = torch.cat([position * np.pi * 2**i for i in range(_OCTAVES)], -1)
    return torch.cat([position, angles.sin(), angles.cos()], -1)


def cell_centres(height: int, width: int, device: torch.device) -> Tensor:
    """(height * width, 2) x and y of cell centres, the view spanning -1 .. 1."""
    y = (torch.arange(height, device=device) + 0.5) / height * 2 - 1
    x = (torch.arange(width, device=device) + 0.5) / width * 2 - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)


def heat_targets(pixels: Tensor, shown: Tensor, size: tuple[int, int], height: int, width: int) -> Tensor:
    """Heat (..., height * width + 1) whose expected position is `pixels` (..., 2); all "absent" where not `shown`.

    The mass lies bilinearly on the four cells around the pixel, so the expectation is exact between cells.
    """
    scale = torch.tensor([width / size[0], height / size[1]], device=pixels.device)
    cell = (pixels + 0.5) * scale - 0.5
    limit = torch.tensor([width - 1.0, height - 1.0], device=pixels.device)
    cell = cell.clamp(min=torch.zeros_like(limit), max=limit)
    low = cell.floor().clamp(max=limit - 1)
    part = cell - low
    target = torch.zeros(*pixels.shape[:-1], height * width + 1, device=pixels.device)
    index = (low[..., 1] * width + low[..., 0]).long()
    for dx in (0, 1):
        for dy in (0, 1):
            mass = (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
            target.scatter_(-1, (index + dx + dy * width)[..., None], (mass * shown)[..., None])
    target[..., -1] = 1 - shown.to(target.dtype)
    return target
