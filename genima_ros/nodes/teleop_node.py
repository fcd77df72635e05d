"""Joint mirroring as a node: the follower goes where the leader's arm is led."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from genima_core.streaming.inspection import Target
from genima_core.streaming.mirror import Mirror, MirrorConfig, Mirroring, MirrorOutput
from genima_core.timing import ClockPair, PeriodMeter
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import GRIPPER_JOINT, seconds, to_joint_state
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.nodes.run import NODE_OPTIONS, run

REPEAT_S = 0.5
"""The state is told when it changes, and this often for its message."""
COUNT_EVERY_S = 0.5
"""How often publishers of the leader's joint states are counted."""


@dataclass(frozen=True)
class TeleopParameters(MirrorConfig):
    gripper_joint: str = GRIPPER_JOINT
    """Name of the gripper's width in joint_target."""
    period_s: float = 0.01
    """Of watchdogs and of the approach; mirroring itself goes on with each state of the leader."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.period_s <= 0.05:
            raise ValueError(f"period_s is {self.period_s}; it must be in (0, 0.05]")


class TeleopNode(Node):
    """Feeds a `Mirror` with messages, steps it with each of the leader's and with a steady clock, publishes its target.

    Publishes: joint_target (for the streamer), teleop_state ("state" or "state: message"), diagnostics.
    Subscribes: leader/joint_states, leader/gripper/joint_states, joint_states (of the follower), streamer_state.
    Services: ~/engage (approach the leader, then mirror it), ~/pause (clutch), ~/stop.
    """

    def __init__(
        self, make: Callable[[MirrorConfig], Mirror] = Mirror, clock_s: Callable[[], float] = time.monotonic, **options
    ) -> None:
        super().__init__("teleop", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, TeleopParameters)
        self.mirror = make(self.parameters)
        self._clock_s = clock_s
        self._clocks = ClockPair(clock_s, lambda: self.get_clock().now().nanoseconds * 1e-9)
        self._last: MirrorOutput | None = None
        self._told, self._told_s, self._logged = "", -np.inf, ""
        self._counted_s = -np.inf
        self._sent = PeriodMeter(1 / self.parameters.max_rate_hz)
        self._names = (*self.parameters.joint_names, self.parameters.gripper_joint)
        self._targets = interfaces.publish(self, interfaces.JOINT_TARGET)
        self._states = interfaces.publish(self, interfaces.TELEOP_STATE)
        self._leader = interfaces.subscribe(self, interfaces.LEADER_JOINT_STATES, self._on_leader)
        follower = interfaces.subscribe(self, interfaces.JOINT_STATES, self._on_follower)
        if self._leader.topic_name == follower.topic_name and set(self.parameters.joint_names) & set(
            self.parameters.leader_joint_names
        ):
            raise ValueError(
                f"leader and follower are one arm: both joint states come on {follower.topic_name} with "
                "the same joints; remap leader/joint_states to the leader's topic"
            )
        interfaces.subscribe(
            self,
            interfaces.LEADER_GRIPPER_JOINT_STATES,
            lambda message: self.mirror.on_leader_fingers(message.name, message.position),
        )
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
            self._send(output.target)
            self._sent.tick(now_s)
            self._diagnostics.worked(self._clock_s() - now_s)
        elif output.state is not Mirroring.MIRRORING:
            self._sent.pause()
        self._last = output
        self._tell(output, now_s)

    def _send(self, target: Target) -> None:
        stamp_s = self._clocks.to_ros(target.stamp_s)
        if target.width_m is None:
            self._targets.publish(to_joint_state(self.parameters.joint_names, target.q, stamp_s, target.dq))
        else:
            self._targets.publish(
                to_joint_state(self._names, np.append(target.q, target.width_m), stamp_s, np.append(target.dq, 0.0))
            )

    def _tell(self, output: MirrorOutput, now_s: float) -> None:
        """Every change of the state, every tenth of the approach, and everything now and then."""
        key = f"{output.state} {output.progress:.1f} "
        key += "" if output.state is Mirroring.APPROACHING else output.message
        if key == self._told and now_s - self._told_s < REPEAT_S:
            return
        line = f"{output.state}: {output.message}" if output.message else str(output.state)
        self._states.publish(String(data=line))
        if key != self._told and line != self._logged:
            self._logged = line
            if output.state is Mirroring.STOPPED:
                self.get_logger().warning(line)
            else:
                self.get_logger().info(line)
        self._told, self._told_s = key, now_s

    def _count_leaders(self) -> None:
        self.mirror.on_leaders(self.count_publishers(self._leader.topic_name))

    def _on_leader(self, message: JointState) -> None:
        now_s, stamp_s = self._clock_s(), seconds(message.header.stamp)
        problem = self.mirror.on_leader(
            message.name, message.position, message.velocity, self._clocks.to_steady(stamp_s), now_s
        )
        if problem is None:
            self._diagnostics.received("leader", stamp_s)
        else:
            self._diagnostics.warn(problem, "leader")
        self._step(now_s)

    def _on_follower(self, message: JointState) -> None:
        now_s, stamp_s = self._clock_s(), seconds(message.header.stamp)
        problem = self.mirror.on_follower(
            message.name, message.position, message.velocity, self._clocks.to_steady(stamp_s), now_s
        )
        if problem is None:
            self._diagnostics.received("follower", stamp_s)
        else:
            self._diagnostics.warn(problem, "follower")

    def _on_streamer(self, message: String) -> None:
        state, _, reason = message.data.partition(": ")
        self.mirror.on_streamer(state, reason, self._clock_s())

    def _on_engage(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._count_leaders()
        problem = self.mirror.engage(self._clock_s())
        response.success, response.message = problem is None, problem or "approaching"
        return response

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        problem = self.mirror.pause(self._clock_s())
        response.success, response.message = problem is None, problem or "paused"
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.mirror.stop(self._clock_s())
        response.success, response.message = True, "stopped"
        return response

    def _values(self) -> dict[str, object]:
        if self._last is None:
            return {"state": Mirroring.IDLE}
        if self._last.state is Mirroring.STOPPED:
            self._diagnostics.warn(self._last.message, "stopped")
        return {
            "state": self._last.state,
            "message": self._last.message,
            "progress": self._last.progress,
            "distance_rad": self._last.distance_rad,
            **{f"target_{key}": value for key, value in self._sent.summary().items()},
        }


def main() -> None:
    run(TeleopNode, regular=True)


if __name__ == "__main__":
    main()
