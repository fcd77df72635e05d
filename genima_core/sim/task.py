"""What a task is. Each file in `tasks` is one task, named after its file."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from genima_core.environment import NoSuchWording, Wording

if TYPE_CHECKING:
    import mujoco

    from genima_core.sim.cell import Cell
    from genima_core.sim.waypoints import Waypoint

DEFAULT_TASK = "push_button"
"""Of nodes that are not told which."""
SCATTER_STARTS, SCATTER_DRAWS = 50, 1000
"""Places are drawn this often before `scatter` starts over: the first ones may leave no room for the last one."""


class Task(ABC):
    """Objects, a reset by seed, instructions, a success test and the waypoints of an expert.

    A task object belongs to one `Cell`; it may remember what happened since the reset. The perturbation
    ``object_color`` recolours its objects. Geoms in the colour (of `shapes.COLOURS`) that names a variation keep it,
    so that the instruction stays true; `keeps_colour` lists what else must keep its colour, because an instruction
    names it by another word or because it changes, such as a bulb that is lit.
    """

    variations: tuple[str, ...] = ("",)
    """The words that tell them apart; each fills the `{}` of the instructions."""
    instructions: tuple[str, ...]
    """As in training; the first one is what documents and nodes say."""
    paraphrases: tuple[str, ...]
    """The same in words that are kept out of training."""
    goal: str
    """When it has succeeded, for people."""
    start_lower_m: tuple[float, float, float] = (0.30, -0.30, 0.06)
    start_upper_m: tuple[float, float, float] = (0.68, 0.30, 0.45)
    """The box of the tcp for starts ``anywhere``."""
    keeps_colour: tuple[str, ...] = ()
    """Names of bodies or geoms."""
    variation: str = ""
    """The one that counts in the present scene; set before `reset`."""

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

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
    def waypoints(self, cell: "Cell") -> "tuple[Waypoint, ...]":
        """Poses that solve the task from the cell's present state, whichever part of it is done already."""

    def say(self, rng: np.random.Generator, wording: Wording) -> str:
        """An instruction for the present variation.

        ValueError: an unknown wording; NoSuchWording: a wrong instruction for a task with only one variation.
        """
        if wording not in get_args(Wording):
            raise ValueError(f"unknown wording {wording!r}; valid are {', '.join(get_args(Wording))}")
        others = [variation for variation in self.variations if variation != self.variation]
        if wording == "wrong" and not others:
            raise NoSuchWording(f"{self.name} has one variation, so there is no wrong instruction for it")
        texts = self.paraphrases if wording == "paraphrase" else self.instructions
        word = str(rng.choice(others)) if wording == "wrong" else self.variation
        return str(rng.choice(texts)).format(word)


def scatter(
    rng: np.random.Generator,
    count: int,
    x_range_m: tuple[float, float],
    y_range_m: tuple[float, float],
    apart_m: float,
    taken: Iterable[np.ndarray | tuple[float, ...]] = (),
    beside_m: float | None = None,
) -> list[np.ndarray]:
    """Places (2,) m on the table: `apart_m` from each other, `beside_m` (by default as much) from those taken.

    RuntimeError: the ranges leave no room for so many.
    """
    least_m = apart_m if beside_m is None else beside_m
    around = [np.asarray(place)[:2] for place in taken]
    for _ in range(SCATTER_STARTS):
        places: list[np.ndarray] = []
        for _ in range(SCATTER_DRAWS):
            place = np.array([rng.uniform(*x_range_m), rng.uniform(*y_range_m)])
            free = all(np.linalg.norm(place - other) > least_m for other in around)
            if free and all(np.linalg.norm(place - other) > apart_m for other in places):
                places.append(place)
            if len(places) == count:
                return places
    raise RuntimeError(f"no room for {count} objects {apart_m} m apart at x {x_range_m} m, y {y_range_m} m")


def polar(radius_m: float, bearing_rad: float) -> np.ndarray:
    """The place (3,) m on the table at a distance from the arm's base, in a direction from the base's x axis."""
    return np.array([radius_m * np.cos(bearing_rad), radius_m * np.sin(bearing_rad), 0.0])


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
