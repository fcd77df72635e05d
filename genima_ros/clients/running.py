"""A graph's processes with somebody in this process who listens to them."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TextIO, TypeVar

from genima_ros.clients.observer import Observer
from genima_ros.graph.domain import claim, join_domain, node_environment, remove_abandoned
from genima_ros.graph.graph import GraphDescription, NodeProcess
from genima_ros.graph.processes import ProcessOutput, RunningGraph
from genima_ros.nodes.console.address import LOOPBACK, address_of, choose_port

ObserverT = TypeVar("ObserverT", bound=Observer)


def start(
    description: GraphDescription,
    stack: ExitStack,
    domain: int | None,
    make_observer: Callable[[int], ObserverT],
    log: TextIO | None = None,
) -> tuple[RunningGraph, ObserverT]:
    """Starts the nodes and an observer in this process; `stack` ends both. With a `log`, only problems are shown.

    RuntimeError if another graph on this machine has one of the nodes in the same domain, ValueError where the console
    cannot have its port.
    """
    domain = join_domain(domain)  # the observer in this process must meet the nodes
    for name in description.names:
        if not stack.enter_context(claim(name, domain)):
            raise RuntimeError(f"{name} runs already in ROS domain {domain}: end that graph, or set ROS_DOMAIN_ID")
    processes = with_address(description.processes, stack)
    if removed := remove_abandoned():
        print(f"removed {removed / 1e6:.0f} MB of shared memory of nodes that were killed", flush=True)
    environment = node_environment(os.environ, domain)
    output = ProcessOutput(sys.stdout, description.names, log=log)
    observer = make_observer(domain)
    stack.enter_context(observer)
    running = stack.enter_context(RunningGraph(processes, environment, output.line, output.show_last))
    if description.rviz:
        stack.callback(subprocess.Popen(description.rviz, env=environment).terminate)
    return running, observer


def with_address(processes: Sequence[NodeProcess], stack: ExitStack) -> tuple[NodeProcess, ...]:
    """These processes, and the console's address said before anything else; other graphs leave it until `stack` ends.

    Beyond this machine the address needs a token, which the console alone says.
    """
    named = {process.name: process for process in processes}
    page = named.get("console")
    if page is None or (host := str(page.parameters.get("host", LOOPBACK[0]))) not in LOOPBACK:
        return tuple(processes)
    asked = int(str(page.parameters.get("port", 0)))
    port = choose_port(host, asked, reserve=lambda port: stack.enter_context(claim("console", port)))
    opens = "what the arm sees and intends, and how to stop it; it opens in a few seconds"
    print(f"{address_of(host, port)}  {opens}", flush=True)
    named["console"] = replace(page, parameters={**page.parameters, "port": port, "wish": not asked})
    return tuple(named.values())


def wait_ready(running: RunningGraph, observer: Observer, timeout_s: float) -> None:
    """Returns when all nodes are ready; RuntimeError where one ended, or was not heard of in time."""
    observer.wait_for_nodes([process.name for process in running.processes], timeout_s, running.check)
