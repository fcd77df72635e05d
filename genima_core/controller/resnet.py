"""ResNet-18 with the instruction's FiLM in its blocks, as MT-ACT built it and GENIMA uses it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from genima_core.capture import channels_last
from genima_core.controller.network import ControllerConfig
from genima_core.files import explained
from genima_core.weights import read_torch

NAMES = {
    "resnet.": "",
    "model.": "",
    "embedder.embedder.convolution": "conv1",
    "embedder.embedder.normalization": "bn1",
    **{f"encoder.stages.{i}.layers": f"layer{i + 1}" for i in range(4)},
    "shortcut.convolution": "downsample.0",
    "shortcut.normalization": "downsample.1",
    "layer.0.convolution": "conv1",
    "layer.0.normalization": "bn1",
    "layer.1.convolution": "conv2",
    "layer.1.normalization": "bn2",
}
"""Parts of transformers' names of a ResNet's parameters, and torchvision's."""


@dataclass(frozen=True)
class ResNetConfig(ControllerConfig):
    """What networks with this backbone share; ResNet-18's sizes."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    film_stages: tuple[int, ...] = (1, 2, 3)
    """Stages of the ResNet, counted from 0, whose blocks are modulated; the published code never modulates the
    first."""
    hidden: int = 256

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks) or not set(self.film_stages) <= set(range(len(self.widths))):
            lengths = f"widths {self.widths} and blocks {self.blocks} need one length"
            raise ValueError(f"{lengths}, and film_stages {self.film_stages} lie below it")


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics and affine never change: those of the pretrained weights."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    eps = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return x * scale[:, None, None] + (self.bias - self.running_mean * scale)[:, None, None]


class Block(nn.Module):
    """ResNet's basic block; parameter names are torchvision's."""

    def __init__(self, inner: int, outer: int, stride: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = norm(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = norm(outer)
        self.downsample: nn.Module | None = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), norm(outer))

    def forward(self, x: Tensor, film: Tensor | None = None) -> Tensor:
        """`film` (B, 2, outer): scale less one, and shift, of what is added to the shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        if film is not None:
            scale, shift = film[..., None, None].unbind(1)
            x = (1 + scale) * x + shift
        return F.relu(x + shortcut)


class ResNet(nn.Module):
    """Stem and stages of basic blocks, for images (B, 3, H, W) in [0, 1]; parameter names are torchvision's."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        stem: nn.Conv2d,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        strides: tuple[int, ...],
        norm: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406))[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225))[:, None, None], persistent=False)
        self.conv1, self.bn1 = stem, norm(widths[0])
        self.depth, self.channels = len(widths), widths[0]
        for i, (width, count, stride) in enumerate(zip(widths, blocks, strides, strict=True), 1):
            stage = nn.ModuleList()
            for b in range(count):
                stage.append(Block(self.channels, width, stride if b == 0 else 1, norm))
                self.channels = width
            self.add_module(f"layer{i}", stage)

    def stages(self) -> list[nn.ModuleList]:
        return [getattr(self, f"layer{i + 1}") for i in range(self.depth)]

    def normalise(self, images: Tensor) -> Tensor:
        """As weights that were trained on ImageNet expect them."""
        return (images - self.mean) / self.std

    def stem(self, images: Tensor) -> Tensor:
        x = self.normalise(images).contiguous(memory_format=torch.channels_last)
        return F.relu(self.bn1(self.conv1(x)))


class FilmResNet(ResNet):
    """Feature map (B, C, H / 32, W / 32) of images, modulated by an embedding (B, dim)."""

    def __init__(
        self, widths: tuple[int, ...], blocks: tuple[int, ...], film_stages: tuple[int, ...], film_dim: int
    ) -> None:
        """`film_stages` count from 0; without any, no embedding is needed."""
        strides = (1, *(2 for _ in widths[1:]))
        super().__init__(nn.Conv2d(3, widths[0], 7, 2, 3, bias=False), widths, blocks, strides, FrozenBatchNorm)
        # One layer gives a stage's numbers: the scales of its blocks, then their shifts.
        self.film_models = nn.ModuleDict({str(i): nn.Linear(film_dim, 2 * blocks[i] * widths[i]) for i in film_stages})

    def forward(self, images: Tensor, embedding: Tensor | None) -> Tensor:
        x = F.max_pool2d(self.stem(images), 3, 2, 1)
        for i, stage in enumerate(self.stages()):
            films = [None] * len(stage)
            if str(i) in self.film_models:
                films = self.film_models[str(i)](embedding).reshape(len(x), 2, len(stage), -1).unbind(2)
            for block, film in zip(stage, films, strict=True):
                x = block(x, film)
        return x

    def load_pretrained(self, source: str | Path) -> None:
        """Takes ResNet-18's weights from a file, folder or hub name; FileNotFoundError, ValueError: none, others."""
        weights = {rename(k): v for k, v in _read_weights(source).items()}
        own = {k: v.shape for k, v in self.state_dict().items() if not k.startswith("film_models.")}
        missing = sorted(set(own) - set(weights))
        wrong = sorted(k for k in set(own) & set(weights) if weights[k].shape != own[k])
        if missing or wrong:
            faults = f"missing {missing[:3]}, wrong shape {wrong[:3]}; it needs ResNet-18's, e.g. microsoft/resnet-18"
            raise ValueError(f"the weights in {source} do not fit the backbone: {faults}")
        self.load_state_dict({k: weights[k] for k in own}, strict=False)


def rename(key: str) -> str:
    """transformers' name of a ResNet parameter -> torchvision's; others stay."""
    for theirs, ours in NAMES.items():
        key = key.replace(theirs, ours)
    return key


def _read_weights(source: str | Path) -> Mapping[str, Tensor]:
    path = Path(source)
    if path.is_dir():
        candidates = [path / name for name in ("model.safetensors", "pytorch_model.bin")]
        path = next((p for p in candidates if p.is_file()), path)
    if path.is_file():
        with explained(f"{path} holds no weights that can be read", Exception, "get them again"):
            return load_file(path) if path.suffix == ".safetensors" else read_torch(path)
    from transformers import ResNetModel

    try:
        return ResNetModel.from_pretrained(str(source), local_files_only=True, trust_remote_code=False).state_dict()
    except (OSError, ValueError) as error:
        remedy = f"get them with `hf download {source}`, or give a folder with model.safetensors or a .pth file"
        raise FileNotFoundError(f"no ResNet weights at {source}: {remedy} of torchvision's") from error


def fold_norms(module: nn.Module) -> nn.Module:
    """Multiplies frozen norms into the convolutions before them; changes the module's structure and returns it."""
    for part in module.modules():
        for convolution, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("0", "1")):  # the last are of a shortcut
            if isinstance(getattr(part, norm, None), FrozenBatchNorm):
                folded = fuse_conv_bn_eval(getattr(part, convolution), getattr(part, norm))
                setattr(part, convolution, channels_last(folded.requires_grad_(False)))
                setattr(part, norm, nn.Identity())
    return module
