"""A graph's processes with somebody in this process who listens to them."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TextIO, TypeVar

from genima_ros.clients.observer import Observer
from genima_ros.graph.domain import claim, join_domain, node_environment, remove_abandoned
from genima_ros.graph.graph import GraphDescription
from genima_ros.graph.processes import ProcessOutput, RunningGraph

ObserverT = TypeVar("ObserverT", bound=Observer)


def start(
    description: GraphDescription,
    stack: ExitStack,
    domain: int | None,
    make_observer: Callable[[int], ObserverT],
    log: TextIO | None = None,
) -> tuple[RunningGraph, ObserverT]:
    """Starts the nodes and an observer in this process; `stack` ends both. With a `log`, only problems are shown.

    RuntimeError if another graph on this machine has one of the nodes in the same domain.
    """
    if removed := remove_abandoned():
        print(f"removed {removed / 1e6:.0f} MB of shared memory of nodes that were killed", flush=True)
    domain = join_domain(domain)  # the observer in this process must meet the nodes
    for name in description.names:
        if not stack.enter_context(claim(name, domain)):
            raise RuntimeError(f"{name} runs already in ROS domain {domain}: end that graph, or set ROS_DOMAIN_ID")
    environment = node_environment(os.environ, domain)
    output = ProcessOutput(sys.stdout, description.names, log=log)
    observer = make_observer(domain)
    stack.enter_context(observer)
    running = stack.enter_context(RunningGraph(description.processes, environment, output.line, output.show_last))
    if description.rviz:
        stack.callback(subprocess.Popen(description.rviz, env=environment).terminate)
    return running, observer


def wait_ready(running: RunningGraph, observer: Observer, timeout_s: float) -> None:
    """Returns when all nodes are ready; RuntimeError where one ended, or was not heard of in time."""
    observer.wait_for_nodes([process.name for process in running.processes], timeout_s, running.check)
