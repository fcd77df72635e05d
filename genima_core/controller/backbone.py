"""ResNet with FiLM after its stages, and the two ways from its feature map to image tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genima_core.controller.config import ControllerConfig

# ImageNet's, which pretrained weights expect; harmless otherwise.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics and affine never change."""

    def __init__(self, channels: int):
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        return x * scale[:, None, None] + (self.bias - self.running_mean * scale)[:, None, None]


def _norm(kind: str, channels: int) -> nn.Module:
    return FrozenBatchNorm(channels) if kind == "frozen" else nn.GroupNorm(max(1, channels // 16), channels)


class Block(nn.Module):
    """ResNet's basic block; parameter names are torchvision's."""

    def __init__(self, inner: int, outer: int, stride: int, norm: str):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = _norm(norm, outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = _norm(norm, outer)
        self.downsample = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), _norm(norm, outer))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class FilmResNet(nn.Module):
    """Feature map (B, C, h, w) of images (B, 3, H, W) in [0, 1], modulated by an embedding (B, text_dim)."""

    def __init__(self, config: ControllerConfig):
        super().__init__()
        self.film_stages = config.film_stages
        first = config.widths[0]
        kernel, padding = (7, 3) if config.stem == "resnet" else (4, 1)
        self.conv1 = nn.Conv2d(3, first, kernel, 2, padding, bias=False)
        self.bn1 = _norm(config.norm, first)
        self.pool = nn.MaxPool2d(3, 2, 1) if config.stem == "resnet" else nn.Identity()
        inner = first
        for i, (width, count, stride) in enumerate(zip(config.widths, config.blocks, config.strides, strict=True), 1):
            stage = nn.Sequential()
            for b in range(count):
                stage.append(Block(inner, width, stride if b == 0 else 1, config.norm))
                inner = width
            setattr(self, f"layer{i}", stage)
        self.stages = len(config.widths)
        self.channels = inner
        self.film = nn.ModuleList(nn.Linear(config.text_dim, 2 * config.widths[i]) for i in config.film_stages)
        for layer in self.film:  # starts as the identity, so that pretrained features survive
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    def forward(self, images: Tensor, text: Tensor) -> Tensor:
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
            if i in self.film_stages:
                scale, shift = self.film[self.film_stages.index(i)](text)[:, :, None, None].chunk(2, dim=1)
                x = x * (1 + scale) + shift
        return x

    def load_pretrained(self, source: str | Path) -> None:
        """Takes ResNet-18 weights from a file or folder (torchvision's or transformers' names), or a hub name.

        Raises:
            FileNotFoundError, ValueError: nothing there; the weights do not fit this backbone.
        """
        weights = {rename(k): v for k, v in _read_weights(source).items()}
        own = {k for k in self.state_dict() if not k.startswith("film.")}
        missing = sorted(own - set(weights))
        wrong = sorted(k for k in own & set(weights) if weights[k].shape != self.state_dict()[k].shape)
        if missing or wrong:
            raise ValueError(f"the weights in {source} do not fit the backbone: missing {missing[:3]}, wrong shape "
                             f"{wrong[:3]}; it needs ResNet-18's, e.g. microsoft/resnet-18")
        self.load_state_dict({k: weights[k] for k in own}, strict=False)


def rename(key: str) -> str:
    """transformers' name of a ResNet parameter -> torchvision's; others stay."""
    key = key.removeprefix("resnet.").removeprefix("model.")
    key = key.replace("embedder.embedder.convolution", "conv1").replace("embedder.embedder.normalization", "bn1")
    if key.startswith("encoder.stages."):
        _, _, stage, _, block, *rest = key.split(".")
        tail = ".".join(rest)
        for old, new in (("shortcut.convolution", "downsample.0"), ("shortcut.normalization", "downsample.1"),
                         ("layer.0.convolution", "conv1"), ("layer.0.normalization", "bn1"),
                         ("layer.1.convolution", "conv2"), ("layer.1.normalization", "bn2")):
            tail = tail.replace(old, new)
        key = f"layer{int(stage) + 1}.{block}.{tail}"
    return key


def _read_weights(source: str | Path) -> Mapping[str, Tensor]:
    path = Path(source)
    if path.is_dir():
        candidates = [path / name for name in ("model.safetensors", "pytorch_model.bin")]
        path = next((p for p in candidates if p.is_file()), path)
    if path.is_file():
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    from transformers import ResNetModel
    try:
        return ResNetModel.from_pretrained(str(source), local_files_only=True).state_dict()
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"no ResNet weights at {source}: get them with `huggingface-cli download {source}`, or "
                                "give a folder with model.safetensors or a .pth file of torchvision's") from error


class GridTokens(nn.Module):
    """One token (hidden) for each cell of each view's feature map, with 2-D sine positions (ACT)."""

    def __init__(self, channels: int, config: ControllerConfig):
        super().__init__()
        self.project = nn.Conv2d(channels, config.hidden, 1)
        self.hidden = config.hidden

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, None]:
        """Tokens and their positions (B, views * h * w, hidden) from features (B, views, C, h, w)."""
        B, V, _, h, w = features.shape
        tokens = self.project(features.flatten(0, 1)).flatten(2).transpose(1, 2).reshape(B, V * h * w, self.hidden)
        # ACT joins the views along the width and gives the joint map one sine embedding.
        position = sine_positions(h, V * w, self.hidden, tokens.device).reshape(h, V, w, -1).permute(1, 0, 2, 3)
        return tokens, position.reshape(1, V * h * w, -1), None


def sine_positions(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """(height, width, dim): half of it encodes the row, half the column, both scaled to 2 pi (DETR)."""
    period = 10000 ** (2 * (torch.arange(dim // 2, device=device) // 2) / (dim // 2))
    def encode(count: int) -> Tensor:
        angle = (torch.arange(1, count + 1, device=device) / count * 2 * np.pi)[:, None] / period
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], -1).flatten(1)
    rows = encode(height)[:, None].expand(height, width, -1)
    columns = encode(width)[None].expand(height, width, -1)
    return torch.cat([rows, columns], -1)


@dataclass(frozen=True)
class Keypoints:
    """What the heat maps of a batch say; n of them a view."""

    heat: Tensor
    """(B, views, n, h * w + 1) logits, the last of "not in this view"."""
    pixels: Tensor
    """(B, views, n, 2) expected position around the highest peak."""
    weight: Tensor
    """(B, views, n) probability that it is there."""


class KeypointTokens(nn.Module):
    """One token for each view: where its keypoints are, how sure that is, and what they look like there.

    A heat map competes with a constant "not in this view"; the expected position around its highest peak has sub-cell
    precision, and a second peak, from something of a sphere's colour, does not pull it away.
    """

    def __init__(self, channels: int, config: ControllerConfig, views: int = 4):
        super().__init__()
        n, d = config.keypoints, config.descriptor
        self.n, self.size = n, config.size
        self.heat = nn.Conv2d(channels, n, 1)
        self.absent = nn.Parameter(torch.zeros(n))
        self.describe = nn.Conv2d(channels, d, 1)
        self.project = nn.ModuleList(nn.Linear(n * (_POSITION + 3 + d), config.hidden) for _ in range(views))

    def forward(self, features: Tensor) -> tuple[Tensor, None, Keypoints]:
        """Tokens (B, views, hidden), no positions, and the keypoints, from features (B, views, C, h, w)."""
        B, V, _, h, w = features.shape
        flat = features.flatten(0, 1)
        logits = torch.cat([self.heat(flat).flatten(2), self.absent[:, None].expand(B * V, -1, 1)], -1)
        chance = logits.softmax(-1)[..., :-1]
        grid = cell_centres(h, w, features.device)
        peak = grid[chance.detach().argmax(-1)]  # (B V, n, 2)
        reach = 1.6 * 2 / torch.tensor([w, h], device=features.device)
        near = chance * ((grid - peak[:, :, None]).abs() <= reach).all(-1)
        weight = near.sum(-1, keepdim=True)
        near = near / weight.clamp(min=1e-6)
        position = near @ grid  # -1 .. 1
        look = near @ self.describe(flat).flatten(2).transpose(1, 2)
        shown = chance.sum(-1, keepdim=True)
        highest = near.amax(-1, keepdim=True)
        seen = torch.cat([encode_positions(position) * weight, weight, shown, highest, look * weight], -1)
        seen = seen.reshape(B, V, -1)
        tokens = torch.stack([project(seen[:, v]) for v, project in enumerate(self.project)], dim=1)
        pixels = (position + 1) / 2 * torch.tensor(self.size, device=features.device) - 0.5
        return tokens, None, Keypoints(logits.reshape(B, V, self.n, -1), pixels.reshape(B, V, self.n, 2),
                                       weight.reshape(B, V, self.n))


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
