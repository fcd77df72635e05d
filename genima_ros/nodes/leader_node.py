"""The leader of simulated teleoperation: a second Panda, moved by a scripted expert's hand or by sliders."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Int64
from std_srvs.srv import Trigger

from genima_core.sim.hand import Hand
from genima_core.sim.operator import START_FROM_HOME_RAD, Operator
from genima_core.sim.planning import Planner, PlanningProcess
from genima_core.sim.task import DEFAULT_TASK
from genima_core.streaming.mirror import Mirroring
from genima_core.timing import ClockPair
from genima_ros.arms import find_arm
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.messages.status import read_status
from genima_ros.nodes.run import NODE_OPTIONS, run

SIM = "sim"
"""Node that is asked for the next scene."""


@dataclass(frozen=True)
class LeaderParameters:
    task: str = DEFAULT_TASK
    arm: str = "sim"
    """Name in config/arms, or a file like those."""
    rate_hz: float = 100.0
    """Of leader/joint_states."""
    perform_on_recording: bool = True
    """Demonstrate the task when a recording runs and the follower mirrors; else only on ~/perform."""


def make_planner(parameters: LeaderParameters) -> Planner:
    """The planner of real runs."""
    return PlanningProcess(parameters.task)


class LeaderNode(Node):
    """Steps an `Operator` and says where the leader is.

    Its own copy of the objects is only for planning: nothing stops the hand.

    Publishes: leader/joint_states (arm and fingers, with velocities), diagnostics.
    Subscribes: recording, teleop_state, scene, leader/joint_command (where somebody moves the leader to: seven joints
    and, if wanted, the fingers).
    Services: ~/perform (a demonstration at once).
    Calls: ~/reset (of the sim node, when a recording has ended).
    """

    def __init__(
        self,
        make: Callable[[LeaderParameters], Planner] = make_planner,
        clock_s: Callable[[], float] = time.monotonic,
        **options,
    ) -> None:
        super().__init__("leader", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, LeaderParameters)
        if not self.parameters.rate_hz > 0:
            raise ValueError(f"rate_hz is {self.parameters.rate_hz}; it must be positive")
        self._clock_s = clock_s
        self._clocks = ClockPair(clock_s, lambda: self.get_clock().now().nanoseconds * 1e-9)
        self._planner = make(self.parameters)
        self.arm = find_arm(self.parameters.arm).arm
        self.operator = Operator(
            Hand(self.arm, self.arm.home + START_FROM_HOME_RAD),
            self._planner,
            self._ask_for_scene,
            lambda text: self._diagnostics.warn(text),
            self.parameters.perform_on_recording,
        )
        self._activity = self.operator.activity
        self._joint_states = interfaces.publish(self, interfaces.LEADER_JOINT_STATES)
        self._reset = self.create_client(interfaces.RESET.type, f"{SIM}/{interfaces.RESET.name.removeprefix('~/')}")
        self._diagnostics = Diagnostics(self, (), self._values)
        interfaces.subscribe(self, interfaces.RECORDING, self._on_recording)
        interfaces.subscribe(self, interfaces.TELEOP_STATE, self._on_teleop_state)
        interfaces.subscribe(self, interfaces.SCENE, self._on_scene)
        interfaces.subscribe(self, interfaces.LEADER_COMMAND, self._on_command)
        self.create_service(interfaces.PERFORM.type, interfaces.PERFORM.name, self._on_perform)
        self._timer = self.create_timer(
            1 / self.parameters.rate_hz, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def close(self) -> None:
        if isinstance(self._planner, PlanningProcess):
            self._planner.close()

    def _tick(self) -> None:
        now_s = self._clock_s()
        lead = self.operator.step(now_s)
        fingers, rates = (self.arm.gripper.joint_positions(value) for value in (lead.opening, lead.opening_rate))
        self._joint_states.publish(
            conversions.to_joint_state(
                (*self.arm.joint_names, *self.arm.gripper.joints),
                np.concatenate([lead.q, fingers]),
                self._clocks.to_ros(now_s),
                np.concatenate([lead.dq, rates]),
            )
        )
        if self.operator.activity is not self._activity:
            self._activity = self.operator.activity
            self.get_logger().info(f"{self._activity} (scene {self.operator.scene})")
        self._diagnostics.worked(self._clock_s() - now_s)

    def _on_recording(self, message: Bool) -> None:
        self.operator.on_recording(message.data, self._clock_s())

    def _on_teleop_state(self, message: DiagnosticStatus) -> None:
        status = read_status(message, Mirroring)
        self.operator.on_mirroring(status is not None and status.state is Mirroring.MIRRORING, self._clock_s())

    def _on_scene(self, message: Int64) -> None:
        if message.data < 0:
            self._diagnostics.warn(f"scene {message.data} not used: valid are seeds from 0", "scene")
            return
        self.operator.on_scene(message.data, self._clock_s())

    def _on_command(self, message: JointState) -> None:
        try:
            q = conversions.positions_by_name(message, self.arm.joint_names)
            fingers = set(self.arm.gripper.joints) <= set(message.name)
            opening = conversions.gripper_opening(message, self.arm.gripper) if fingers else None
            self.operator.on_sliders(q, opening, self._clock_s())
        except ValueError as error:
            self._diagnostics.warn(f"leader/joint_command not used: {error}", "command")

    def _on_perform(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message, response.success = self.operator.perform(), True
        except RuntimeError as error:
            response.message = str(error)
        return response

    def _ask_for_scene(self) -> bool:
        if not self._reset.service_is_ready():
            self._diagnostics.warn(f"no next scene: there is no service {self._reset.srv_name}", "scene")
            return False
        self._reset.call_async(Trigger.Request()).add_done_callback(self._on_reset)
        return True

    def _on_reset(self, future: Future) -> None:
        if not (response := future.result()).success:
            self._diagnostics.warn(f"no next scene: {response.message}", "scene")
            self.operator.on_no_scene()

    def _values(self) -> dict[str, object]:
        return {"state": self.operator.activity, "scene": self.operator.scene, "performed": self.operator.performed}


def main() -> None:
    run(LeaderNode, regular=True)


if __name__ == "__main__":
    main()
