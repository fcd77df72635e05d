"""Demonstrations that others keep as a LeRobotDataset v3.0 become a data set: joints found by name, cameras mapped."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from genima_core.camera_sources.lens import View
from genima_core.cameras import CameraRig
from genima_core.config import pick
from genima_core.data import layout
from genima_core.data.conversion import Conversion
from genima_core.data.dataset import (
    episode_of,
    film_begins_s,
    film_of,
    load_rig,
    numbers_of,
    read_info,
    read_rows,
    read_table,
)
from genima_core.data.episode import Episode
from genima_core.data.framing import Framing, framed
from genima_core.data.origin import Origin
from genima_core.data.video import VideoFrames
from genima_core.files import explained, read_json
from genima_core.geometry import checked_numbers
from genima_core.pixels import decode_picture

JOINT = re.compile(r"joint(?:_?pos(?:ition)?s?)?[ _.]?(\d)(?!\d)", re.IGNORECASE)
GRIPPER = re.compile(r"gripper|finger", re.IGNORECASE)
OTHER = re.compile(r"vel|torque|effort|acc|force|current", re.IGNORECASE)
ROBOTS = ("panda", "franka", "fr3", "fer", "droid", "unknown")
"""In the name of a robot whose arm may be a Franka."""
SUCCESS = ("next.success", "is_episode_successful", "success")
"""Columns that say whether a demonstration succeeded: where any row says so."""
SMALLEST = 0.01, 0.3
"""An opening in between, as the widest of all demonstrations, is one in another unit."""
LIMITS_RAD = 0.1
"""How far measured joints may lie beyond the arm's limits."""


@dataclass(frozen=True)
class Options(Framing):
    """What decides what ends up in the data set."""

    cameras: str | None = None
    """Which of its cameras is which of the rig's, as wrist=observation.images.wrist_left,front=...; by default those of
    the same names."""
    task: str | None = None
    """Name of the task; by default each instruction is one."""
    gripper_closed: float = 0.0
    """What it says of a closed gripper."""
    gripper_open: float = 1.0
    """What it says of an open one; 0.08 where that is the distance of a Franka hand's fingers in m."""
    include_failures: bool = False
    """Also failed demonstrations, marked as such."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gripper_closed == self.gripper_open:
            raise ValueError(f"gripper_closed and gripper_open are both {self.gripper_open}; they must differ")


@dataclass(frozen=True)
class Column:
    """Elements of a feature."""

    key: str
    elements: tuple[int, ...]


@dataclass(frozen=True)
class ViewedFrames:
    """Frames as the rig's camera shows them, made one at a time."""

    frames: Any
    view: View
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.frames.shape[0], self.view.camera.height, self.view.camera.width, 3

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.view, self.frames)


class LeRobot:
    """A data set of others, and how it is read; FileNotFoundError, ValueError: not one of a Franka's joints."""

    def __init__(self, root: Path, options: Options) -> None:
        self.root, self.options = Path(root), options
        self.info = read_info(self.root)
        self.fps: int = self.info["fps"]
        self.features: Mapping[str, Any] = self.info["features"]
        if options.given_rig is None and not (self.root / layout.RIG).is_file():
            raise ValueError(
                f"{root} does not say where its cameras were: give --rig, a rig's file or a data set with it"
            )
        recorded = options.given_rig or load_rig(self.root)
        self._check_robot(recorded)
        state, gripper = self._joints("observation."), self._gripper("observation.")
        if state is None or gripper is None:
            raise ValueError(f"{self._told('observation.')}; needed are 7 joint angles and a gripper, by their names")
        self.state, self.gripper = state, gripper
        self._check_reach(gripper)
        self.action, self.gripper_action = self._joints("action"), self._gripper("action")
        self.keys = self._cameras(recorded)
        for name, key in self.keys.items():
            if (size := self._size(key)) != recorded[name].intrinsics.size:
                width, height = recorded[name].intrinsics.size
                there = f"the pictures of {key} are {size[0]}x{size[1]}"
                raise ValueError(
                    f"{there}, the rig's camera {name} has {width}x{height}: give the rig of these pictures"
                )
        self.views = {camera.name: options.view_of(camera.intrinsics) for camera in recorded.cameras}
        self.rig = framed(recorded, self.views)
        self.rows = read_rows(self.root)

    def episode(self, index: int) -> Episode:
        """ValueError, FileNotFoundError: it cannot be used."""
        row = self.rows[index]
        info = episode_of(row, self.root)
        success = self._success(row, info.success)
        if not success and not self.options.include_failures:
            raise ValueError("a failed demonstration (--include-failures includes it)")
        q, opening = self._values(row, self.state), self._opening(row, self.gripper)
        limits = self.rig.arm.limits
        if (beyond := np.maximum(limits.lower - q, q - limits.upper).max()) > LIMITS_RAD:
            why = f"joints of {self.state.key} are {beyond:.2f} beyond the limits of {self.rig.arm.name} in rad"
            raise ValueError(f"{why}: another arm's, or in degrees")
        after = np.minimum(np.arange(1, len(q) + 1), len(q) - 1)
        stamps_s = self._values(row, Column("timestamp", (0,)))[:, 0]
        return Episode(
            stamps_s=stamps_s,
            image_stamps_s=np.repeat(stamps_s[:, None], len(self.keys), axis=1),
            images={name: ViewedFrames(self._frames(row, key), self.views[name]) for name, key in self.keys.items()},
            q=q,
            dq=np.gradient(q, 1 / self.fps, axis=0) if len(q) > 1 else np.zeros_like(q),
            gripper=opening,
            action_q=q[after] if self.action is None else self._values(row, self.action),
            action_gripper=opening[after] if self.gripper_action is None else self._opening(row, self.gripper_action),
            instruction=info.tasks[0],
            task=self.options.task or info.task,
            seed=info.seed,
            success=success,
        )

    @property
    def report(self) -> dict[str, Any]:
        """Where numbers and pictures come from."""
        columns = {"joints": self.state, "gripper": self.gripper, "actions": self.action}
        columns |= {"gripper actions": self.gripper_action}
        found = {name: column.key if column else "the next row's measurement" for name, column in columns.items()}
        return found | {f"camera {name}": key for name, key in self.keys.items()}

    def _check_robot(self, rig: CameraRig) -> None:
        robot = str(self.info.get("robot_type") or "unknown").lower()
        if not any(name in robot for name in (*ROBOTS, rig.arm.name.lower())):
            raise ValueError(f"{self.root} was recorded with a {robot[:80]}; the rig is of a {rig.arm.name}")

    def _check_reach(self, gripper: Column) -> None:
        """An opening in m, taken for one from 0 to 1, would always be a closed gripper."""
        if not (self.root / layout.STATS).is_file():
            return
        stats = read_json(self.root / layout.STATS).get(gripper.key)
        most = stats.get("max") if isinstance(stats, Mapping) else None
        if not isinstance(most, list) or len(most) <= max(gripper.elements):
            return
        what = f"the maximum of {gripper.key} in {layout.STATS}"
        widest = float(checked_numbers([most[element] for element in gripper.elements], None, what).sum())
        closed, opened = self.options.gripper_closed, self.options.gripper_open
        if SMALLEST[0] < (widest - closed) / (opened - closed) < SMALLEST[1]:
            given = f"the gripper's values in {gripper.key} reach {widest:.3g}, and --gripper-open is {opened:g}"
            raise ValueError(f"{given}: give what it says of an open one, such as 0.08 for a width in m")

    def _told(self, prefix: str) -> str:
        held = {key: ", ".join(self._names(key)) for key in self._numeric(prefix)}
        listed = "; ".join(f"{key}: {names[:200]}" for key, names in held.items()) or "nothing with numbers"
        return f"{self.root} holds in {prefix}*: {listed}"

    def _numeric(self, prefix: str) -> list[str]:
        """Features that hold vectors; the one that lerobot itself writes first."""
        main = ("observation.state", "action")
        keys = [k for k, f in self.features.items() if k.startswith(prefix) and str(f.get("dtype")).startswith("float")]
        return sorted((key for key in keys if not OTHER.search(key)), key=lambda key: key not in main)

    def _names(self, key: str) -> list[str]:
        """Of a feature's elements; numbered where nothing names them."""
        names, shape = self.features[key].get("names"), self.features[key].get("shape") or [1]
        if isinstance(names, Mapping):
            names = [name for part in names.values() for name in (part if isinstance(part, list) else [part])]
        if isinstance(names, list) and len(names) == shape[0]:
            return list(map(str, names))
        return [f"{key.rpartition('.')[2]}_{index}" for index in range(int(shape[0]))]

    def _joints(self, prefix: str) -> Column | None:
        for key in self._numeric(prefix):
            names = self._names(key)
            found = [
                (int(match[1]), index)
                for index, name in enumerate(names)
                if not GRIPPER.search(name) and not OTHER.search(name) and (match := JOINT.search(name))
            ]
            numbers = sorted(number for number, _ in found)
            if numbers in (list(range(7)), list(range(1, 8))):
                return Column(key, tuple(index for _, index in sorted(found)))
        return None

    def _gripper(self, prefix: str) -> Column | None:
        for key in self._numeric(prefix):
            found = [index for index, name in enumerate(self._names(key)) if GRIPPER.search(name)]
            if len(found) in (1, 2):  # a hand, or its two fingers
                return Column(key, tuple(found))
        return None

    def _cameras(self, rig: CameraRig) -> dict[str, str]:
        """Names of the rig's cameras to features."""
        pictures = [key for key, feature in self.features.items() if feature.get("dtype") in ("video", "image")]
        given = dict(part.partition("=")[::2] for part in (self.options.cameras or "").split(",") if part)
        for name in given:
            pick(dict.fromkeys(rig.names), name, "a camera of --cameras")
        keys = {}
        for name in rig.names:
            wanted = given.get(name, name)
            key = wanted if wanted in pictures else layout.video_key(wanted)
            if key not in pictures:
                example = f"--cameras {name}={pictures[0] if pictures else '...'}"
                held = f"it has {', '.join(pictures) or 'no pictures'}"
                raise ValueError(
                    f"{self.root} has no camera {wanted!r} for the rig's {name!r}; {held}: say {example},..."
                )
            keys[name] = key
        return keys

    def _size(self, key: str) -> tuple[int, int]:
        shape, names = self.features[key].get("shape"), self.features[key].get("names")
        if not isinstance(shape, list) or len(shape) != 3:
            raise ValueError(f"{self.root}: feature {key} has shape {shape}; a picture has three numbers")
        height, width = shape[1:] if names and str(names[0]).startswith("channel") else shape[:2]
        return int(width), int(height)

    def _table(self, row: Mapping[str, Any], key: str) -> list[Any]:
        path = layout.place(self.root, self.info["data_path"], **numbers_of(row, "data"))
        values = read_table(path, [key], [("episode_index", "=", row["episode_index"])])[key].to_pylist()
        if len(values) != row["length"]:
            raise ValueError(f"{path} holds {len(values)} rows of the episode; its meta data says {row['length']}")
        return values

    def _values(self, row: Mapping[str, Any], column: Column) -> np.ndarray:
        """(T, n) of a column's elements."""
        values = np.array(self._table(row, column.key), dtype=object)
        values = values[:, None] if values.ndim == 1 and not isinstance(values[0], list) else np.stack(list(values))
        return checked_numbers(values[:, column.elements].tolist(), (row["length"], len(column.elements)), column.key)

    def _opening(self, row: Mapping[str, Any], column: Column) -> np.ndarray:
        """(T,) from 0, closed, to 1, open."""
        closed, opened = self.options.gripper_closed, self.options.gripper_open
        values = self._values(row, column).sum(axis=1)
        opening = (values - closed) / (opened - closed)
        if opening.min() < -0.1 or opening.max() > 1.1:
            reach = f"gripper values of {column.key} reach from {values.min():.3g} to {values.max():.3g}"
            raise ValueError(f"{reach}, which --gripper-closed {closed:g} --gripper-open {opened:g} does not cover")
        return np.clip(opening, 0.0, 1.0)

    def _success(self, row: Mapping[str, Any], otherwise: bool) -> bool:
        key = next((key for key in SUCCESS if key in self.features), None)
        return otherwise if key is None else bool(np.any(self._table(row, key)))

    def _frames(self, row: Mapping[str, Any], key: str) -> "VideoFrames | StoredPictures":
        size, length = self._size(key), row["length"]
        if self.features[key]["dtype"] == "image":
            return StoredPictures(self, row, key, (length, size[1], size[0], 3))
        path, begins_s = film_of(self.root, self.info, row, key), film_begins_s(row, key)
        return VideoFrames(path, round(begins_s * self.fps), length, size, self.fps)


@dataclass(frozen=True)
class StoredPictures:
    """Pictures that stand in the table of numbers."""

    source: LeRobot
    row: Mapping[str, Any]
    key: str
    shape: tuple[int, ...]

    def __iter__(self) -> Iterator[np.ndarray]:
        for t, held in enumerate(self.source._table(self.row, self.key)):
            what = f"picture {t} of {self.key}"
            with explained(f"{what} cannot be decoded", (TypeError, KeyError)):
                picture = decode_picture(bytes(held["bytes"]), what)
            if picture.shape != self.shape[1:]:
                raise ValueError(f"{what} is {picture.shape}; its feature says {self.shape[1:]}")
            yield picture


def convert_lerobot(source: Path, out: Path, options: Options, show_progress: bool = True) -> dict[str, Any]:
    """Writes demonstrations of others as a data set, or continues where that was interrupted; returns a summary.

    An episode that cannot be used is left out, with its reason. Where there are no joint actions, an action is what is
    measured in the next row. ValueError, FileNotFoundError: nothing can be converted, or `out` holds something else.
    """
    lerobot = LeRobot(source, options)
    origin = Origin("converted from LeRobot", {"source": str(Path(source).resolve()), **options.arguments()})
    with Conversion(source, out, origin) as conversion:
        conversion.report = lerobot.report
        for index in track(range(len(lerobot.rows)), "converting", disable=not show_progress):
            if (name := f"episode_{index:06d}") not in conversion.done:
                with conversion.leaving_out(name):
                    conversion.add(name, lerobot.episode(index), lerobot.rig, lerobot.fps)
    for what, where in lerobot.report.items():
        print(f"{what}: {where}")
    return conversion.summary(**lerobot.report)
