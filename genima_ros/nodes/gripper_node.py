"""Turns gripper widths into goals of a gripper's action, in a process that the arm never waits for."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from genima_core.gripper.control import GripperControl
from genima_ros.arms import find_arm
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.nodes.grippers.action_driver import ActionDriver
from genima_ros.nodes.grippers.drivers import GripperParameters, make_driver
from genima_ros.nodes.run import NODE_OPTIONS, run


class GripperNode(Node):
    """Feeds a `GripperControl` with widths and answers, and steps it with a steady clock.

    A fixed tool (gripper of kind none) counts as a closed gripper: it says so, and commands move nothing.

    Publishes: gripper/state (width in m, with the stamp of its measurement), diagnostics.
    Subscribes: gripper/command (width in m), gripper/joint_states (the gripper's own, or the arm's with it).
    """

    def __init__(
        self,
        make: Callable[..., ActionDriver] = make_driver,
        clock_s: Callable[[], float] = time.monotonic,
        **options,
    ) -> None:
        super().__init__("gripper", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, GripperParameters)
        setup = find_arm(self.parameters.arm)
        self.gripper = setup.arm.gripper
        self._clock_s = clock_s
        self._state = interfaces.publish(self, interfaces.GRIPPER_STATE)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        if self.gripper.kind == "none":
            self._diagnostics = Diagnostics(self)
            self._timer = self.create_timer(self.parameters.period_s, self._say_closed, clock=steady)
            return
        parameters = replace(self.parameters, action=self.parameters.action or setup.gripper_driver.action)
        driver = make(self, self.gripper, parameters, clock_s)
        self.control = GripperControl(parameters, self.gripper.max_width_m, driver)
        driver.attach(self.control)
        self._measured_s = clock_s()
        interfaces.subscribe(self, interfaces.GRIPPER_COMMAND, self._on_command)
        interfaces.subscribe(self, interfaces.GRIPPER_JOINT_STATES, self._on_joint_state)
        self._diagnostics = Diagnostics(self, ("gripper_joint_states",), self._values)
        self._timer = self.create_timer(self.parameters.period_s, self._tick, clock=steady)

    def _on_command(self, message: Float64) -> None:
        if (refusal := self.control.command(message.data)) is not None:
            self._diagnostics.warn(f"gripper/command not used: {refusal}", "gripper/command")

    def _on_joint_state(self, message: JointState) -> None:
        if not set(self.gripper.joints) <= set(message.name):
            return  # the arm's, or another part of it
        try:
            positions = conversions.positions_by_name(message, self.gripper.joints)
        except ValueError as error:
            self._diagnostics.warn(f"gripper/joint_states not used: {error}", "joint_states")
            return
        stamp_s, width_m = conversions.seconds(message.header.stamp), self.gripper.to_width_m(float(positions.sum()))
        self._measured_s = self._clock_s()
        self.control.measured(width_m)
        self._publish_width(width_m, stamp_s)
        self._diagnostics.received("gripper_joint_states", stamp_s)

    def _publish_width(self, width_m: float, stamp_s: float) -> None:
        self._state.publish(conversions.to_joint_state((conversions.GRIPPER_JOINT,), np.array([width_m]), stamp_s))

    def _say_closed(self) -> None:
        self._publish_width(0.0, conversions.seconds(self.get_clock().now().to_msg()))
        self._diagnostics.worked()

    def _tick(self) -> None:
        now_s = self._clock_s()
        self.control.step(now_s)
        if self.control.problem:
            self._diagnostics.warn(self.control.problem, "gripper")
        if now_s - self._measured_s > self.parameters.state_timeout_s:
            self._diagnostics.warn(
                f"no {' and '.join(self.gripper.joints)} on "
                f"{self.resolve_topic_name(interfaces.GRIPPER_JOINT_STATES.name)}: is the gripper's driver running?",
                "silent",
            )
        self._diagnostics.worked(self._clock_s() - now_s)

    def _values(self) -> dict[str, object]:
        control = self.control
        return {
            "state": control.state,
            "goals": control.goals,
            "holding": control.holding,
            "hanging": control.hanging,
            "wanted_m": "" if control.wanted_m is None else control.wanted_m,
        }


def main() -> None:
    run(GripperNode)


if __name__ == "__main__":
    main()
