"""`genima up`: a node graph as processes, without ros2 launch."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack, contextmanager
from typing import Annotated, TextIO

import tyro

from genima_ros.cli.terminal.graph_help import details as details  # shown below the help
from genima_ros.graph import graph
from genima_ros.graph.domain import join_domain
from genima_ros.graph.modes import get_mode
from genima_ros.graph.processes import ProcessOutput, RunningGraph, node_environment

READY_S = 120.0
"""Loading the models from a slow disk on busy cores takes a while."""
SPIN_S = 0.1


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
    values = graph.parse_arguments(mode, arguments)
    with terminate_as_interrupt(), ExitStack() as stack:
        running, observer = start(mode, values, stack)
        try:
            wait_ready(running, observer, ready_timeout_s)
            print(
                f"ready: {', '.join(running.pids)} (ROS domain {observer.domain}); Ctrl-C ends them",
                flush=True,
            )
            if hint := graph.next_step(mode, values):
                print(hint, flush=True)
            tell_scenes(observer)
            while True:
                observer.spin(SPIN_S)
                running.check()
        except KeyboardInterrupt:
            print("ending all nodes", flush=True)


def tell_scenes(observer) -> None:
    """Prints each scene of a simulated cell, and when its task is solved; a real cell says neither."""
    from genima_ros.messages import interfaces

    interfaces.subscribe(observer.node, interfaces.SCENE, lambda scene: print(f"scene {scene.data}", flush=True))
    interfaces.subscribe(
        observer.node,
        interfaces.SUCCESS,
        lambda success: success.data and print("solved; for the next one: genima scene", flush=True),
    )


def start(
    mode: str,
    values: dict[str, object],
    stack: ExitStack,
    domain: int | None = None,
    make_observer: Callable[[int], object] | None = None,
    log: TextIO | None = None,
    only: Collection[str] = (),
):
    """Starts the nodes, or `only` those of these names, and an observer in this process; `stack` ends both.

    With a `log`, only problems are shown.

    Raises:
        ValueError, FileNotFoundError: arguments, parameter files or the checkpoint are not valid; nothing runs then.
    """
    processes = [process for process in graph.processes(mode, values) if not only or process.name in only]
    if get_mode(mode).learned:
        from genima_core.checkpoint import Checkpoint

        Checkpoint.open(graph.find_checkpoint(str(values["checkpoint"])))
    if values["rviz"] and shutil.which("rviz2") is None:
        raise RuntimeError(
            "rviz2 is not installed: apt install ros-jazzy-rviz2 and source /opt/ros/jazzy/setup.bash, "
            "or leave rviz:=true out"
        )
    domain = join_domain(domain)  # the observer in this process must meet the nodes
    environment = node_environment(os.environ, domain)
    if make_observer is None:
        from genima_ros.clients.observer import Observer  # not at the top: `--help` works without ROS

        make_observer = Observer
    output = ProcessOutput(sys.stdout, [process.name for process in processes], log=log)
    observer = stack.enter_context(make_observer(domain))
    running = stack.enter_context(RunningGraph(processes, environment, output.line))
    if values["rviz"]:
        import subprocess

        rviz = subprocess.Popen(graph.rviz_command(values), env=environment)
        stack.callback(rviz.terminate)
    return running, observer


def wait_ready(
    running: RunningGraph, observer, timeout_s: float, clock_s: Callable[[], float] = time.monotonic
) -> None:
    """Returns when every node has published diagnostics, which it does once it has loaded everything.

    Raises:
        RuntimeError: a node ended, or was not heard of in time.
    """
    deadline_s = clock_s() + timeout_s
    expected = {process.name for process in running.processes}
    while missing := expected - set(observer.diagnostics):
        observer.spin(SPIN_S)
        running.check()
        if clock_s() > deadline_s:
            raise RuntimeError(f"not ready after {timeout_s:.0f} s: {', '.join(sorted(missing))}; see the output above")


@contextmanager
def terminate_as_interrupt():
    """Inside, SIGTERM and SIGHUP (the terminal has gone) raise KeyboardInterrupt as Ctrl-C does: all is cleaned up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
