"""Verbs that call one service of a running graph: `genima enable`, `stop` and the like."""

from dataclasses import dataclass

import tyro

from genima_ros.graph.domain import join_domain

ANSWER_S = 10.0
"""A service that exists is found, and answers, within this time even on busy cores."""


@dataclass(frozen=True)
class Graph:
    """Which running graph."""

    namespace: str = ""
    """Of the graph's nodes, such as /cell1."""
    domain: int | None = None
    """ROS domain; by default ROS_DOMAIN_ID."""

    def call(self, node: str, service: str, again: bool = False, **request: object) -> None:
        """Calls a node's service and prints what it answers; `again`: it may be called several times until it answers.

        RuntimeError: nobody offers it, it does not answer, or it refuses.
        """
        from genima_ros.arms import absolute  # not at the top: `--help` answers at once, and without ROS
        from genima_ros.clients.observer import Observer

        with Observer(join_domain(self.domain), f"genima_{service}") as observer:
            answer = observer.call(absolute(self.namespace, node), service, ANSWER_S, again, **request)
            print(answer.message or "done")


GraphOptions = tyro.conf.OmitArgPrefixes[Graph]
DEFAULT = Graph()


def approve(graph: GraphOptions = DEFAULT) -> None:
    """Lets the arm do what waits for approval (execution:=confirm).

    Look at the drawing and at the planned path first.

    Example: genima approve
    """
    graph.call("controller", "approve")


def disable(graph: GraphOptions = DEFAULT) -> None:
    """Ends motion smoothly, and keeps the arm still until `genima enable`.

    The same as `genima stop`.

    Example: genima disable
    """
    graph.call("streamer", "enable", data=False)


def enable(graph: GraphOptions = DEFAULT) -> None:
    """Lets the streamer command the arm.

    Nobody may be near the arm: it moves as soon as a policy or a leader wants it to.

    Example: genima enable
    """
    graph.call("streamer", "enable", data=True)


def reject(graph: GraphOptions = DEFAULT) -> None:
    """Forgets what waits for approval (execution:=confirm); the policy draws again.

    Example: genima reject
    """
    graph.call("controller", "reject")


def reset(graph: GraphOptions = DEFAULT) -> None:
    """Clears the streamer's FAULT; the arm stays still until `genima enable`.

    Example: genima reset
    """
    graph.call("streamer", "reset_fault")


def resume(graph: GraphOptions = DEFAULT) -> None:
    """Lets a policy continue that the target gate paused.

    Drawings from before are forgotten.

    Example: genima resume
    """
    graph.call("controller", "resume")


def scene(graph: GraphOptions = DEFAULT) -> None:
    """Lays out the next scene of a simulated cell.

    Example: genima scene
    """
    graph.call("sim", "reset")


def stop(emergency: bool = False, graph: GraphOptions = DEFAULT) -> None:
    """Stops the arm smoothly; nothing moves until `genima enable`.

    With --emergency it stops as fast as the limits allow, and the streamer is in FAULT until `genima reset`. This does
    not replace the button on the robot.

    Example: genima stop --emergency

    Args:
        emergency: As fast as the limits allow, into FAULT.
    """
    graph.call("streamer", "emergency_stop" if emergency else "stop", again=True)


COMMANDS = (approve, disable, enable, reject, reset, resume, scene, stop)
