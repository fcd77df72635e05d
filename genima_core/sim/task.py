"""What a task is; each file of `tasks` is one, called like the file."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import mujoco

    from genima_core.sim.cell import Cell

DEFAULT_TASK = "push_button"
"""Of nodes that are not told which."""


@dataclass(frozen=True)
class Waypoint:
    """One pose that the expert moves the gripper through."""

    T_base_tcp: np.ndarray
    """(4, 4)."""
    gripper: float
    """Opening commanded from the moment the gripper sets off for this pose, 0 closed to 1 open."""
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Velocity of the tcp in the base frame on passing, m/s; zero means that it stops here."""
    dwell_s: float = 0.0
    """How long it stays; needs a zero velocity."""


class Task(ABC):
    """Objects, a reset by seed, an instruction, a success test and the waypoints of an expert.

    A task object belongs to one `Cell`; it may remember what happened since the reset.
    """

    name: str
    instruction: str

    @abstractmethod
    def build(self, spec: "mujoco.MjSpec") -> None:
        """Adds the task's objects to the scene."""

    @abstractmethod
    def reset(self, cell: "Cell", rng: np.random.Generator) -> None:
        """Places the objects at random and forgets what happened before."""

    def update(self, cell: "Cell") -> None:  # noqa: B027  (most tasks need none)
        """Called after every physics step; for conditions that latch."""

    @abstractmethod
    def success(self, cell: "Cell") -> bool: ...

    @abstractmethod
    def waypoints(self, cell: "Cell") -> tuple[Waypoint, ...]:
        """Poses that solve the task from the cell's present state."""


def task_names() -> tuple[str, ...]:
    """The tasks that exist."""
    return tuple(sorted(file.stem for file in (Path(__file__).parent / "tasks").glob("[!_]*.py")))


def make_task(name: str) -> Task:
    """A new task object; ValueError where there is no task of that name."""
    if name not in task_names():
        raise ValueError(f"unknown task {name!r}; the tasks are {', '.join(task_names())}")
    module = import_module(f"genima_core.sim.tasks.{name}")
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    return next(kind for kind in kinds if issubclass(kind, Task))()
