"""What a task is; each file of `tasks` is one, called like the file."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genima_core.environment import Wording

if TYPE_CHECKING:
    import mujoco

    from genima_core.sim.cell import Cell
    from genima_core.sim.waypoints import Waypoint

DEFAULT_TASK = "push_button"
"""Of nodes that are not told which."""


class Task(ABC):
    """Objects, a reset by seed, instructions, a success test and the waypoints of an expert.

    A task object belongs to one `Cell`; it may remember what happened since the reset. The perturbation
    ``object_color`` gives its objects other colours. What has the colour, of `shapes.COLOURS`, that a variation is
    called keeps it, so that the sentence stays true; `keeps_colour` is for what is told by its colour in other words,
    or changes it, such as a bulb that is lit.
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
        """An instruction for the present variation; ValueError: a wrong one where there is only one variation."""
        others = [variation for variation in self.variations if variation != self.variation]
        if wording == "wrong" and not others:
            raise ValueError(f"{self.name} has one variation, so there is no wrong instruction for it")
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
    """Places (2,) on the table: `apart_m` from each other, `beside_m` (by default as much) from those taken."""
    least_m = apart_m if beside_m is None else beside_m
    around = [np.asarray(place)[:2] for place in taken]
    places: list[np.ndarray] = []
    while len(places) < count:
        place = np.array([rng.uniform(*x_range_m), rng.uniform(*y_range_m)])
        free = all(np.linalg.norm(place - other) > least_m for other in around)
        if free and all(np.linalg.norm(place - other) > apart_m for other in places):
            places.append(place)
    return places


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
