"""What a goal becomes for each kind of gripper; their message packages are imported only here, where one is used."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node

from genima_core.arm import Gripper
from genima_core.config import check_positive
from genima_core.gripper import Answer, Goal, GripperConfig
from genima_ros.graph.packages import remedy
from genima_ros.nodes.grippers.action_driver import ActionDriver


@dataclass(frozen=True)
class GripperParameters(GripperConfig):
    arm: str = "sim"
    """Name in config/arms, or a file like those."""
    action: str = ""
    """Full name of the gripper's action; by default what the arm's file says."""
    speed_m_s: float = 0.1
    """Of the Franka hand."""
    force_n: float = 20.0
    period_s: float = 0.02
    state_timeout_s: float = 1.0
    """Without a joint state for this long the gripper counts as silent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "speed_m_s force_n period_s state_timeout_s")


def make_driver(
    node: Node, gripper: Gripper, parameters: GripperParameters, clock_s: Callable[[], float]
) -> ActionDriver:
    """The driver of a gripper of this kind.

    Raises:
        RuntimeError: its message package is missing; names what to install.
    """
    make, package = (franka_hand, "franka_msgs") if gripper.kind == "franka_hand" else (gripper_command, "control_msgs")
    try:
        actions = importlib.import_module(f"{package}.action")
    except ImportError as error:
        raise RuntimeError(f"a gripper of kind {gripper.kind} needs {package} ({error}): {remedy(package)}") from error
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
    return Answer(result.reached_goal, result.stalled, "" if met else "it neither arrived nor met anything")
