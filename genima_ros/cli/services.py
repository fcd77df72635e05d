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

    def decide(self, service: str, by: str) -> None:
        """Answers, in a person's name, what the controller proposes."""
        from genima_ros.clients.observer import user_name
        from genima_ros.messages.interfaces import BY

        self.call("controller", service, False, **{BY: by or user_name()})


GraphOptions = tyro.conf.OmitArgPrefixes[Graph]
DEFAULT = Graph()


def approve(by: str = "", graph: GraphOptions = DEFAULT) -> None:
    """Lets the arm do what waits for approval (execution:=confirm).

    Look at the drawing and at the planned path first.

    Example: genima approve

    Args:
        by: Who approves, for the log and the recording; by default the user and the machine.
    """
    graph.decide("approve", by)


def disable(graph: GraphOptions = DEFAULT) -> None:
    """Ends motion smoothly, and keeps the arm still until `genima enable`.

    The same as `genima stop`.

    Example: genima disable
    """
    graph.call("streamer", "enable", data=False)


def disengage(graph: GraphOptions = DEFAULT) -> None:
    """Gives the arm back to the policy; ends teleoperation.

    The policy looks anew, and goes on. If the target gate had paused it, `genima resume` is needed as well.

    Example: genima disengage
    """
    graph.call("teleop", "disengage")


def enable(graph: GraphOptions = DEFAULT) -> None:
    """Lets the streamer command the arm.

    Nobody may be near the arm: it moves as soon as a policy or a leader wants it to.

    Example: genima enable
    """
    graph.call("streamer", "enable", data=True)


def engage(graph: GraphOptions = DEFAULT) -> None:
    """Takes over from the policy with the leader; begins teleoperation.

    The arm comes to rest, approaches the leader slowly, then mirrors it, until `genima disengage`.

    Example: genima engage
    """
    graph.call("teleop", "engage")


def reject(by: str = "", graph: GraphOptions = DEFAULT) -> None:
    """Forgets what waits for approval (execution:=confirm); the policy draws again.

    Example: genima reject

    Args:
        by: Who rejects, for the log and the recording; by default the user and the machine.
    """
    graph.decide("reject", by)


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


COMMANDS = (approve, disable, disengage, enable, engage, reject, reset, resume, scene, stop)
