"""Random pictures behind the targets: procedural, or cut from the images of a folder."""

from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np

from genima_core.pixels import read_picture

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ProceduralBackgrounds:
    """Noise, gradients, checks, stripes, shapes, flat colours and clutter, another one for each picture."""

    def sample(self, rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
        """`count` pictures (count, height, width, 3) uint8 RGB; the same for the same state of `rng`."""
        pictures = np.empty((count, height, width, 3), dtype=np.uint8)
        for picture in pictures:
            picture[:] = self._make(rng, height, width)
        return pictures

    def _make(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        paint = _PAINTERS[rng.integers(len(_PAINTERS))]
        return _develop(rng, paint(rng, height, width))


class FolderBackgrounds(ProceduralBackgrounds):
    """Random crops of the images in a folder and its subfolders, decoded once and kept small."""

    def __init__(self, path: Path | str, longest_side: int = 640, cached_images: int = 256) -> None:
        """FileNotFoundError, ValueError: no such folder; no readable image. The `cached_images` used last stay."""
        self.path = Path(path)
        if not self.path.is_dir():
            raise FileNotFoundError(f"no folder {self.path}; name a folder of images, or none for procedural textures")
        self.files = sorted(f for f in self.path.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
        self._load = lru_cache(cached_images)(partial(_read_small, longest_side=longest_side))
        if all(self._load(file) is None for file in self.files):
            seen = f"{len(self.files)} files with a name ending in {', '.join(IMAGE_SUFFIXES)}"
            raise ValueError(f"no readable image in {self.path} ({seen}); add images or leave the folder out")

    def _make(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        image = None
        while image is None:  # ends: the constructor saw at least one readable image
            image = self._load(self.files[rng.integers(len(self.files))])
        return _random_crop(rng, image, height, width)


def _read_small(file: Path, longest_side: int) -> np.ndarray | None:
    """An image, reduced to `longest_side` pixels; None where it cannot be read."""
    try:
        image = read_picture(file)
    except (ValueError, OSError):
        return None
    factor = longest_side / max(image.shape[:2])
    return image if factor >= 1 else cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _random_crop(rng: np.random.Generator, image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A crop of the right aspect, half to all of what fits, mirrored half of the time."""
    fit = min(image.shape[0] / height, image.shape[1] / width) * rng.uniform(0.5, 1.0)
    h, w = max(1, int(height * fit)), max(1, int(width * fit))
    top, left = rng.integers(image.shape[0] - h + 1), rng.integers(image.shape[1] - w + 1)
    crop = image[top : top + h, left : left + w]
    crop = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if h > height else cv2.INTER_LINEAR)
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def _colour(rng: np.random.Generator) -> np.ndarray:
    """RGB (3,) float32; half of the colours are muted, as in most rooms."""
    colour = rng.uniform(0, 255, 3)
    if rng.random() < 0.5:
        colour = colour.mean() + 0.25 * (colour - colour.mean())
    return colour.astype(np.float32)


def _blend(mask: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """From colour `first` (mask 0) to `second` (mask 1): (H, W, 3) float32."""
    return first + mask[..., None].astype(np.float32) * (second - first)


def _field(rng: np.random.Generator, height: int, width: int, channels: int = 1) -> np.ndarray:
    """Fractal noise, 0 to 1, (H, W) or (H, W, channels) float32: random grids of growing fineness, added up."""
    depth = () if channels == 1 else (channels,)
    field = np.zeros((height, width, *depth), dtype=np.float32)
    falloff, cells, amplitude = rng.uniform(0.4, 0.9), int(rng.integers(2, 5)), 1.0
    while cells <= min(height, width):
        grid = rng.random((cells, cells, *depth), dtype=np.float32)
        field += amplitude * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        amplitude *= falloff
        cells *= 2
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def _ramp(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Coordinate along a random direction, about -1 to 1, (H, W) float32."""
    return _turned(rng.uniform(0, 2 * np.pi), height, width)[0]


def _turned(angle: float, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a direction, about -1 to 1, (H, W) float32 each."""
    x, y = (np.linspace(-1, 1, size, dtype=np.float32) for size in (width, height))
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y[:, None], c * y[:, None] - s * x


def _paint_flat(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return np.broadcast_to(_colour(rng), (height, width, 3)).copy()


def _paint_gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    mask = _ramp(rng, height, width)
    if rng.random() < 0.4:
        mask = np.hypot(mask, _ramp(rng, height, width))
    return _blend(np.clip(0.5 + 0.5 * mask, 0, 1), _colour(rng), _colour(rng))


def _paint_noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    if rng.random() < 0.4:
        return 255 * _field(rng, height, width, 3)
    return _blend(_field(rng, height, width), _colour(rng), _colour(rng))


def _paint_veins(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Wood and marble: stripes bent by noise."""
    phase = rng.uniform(2, 12) * _ramp(rng, height, width) + rng.uniform(2, 12) * _field(rng, height, width)
    return _blend(0.5 + 0.5 * np.sin(phase * 2), _colour(rng), _colour(rng))


def _paint_stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    wave = np.sin(rng.uniform(4, 40) * _ramp(rng, height, width) + rng.uniform(0, 6))
    return _blend(np.clip(0.5 + rng.uniform(1, 10) * wave, 0, 1), _colour(rng), _colour(rng))


def _paint_checks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    frequency = rng.uniform(3, 25)
    u, v = _turned(rng.uniform(0, np.pi), height, width)
    return _blend(np.sin(frequency * u) * np.sin(frequency * v) > 0, _colour(rng), _colour(rng))


def _paint_shapes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = (_paint_gradient if rng.random() < 0.5 else _paint_flat)(rng, height, width)
    return _add_shapes(rng, picture, int(rng.integers(3, 20)))


def _paint_clutter(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A room, roughly: a textured wall above a textured floor, things on it, light from one side."""
    wall, floor = (
        _blend(_field(rng, height, width), colour, colour * rng.uniform(0.5, 1.3))
        for colour in (_colour(rng), _colour(rng))
    )
    horizon = int(height * rng.uniform(0.15, 0.6))
    wall[horizon:] = floor[horizon:]
    picture = _add_shapes(rng, wall, int(rng.integers(5, 25)))
    light = 0.75 + 0.35 * _ramp(rng, height, width)
    return picture * light[..., None]


def _add_shapes(rng: np.random.Generator, picture: np.ndarray, count: int) -> np.ndarray:
    height, width = picture.shape[:2]
    for _ in range(count):
        colour = tuple(_colour(rng).tolist())
        centre = rng.uniform((0, 0), (width, height))
        size = width * rng.uniform(0.02, 0.25)
        kind = rng.integers(4)
        if kind == 0:
            corners = centre + size * rng.normal(size=(int(rng.integers(3, 7)), 2))
            cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], colour)
        elif kind == 1:
            axes = np.maximum(1, size * rng.uniform(0.4, 1.0, 2)).astype(int).tolist()
            cv2.ellipse(picture, centre.astype(int).tolist(), axes, rng.uniform(0, 180), 0, 360, colour, -1)
        elif kind == 2:
            box = cv2.boxPoints((centre.tolist(), (size * rng.uniform(0.3, 2), size), rng.uniform(0, 180)))
            cv2.fillPoly(picture, [np.rint(box).astype(np.int32)], colour)
        else:
            end = centre + 4 * size * rng.normal(size=2)
            thickness = int(rng.integers(1, 2 + width // 24))
            cv2.line(picture, centre.astype(int).tolist(), end.astype(int).tolist(), colour, thickness)
    return picture


def _develop(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """To uint8, sometimes out of focus, sometimes with a sensor's noise."""
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), picture.shape[1] * rng.uniform(0.003, 0.02))
    if rng.random() < 0.4:
        picture = picture + rng.uniform(2, 15) * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


# Clutter and noise come twice: most of what a camera sees looks like them.
_PAINTERS = [_paint_flat, _paint_gradient, _paint_noise, _paint_noise, _paint_veins, _paint_stripes, _paint_checks]
_PAINTERS += [_paint_shapes, _paint_clutter, _paint_clutter]
