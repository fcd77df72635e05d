"""Demonstrations on disk, as a LeRobotDataset v3.0 with the camera rig beside its meta data, without lerobot.

An episode exists when its row in meta/episodes does: that file is written last, and reading starts from it. What a
killed writer leaves is not seen by readers, and removed by the next writer.
"""

import fcntl
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genima_core.cameras import CameraRig
from genima_core.config import from_overrides
from genima_core.data import layout, video
from genima_core.data.episode import Episode
from genima_core.files import explained, read_json, replaced_file, sync, write_json
from genima_core.geometry import checked_numbers

MAX_VALUES, MAX_ROWS_A_BYTE, MAX_SHAPE = 200_000_000, 2, 100_000
"""Rows times columns of a table (100 MB of parquet, lerobot's limit for a file, hold fewer); elements of a feature."""
CHUNKS = "chunk-[0-9][0-9][0-9]"
_OURS = re.compile(r"\.?file-\d{3}\.(parquet|mp4)(\.part)?")
_TEMPORARY = re.compile(r"\.(file-\d{3}\.parquet|info\.json|stats\.json|rig\.json|origin\.json|tasks\.parquet)\.part")
"""Names of what is being written."""


class Dataset:
    """A data set to read from."""

    def __init__(self, root: Path | str) -> None:
        """FileNotFoundError: there is no data set, or it has no camera rig.

        ValueError: another version of the format, a damaged table, or a camera of the rig that was not recorded.
        """
        self.root = Path(root)
        self.info = read_info(self.root)
        self.rig = load_rig(self.root)
        self.fps: int = self.info["fps"]
        for name in self.rig.names:
            if layout.video_key(name) not in self.info["features"]:
                recorded = [key for key in self.info["features"] if key.startswith(layout.video_key(""))]
                named = ", ".join(recorded) or "none"
                raise ValueError(f"{self.root} has no images of camera {name!r} of its rig; recorded are {named}")
        for key in ("observation.state", "action"):
            names = self.info["features"].get(key, {}).get("names")
            if names != [*self.rig.arm.joint_names, layout.GRIPPER]:
                needed = f"the joints of {self.rig.arm.name} and {layout.GRIPPER}"
                remedy = "genima convert lerobot reads data sets of others"
                raise ValueError(f"{self.root}: the elements of {key} are {short(names)}, not {needed}; {remedy}")
        self._rows = read_rows(self.root)
        episodes = [episode_of(row, self.root) for row in self._rows]
        self.lengths = tuple(episode.length for episode in episodes)
        """Rows of each episode."""
        self.seeds = tuple(episode.seed for episode in episodes)
        """-1 where no seed made the episode."""
        self.successes = tuple(episode.success for episode in episodes)
        self.tasks = tuple(episode.task for episode in episodes)
        """Their names, or their instructions where others wrote the episode."""
        self.instructions = tuple(episode.tasks[0] for episode in episodes)

    def __len__(self) -> int:
        return len(self._rows)

    def episode(self, index: int) -> Episode:
        """Episode `index`, images decoded; IndexError: none such, FileNotFoundError, ValueError: a file is damaged."""
        episode = self.recorded(index)
        return replace(episode, images={name: np.stack(list(frames)) for name, frames in episode.images.items()})

    def recorded(self, index: int) -> Episode:
        """The same with images that are decoded while they are taken, one at a time."""
        if not 0 <= index < len(self):
            raise IndexError(f"no episode {index}; {self.root} holds {len(self)}")
        row = self._rows[index]
        values = self._columns(row)
        state, action = values["observation.state"], values["action"]
        stamps = values.get("stamp", values["timestamp"])
        image_stamps = [values.get(layout.stamp_key(name), stamps) for name in self.rig.names]
        return Episode(
            stamps_s=stamps,
            image_stamps_s=np.stack(image_stamps, axis=1),
            images={name: self._frames(row, name) for name in self.rig.names},
            q=state[:, :7],
            gripper=state[:, 7],
            action_q=action[:, :7],
            action_gripper=action[:, 7],
            dq=values.get("observation.velocity", np.zeros((len(state), 7))),
            instruction=self.instructions[index],
            task=self.tasks[index],
            seed=self.seeds[index],
            success=self.successes[index],
            commander=values.get("commander"),
        )

    def fingerprint(self) -> str:
        """Twelve hex digits that change with meta data, statistics of episodes and rig, not with the place."""
        sums = ("total_episodes", "total_frames", "total_tasks", "splits")
        info = {name: value for name, value in self.info.items() if name not in sums}
        content = {"info": info, "episodes": self._rows, "rig": self.rig.fingerprint()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def _columns(self, row: dict[str, Any]) -> dict[str, np.ndarray]:
        """The columns of the episode's rows that an `Episode` needs, in float64; vectors (T, n)."""
        path = layout.place(self.root, self.info["data_path"], **numbers_of(row, "data"))
        table = read_table(path)
        needed = ["observation.state", "action", "timestamp", "episode_index"]
        if missing := [name for name in needed if name not in table.column_names]:
            raise ValueError(f"{path} has no column {', '.join(missing)}")
        index, length = row["episode_index"], row["length"]
        table = table.filter(pc.equal(table["episode_index"], index))
        if len(table) != length:
            raise ValueError(f"{path} holds {len(table)} rows of episode {index}; its meta data says {length}")
        features = layout.features(self.rig, self.fps)
        values = {}
        for name in [*needed, "observation.velocity", "stamp", "commander", *map(layout.stamp_key, self.rig.names)]:
            if name in table.column_names:
                width = [] if features[name]["shape"] == [1] else features[name]["shape"]
                values[name] = checked_numbers(table[name].to_pylist(), (length, *width), f"{name} in {path}")
        return values

    def _frames(self, row: dict[str, Any], camera: str) -> video.VideoFrames:
        key = layout.video_key(camera)
        path, from_s = film_of(self.root, self.info, row, key), film_begins_s(row, key)
        copyable = self._is_ours and self._in_file[path] == 1 and from_s == 0
        return video.VideoFrames(path, round(from_s * self.fps), row["length"], self.rig.size, self.fps, copyable)

    @cached_property
    def _is_ours(self) -> bool:
        ours = layout.features(self.rig, self.fps)
        return all(self.info["features"][key] == ours[key] for key in map(layout.video_key, self.rig.names))

    @cached_property
    def _in_file(self) -> Counter[Path]:
        """How many episodes each video file holds."""
        keys = map(layout.video_key, self.rig.names)
        return Counter(film_of(self.root, self.info, row, key) for key in keys for row in self._rows)


class DatasetWriter:
    """Adds whole episodes to a data set, or begins a new one; one writer at a time."""

    def __init__(self, root: Path | str, rig: CameraRig, fps: int = 20) -> None:
        """ValueError: `root` holds something else, or has another rig or rate; RuntimeError: another writes there."""
        self.root, self.rig, self.fps = Path(root), rig, fps
        width, height = rig.size
        if width % 2 or height % 2:
            raise ValueError(f"the rig's views are {width}x{height}; video needs an even width and height")
        self._rows: list[dict[str, Any]] = []
        self._stats: dict[str, dict[str, list]] = {}
        """Of all rows, summed up as they come: anew each time would be slow where there are thousands."""
        self._begin_or_resume()

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, episode: Episode) -> int:
        """Appends an episode and returns its index; if anything fails, the data set stays as it was. Frames are taken
        one at a time, those of each camera in a thread of its own. ValueError: other cameras or sizes than the rig's.
        """
        self._check(episode)
        index, first_row = len(self), self._rows[-1]["dataset_to_index"] if self._rows else 0
        instructions = self._instructions([episode.instruction])
        values = layout.columns(episode, self.rig, self.fps, index, first_row, instructions.index(episode.instruction))
        videos = {layout.video_path(self.root, key, index): key for key in map(layout.video_key, self.rig.names)}
        data = layout.data_path(self.root, index)
        for path in (*videos, data):
            path.parent.mkdir(parents=True, exist_ok=True)
        filmed = video.encode_all(dict(zip(videos, episode.images.values(), strict=True)), self.fps)
        pq.write_table(layout.data_table(values), data)
        for path in (*videos, data):
            sync(path)
            sync(path.parent)
        self._replace_table(self.root / layout.TASKS, layout.task_table(instructions))
        stats = layout.statistics(values) | dict(zip(videos.values(), filmed, strict=True))
        row = layout.episode_row(episode, self.rig, self.fps, index, first_row, stats)
        self._replace_table(layout.episode_path(self.root, index), pa.Table.from_pylist([row]))
        self._append(row)
        self._write_totals()
        return index

    def close(self) -> None:
        """Lets another writer in; every added episode is on disk already."""
        self._lock.close()

    def _begin_or_resume(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise ValueError(f"{self.root} is a file; a data set is a folder")
        new = not (self.root / layout.INFO).exists()
        if new and self.root.exists() and {path.name for path in self.root.iterdir()} - {"meta"}:
            raise ValueError(f"{self.root} is not empty and holds no data set; choose another folder")
        for folder in (self.root / name for name in ("meta", "data", "videos")):
            if link := next((p for p in (folder, *folder.glob("*"), *folder.glob("*/*")) if p.is_symlink()), None):
                raise ValueError(f"{link} is a link; a data set is never written through links: choose another folder")
        (self.root / "meta").mkdir(parents=True, exist_ok=True)
        self._lock = (self.root / "meta/.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(f"another process is writing to {self.root}; wait for it or choose another") from error
        if new:
            self.rig.save(self.root / layout.RIG)
        else:
            for row in self._rows_of_same():
                self._append(row)
            self._remove_leftovers()
        self._write_totals()

    def _rows_of_same(self) -> list[dict[str, Any]]:
        """The rows that are there, of a data set such as this writer would write; ValueError: of another one."""
        info, rig = read_info(self.root), load_rig(self.root)
        if info["fps"] != self.fps:
            given = f"{self.root} was recorded at {info['fps']} frames per second, not at {self.fps}"
            raise ValueError(f"{given}; choose another folder")
        if rig.fingerprint() != self.rig.fingerprint():
            other = f"{', '.join(rig.names)}, {rig.size[0]}x{rig.size[1]}"
            raise ValueError(f"{self.root} was recorded with another camera rig ({other}); choose another folder")
        # A data set that was merged or edited elsewhere may keep several episodes per file, which must not be touched.
        rows = read_rows(self.root)
        places = [(r["data/chunk_index"], r["data/file_index"]) for r in rows]
        ours = [tuple(layout.chunk_and_file(i).values()) for i in range(len(places))]
        if places != ours or info["features"] != layout.features(self.rig, self.fps):
            raise ValueError(f"{self.root}: this version can read but not extend it; choose another folder")
        return rows

    def _check(self, episode: Episode) -> None:
        if tuple(episode.images) != self.rig.names:
            given, needed = ", ".join(episode.images), ", ".join(self.rig.names)
            raise ValueError(f"the episode has cameras {given}; this data set's rig has {needed}, in that order")
        width, height = self.rig.size
        for name, frames in episode.images.items():
            if frames.shape[1:3] != (height, width):
                given = f"images of camera {name!r} are {frames.shape[2]}x{frames.shape[1]}"
                raise ValueError(f"{given}; the rig says {width}x{height}")

    def _instructions(self, more: list[str]) -> list[str]:
        return list(dict.fromkeys([row["tasks"][0] for row in self._rows] + more))

    def _replace_table(self, path: Path, table: pa.Table) -> None:
        with replaced_file(path) as temporary:
            pq.write_table(table, temporary)

    def _append(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self._stats = layout.merge_statistics([part for part in (self._stats, _stats_of(row)) if part])

    def _write_totals(self) -> None:
        """What only sums up the episodes; rewritten on opening, in case a writer was killed before this."""
        instructions = self._instructions([])
        rows = sum(row["length"] for row in self._rows)
        info = layout.info(self.rig, self.fps, len(self), rows, len(instructions))
        if instructions:
            self._replace_table(self.root / layout.TASKS, layout.task_table(instructions))
        write_json(self.root / layout.STATS, self._stats, indent=None)
        write_json(self.root / layout.INFO, info, indent=4)

    def _remove_leftovers(self) -> None:
        """What a killed writer left: files that only it names so; others, and what lies behind links, stay."""
        keys = [layout.video_key(name) for name in self.rig.names]
        keep = {layout.data_path(self.root, i) for i in range(len(self))}
        keep |= {layout.video_path(self.root, key, i) for i in range(len(self)) for key in keys}
        found = [self.root.glob(f"{folder}/{CHUNKS}/*") for folder in ("data", *(f"videos/{key}" for key in keys))]
        unfinished = [self.root.glob(f"{folder}/.*.part") for folder in ("meta", f"meta/episodes/{CHUNKS}")]
        for path in chain.from_iterable([*found, *unfinished]):
            pattern = _TEMPORARY if self.root / "meta" in path.parents else _OURS
            if pattern.fullmatch(path.name) and path not in keep:
                path.unlink()


@dataclass(frozen=True)
class _Feature:
    dtype: str
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not all(0 <= count <= MAX_SHAPE for count in self.shape or ()):
            raise ValueError(f"a feature has shape {self.shape}; valid in {layout.INFO} are 0 to {MAX_SHAPE}")


@dataclass(frozen=True)
class _Info:
    fps: int
    features: Mapping[str, _Feature]
    data_path: str
    video_path: str

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 1000:
            raise ValueError(f"fps is {self.fps}; valid is 1 to 1000")


def read_info(root: Path) -> dict[str, Any]:
    path = root / layout.INFO
    if not path.is_file():
        raise FileNotFoundError(f"{root} is not a data set: it has no {layout.INFO}; record, collect or convert one")
    info = read_json(path)
    version = info.get("codebase_version")
    if version != layout.VERSION:
        upgrade = f"--repo-id {root.name} --root {root} --push-to-hub false"
        remedy = f"lerobot upgrades it: python -m lerobot.scripts.convert_dataset_v21_to_v30 {upgrade}"
        raise ValueError(f"{root} is a LeRobotDataset of version {version}, not {layout.VERSION}; {remedy}")
    from_overrides(_Info, info, str(path), strict=False)
    return info


def load_rig(root: Path) -> CameraRig:
    """The cameras of a data set by its folder, or of a rig's file; FileNotFoundError, ValueError: none, damaged."""
    path = root / layout.RIG if root.is_dir() else root
    if not path.is_file():
        remedy = "copy it from the data set that this was made of, or write the rig there with CameraRig.save"
        raise FileNotFoundError(f"{root} has no {layout.RIG}; {remedy}")
    return CameraRig.load(path)


@dataclass(frozen=True)
class _EpisodeRow:
    tasks: tuple[str, ...]
    length: int
    seed: int = -1
    success: bool = True
    task: str = ""

    def __post_init__(self) -> None:
        if not self.tasks or self.length < 1:
            raise ValueError(f"tasks is {self.tasks}, length is {self.length}; one task and one row are needed")


def episode_of(row: Mapping[str, Any], root: Path) -> _EpisodeRow:
    # Where lerobot merged or appended, columns of ours are empty for some episodes, and the others' numbers are floats.
    given = {name: value for name, value in row.items() if value is not None and value == value}
    for name, kind in (("seed", int), ("success", bool)):
        if isinstance(given.get(name), float) and given[name].is_integer():
            given[name] = kind(given[name])
    if not given.get("task"):
        given["task"] = (given.get("tasks") or [""])[0]
    return from_overrides(_EpisodeRow, given, f"episode {row['episode_index']} of {root}", strict=False)


def numbers_of(row: Mapping[str, Any], prefix: str) -> dict[str, int]:
    numbers: dict[str, Any] = {name: row.get(f"{prefix}/{name}") for name in ("chunk_index", "file_index")}
    if not all(isinstance(number, int) and 0 <= number < 10**6 for number in numbers.values()):
        raise ValueError(f"episode {row['episode_index']}: its meta data do not say where its {prefix} lie: {numbers}")
    return numbers


def film_of(root: Path, info: Mapping[str, Any], row: Mapping[str, Any], key: str) -> Path:
    """The video that shows the episode of a row."""
    return layout.place(root, info["video_path"], video_key=key, **numbers_of(row, f"videos/{key}"))


def film_begins_s(row: Mapping[str, Any], key: str) -> float:
    """Where in the video the episode of a row begins."""
    return float(checked_numbers(row.get(f"videos/{key}/from_timestamp"), (), f"from_timestamp of {key}"))


def read_rows(root: Path) -> list[dict[str, Any]]:
    paths = sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet"))
    rows = [row for path in paths for row in read_table(path).to_pylist()]
    for expected, row in enumerate(rows):
        if (found := row.get("episode_index")) != expected:
            raise ValueError(f"{root} lacks the meta data of episode {expected} (found {found}); restore meta/episodes")
    return rows


def read_table(path: Path, columns: list[str] | None = None, filters: list[Any] | None = None) -> pa.Table:
    """All of a parquet file, or these columns where `filters` hold; FileNotFoundError, ValueError: none, damaged."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    with explained(f"{path} is damaged", (pa.ArrowException, OSError, ValueError)):
        with pq.ParquetFile(path) as file:
            rows, wide, size = file.metadata.num_rows, file.metadata.num_columns, path.stat().st_size
            if rows * wide > MAX_VALUES or rows > MAX_ROWS_A_BYTE * size:
                raise ValueError(f"it claims {rows} rows of {wide} columns in {size} bytes")
        return pq.read_table(path, columns=columns, filters=filters, partitioning=None)


def _stats_of(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    stats: dict[str, dict[str, Any]] = {}
    for key, value in row.items():
        if key.startswith("stats/"):
            _, feature, name = key.split("/")
            stats.setdefault(feature, {})[name] = value
    return stats
