"""What crosses the borders between modules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Execution = Literal["sync", "async", "confirm"]
"""sync: execute a chunk, come to rest, look again; async: look and draw on, and splice in the next chunk; confirm: as
sync, but each chunk waits until a person approves of it."""

SHORTEST_STEP_S, LONGEST_STEP_S = 1e-3, 10.0
"""Between the actions of a chunk."""


@dataclass(frozen=True)
class Observation:
    """What the robot saw and felt at one moment."""

    stamp_s: float
    images: Mapping[str, np.ndarray]
    """Camera name to (H, W, 3) uint8 RGB."""
    q: np.ndarray
    """(7,) rad, joint 1 to 7."""
    gripper: float
    """Opening, 0 closed to 1 open."""
    instruction: str

    def views(self, names: Sequence[str]) -> np.ndarray:
        """The images of these cameras (n, H, W, 3)."""
        return np.stack([self.images[name] for name in names])


@dataclass(frozen=True, eq=False)
class JointState:
    """Where an arm is at `stamp_s` and how it moves, as its driver says."""

    q: np.ndarray
    """(7,) rad, joint 1 to 7."""
    dq: np.ndarray | None
    """(7,) rad/s; None where nobody measures it."""
    stamp_s: float
    width_m: float | None = None
    """Of the gripper; None where it is not told."""


class Target(JointState):
    """Where an arm should be at `stamp_s`, and how it should move; what is None is left to whoever follows."""


@dataclass(frozen=True, eq=False)
class ActionChunk:
    """K consecutive joint targets: action k is due at ``start_s + k * dt_s``."""

    positions: np.ndarray
    """(K, 7) rad."""
    gripper: np.ndarray | None
    """(K,) opening, 0 closed to 1 open; None leaves the gripper as it is."""
    dt_s: float
    start_s: float
    """When action 0 is due."""
    stamp_s: float
    """Capture time of the observation that the chunk was computed from."""
    approved: bool = False
    """By a person; in confirm mode nothing else moves the arm."""

    def __post_init__(self) -> None:
        if self.positions.ndim != 2 or self.positions.shape[1] != 7 or len(self.positions) < 2:
            raise ValueError(f"positions have shape {self.positions.shape}; an action chunk needs (K, 7), K >= 2")
        if self.gripper is not None and self.gripper.shape != (len(self.positions),):
            count = len(self.positions)
            raise ValueError(f"gripper has shape {self.gripper.shape}; {count} actions need ({count},)")
        if not SHORTEST_STEP_S <= self.dt_s <= LONGEST_STEP_S:
            raise ValueError(f"dt_s is {self.dt_s}; it must be in [{SHORTEST_STEP_S:g}, {LONGEST_STEP_S:g}]")


@dataclass(frozen=True)
class Contact:
    """Two bodies that are nearer to each other than they should be, or would be."""

    bodies: tuple[str, str]
    """In alphabetical order."""
    distance_m: float
    """Negative: how deep they are in each other."""
    least_m: float
    """The distance that they have to keep."""

    @property
    def clearance_m(self) -> float:
        """What is left of it; negative: too near."""
        return self.distance_m - self.least_m
