"""The numbers of one RLBench demonstration as recorded: poses in its world frame, cameras as PyRep describes them."""

from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from genima_core.files import explained
from genima_core.geometry import checked_pose
from genima_core.importers.rlbench.pickles import Record, read_pickle

_FILE = "low_dim_obs.pkl"
MAX_ROWS = 100_000
_COMMAND = "joint_position_action"


@dataclass(frozen=True)
class Demo:
    """T rows, C cameras; lengths in m, angles in rad, joint 4 with RLBench's zero."""

    q: np.ndarray
    """(T, 7) measured."""
    gripper: np.ndarray
    """(T,) 1 where it is open by more than nine tenths, else 0."""
    command: np.ndarray | None
    """(T, 8) joints and opening that were commanded to reach row t, NaN in row 0; None if not recorded."""
    T_world_tip: np.ndarray
    """(T, 4, 4) pose of the point between the fingertips."""
    K: np.ndarray
    """(T, C, 3, 3) intrinsics; PyRep's focal lengths are negative."""
    T_world_cam: np.ndarray
    """(T, C, 4, 4) poses of the cameras; where focal lengths are negative, their x is left, y up, z forward."""

    def __len__(self) -> int:
        return len(self.q)

    @property
    def action(self) -> np.ndarray:
        """(T - 1, 8) joints, rad, and opening that lead from each row to the next.

        What RLBench's planner commanded, where that was recorded (since April 2024); else what the next row measured.
        """
        return np.column_stack([self.q, self.gripper])[1:] if self.command is None else self.command[1:]

    def some(self, count: int) -> "Demo":
        """At most `count` rows, evenly spread from the first to the last."""
        rows = np.unique(np.linspace(0, len(self) - 1, count).round().astype(int))
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value[rows] for name, value in values.items() if value is not None})


def read_demo(episode: Path, cameras: tuple[str, ...]) -> Demo:
    """The numbers in an episode's folder.

    Raises:
        FileNotFoundError: it contains none.
        ValueError: they are damaged, too few or too many, or of another robot.
    """
    path = episode / _FILE
    if not path.is_file():
        why = "which RLBench writes last: its recording was interrupted"
        raise FileNotFoundError(f"{episode} has no {_FILE}, {why}. Remove the folder or record it again")
    demo = read_pickle(path)
    observations = demo.get("_observations") if isinstance(demo, Record) else demo
    if not isinstance(observations, list) or not all(isinstance(row, Record) for row in observations):
        raise ValueError(f"{path} is not an RLBench demonstration, which is a list of observations")
    if not 2 <= len(observations) <= MAX_ROWS:
        raise ValueError(f"{path} holds {len(observations)} observations; valid are 2 to {MAX_ROWS}: remove the folder")
    return make_demo(observations, cameras, str(path))


def record_of(observation: object) -> Record:
    """An observation of a running RLBench, as if it had been recorded."""
    record = Record()
    record.attributes = vars(observation)
    return record


def make_demo(rows: list[Record], cameras: tuple[str, ...], what: str) -> Demo:
    """The numbers of observations; ValueError, which begins with `what`, if some are missing or impossible."""
    column = partial(_column, what, rows)
    command = None
    if _recorded(rows[1:], _COMMAND):
        # Nothing had been commanded yet when the first row was recorded.
        command = np.vstack([np.full(8, np.nan), column(_COMMAND, (8,), first=1)])
    gripper = column("gripper_open", ())
    opening = gripper if command is None else np.concatenate([gripper, command[1:, 7]])
    if opening.min() < 0 or opening.max() > 1:
        raise ValueError(f"{what}: the gripper's opening is {opening.min():g} to {opening.max():g}; valid is 0 to 1")
    return Demo(
        q=column("joint_positions", (7,)),
        gripper=gripper,
        command=command,
        T_world_tip=column("gripper_matrix", (4, 4)),
        K=np.stack([column(f"{camera}_camera_intrinsics", (3, 3)) for camera in cameras], axis=1),
        T_world_cam=np.stack([column(f"{camera}_camera_extrinsics", (4, 4)) for camera in cameras], axis=1),
    )


def _recorded(rows: list[Record], name: str) -> bool:
    return all(row.get(name) is not None for row in rows)


def _column(source: str, rows: list[Record], name: str, shape: tuple[int, ...], first: int = 0) -> np.ndarray:
    """(T - first, *shape) float64 of one attribute, from row `first` on."""
    if not _recorded(rows[first:], name):
        raise ValueError(f"{source} lacks {name}: {_remedy(name)}")
    result = np.empty((len(rows) - first, *shape))
    for t, row in enumerate(rows[first:]):
        what = f"{source}: {name} of observation {first + t}"
        with explained(f"{what} is not made of numbers", (TypeError, ValueError, OverflowError)):
            value = np.asarray(row.get(name), dtype=np.float64)
        if value.shape != shape:
            robot = "; only RLBench's Panda, with 7 joints, can be converted" if name.startswith("joint") else ""
            raise ValueError(f"{what} has shape {value.shape}, not {shape}{robot}")
        if not np.isfinite(value).all():
            raise ValueError(f"{what} holds NaN or infinite numbers; record the episode again or remove its folder")
        result[t] = checked_pose(value, what) if shape == (4, 4) else value
    return result


def _remedy(name: str) -> str:
    if "_camera_" in name:
        return "record with that camera switched on in RLBench's ObservationConfig, or choose others with --cameras"
    return f"record with {name}=True in RLBench's ObservationConfig, as its dataset_generator.py does"
