"""Drives a Franka arm and its hand over the vendor's network protocol; the 1 kHz loop is not in Python."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from std_msgs.msg import Float64
from trajectory_msgs.msg import JointTrajectory

from genima_core.config import check_positive
from genima_core.franka.config import FrankaConfig
from genima_core.franka.hand import FrankaHand
from genima_core.franka.link import FrankaLink, franka_package
from genima_core.gripper import GripperConfig, GripperControl
from genima_core.timing import DeviceClock
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.commands import read_trajectory
from genima_ros.messages.status import StatusTeller
from genima_ros.nodes.base import ArmParameters, GraphNode

DELAYS = 25
"""States over which the shortest delay is looked for: few, because the clock of a simulated arm may run slow."""
LOOK_ROUND_S = 0.3
"""How often the graph is asked who commands the arm."""


@dataclass(frozen=True)
class FrankaParameters(FrankaConfig, GripperConfig, ArmParameters):
    rate_hz: float = 250.0
    """Of joint_states."""
    hand_speed_m_s: float = 0.1
    hand_force_n: float = 20.0
    """Of a grasp."""

    def __post_init__(self) -> None:
        FrankaConfig.__post_init__(self)
        GripperConfig.__post_init__(self)
        check_positive(self, "rate_hz hand_speed_m_s hand_force_n")


class FrankaNode(GraphNode[FrankaParameters]):
    """Follows trajectories, says where the arm is, and moves the Franka Hand.

    Control begins when the arm is reached: it holds where it is, and moves only along trajectories. It comes to rest at
    the end of the last one. After a reflex, a lost connection or the user stop it takes none until ~/error_recovery.
    With two publishers of trajectories it follows neither.

    Publishes: joint_states (arm and fingers; stamped with the arm's own clock, mapped to ROS time), arm_status,
    diagnostics.
    Subscribes: arm_controller/joint_trajectory, gripper/command (width in m).
    Services: ~/error_recovery, ~/homing (of the hand).
    """

    regular = True

    def __init__(
        self,
        connect: Callable[[FrankaParameters], FrankaLink] | None = None,
        **options: Any,
    ) -> None:
        super().__init__("franka", FrankaParameters, **options)
        p = self.parameters
        self.arm = p.setup.arm
        if connect is None:
            franka_package()  # missing: said at once
        self.link = connect(p) if connect else FrankaLink(p, self.arm, clock_s=self.clock_s)
        self._device_clock = DeviceClock(DELAYS)
        self._published_s = -1.0
        self.commanders = 0
        self._look_s = -np.inf
        self._teller = StatusTeller(self)
        self.announce(interfaces.JOINT_STATES)
        self.subscribe(interfaces.ARM_TRAJECTORY, self._on_trajectory)
        self.diagnostics.expect("command")
        self.serve("error_recovery", self.link.recover)
        self.hand: FrankaHand | None = None
        if self.arm.gripper.kind != "none":
            widest_m = self.arm.gripper.max_width_m
            self.hand = FrankaHand(self._open_hand, widest_m, p.hand_speed_m_s, p.hand_force_n)
            self.gripper = GripperControl(p, widest_m, self.hand)
            self.subscribe(interfaces.GRIPPER_COMMAND, self._on_gripper)
            self.serve("homing", self._on_homing)
        self.every(1 / p.rate_hz, self._tick)

    def close(self) -> None:
        if self.hand is not None:
            self.hand.close()
        self.link.close()

    def _open_hand(self) -> Any:
        if (robot := self.link.robot) is None:
            raise RuntimeError("the arm is not reached")
        return robot.gripper()

    def _tick(self) -> None:
        now_s = self.clock_s()
        reading = self.link.reading
        if reading is not None and reading.received_s != self._published_s:
            self._published_s = reading.received_s
            stamp_s = self.clocks.to_ros(self._device_clock.to_host(reading.time_s, reading.received_s))
            names, q, dq = self.arm.joint_names, reading.q, reading.dq
            if self.hand is not None and self.hand.width_m is not None:
                opening = self.arm.gripper.to_opening(self.hand.width_m)
                fingers = self.arm.gripper.joint_positions(opening)
                names, q, dq = self.arm.all_joints, np.append(q, fingers), np.append(dq, 0 * fingers)
            self.say(interfaces.JOINT_STATES, conversions.to_joint_state(names, q, stamp_s, dq))
        status = self.link.status
        self._teller.tell(status, now_s)
        if status.message:
            self.diagnostics.warn(f"the arm must not be moved: {status.message}", "arm")
        if self.hand is not None:
            self._step_hand(self.hand, now_s)
        if now_s - self._look_s > LOOK_ROUND_S:
            self._look_s, self.commanders = now_s, self.count_publishers(self.full_name(interfaces.ARM_TRAJECTORY))
        self.diagnostics.worked(self.clock_s() - now_s)

    def _step_hand(self, hand: FrankaHand, now_s: float) -> None:
        hand.deliver(self.gripper, now_s)
        self.gripper.step(now_s)
        if hand.problem or self.gripper.problem:
            remedy = "; an arm with another tool has gripper kind none in its file" if hand.problem else ""
            self.diagnostics.warn(f"hand: {hand.problem or self.gripper.problem}{remedy}", "hand")

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if self.commanders > 1:
            text = f"{self.commanders} nodes publish {self.full_name(interfaces.ARM_TRAJECTORY)}; end all but one"
            self.diagnostics.warn(f"trajectory not followed: {text}", "commanders")
            return
        try:
            points = read_trajectory(message, self.arm.joint_names)
            self.link.follow(points.times_s, points.q, points.dq)
        except (ValueError, IndexError) as error:
            self.diagnostics.warn(f"trajectory not followed: {error}", "command")
        else:
            self.diagnostics.received("command", self.ros_now_s())

    def _on_gripper(self, message: Float64) -> None:
        if (refusal := self.gripper.command(message.data)) is not None:
            self.diagnostics.warn(f"gripper/command not used: {refusal}", "gripper/command")

    def _on_homing(self) -> str:
        assert self.hand is not None
        return "the hand knows its range" if self.hand.home() else "the hand did not find its range"

    def values(self) -> dict[str, object]:
        reading, status = self.link.reading, self.link.status
        return {
            "mode": status.mode,
            "success_rate": "" if reading is None else reading.success_rate,
            **{f"share_of_{name}": share for name, share in self.link.sent.shares.items()},
            "ended": "; ".join(f"{reason} ({count})" for reason, count in self.link.aborted.items()),
        }
