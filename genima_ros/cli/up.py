"""`genima up`: a node graph as processes, without ros2 launch."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, TextIO, TypeVar

import tyro

from genima_ros.cli.terminal.graph_help import details as details  # shown below the help
from genima_ros.graph import graph
from genima_ros.graph.description import READY_S, GraphDescription, describe_graph, ready_text
from genima_ros.graph.domain import join_domain, node_environment
from genima_ros.graph.processes import ProcessOutput, RunningGraph
from genima_ros.graph.transport import remove_abandoned

if TYPE_CHECKING:
    from genima_ros.clients.observer import Observer

SPIN_S = 0.1
ObserverT = TypeVar("ObserverT", bound="Observer")


def up(
    words: Annotated[
        tuple[str, ...], tyro.conf.arg(name="graph", metavar="[GRAPH] [NAME:=VALUE ...]"), tyro.conf.Positional
    ] = (),
    ready_timeout_s: float = READY_S,
) -> None:
    """Starts a node graph and stays until Ctrl-C.

    Says when every node is ready, and what to do next.

    Example: genima up sim seed:=20007 execution:=async

    Args:
        words: Which graph, sim if none is named, and its arguments, the same as of the launch files.
        ready_timeout_s: How long the nodes may take to start.
    """
    mode, arguments = graph.split_words(words)
    description = describe_graph(mode, graph.parse_arguments(mode, arguments))
    with terminate_as_interrupt(), ExitStack() as stack:
        from genima_ros.clients.observer import Observer  # not at the top: `--help` works without ROS

        running, observer = start(description, stack, None, Observer)
        try:
            wait_ready(running, observer, ready_timeout_s)
            print(ready_text(description.names, observer.domain, description.next_step), flush=True)
            tell_scenes(observer)
            while True:
                observer.spin(SPIN_S)
                running.check()
        except KeyboardInterrupt:
            print("ending all nodes", flush=True)


def tell_scenes(observer: "Observer") -> None:
    """Prints each scene of a simulated cell, and when its task is solved; a real cell says neither."""
    from genima_ros.messages import interfaces

    solved = "solved; for the next one: genima scene"
    observer.listen(interfaces.SCENE, lambda scene: print(f"scene {scene.data}", flush=True))
    observer.listen(interfaces.SUCCESS, lambda success: success.data and print(solved, flush=True))


def start(
    description: GraphDescription,
    stack: ExitStack,
    domain: int | None,
    make_observer: Callable[[int], ObserverT],
    log: TextIO | None = None,
) -> tuple[RunningGraph, ObserverT]:
    """Starts the nodes and an observer in this process; `stack` ends both. With a `log`, only problems are shown."""
    if removed := remove_abandoned():
        print(f"removed {removed / 1e6:.0f} MB of shared memory of nodes that were killed", flush=True)
    domain = join_domain(domain)  # the observer in this process must meet the nodes
    environment = node_environment(os.environ, domain)
    output = ProcessOutput(sys.stdout, description.names, log=log)
    observer = make_observer(domain)
    stack.enter_context(observer)
    running = stack.enter_context(RunningGraph(description.processes, environment, output.line, output.show_last))
    if description.rviz:
        stack.callback(subprocess.Popen(description.rviz, env=environment).terminate)
    return running, observer


def wait_ready(running: RunningGraph, observer: "Observer", timeout_s: float) -> None:
    """
    Raises:
        RuntimeError: a node ended, or was not heard of in time.
    """
    observer.wait_for_nodes([process.name for process in running.processes], timeout_s, running.check)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP (the terminal has gone) raise KeyboardInterrupt as Ctrl-C does: all is cleaned up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
