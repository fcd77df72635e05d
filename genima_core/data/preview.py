"""What the two models train on, as pictures for people."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from rich.progress import track

from genima_core.config import pick
from genima_core.data.dataset import Dataset
from genima_core.data.truth import TrueDrawing, random_windows, true_drawings
from genima_core.pixels import tile
from genima_core.targets.backgrounds import FolderBackgrounds, ProceduralBackgrounds
from genima_core.targets.draw import over_backgrounds
from genima_core.targets.look import LOOKS

PICTURE_HEIGHT_PX = 512
GAP_PX = 8
FILM_MAX_BYTES = 2_000_000
FILM_FPS = 10


def draw_windows(
    dataset: Path,
    out: Path,
    count: int,
    seed: int,
    horizon: int,
    size: int | None,
    textures: Path | None,
    look: str = "ours",
) -> dict[str, Any]:
    """Windows as pictures (observation, with targets, the controller's input), one episode as GIF; ValueError: none."""
    if count < 1 or horizon < 1:
        raise ValueError(f"count {count} and horizon {horizon} must be at least 1")
    data = Dataset(dataset)
    backgrounds = FolderBackgrounds(textures) if textures else ProceduralBackgrounds()
    rig = data.rig.resize(size, size) if size else data.rig
    width, height = rig.size
    rng = np.random.default_rng(seed)
    windows = random_windows(data, count, rng)
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"window_{i:02d}.png" for i in range(count)]

    def drawn(windows: list[tuple[int, int]], what: str) -> Iterator[TrueDrawing]:
        drawings = true_drawings(data, rig, pick(LOOKS, look, "look"), horizon, windows)
        yield from track(drawings, what, total=len(windows))

    for file, true in zip(files, drawn(windows, "drawing windows"), strict=True):
        controller = over_backgrounds(true.views, backgrounds.sample(rng, len(rig.cameras), height, width), rng)
        _side_by_side(tile(true.observation), tile(true.drawing), tile(controller)).save(file)
    index, _ = windows[-1]
    rows = [(index, t) for t in range(data.lengths[index])]
    frames = [np.hstack([tile(true.observation), tile(true.drawing)]) for true in drawn(rows, "drawing one episode")]
    film = out / f"episode_{index:03d}.gif"
    _save_film(film, frames, data.fps)
    return {
        "dataset": str(dataset),
        "fingerprint": data.fingerprint(),
        "pictures": [str(file) for file in files],
        "film": str(film),
        "windows": [{"episode": e, "row": t, "instruction": data.instructions[e]} for e, t in windows],
    }


def _side_by_side(*pictures: np.ndarray) -> Image.Image:
    """Pictures of one size in a row, enlarged without blurring so that pixels stay visible."""
    factor = max(1, round(PICTURE_HEIGHT_PX / pictures[0].shape[0]))
    large = [np.kron(p, np.ones((factor, factor, 1), np.uint8)) for p in pictures]
    gap = np.full((large[0].shape[0], GAP_PX, 3), 255, np.uint8)
    return Image.fromarray(np.hstack([part for picture in large for part in (gap, picture)][1:]))


def _save_film(path: Path, frames: list[np.ndarray], fps: int) -> None:
    """A GIF of at most `FILM_MAX_BYTES`, which every page and viewer plays; smaller until it fits."""
    frames = frames[:: max(1, round(fps / FILM_FPS))]
    scale = max(1, round(PICTURE_HEIGHT_PX / frames[0].shape[0]))
    while True:
        width, height = round(frames[0].shape[1] * scale), round(frames[0].shape[0] * scale)
        how = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
        large = [Image.fromarray(cv2.resize(frame, (width, height), interpolation=how)) for frame in frames]
        images = [image.quantize(128, dither=Image.Dither.NONE) for image in large]
        images[0].save(path, save_all=True, append_images=images[1:], duration=round(1000 / FILM_FPS), loop=0)
        if path.stat().st_size <= FILM_MAX_BYTES or height < 64:
            return
        scale = scale - 1 if scale > 1 else scale * 0.75
