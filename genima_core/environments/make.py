"""Environments by name."""

from genima_core.cameras import CameraRig
from genima_core.environment import Environment
from genima_core.environments.rlbench.environment import PREFIX, RlbenchEnvironment, parse_name
from genima_core.environments.rlbench.simulation import check_task


def make_environment(name: str, rig: CameraRig, perturbations: tuple[str, ...] = ()) -> Environment:
    """The environment of a task, seen by the rig's cameras.

    Args:
        name: Of a simulated task, such as ``open_drawer``, or, where RLBench is installed, of one of its tasks, such as
            ``rlbench/open_drawer`` or ``rlbench/open_drawer/variation0`` (see `RlbenchEnvironment`).
        rig: Its cameras, and the arm that they watch; for RLBench only their names and the size of their pictures
            matter.
        perturbations: Of the simulated scenes, by name.

    ValueError: an unknown task or perturbation; the message lists the valid ones. RuntimeError: RLBench is not
    installed or does not start.
    """
    if name.startswith(PREFIX):
        if perturbations:
            raise ValueError(f"{name} cannot be perturbed ({', '.join(perturbations)}); simulated tasks can")
        return RlbenchEnvironment(name, rig)
    check_environment(name)
    # Not at the top: RLBench needs no MuJoCo.
    from genima_core.sim.cell import Cell
    from genima_core.sim.task import make_task

    return Cell(make_task(name), rig, perturbations=perturbations)


def check_environment(name: str) -> None:
    """ValueError: an unknown task; the message lists the valid ones. RuntimeError: RLBench is not installed."""
    if name.startswith(PREFIX):
        check_task(task_in(name))
        return
    from genima_core.sim.task import task_names

    if name not in task_names():
        known = ", ".join(task_names())
        raise ValueError(f"unknown task {name!r}; the tasks are {known}, and {PREFIX}<any of RLBench>")


def task_in(name: str) -> str:
    """What is done in an environment, such as ``open_drawer``, without where and in which variation."""
    return parse_name(name)[0] if name.startswith(PREFIX) else name
