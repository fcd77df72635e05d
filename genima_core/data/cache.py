"""Every window of a data set with its targets, rendered once and not in every epoch, as arrays mapped from disk."""

import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from rich.progress import track

from genima_core.cameras import CameraRig
from genima_core.data.dataset import Dataset
from genima_core.data.episode import Episode
from genima_core.files import check_regular, explained
from genima_core.processes import rendering_processes
from genima_core.targets import renderer
from genima_core.targets.look import OURS, Look
from genima_core.targets.renderer import TargetRenderer, TargetViews

VERSION = 2
"""Of the arrays' layout and the episodes' order; older caches are built again."""
_Kind = tuple[tuple[int, ...], type]
_CACHE = re.compile(r"[0-9a-f]{12}-k\d+-\d+x\d+-s\d+-[0-9a-f]{8}(-moved-.*)?(\.part-.*)?")
BY_ROW = ("q", "gripper", "action_gripper")
"""The arrays that hold every row; the others hold windows."""


@dataclass(frozen=True)
class MovedEnds:
    """Windows whose beginning and end are both moved at random, as the controller trains on.

    A deviation from the paper, which replays demonstrations: there, where the arm is and where the spheres are agree
    with what the demonstrations did, so a controller may learn the demonstrations and look at the spheres little. In
    use it starts where its own earlier errors left it, and the drawn spheres are off by a pixel or two. Here start and
    goal move independently of each other, so only the spheres say where to go, from wherever the arm is.
    """

    count: int
    """Moved copies of each window, besides the window itself."""
    sigma_rad: float = 0.05
    """Standard deviation of each joint's offset, at the start and at the goal."""
    sigma_last_rad: float = 0.4
    """Of the last joint's: only stripes show it, and demonstrations turn the hand too seldom to teach reading them."""
    seed: int = 0


class _Mapped(cached_property):
    """An array of a cache, mapped when it is first used; what is written to it stays in memory."""

    def __init__(self) -> None:
        super().__init__(
            lambda cache: _map(cache.folder / f"{self.attrname}.npy", cache._arrays[str(self.attrname)], "c")
        )


@dataclass(frozen=True)
class WindowCache:
    """N windows of the successful episodes' R rows: each begins at a row t and ends K rows later.

    Where an episode ends earlier, its last row stands for the rest. Targets show where the arm **was** at t + K (the
    measured joints, as the paper draws poses; not the command, which leads by the servo's lag), and the opening that
    was commanded for that moment (a class; the measured one is late by the time that fingers take).
    """

    folder: Path
    dataset_root: Path
    horizon: int
    stride: int
    rig: CameraRig
    numbers: tuple[int, ...]
    """Which E episodes of the data set these are, those to train on first; everywhere else here they count from 0 to
    E - 1."""
    row_offsets: np.ndarray
    """(E + 1,) first row of each episode, and R."""
    instructions: tuple[str, ...]
    tasks: tuple[str, ...]
    """Of each episode, as the instructions."""
    fingerprint: str
    look: Look = OURS
    """Of the targets."""

    images = _Mapped()
    """(N, V, H, W, 3) uint8 RGB, in the order of the rig."""
    q = _Mapped()
    """(R, 7) float32, measured in each row."""
    gripper = _Mapped()
    """(R,) float32, measured opening in each row."""
    action_gripper = _Mapped()
    """(R,) float32, opening commanded from each row on."""
    target_rgb = _Mapped()
    """(N, V, H, W, 3) uint8, see `TargetViews`."""
    target_alpha = _Mapped()
    """(N, V, H, W) uint8."""
    target_labels = _Mapped()
    """(N, V, H, W) uint8."""

    @classmethod
    def build(
        cls,
        dataset: Dataset,
        horizon: int = 20,
        size: tuple[int, int] | int | None = None,
        stride: int = 1,
        folder: Path | None = None,
        workers: int = 1,
        show_progress: bool = True,
        look: Look = OURS,
    ) -> "WindowCache":
        """Opens the cache of a data set, after building it, in so many processes, in a temporary folder renamed at the
        end.

        `horizon` is K in rows, `size` that of the views, the data set's by default; a window begins in every `stride`th
        row of an episode. Caches lie in `folder`, `<data set>/.cache` by default, by names that hold all they depend
        on; others of the data set go. ValueError: no successful episodes, or a horizon, size or stride below 1.
        """
        numbers = _training_first([i for i, success in enumerate(dataset.successes) if success], dataset.tasks)
        if not numbers:
            raise ValueError(f"{dataset.root} holds no successful episodes yet ({len(dataset)} in all); record some")
        width, height = dataset.rig.size if size is None else (size, size) if isinstance(size, int) else size
        if min(horizon, width, height, stride) < 1:
            given = f"horizon {horizon}, view size {width}x{height} and stride {stride}"
            raise ValueError(f"{given} must be at least 1")
        fingerprint = dataset.fingerprint()
        folder = Path(folder) if folder else dataset.root / ".cache"
        cache = cls(
            folder / f"{fingerprint}-k{horizon}-{width}x{height}-s{stride}-{_renderer_version(look)}",
            dataset.root,
            horizon,
            stride,
            dataset.rig.resize(width, height),
            numbers,
            np.concatenate([[0], np.cumsum([dataset.lengths[i] for i in numbers])]),
            tuple(dataset.instructions[i] for i in numbers),
            tuple(dataset.tasks[i] for i in numbers),
            fingerprint,
            look,
        )
        if not cache.folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.iterdir():
                if _CACHE.fullmatch(old.name) and not old.name.startswith(f"{fingerprint}-") and not old.is_symlink():
                    shutil.rmtree(old, ignore_errors=True)
            _build(cache.folder, cache._arrays, cache, None, workers, show_progress)
        return cache

    @property
    def _arrays(self) -> dict[str, _Kind]:
        """What lies in the folder."""
        width, height = self.rig.size
        R, views = int(self.row_offsets[-1]), (len(self), len(self.rig.cameras), height, width)
        arrays: dict[str, _Kind] = dict.fromkeys(("images", "target_rgb"), ((*views, 3), np.uint8))
        arrays |= dict.fromkeys(("target_alpha", "target_labels"), (views, np.uint8))
        return arrays | {"q": ((R, 7), np.float32)} | dict.fromkeys(("gripper", "action_gripper"), ((R,), np.float32))

    def _map(self, name: str) -> np.ndarray:
        return _map(self.folder / f"{name}.npy", self._arrays[name], "c")

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def __getstate__(self) -> dict:
        # Mapped arrays would travel to worker processes by value.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def offsets(self) -> np.ndarray:
        """(E + 1,) first window of each episode, and N."""
        return np.concatenate([[0], np.cumsum(-(-np.diff(self.row_offsets) // self.stride))])

    @cached_property
    def episode_index(self) -> np.ndarray:
        """(N,) episode of each window."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @cached_property
    def rows(self) -> np.ndarray:
        """(N,) row t of each window."""
        e = self.episode_index
        return self.row_offsets[e] + self.stride * (np.arange(len(self)) - self.offsets[e])

    @cached_property
    def _steps(self) -> np.ndarray:
        """(N, K + 1) row of each step k = 0 … K, beyond the end of the episode too."""
        return self.rows[:, None] + np.arange(self.horizon + 1)

    @property
    def future(self) -> np.ndarray:
        """(N, K) row that stands for step k + 1 of each window: t + k + 1, or the episode's last row."""
        return np.minimum(self._steps[:, 1:], self._last[:, None])

    @property
    def is_pad(self) -> np.ndarray:
        """(N, K) whether step k + 1 lies beyond the end of the episode."""
        return self._steps[:, 1:] > self._last[:, None]

    @property
    def q_target(self) -> np.ndarray:
        """(N, 7) measured at t + K: what the targets show."""
        return self.q[self.future[:, -1]]

    @property
    def gripper_target(self) -> np.ndarray:
        """(N,) opening commanded for t + K: what the gripper's sphere shows."""
        return self.action_gripper[self.commanded[:, -1]]

    @property
    def commanded(self) -> np.ndarray:
        """(N, K) row whose command is due at step k + 1: one before `future`, or the episode's last."""
        return np.minimum(self._steps[:, :-1], self._last[:, None])

    @property
    def _last(self) -> np.ndarray:
        return self.row_offsets[1:][self.episode_index] - 1

    def views(self, window: int) -> TargetViews:
        return TargetViews(self.target_rgb[window], self.target_alpha[window], self.target_labels[window])

    def episodes(self, split: str = "all") -> range:
        """Those of a split: ``val`` the last tenth of each task, ``train`` the others, ``all``; ValueError: an unknown
        split, or no task with two episodes.
        """
        count = len(self.offsets) - 1
        if split not in ("train", "val", "all"):
            raise ValueError(f"unknown split {split!r}; valid are 'train', 'val' and 'all'")
        if split == "all":
            return range(count)
        border = count - sum(map(_held_out, Counter(self.tasks).values()))
        if border == count:
            what = f"{self.dataset_root} holds one successful episode of each task"
            raise ValueError(f"{what}; training and validation need two at least")
        return range(border) if split == "train" else range(border, count)

    def windows(self, split: str = "all") -> range:
        episodes = self.episodes(split)
        return range(int(self.offsets[episodes.start]), int(self.offsets[episodes.stop]))

    def balanced(self, split: str = "all") -> np.ndarray:
        """Windows of a split such that each task has as many: those of shorter tasks are repeated."""
        part = self.windows(split)
        names = np.array(self.tasks)[self.episode_index[part.start : part.stop]]
        of_task = [np.flatnonzero(names == name) for name in dict.fromkeys(names)]
        most = max(map(len, of_task))
        return part.start + np.concatenate([np.resize(windows, most) for windows in of_task])

    def moved_ends(self, moved: MovedEnds) -> tuple[np.ndarray, np.ndarray]:
        """Starts and goals (N, count, 7) rad of the moved windows, within the limits of the joints."""
        shape = (2, len(self), moved.count, 7)
        sigma_rad = [moved.sigma_rad] * 6 + [moved.sigma_last_rad]
        offset = np.random.default_rng(moved.seed).normal(0, sigma_rad, shape).astype(np.float32)
        starts, goals = self.q[self.rows][:, None] + offset[0], self.q_target[:, None] + offset[1]
        return self.rig.arm.clip(starts).astype(np.float32), self.rig.arm.clip(goals).astype(np.float32)

    def moved_targets(
        self, moved: MovedEnds, workers: int = 1, show_progress: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colours (N, count, V, H, W, 3) and coverage (N, count, V, H, W) of the moved windows' targets, cached too."""
        name = hashlib.sha256(json.dumps(asdict(moved), sort_keys=True).encode()).hexdigest()[:8]
        folder = self.folder.with_name(f"{self.folder.name}-moved-{moved.count}-{name}")
        width, height = self.rig.size
        shape = (len(self), moved.count, len(self.rig.cameras), height, width)
        arrays: dict[str, _Kind] = {"target_rgb": ((*shape, 3), np.uint8), "target_alpha": (shape, np.uint8)}
        if not folder.is_dir():
            _build(folder, arrays, self, moved, workers, show_progress)
        rgb, alpha = (_map(folder / f"{name}.npy", kind, "r") for name, kind in arrays.items())
        return rgb, alpha


def _map(path: Path, kind: _Kind, mode: Literal["c", "r"]) -> np.ndarray:
    """An array of a cache; ValueError where the file is none of this shape and type."""
    why = ValueError, OSError, OverflowError, SyntaxError, TypeError
    with explained(f"{path} is damaged", why, f"remove {path.parent}: it is made again"):
        array = np.lib.format.open_memmap(check_regular(path), mode)
        if (array.shape, array.dtype) != kind:
            raise ValueError(f"it holds {array.shape} {array.dtype}, not {kind[0]} {np.dtype(kind[1])}")
        return array


def _build(
    folder: Path, arrays: dict[str, _Kind], cache: WindowCache, moved: MovedEnds | None, workers: int, show: bool
) -> None:
    """Creates the arrays in a temporary folder, fills them episode by episode and renames the folder."""
    what = "rendering targets" if moved is None else "rendering moved targets"
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        for name, (shape, dtype) in arrays.items():
            np.lib.format.open_memmap(temporary / f"{name}.npy", "w+", dtype, shape).flush()
        episodes = list(cache.episodes())
        if workers == 1:
            _fill(temporary, cache, moved, track(episodes, what, disable=not show))
        else:
            step = max(1, len(episodes) // (4 * workers))
            shares = [episodes[i : i + step] for i in range(0, len(episodes), step)]
            with rendering_processes(workers) as pool:
                futures = [pool.submit(_fill, temporary, cache, moved, share) for share in shares]
                for future in track(as_completed(futures), what, total=len(futures), disable=not show):
                    future.result()
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster; its arrays are the same
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fill(folder: Path, cache: WindowCache, moved: MovedEnds | None, episodes: Iterable[int]) -> None:
    arrays = {path.stem: np.load(path, mmap_mode="r+") for path in folder.glob("*.npy")}
    ends = None if moved is None else cache.moved_ends(moved)
    dataset = _opened(cache.dataset_root, cache.fingerprint)
    with closing(TargetRenderer(cache.rig, look=cache.look)) as targets:
        for index in episodes:
            rows, part = (slice(*offsets[index : index + 2]) for offsets in (cache.row_offsets, cache.offsets))
            held = {name: array[rows if name in BY_ROW else part] for name, array in arrays.items()}
            if ends is None:
                _fill_episode(held, cache, targets, dataset.episode(cache.numbers[index]))
            else:
                _fill_moved(held, targets, ends[0][part], ends[1][part], cache.gripper_target[part])
    for array in arrays.values():
        array.flush()


@lru_cache(maxsize=1)
def _opened(root: Path, fingerprint: str) -> Dataset:
    """Of the fingerprint; thousands of episodes take half a minute to open, and a process fills several shares."""
    return Dataset(root)


def _fill_episode(part: dict[str, np.ndarray], cache: WindowCache, targets: TargetRenderer, episode: Episode) -> None:
    for name in BY_ROW:
        part[name][:] = getattr(episode, name)
    for view, name in enumerate(cache.rig.names):
        part["images"][:, view] = resized(episode.frames(name)[:: cache.stride], cache.rig.size)
    for i, t in enumerate(range(0, len(episode), cache.stride)):
        views = targets.render(episode.q[t], *window_target(episode, t, cache.horizon))
        part["target_rgb"][i], part["target_alpha"][i], part["target_labels"][i] = views.rgb, views.alpha, views.labels


def _fill_moved(
    part: dict[str, np.ndarray], targets: TargetRenderer, starts: np.ndarray, goals: np.ndarray, openings: np.ndarray
) -> None:
    for t, copy in np.ndindex(starts.shape[:2]):
        views = targets.render(starts[t, copy], goals[t, copy], float(openings[t]))
        part["target_rgb"][t, copy], part["target_alpha"][t, copy] = views.rgb, views.alpha


def _held_out(count: int) -> int:
    """Of so many episodes of a task those that are kept from training; the only one is trained on."""
    return max(1, count // 10) if count > 1 else 0


def _training_first(episodes: list[int], tasks: Sequence[str]) -> tuple[int, ...]:
    """Episodes in order, but behind all others the last ones of each task, which are held out."""
    of_task: dict[str, list[int]] = defaultdict(list)
    for episode in episodes:
        of_task[tasks[episode]].append(episode)
    held = {episode for same in of_task.values() for episode in same[len(same) - _held_out(len(same)) :]}
    return tuple(sorted(episodes, key=lambda episode: (episode in held, episode)))


def window_target(episode: Episode, t: int, horizon: int) -> tuple[np.ndarray, float]:
    """What the targets of the window at row t show: joint positions (7,) rad and opening, see `WindowCache`."""
    last = len(episode) - 1
    return episode.q[min(t + horizon, last)], float(episode.action_gripper[min(t + horizon - 1, last)])


def resized(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frames (T, H, W, 3) at another width and height, as `CameraRig.resize` expects."""
    if frames.shape[2:0:-1] == tuple(size):
        return frames
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def _renderer_version(look: Look) -> str:
    """Changes whenever the look does, or the code that renders it."""
    text = Path(str(renderer.__file__)).read_bytes() + repr(look).encode()
    return hashlib.sha256(text + bytes([VERSION])).hexdigest()[:8]
