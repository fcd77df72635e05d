"""Plans demonstrations in a separate process, so that the caller is not delayed."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache

import numpy as np

from genima_core.environment import Trajectory
from genima_core.processes import spawned
from genima_core.sim.task import make_task

Planner = Callable[[int, np.ndarray, float], "Future[Trajectory]"]
"""From a scene's seed, the arm's joints (7,) rad and its opening to a demonstration from there.

The future raises ValueError (a waypoint is out of reach) or RuntimeError (the scene cannot be made)."""

DT_S = 0.02
BEHIND = 10
"""Niceness, relative to the process that asks: planning must not take the processor from it."""


class PlanningProcess:
    """A `Planner`. A thread would hold the interpreter's lock for tens of milliseconds on busy cores."""

    def __init__(self, task: str) -> None:
        """Returns when it is ready. ValueError: an unknown task."""
        make_task(task)
        self._task = task
        self._pool = spawned(1, _stay_behind)
        self._pool.submit(_load, task).result()

    def __call__(self, seed: int, q: np.ndarray, opening: float) -> "Future[Trajectory]":
        return self._pool.submit(plan_scene, self._task, seed, q, opening)

    def close(self) -> None:
        """Ends the process."""
        self._pool.shutdown(cancel_futures=True)


def plan_scene(task: str, seed: int, q: np.ndarray, opening: float) -> Trajectory:
    """The demonstration of a scene from where the arm is, planned in this process; errors as of `Planner`."""
    cell = _cell_of_this_process(task)
    cell.place_arm(q, opening)
    cell.reset(seed, "here")
    return cell.plan(DT_S)


def _load(task: str) -> None:
    _cell_of_this_process(task)


@cache
def _cell_of_this_process(task: str):
    from genima_core.sim.cell import Cell
    from genima_core.sim.scene import default_rig  # not at the top: only this process needs MuJoCo

    return Cell(make_task(task), default_rig(64, 64))


def _stay_behind() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches everybody; the parent decides
    os.nice(BEHIND)
