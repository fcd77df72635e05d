"""Turns gripper widths into goals of a gripper's action, in a process that the arm never waits for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from genima_core.arm import Gripper
from genima_core.config import check_positive
from genima_core.gripper import Answer, Goal, GripperConfig, GripperControl
from genima_ros.graph.packages import import_messages
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.base import ArmParameters, GraphNode

STATUS = {GoalStatus.STATUS_ABORTED: "the driver aborted it", GoalStatus.STATUS_CANCELED: "it was cancelled"}


@dataclass(frozen=True)
class GripperParameters(GripperConfig, ArmParameters):
    action: str = ""
    """Full name of the gripper's action; by default what the arm's file says."""
    speed_m_s: float = 0.1
    """Speed of the Franka hand."""
    force_n: float = 20.0
    """Of the Franka hand's grasp, or effort of a gripper command."""
    period_s: float = 0.02
    """Time between two steps."""
    state_timeout_s: float = 1.0
    """Without a joint state for this long the gripper counts as silent."""

    def __post_init__(self) -> None:
        GripperConfig.__post_init__(self)
        check_positive(self, "speed_m_s force_n period_s state_timeout_s")


class ActionDriver:
    """A `genima_core.gripper.Driver`: carries goals to a gripper by ROS actions; nothing waits."""

    control: GripperControl
    """To be set before anything is sent: where the answers go."""

    def __init__(
        self,
        clients: Sequence[ActionClient],
        translate: Callable[[Goal], tuple[ActionClient, Any]],
        read: Callable[[Any], Answer],
        clock_s: Callable[[], float],
    ) -> None:
        """`translate` says which action a goal becomes, `read` what the result of any of them means."""
        self._clients, self._translate, self._read, self._clock_s = tuple(clients), translate, read, clock_s
        self._handles: dict[int, ClientGoalHandle] = {}
        self._cancelled: set[int] = set()

    def ready(self) -> bool:
        return all(client.server_is_ready() for client in self._clients)

    def send(self, goal: Goal) -> None:
        client, message = self._translate(goal)
        client.send_goal_async(message).add_done_callback(partial(self._on_response, goal.number))

    def cancel(self, number: int) -> None:
        if number in self._handles:
            self._handles[number].cancel_goal_async()
        else:
            self._cancelled.add(number)  # as soon as it is taken on

    def _on_response(self, number: int, future: Future) -> None:
        handle, cancelled = future.result(), number in self._cancelled
        self._cancelled.discard(number)
        if not handle.accepted:
            self.control.on_rejected(number, self._clock_s())
            return
        self._handles[number] = handle
        handle.get_result_async().add_done_callback(partial(self._on_result, number))
        self.control.on_accepted(number, self._clock_s())
        if cancelled:
            handle.cancel_goal_async()

    def _on_result(self, number: int, future: Future) -> None:
        self._handles.pop(number, None)
        outcome = future.result()
        answer = self._read(outcome.result)
        if outcome.status != GoalStatus.STATUS_SUCCEEDED:
            answer = Answer(False, answer.stalled, answer.message or STATUS.get(outcome.status, "it ended otherwise"))
        self.control.on_answer(number, answer, self._clock_s())


def make_driver(
    node: Node, gripper: Gripper, parameters: GripperParameters, clock_s: Callable[[], float]
) -> ActionDriver:
    """The driver of a gripper of this kind; RuntimeError where its message package is missing."""
    make, package = (franka_hand, "franka_msgs") if gripper.kind == "franka_hand" else (gripper_command, "control_msgs")
    actions = import_messages(f"{package}.action", f"a gripper of kind {gripper.kind}")
    return ActionDriver(*make(node, actions, gripper, parameters), clock_s)


Parts = tuple[Sequence[ActionClient], Callable[[Goal], tuple[ActionClient, Any]], Callable[[Any], Answer]]
"""Of an `ActionDriver`: its clients, which action a goal becomes, and what a result means."""


def franka_hand(node: Node, actions: ModuleType, gripper: Gripper, parameters: GripperParameters) -> Parts:
    """Opens by move, which fails at an object, and closes by grasp, which takes an object of any size."""
    move = ActionClient(node, actions.Move, f"{parameters.action}/move")
    grasp = ActionClient(node, actions.Grasp, f"{parameters.action}/grasp")

    def translate(goal: Goal) -> tuple[ActionClient, Any]:
        if not goal.closing:
            return move, actions.Move.Goal(width=goal.width_m, speed=parameters.speed_m_s)
        message = actions.Grasp.Goal(width=goal.width_m, speed=parameters.speed_m_s, force=parameters.force_n)
        message.epsilon.inner = message.epsilon.outer = gripper.max_width_m
        return grasp, message

    return (move, grasp), translate, lambda result: Answer(result.success, message=result.error)


def gripper_command(node: Node, actions: ModuleType, gripper: Gripper, parameters: GripperParameters) -> Parts:
    """The actions of control_msgs: GripperCommand, as grippers of ROS 2 before Jazzy have it, or
    ParallelGripperCommand, of the gripper action controller of Jazzy (Robotiq 2F-140, for one).
    """
    parallel = gripper.kind == "parallel_gripper_command"
    kind = actions.ParallelGripperCommand if parallel else actions.GripperCommand
    client = ActionClient(node, kind, parameters.action)

    def translate(goal: Goal) -> tuple[ActionClient, Any]:
        message, position = kind.Goal(), gripper.to_position(goal.width_m)
        if parallel:
            message.command.name, message.command.position = list(gripper.joints), [position]
            message.command.effort = [parameters.force_n]
        else:
            message.command.position, message.command.max_effort = position, parameters.force_n
        return client, message

    return (client,), translate, _read_stall


def _read_stall(result: Any) -> Answer:
    met = result.reached_goal or result.stalled
    return Answer(result.reached_goal, result.stalled, "" if met else "it neither reached the width nor met an object")


class GripperNode(GraphNode[GripperParameters]):
    """Moves the gripper to the newest width by a `GripperControl`, which it steps with a steady clock.

    A fixed tool (gripper of kind none) counts as a closed gripper; commands are ignored.

    Publishes: gripper/state (width in m, with the stamp of its measurement), diagnostics.
    Subscribes: gripper/command (width in m), gripper/joint_states (the gripper's own, or the arm's with it).
    """

    def __init__(self, make: Callable[..., ActionDriver] = make_driver, **options: Any) -> None:
        super().__init__("gripper", GripperParameters, **options)
        p = self.parameters
        self.gripper = p.setup.arm.gripper
        self.announce(interfaces.GRIPPER_STATE)
        if self.gripper.kind == "none":
            self.every(p.period_s, self._say_closed)
            return
        p = replace(p, action=p.action or p.setup.gripper_driver.action)
        driver = make(self, self.gripper, p, self.clock_s)
        self.control = driver.control = GripperControl(p, self.gripper.max_width_m, driver)
        self._measured_s = self.clock_s()
        self.subscribe(interfaces.GRIPPER_COMMAND, self._on_command)
        self.subscribe(interfaces.GRIPPER_JOINT_STATES, self._on_joint_state)
        self.diagnostics.expect("gripper_joint_states")
        self.every(p.period_s, self._tick)

    def _on_command(self, message: Float64) -> None:
        if (refusal := self.control.command(message.data)) is not None:
            self.diagnostics.warn(f"gripper/command not used: {refusal}", "gripper/command")

    def _on_joint_state(self, message: JointState) -> None:
        if not set(self.gripper.joints) <= set(message.name):
            return  # the arm's, or another part of it
        with self.using("gripper/joint_states", "joint_states"):
            positions = conversions.positions_by_name(message, self.gripper.joints)
            stamp_s, width_m = conversions.seconds(message.header.stamp), self.gripper.to_width_m(positions.sum())
            self._measured_s = self.clock_s()
            self.control.measured(width_m)
            self._publish_width(width_m, stamp_s)
            self.diagnostics.received("gripper_joint_states", stamp_s)

    def _publish_width(self, width_m: float, stamp_s: float) -> None:
        message = conversions.to_joint_state((conversions.GRIPPER_JOINT,), np.array([width_m]), stamp_s)
        self.say(interfaces.GRIPPER_STATE, message)

    def _say_closed(self) -> None:
        self._publish_width(0.0, self.ros_now_s())
        self.diagnostics.worked()

    def _tick(self) -> None:
        now_s = self.clock_s()
        self.control.step(now_s)
        if self.control.problem:
            self.diagnostics.warn(self.control.problem, "gripper")
        if now_s - self._measured_s > self.parameters.state_timeout_s:
            missing = f"{' and '.join(self.gripper.joints)} on {self.full_name(interfaces.GRIPPER_JOINT_STATES)}"
            self.diagnostics.warn(f"no {missing}: is the gripper's driver running?", "silent")
        self.diagnostics.worked(self.clock_s() - now_s)

    def values(self) -> dict[str, object]:
        if self.gripper.kind == "none":
            return {}
        names = ("state", "goals", "holding", "hanging", "wanted_m")
        return {name: "" if (value := getattr(self.control, name)) is None else value for name in names}
