"""Training examples of the two diffusion networks, from a `WindowCache`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from genima_core.config import pick
from genima_core.data.cache import WindowCache
from genima_core.data.dataset import Dataset
from genima_core.diffusion.autoencoder import PATCH, tiled, to_latents
from genima_core.diffusion.config import DiffusionConfig
from genima_core.diffusion.networks import Networks
from genima_core.pixels import tile, tile_grid
from genima_core.targets.backgrounds import ProceduralBackgrounds
from genima_core.targets.draw import OPACITY
from genima_core.targets.look import LOOKS
from genima_core.training.config import Training

TEXTURE_SHARE = 0.35
"""Of the autoencoder's pictures that have a random background: it also degrades the controller's training pictures."""
BARE_SHARE = 0.15
"""Of the autoencoder's pictures that show no targets."""


@dataclass(frozen=True)
class Batch:
    """What the networks see of tiled observations (`Networks.observe`), latents (B, C, h, w) of deviation 1 of them
    with targets, and how much of each patch shows a target (B, 1, h, w).
    """

    observed: Tensor
    latents: Tensor
    spheres: Tensor
    instructions: list[str]


def windows_of(training: Training, config: DiffusionConfig) -> WindowCache:
    """The windows of a run's data set, rendered if need be; ValueError: no episodes to train on."""
    dataset, look = Dataset(training.data), pick(LOOKS, training.look, "look")
    steps, workers = (config.horizon, config.size, config.stride), training.workers
    return WindowCache.build(dataset, *steps, folder=training.cache_folder, workers=workers, look=look)


class DrawingExamples:
    """Observations and what should be drawn onto them.

    Without augmentation latents are encoded once, at the start, and kept as float16: a training step then needs no
    autoencoder. With it, the pictures are encoded in every step.
    """

    def __init__(
        self,
        cache: WindowCache,
        networks: Networks,
        crop_px: int = 0,
        jitter: tuple[float, float, float, float] | None = None,
        show_progress: bool = True,
    ) -> None:
        self.cache, self.networks, self.device = cache, networks, networks.vae.device
        self.crop_px, self.jitter = crop_px, jitter
        self.windows = cache.windows("train")
        augmented = crop_px > 0 or jitter is not None
        self._encoded = None if augmented else self._encode(show_progress)

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, index: list[int], generator: torch.Generator) -> Batch:
        """Examples by index; `generator` decides the augmentation."""
        windows = [self.windows[i] for i in index]
        instructions = [self.cache.instructions[self.cache.episode_index[w]] for w in windows]
        if self._encoded is not None:
            latents, spheres, *observed = (kept[index].to(self.device).float() for kept in self._encoded)
            seen = observed[0] if observed else self.networks.observe(self._tiled(self.cache.images, windows))
            return Batch(seen, latents, spheres, instructions)
        pictures = self._augmented(torch.cat(self._read(windows), 1), generator)
        observed, drawn, alpha = pictures.split([3, 3, 1], 1)
        with torch.no_grad():
            latents = to_latents(self.networks.vae, drawn).float()
            seen = self.networks.observe(observed)
        return Batch(seen, latents, F.avg_pool2d(alpha, PATCH), instructions)

    def _tiled(self, views: np.ndarray, windows: Sequence[int]) -> Tensor:
        """Tiled pictures (B, C, height, width) in [0, 1] from an array of all windows."""
        return tiled(torch.from_numpy(np.stack([views[w] for w in windows])).to(self.device)).float() / 255

    def _read(self, windows: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Observation (B, 3, height, width), drawing and the targets' coverage (B, 1, height, width)."""
        arrays = self.cache.images, self.cache.target_rgb, self.cache.target_alpha[..., None]
        observed, rgb, alpha = (self._tiled(array, windows) for array in arrays)
        return observed, torch.lerp(observed, rgb, alpha), alpha

    @torch.no_grad()
    def _encode(self, show_progress: bool) -> list[Tensor]:
        """Latents (N, C, h, w) of all drawings, how much of each patch shows a target, and the latents of the
        observations where the networks see those; float16.
        """
        kept: list[list[Tensor]] = []
        for begin in track(range(0, len(self), 32), "encoding drawings", disable=not show_progress):
            observed, drawn, alpha = self._read(self.windows[begin : begin + 32])
            parts = [to_latents(self.networks.vae, drawn), F.avg_pool2d(alpha, PATCH)]
            if self.networks.controlnet is None:
                parts.append(self.networks.observe(observed))
            kept.append([part.half().cpu() for part in parts])
        return [torch.cat(part) for part in zip(*kept, strict=True)]

    def _augmented(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Observation, drawing and coverage (B, 7, height, width): the first coloured anew, all shifted alike."""
        if self.jitter is not None:
            from kornia.augmentation import ColorJitter

            with torch.random.fork_rng(devices=[]):  # kornia draws from torch's global generator
                torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
                observed = ColorJitter(*self.jitter, same_on_batch=False)(pictures[:, :3])
            pictures = torch.cat([observed, pictures[:, 3:]], 1)
        if p := self.crop_px:
            height, width = pictures.shape[2:]
            padded = F.pad(pictures, (p, p, p, p), mode="reflect")
            shift = torch.randint(0, 2 * p + 1, (len(pictures), 2), generator=generator).tolist()
            cut = [each[:, y : y + height, x : x + width] for each, (x, y) in zip(padded, shift, strict=True)]
            pictures = torch.stack(cut)
        return pictures


class CodingPictures:
    """Observations and textures, most with targets, cut at random from tiles: all offsets of patches, and seams."""

    def __init__(self, cache: WindowCache, seed: int, textures: int = 1024) -> None:
        self.cache = cache
        self.windows = cache.windows("train")
        height, width = cache.images.shape[2:4]
        self.textures = ProceduralBackgrounds().sample(np.random.default_rng(seed), textures, height, width)

    def batch(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Pictures (count, 3, H, W) in [0, 1], and where they show targets (count, 1, H, W) in [0, 1]."""
        height, width = self.textures.shape[1:3]
        views = self.cache.images.shape[1]
        rows, columns = tile_grid(views)
        pictures, coverage = [], []
        for window in rng.integers(self.windows.start, self.windows.stop, count):
            textured, bare = rng.random() < TEXTURE_SHARE, rng.random() < BARE_SHARE
            background = self.cache.images[window]
            if textured:
                background = self.textures[rng.integers(0, len(self.textures), views)]
            alpha = self.cache.target_alpha[window].astype(np.float32) / 255
            alpha = alpha * (0.0 if bare else rng.uniform(*OPACITY) if textured else 1.0)
            y, x = rng.integers(0, (rows - 1) * height + 1), rng.integers(0, (columns - 1) * width + 1)
            if rng.random() < 0.5:  # whole views, as the controller has them
                y, x = height * rng.integers(0, rows), width * rng.integers(0, columns)
            cut = np.s_[y : y + height, x : x + width]
            picture, rgb, a = (
                tile(layer)[cut] for layer in (background, self.cache.target_rgb[window], alpha[..., None])
            )
            pictures.append(picture * (1 - a) + rgb * a)
            coverage.append(a)
        shown, covered = (torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2) for part in (pictures, coverage))
        return shown / 255, covered
