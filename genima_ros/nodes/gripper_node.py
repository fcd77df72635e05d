"""Turns gripper widths into goals of a gripper's action, in a process that the arm never waits for."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from genima_core.gripper import GripperControl
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.base import GraphNode
from genima_ros.nodes.gripper_driver import ActionDriver, GripperParameters, make_driver


class GripperNode(GraphNode[GripperParameters]):
    """Feeds a `GripperControl` with widths and answers, and steps it with a steady clock.

    A fixed tool (gripper of kind none) counts as a closed gripper: it says so, and commands move nothing.

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
