"""Finds RLBench's episodes on disk, and reads their instructions and pictures.

`<root>/<task>/variation<n>/episodes/episode<i>/` has a folder `<camera>_rgb` of numbered pictures for each camera, and
a pickle with everything else. `variation_descriptions.pkl` lies beside `episodes`, or, below `all_variations`, inside
each episode.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genima_core.importers.rlbench import pickles
from genima_core.pixels import read_picture

CAMERAS = ("wrist", "front", "right_shoulder", "left_shoulder", "overhead")
"""RLBench's cameras; the first four in the order in which the paper tiles them."""

EXPECTED = "<task>/variation<n>/episodes/episode<i>"
_ALL_VARIATIONS = "all_variations"
_DESCRIPTIONS = "variation_descriptions.pkl"
AGAIN = "record the episode again or remove its folder"


@dataclass(frozen=True)
class DemoFolder:
    task: str
    name: str
    """Below the root, such as open_box/variation0/episode3."""
    path: Path


def find_variations(root: Path) -> list[tuple[str, Path]]:
    """Task and folder of each variation in a data set, task or variation `root`; ValueError if a task has two sets."""
    root = Path(root).resolve()
    if not root.is_dir():
        return []
    if (root / "episodes").is_dir():
        return [(root.parent.name, root)]
    return _variations_of(root) or [pair for path in sorted(root.iterdir()) for pair in _variations_of(path)]


def find_demos(root: Path, tasks: tuple[str, ...] | None = None, most: int | None = None) -> tuple[DemoFolder, ...]:
    """Demonstrations below `root` in a fixed order, at most `most` of each variation.

    Raises:
        FileNotFoundError: there are none.
        ValueError: there is no such task.
    """
    if not Path(root).is_dir():
        raise FileNotFoundError(f"{root} is not a folder; an RLBench data set is one")
    found = find_variations(root)
    present = list(dict.fromkeys(task for task, _ in found))
    if unknown := sorted(set(tasks or ()) - set(present)):
        raise ValueError(f"{root} has no task {', '.join(unknown)}; it has {', '.join(present) or 'none'}")
    demos = []
    for task, variation in found:
        if tasks is None or task in tasks:
            # RLBench leaves a variation empty where its planner found no way.
            episodes = _numbered(variation / "episodes", "episode")
            demos += [DemoFolder(task, f"{task}/{variation.name}/{e.name}", e) for e in episodes[:most]]
    if not demos and found:
        why = "only empty folders, as RLBench leaves them where its planner finds no way"
        raise FileNotFoundError(f"{root} holds no episodes of {', '.join(tasks or present)}, {why}; record again")
    if not demos:
        expected = f"expected are {EXPECTED}, or the part of that below a task or a variation"
        raise FileNotFoundError(f"{root} holds no RLBench episodes; {expected}. It holds {listing(root)}")
    return tuple(demos)


def listing(folder: Path) -> str:
    names = sorted(path.name for path in Path(folder).iterdir())
    return f"{', '.join(names[:8]) or 'nothing'}{' ...' if len(names) > 8 else ''}"


def read_instruction(episode: Path, index: int = 0) -> str:
    """One of the sentences that describe what an episode does.

    Raises:
        FileNotFoundError: there are none.
        ValueError: they are damaged, or there are not so many.
    """
    folders = episode, episode.parents[1]
    path = next((place for folder in folders if (place := folder / _DESCRIPTIONS).is_file()), None)
    if path is None:
        lacks = f"there is no {_DESCRIPTIONS}, which holds the instructions, in {folders[0]} or {folders[1]}"
        raise FileNotFoundError(f"{lacks}; RLBench's dataset_generator.py writes it")
    texts = pickles.read_pickle(path)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"{path} is not a list of sentences")
    if not 0 <= index < len(texts):
        raise ValueError(f"{path} has no description {index}; valid are 0 to {len(texts) - 1}")
    return texts[index].strip()


def image_size(episode: Path, cameras: tuple[str, ...], rows: int) -> tuple[int, int]:
    """Width and height of an episode's pictures, read from each camera's first one.

    Raises:
        FileNotFoundError: a camera has no pictures.
        ValueError: some are missing, or the cameras' sizes differ.
    """
    sizes = {}
    for camera in cameras:
        folder = _pictures(episode, camera)
        if not folder.is_dir():
            there = ", ".join(sorted(path.name.removesuffix("_rgb") for path in episode.glob("*_rgb"))) or "none"
            lacks = f"{episode} has no pictures of camera {camera!r} ({folder.name})"
            raise FileNotFoundError(f"{lacks}; it has those of {there}: choose with --cameras")
        names = {path.name for path in folder.glob("*.png")}
        if names != {f"{t}.png" for t in range(rows)}:
            needed = f"the episode has {rows} observations, which need 0.png to {rows - 1}.png"
            raise ValueError(f"{folder} holds {len(names)} pictures, but {needed}; {AGAIN}")
        sizes[camera] = _read_image(folder / "0.png").shape[1::-1]
    if len(set(sizes.values())) != 1:
        different = ", ".join(f"{camera} {width}x{height}" for camera, (width, height) in sizes.items())
        raise ValueError(f"the pictures of {episode} differ in size ({different}); record all cameras with one size")
    return sizes[cameras[0]]


def read_images(episode: Path, camera: str, rows: int, size: tuple[int, int]) -> np.ndarray:
    """One camera's pictures (T, H, W, 3) uint8 RGB; ValueError if one is damaged, or not of this width and height."""
    frames = np.empty((rows, size[1], size[0], 3), np.uint8)
    for t in range(rows):
        path = _pictures(episode, camera) / f"{t}.png"
        frame = _read_image(path)
        if frame.shape != frames.shape[1:]:
            raise ValueError(f"{path} is {frame.shape[1]}x{frame.shape[0]}; the other pictures are {size[0]}x{size[1]}")
        frames[t] = frame
    return frames


def _pictures(episode: Path, camera: str) -> Path:
    return episode / f"{camera}_rgb"


def _read_image(path: Path) -> np.ndarray:
    try:
        return read_picture(path)
    except ValueError as error:
        raise ValueError(f"{error}; {AGAIN}") from error


def _variations_of(task: Path) -> list[tuple[str, Path]]:
    if not task.is_dir():
        return []
    found = [path for path in _numbered(task, "variation") if (path / "episodes").is_dir()]
    together = task / _ALL_VARIATIONS
    if (together / "episodes").is_dir():
        if found:
            both = f"{found[0].name} and {_ALL_VARIATIONS}"
            raise ValueError(f"{task} has both {both}, which may hold the same episodes; convert one of these folders")
        found = [together]
    return [(task.name, path) for path in found]


def _numbered(folder: Path, prefix: str) -> list[Path]:
    found = [path for path in folder.iterdir() if re.fullmatch(rf"{prefix}\d+", path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(prefix)))
