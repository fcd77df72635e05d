"""Joint mirroring as a node: the follower goes where the leader's arm is led."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from genima_core.arm_status import Level
from genima_core.streaming.mirror import ENGAGED, Mirror, MirrorConfig, Mirroring, MirrorOutput
from genima_core.streaming.states import Refusal, State, Status
from genima_core.timing import ClockPair, PeriodMeter
from genima_ros.arms import find_arm
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import read_joint_state, read_width, seconds, target_to_joint_state
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.messages.status import read_status, status_to_message
from genima_ros.nodes.run import NODE_OPTIONS, run

REPEAT_S = 0.5
"""The state is told when it changes, and this often for its message."""
COUNT_EVERY_S = 0.5
"""How often publishers of the leader's joint states are counted."""


@dataclass(frozen=True)
class TeleopParameters(MirrorConfig):
    arm: str = "sim"
    """The follower: a name in config/arms, or the path of a file like those."""
    leader_arm: str = ""
    """The same for the leader; "" for one like the follower."""
    period_s: float = 0.01
    """Of watchdogs and of the approach; mirroring itself is stepped by each state of the leader."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.period_s <= 0.05:
            raise ValueError(f"period_s is {self.period_s}; it must be in (0, 0.05]")


class TeleopNode(Node):
    """Feeds a `Mirror` with messages, steps it with each of the leader's and with a steady clock, publishes its target.

    Publishes: joint_target (for the streamer), teleop_state (see `messages.status`), diagnostics.
    Subscribes: leader/joint_states, leader/gripper/joint_states, joint_states (of the follower), streamer_state.
    Services: ~/engage (approach the leader, then mirror it), ~/pause (clutch), ~/stop.
    """

    def __init__(
        self, make: Callable[..., Mirror] = Mirror, clock_s: Callable[[], float] = time.monotonic, **options: Any
    ) -> None:
        super().__init__("teleop", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, TeleopParameters)
        self.arm = find_arm(self.parameters.arm).arm
        self.leader_arm = find_arm(self.parameters.leader_arm or self.parameters.arm).arm
        self.mirror = make(self.arm, self.leader_arm, self.parameters)
        self._clock_s = clock_s
        self._clocks = ClockPair(clock_s, lambda: self.get_clock().now().nanoseconds * 1e-9)
        self._last: MirrorOutput | None = None
        self._told: tuple | None = None
        self._told_s = self._counted_s = -np.inf
        self._logged = ""
        self._sent = PeriodMeter(1 / self.parameters.max_rate_hz)
        self._targets = interfaces.publish(self, interfaces.JOINT_TARGET)
        self._states = interfaces.publish(self, interfaces.TELEOP_STATE)
        self._leader = interfaces.subscribe(self, interfaces.LEADER_JOINT_STATES, self._on_leader)
        follower = interfaces.subscribe(self, interfaces.JOINT_STATES, self._on_follower)
        if self._leader.topic_name == follower.topic_name and set(self.arm.joint_names) & set(
            self.leader_arm.joint_names
        ):
            raise ValueError(
                f"leader and follower are one arm: both joint states come on {follower.topic_name} with "
                "the same joints; remap leader/joint_states to the leader's topic"
            )
        interfaces.subscribe(self, interfaces.LEADER_GRIPPER_JOINT_STATES, self._on_leader_gripper)
        interfaces.subscribe(self, interfaces.STREAMER_STATE, self._on_streamer)
        for service, answer in (
            (interfaces.ENGAGE, self._on_engage),
            (interfaces.PAUSE, self._on_pause),
            (interfaces.STOP, self._on_stop),
        ):
            self.create_service(service.type, service.name, answer)
        self._diagnostics = Diagnostics(self, ("leader", "follower"), self._values)
        self._timer = self.create_timer(
            self.parameters.period_s, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _tick(self) -> None:
        now_s = self._clock_s()
        if now_s - self._counted_s >= COUNT_EVERY_S:
            self._counted_s = now_s
            self._count_leaders()
        self._step(now_s)

    def _step(self, now_s: float) -> None:
        output = self.mirror.step(now_s)
        if output.target is not None:
            stamp_s = self._clocks.to_ros(output.target.stamp_s)
            self._targets.publish(target_to_joint_state(output.target, self.arm, stamp_s))
            self._sent.tick(now_s)
            self._diagnostics.worked(self._clock_s() - now_s)
        elif output.status.state is not Mirroring.MIRRORING:
            self._sent.pause()
        self._last = output
        self._tell(output.status, round(output.progress, 1), now_s)

    def _tell(self, status: Status, progress: float, now_s: float) -> None:
        """Every change of the state, every tenth of the approach, and everything now and then."""
        key = status.state, status.reason, progress, "" if status.state in ENGAGED else status.text
        if key == self._told and now_s - self._told_s < REPEAT_S:
            return
        stopped = status.state is Mirroring.STOPPED
        self._states.publish(status_to_message(self.get_name(), status, Level.WARN if stopped else Level.OK))
        if key != self._told and str(status) != self._logged:
            self._logged = str(status)
            if stopped:
                self.get_logger().warning(self._logged)
            else:
                self.get_logger().info(self._logged)
        self._told, self._told_s = key, now_s

    def _count_leaders(self) -> None:
        self.mirror.on_leaders(self.count_publishers(self._leader.topic_name))

    def _on_leader(self, message: JointState) -> None:
        now_s = self._clock_s()
        state = read_joint_state(message, self.leader_arm, self._clocks.to_steady, gripper=True)
        self._note("leader", message, self.mirror.on_leader(state, now_s))
        self._step(now_s)

    def _on_leader_gripper(self, message: JointState) -> None:
        width = read_width(message, self.leader_arm)
        if isinstance(width, Refusal):
            self._diagnostics.warn(width.text, "leader gripper")
        else:
            self.mirror.on_leader_width(width)

    def _on_follower(self, message: JointState) -> None:
        state = read_joint_state(message, self.arm, self._clocks.to_steady)
        self._note("follower", message, self.mirror.on_follower(state, self._clock_s()))

    def _note(self, name: str, message: JointState, refusal: Refusal | None) -> None:
        if refusal is None:
            self._diagnostics.received(name, seconds(message.header.stamp))
        else:
            self._diagnostics.warn(refusal.text, name)

    def _on_streamer(self, message: DiagnosticStatus) -> None:
        status = read_status(message, State)
        if status is not None:
            self.mirror.on_streamer(status, self._clock_s())

    def _on_engage(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._count_leaders()
        refusal = self.mirror.engage(self._clock_s())
        response.success, response.message = refusal is None, "approaching" if refusal is None else refusal.text
        return response

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = self.mirror.pause(self._clock_s())
        response.success, response.message = refusal is None, "paused" if refusal is None else refusal.text
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.mirror.stop(self._clock_s())
        response.success, response.message = True, "stopped"
        return response

    def _values(self) -> dict[str, object]:
        if self._last is None:
            return {"state": Mirroring.IDLE}
        status = self._last.status
        if status.state is Mirroring.STOPPED:
            self._diagnostics.warn(status.text, "stopped")
        return {
            "state": status.state,
            "reason": status.reason,
            "text": status.text,
            "progress": self._last.progress,
            "distance_rad": self._last.distance_rad,
            **{f"target_{key}": value for key, value in self._sent.summary().items()},
        }


def main() -> None:
    run(TeleopNode, regular=True)


if __name__ == "__main__":
    main()
