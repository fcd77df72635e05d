"""Environments by name."""

from typing import Any

from genima_core.cameras import CameraRig
from genima_core.environment import Environment


def make_environment(name: str, rig: CameraRig, perturbations: tuple[str, ...] = ()) -> Environment:
    """The environment of a simulated task such as ``open_drawer``, seen by the rig's cameras.

    Args:
        name: Of the task.
        rig: Its cameras, and the arm that they watch.
        perturbations: Of the simulated scenes, by name.

    ValueError: no such task or perturbation; those that there are are listed.
    """
    # Not at the top: who has no MuJoCo may still ask for an environment that needs none.
    from genima_core.sim.cell import Cell
    from genima_core.sim.task import make_task

    task = make_task(name)
    options: dict[str, Any] = {"perturbations": perturbations} if perturbations else {}
    return Cell(task, rig, **options)


def check_environment(name: str) -> None:
    """ValueError where there is no such task; those that there are are listed."""
    from genima_core.sim.task import make_task

    make_task(name)
