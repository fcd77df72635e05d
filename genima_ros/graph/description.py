"""A graph with everything decided, and what follows when one of its nodes ends: the same for `genima up` and launch."""

import shutil
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from genima_ros.graph import graph
from genima_ros.graph.modes import get_mode
from genima_ros.graph.packages import apt_package
from genima_ros.share import find_checkpoint

READY_S = 120.0
"""Loading the models from a slow disk on busy cores takes a while."""
RESPAWN_AFTER_S = 1.0
SETTLED_S = 10.0
"""A node that ends by itself sooner than this has a reason that a new start will not cure."""


@dataclass(frozen=True)
class GraphDescription:
    processes: tuple[graph.NodeProcess, ...]
    rviz: tuple[str, ...]
    """Command of RViz; empty where it is not wanted."""
    next_step: str
    """What to do when all nodes are ready; "" where that is plain."""

    @property
    def names(self) -> list[str]:
        return [process.name for process in self.processes]


def ready_text(names: Collection[str], domain: int, next_step: str) -> str:
    """What to say when every node is ready."""
    line = f"ready: {', '.join(names)} (ROS domain {domain}); Ctrl-C ends them"
    return f"{line}\n{next_step}" if next_step else line


def describe_graph(mode: str, values: Mapping[str, object], only: Collection[str] = ()) -> GraphDescription:
    """The graph of these argument values (see `graph.argument_values`), or `only` its nodes of these names; ValueError,
    FileNotFoundError or RuntimeError for what is not valid or not there: arguments, files, the checkpoint, RViz.
    """
    processes = tuple(process for process in graph.processes(mode, values) if not only or process.name in only)
    if get_mode(mode).learned:
        from genima_core.checkpoint import Checkpoint  # not at the top: `--help` answers at once

        Checkpoint.open(find_checkpoint(str(values["checkpoint"])))
    rviz: tuple[str, ...] = ()
    if values["rviz"]:
        if shutil.which("rviz2") is None:
            install = f"apt install {apt_package('rviz2')} and source that ROS 2"
            raise RuntimeError(f"rviz2 is not installed: {install}, or leave rviz:=true out")
        rviz = tuple(graph.rviz_command(mode, values))
    return GraphDescription(processes, rviz, graph.next_step(mode, values))


def after_end(process: graph.NodeProcess, status: int, lived_s: float) -> str:
    """What to say of a node that ended and is to be started again; a negative `status` is that of a signal.

    RuntimeError where the graph cannot do without it, or a new start would end in the same way.
    """
    ending = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    # A signal came from outside, so a new start may well succeed.
    if not process.respawn or (status >= 0 and lived_s < SETTLED_S):
        raise RuntimeError(f"node {process.name} ended with {ending}; its last lines are above")
    return f"ended with {ending}; starting it again in {RESPAWN_AFTER_S:.0f} s"
