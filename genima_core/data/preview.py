"""What the two models train on, as pictures for people."""

from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from rich.progress import track

from genima_core.config import pick
from genima_core.data.cache import resized, window_target
from genima_core.data.dataset import Dataset
from genima_core.data.episode import Episode
from genima_core.pixels import tile
from genima_core.targets.backgrounds import FolderBackgrounds, ProceduralBackgrounds
from genima_core.targets.draw import over_backgrounds, over_observation
from genima_core.targets.look import LOOKS
from genima_core.targets.renderer import TargetRenderer, TargetViews

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
    if len(data) == 0:
        raise ValueError(f"{dataset} holds no episodes yet; record or collect some")
    backgrounds = FolderBackgrounds(textures) if textures else ProceduralBackgrounds()
    rig = data.rig.resize(size, size) if size else data.rig
    width, height = rig.size
    rng = np.random.default_rng(seed)
    windows = sorted((int(e), int(rng.integers(data.lengths[e]))) for e in rng.integers(len(data), size=count))
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"window_{i:02d}.png" for i in range(count)]
    read_episode = lru_cache(1)(data.episode)
    with closing(TargetRenderer(rig, look=pick(LOOKS, look, "look"))) as targets:

        def window(episode: Episode, t: int) -> tuple[np.ndarray, TargetViews]:
            """The pictures (4, H, W, 3) of one row, and what is to be drawn over them."""
            images = np.concatenate([resized(episode.frames(name)[t : t + 1], rig.size) for name in rig.names])
            return images, targets.render(episode.q[t], *window_target(episode, t, horizon))

        for file, (index, t) in zip(files, track(windows, "drawing windows"), strict=True):
            images, views = window(read_episode(index), t)
            controller = over_backgrounds(views, backgrounds.sample(rng, 4, height, width), rng)
            _side_by_side(tile(images), tile(over_observation(views, images)), tile(controller)).save(file)
        episode, frames = read_episode(index), []
        for t in track(range(len(episode)), "drawing one episode"):
            images, views = window(episode, t)
            frames.append(np.hstack([tile(images), tile(over_observation(views, images))]))
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
