"""A leader that is no arm: moved by a scripted expert's hand in simulation, and by sliders or the console's handle."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Int64
from std_srvs.srv import Trigger

from genima_core.config import check_positive
from genima_core.environment import Trajectory
from genima_core.sim.hand import SPEED, Hand
from genima_core.sim.operator import START_FROM_HOME_RAD, Operator
from genima_core.sim.planning import Planner, PlanningProcess
from genima_core.sim.task import DEFAULT_TASK
from genima_core.streaming.mirror import ENGAGED, Mirroring
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_status
from genima_ros.nodes.base import ArmParameters, GraphNode

SIM = "sim"
"""Node that is asked for the next scene."""


@dataclass(frozen=True)
class LeaderParameters(ArmParameters):
    task: str = DEFAULT_TASK
    """What the scripted expert demonstrates; "" where there is none, as at a real arm: then nobody moves the leader but
    who commands it, and meanwhile it waits where the arm is."""
    speed_rad_s: float = SPEED
    """At most, where it is commanded to."""
    rate_hz: float = 100.0
    """Rate of leader/joint_states."""
    perform_on_recording: bool = True
    """Demonstrate the task when a recording runs and the follower mirrors; otherwise only on ~/perform."""

    def __post_init__(self) -> None:
        check_positive(self, "rate_hz speed_rad_s")


def make_planner(parameters: LeaderParameters) -> Planner:
    return PlanningProcess(parameters.task) if parameters.task else _no_plan


def _no_plan(seed: int, q: np.ndarray, opening: float) -> Future[Trajectory]:
    raise RuntimeError("this leader has no task to demonstrate")


class LeaderNode(GraphNode[LeaderParameters]):
    """Moves the leader by an `Operator`, and publishes where it is.

    Its copy of the objects serves planning only; nothing stops the hand.

    Publishes: leader/joint_states (arm and fingers, with velocities), diagnostics.
    Subscribes: teleop_state, leader/joint_command (where somebody moves the leader to: seven joints and, if wanted, the
    fingers); with a task recording and scene, without one joint_states and gripper/state (of a gripper with a node).
    Services: ~/perform (a demonstration at once, with a task).
    Calls: ~/reset (of the sim node, when a recording has ended, with a task).
    """

    regular = True

    def __init__(self, make: Callable[[LeaderParameters], Planner] = make_planner, **options: Any) -> None:
        super().__init__("leader", LeaderParameters, **options)
        p, setup = self.parameters, self.parameters.setup
        self._planner, self.arm = make(p), setup.arm
        hand = Hand(self.arm, self.arm.home + START_FROM_HOME_RAD, speed=p.speed_rad_s)
        self.operator = Operator(
            hand, self._planner, self._ask_for_scene, self.diagnostics.warn, p.perform_on_recording
        )
        self._activity, self._followed, self._opening = self.operator.activity, False, 1.0
        self.announce(interfaces.LEADER_JOINT_STATES)
        self.subscribe(interfaces.TELEOP_STATE, self._on_teleop_state)
        self.subscribe(interfaces.LEADER_COMMAND, self._on_command)
        if p.task:
            self._reset = self.create_client(Trigger, f"{SIM}/reset")
            self.subscribe(interfaces.RECORDING, self._on_recording)
            self.subscribe(interfaces.SCENE, self._on_scene)
            self.serve("perform", self.operator.perform)
        else:
            self.subscribe(interfaces.JOINT_STATES, self._on_arm)
            if setup.gripper_has_node:
                self.subscribe(interfaces.GRIPPER_STATE, self._on_gripper)
        self.every(1 / self.parameters.rate_hz, self._tick)

    def close(self) -> None:
        if isinstance(self._planner, PlanningProcess):
            self._planner.close()

    def _tick(self) -> None:
        now_s = self.clock_s()
        lead = self.operator.step(now_s)
        fingers, rates = (self.arm.gripper.joint_positions(value) for value in (lead.opening, lead.opening_rate))
        names, q, dq = self.arm.all_joints, np.concatenate([lead.q, fingers]), np.concatenate([lead.dq, rates])
        message = conversions.to_joint_state(names, q, self.clocks.to_ros(now_s), dq)
        self.say(interfaces.LEADER_JOINT_STATES, message)
        if self.operator.activity is not self._activity:
            self._activity = self.operator.activity
            self.get_logger().info(f"{self._activity} (scene {self.operator.scene})")
        self.diagnostics.worked(self.clock_s() - now_s)

    def _on_recording(self, message: Bool) -> None:
        self.operator.on_recording(message.data, self.clock_s())

    def _on_teleop_state(self, message: DiagnosticStatus) -> None:
        status = read_status(message, Mirroring)
        self._followed = status is not None and status.state in ENGAGED
        self.operator.on_mirroring(status is not None and status.state is Mirroring.MIRRORING, self.clock_s())

    def _on_scene(self, message: Int64) -> None:
        if message.data < 0:
            self.diagnostics.warn(f"scene {message.data} not used: valid are seeds from 0", "scene")
            return
        self.operator.on_scene(message.data, self.clock_s())

    def _on_command(self, message: JointState) -> None:
        with self.using("leader/joint_command", "command"):
            q = conversions.positions_by_name(message, self.arm.joint_names)
            fingers = set(self.arm.gripper.joints) <= set(message.name)
            opening = conversions.gripper_opening(message, self.arm.gripper) if fingers else None
            self.operator.on_sliders(q, opening, self.clock_s())

    def _on_arm(self, message: JointState) -> None:
        with self.using("joint_states"):
            q = conversions.positions_by_name(message, self.arm.joint_names)
            if set(self.arm.gripper.joints) <= set(message.name):
                self._opening = conversions.gripper_opening(message, self.arm.gripper)
            if not self._followed:
                self.operator.wait_at(q, self._opening, self.clock_s())

    def _on_gripper(self, message: JointState) -> None:
        with self.using("gripper/state"):
            (width_m,) = conversions.positions_by_name(message, (conversions.GRIPPER_JOINT,))
            self._opening = self.arm.gripper.to_opening(float(width_m))

    def _ask_for_scene(self) -> bool:
        if not self._reset.service_is_ready():
            self.diagnostics.warn(f"no next scene: there is no service {self._reset.srv_name}", "scene")
            return False
        self._reset.call_async(Trigger.Request()).add_done_callback(self._on_reset)
        return True

    def _on_reset(self, future: Future) -> None:
        if not (response := future.result()).success:
            self.diagnostics.warn(f"no next scene: {response.message}", "scene")
            self.operator.on_no_scene()

    def values(self) -> dict[str, object]:
        return {"state": self.operator.activity, "scene": self.operator.scene, "performed": self.operator.performed}
