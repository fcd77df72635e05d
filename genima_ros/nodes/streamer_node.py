"""The only node that commands the arm: 50 Hz (200 Hz in teleoperation), nothing heavy in its process."""

import array
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64, Float64MultiArray
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from genima_core.arm import Arm
from genima_core.arm_status import Level
from genima_core.sim.margins import Margins
from genima_core.streaming.command import Command
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.playback import Clearance
from genima_core.streaming.states import Refusal, State, Status
from genima_core.streaming.streamer import Streamer
from genima_core.timing import ClockPair, PeriodMeter
from genima_ros.arms import find_arm
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.conversions import seconds, to_duration, to_joint_state
from genima_ros.messages.diagnostics import WARN_EVERY_S, Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.messages.status import read_arm_status, status_to_message
from genima_ros.nodes.emergency_stop import EmergencyStop
from genima_ros.nodes.run import NODE_OPTIONS, run

REPEAT_S = 0.5
"""Slow outputs (gripper, chunk_wanted, state) are sent when they change, and this often in case somebody missed it."""
LOOK_ROUND_S = 0.3
"""How often the graph is asked who else commands the arm."""
VELOCITY_SCALE = "velocity_scale"
GRIPPER_PERIOD_S, GRIPPER_STEP_M = 0.1, 1e-3
"""A gripper takes long for a command: those in between are left out, and what it would not notice."""


@dataclass(frozen=True)
class StreamerParameters(StreamerConfig, Margins):
    arm: str = "sim"
    """A name in config/arms, or the path of a file like those."""
    enabled: bool = False
    """Whether to command the arm from the start; a real arm waits for ~/enable."""
    check_collisions: bool = False
    """Whether to stop before the arm comes closer to itself or to the table than `Margins` says; needs MuJoCo."""

    def __post_init__(self) -> None:
        StreamerConfig.__post_init__(self)
        Margins.__post_init__(self)


class StreamerNode(Node):
    """Feeds a `Streamer` with messages and steps it with a steady clock.

    Publishes: arm_controller/joint_trajectory (or arm_controller/joint_commands, arm_controller/commands),
    gripper/command (width in m), joint_commands (each set point, for recorders), chunk_wanted, streamer_state
    (see `messages.status`), diagnostics.
    Subscribes: joint_states, action_chunk, joint_target (followed at once), arm_status (whether the arm may be moved).
    Services: ~/enable (SetBool), ~/stop (smoothly; then no commands until enabled), ~/emergency_stop (before every
    other message; then FAULT until ~/reset_fault, and no commands until enabled), ~/reset_fault.
    Changes while running: the parameter velocity_scale.
    """

    def __init__(
        self, make: Callable[..., Streamer] = Streamer, clock_s: Callable[[], float] = time.monotonic, **options: Any
    ) -> None:
        super().__init__("streamer", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, StreamerParameters, changeable=(VELOCITY_SCALE,))
        setup = find_arm(self.parameters.arm)
        self.arm, self._command_kind = setup.arm, setup.driver.command
        clearance = make_clearance(self.parameters, self.arm) if self.parameters.check_collisions else None
        self.streamer = make(self.arm, self.parameters, clearance, setup.driver.receiver_follows_horizon)
        self._clock_s = clock_s
        self._clocks = ClockPair(clock_s, lambda: self.get_clock().now().nanoseconds * 1e-9)
        self._tracking = PeriodMeter(self.parameters.period_s)
        self._periods = PeriodMeter(self.parameters.period_s)
        self._repeated_s = self._looked_s = self._logged_s = -np.inf
        self.status = self._logged = Status(State.HOLDING)
        self._told: Status | None = None
        self._wants_chunk: bool | None = None
        self._widths = WidthFilter()
        self._controller = interfaces.publish(self, interfaces.ARM_COMMANDS[self._command_kind])
        self._gripper = interfaces.publish(self, interfaces.GRIPPER_COMMAND)
        self._commands = interfaces.publish(self, interfaces.JOINT_COMMANDS)
        self._wanted = interfaces.publish(self, interfaces.CHUNK_WANTED)
        self._states = interfaces.publish(self, interfaces.STREAMER_STATE)
        self._emergency = EmergencyStop(self, self._on_emergency_stop)
        for topic, read, take in (
            (interfaces.JOINT_STATES, conversions.read_joint_state, self.streamer.on_joint_state),
            (interfaces.ACTION_CHUNK, conversions.read_chunk, self.streamer.on_chunk),
            (interfaces.JOINT_TARGET, conversions.read_target, self.streamer.on_target),
        ):
            interfaces.subscribe(self, topic, self._taker(topic.name, read, take))
        interfaces.subscribe(self, interfaces.ARM_STATUS, self._on_arm_status)
        for service, answer in (
            (interfaces.ENABLE, self._on_enable),
            (interfaces.STOP, self._on_stop),
            (interfaces.RESET_FAULT, self._on_reset_fault),
        ):
            self.create_service(service.type, service.name, answer)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = Diagnostics(
            self, ("joint_states", "action_chunk", "joint_target", "arm_status"), self._values
        )
        if self.parameters.enabled:
            self.streamer.enable()
        self._timer = self.create_timer(
            self.parameters.period_s, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def close(self) -> None:
        self._emergency.close()

    def _tick(self) -> None:
        self._emergency.poll()
        now_s = self._clock_s()
        command = self.streamer.step(now_s)
        if command.q is not None:
            self._send(command, self._clocks.to_ros(now_s))
        self._measure(command.state, now_s)
        if (width_m := self._widths.pass_on(command.gripper_width_m, now_s)) is not None:
            self._gripper.publish(Float64(data=width_m))
        repeat = now_s - self._repeated_s >= REPEAT_S
        if repeat:
            self._repeated_s = now_s
        if repeat or command.wants_chunk != self._wants_chunk:
            self._wants_chunk = command.wants_chunk
            self._wanted.publish(Bool(data=bool(command.wants_chunk)))
        self._tell(command.status, repeat, now_s)
        if now_s - self._looked_s >= LOOK_ROUND_S:
            self._look_round(now_s)
        self._diagnostics.worked(self._clock_s() - now_s)

    def _tell(self, status: Status, repeat: bool, now_s: float) -> None:
        """Every change of state and kind of reason at once; a text whose numbers change does not flood the topic.

        In the log every change of the state, but of its reason only now and then: that may change many times a second.
        """
        self.status = status
        if repeat or not is_like(status, self._told):
            self._told = status
            level = Level.ERROR if status.state is State.FAULT else Level.OK
            self._states.publish(status_to_message(self.get_name(), status, level))
        changed = not is_like(status, self._logged)
        if changed and (status.state is not self._logged.state or now_s - self._logged_s > WARN_EVERY_S):
            self._logged, self._logged_s = status, now_s
            self.get_logger().info(str(status))
        if status.state is State.FAULT:
            self._diagnostics.warn(status.text, "fault")

    def _look_round(self, now_s: float) -> None:
        """Who else commands the arm, or has this node's name; one of each is this node."""
        self._looked_s = now_s
        own = self.get_fully_qualified_name()
        named = [f"{space.rstrip('/')}/{name}" for name, space in self.get_node_names_and_namespaces()]
        speaking = [
            f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in self.get_publishers_info_by_topic(self._controller.topic_name)
        ]
        others = [name for name in speaking if name != own]
        doubled = own if max(named.count(own), speaking.count(own)) > 1 else None
        self.streamer.on_commanders([*others, *([f"another {doubled}"] if doubled else [])])

    def _send(self, command: Command, stamp_s: float) -> None:
        if command.q is None:
            return
        set_point = to_joint_state(self.arm.joint_names, command.q, stamp_s, command.dq)
        self._commands.publish(set_point)
        if self._command_kind == "joint_state":
            self._controller.publish(set_point)
        elif self._command_kind == "float64_array":
            self._controller.publish(Float64MultiArray(data=array.array("d", command.q)))
        else:
            self._controller.publish(to_trajectory(command, self.arm))

    def _measure(self, state: State, now_s: float) -> None:
        self._periods.tick(now_s)
        if state is State.TRACKING:
            self._tracking.tick(now_s)
        else:
            self._tracking.pause()

    def _taker(self, name: str, read: Callable, take: Callable) -> Callable[[JointState | JointTrajectory], None]:
        """Reads a message and hands it on; what is wrong with it is told."""

        def on_message(message: JointState | JointTrajectory) -> None:
            self._emergency.poll()
            refusal = take(read(message, self.arm, self._clocks.to_steady), self._clock_s())
            if refusal is None:
                self._diagnostics.received(name, seconds(message.header.stamp))
            else:
                self._diagnostics.warn(f"{name} not used: {refusal.text}", name)

        return on_message

    def _on_arm_status(self, message: DiagnosticStatus) -> None:
        self._emergency.poll()
        status = read_arm_status(message)
        self.streamer.on_arm_status(status, self._clock_s())
        self._diagnostics.received("arm_status", self.get_clock().now().nanoseconds * 1e-9)
        if isinstance(status, Refusal):
            self._diagnostics.warn(status.text, "arm_status")

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._emergency.poll()
        if not request.data:
            self.streamer.disable()
            response.success, response.message = True, "stopping"
            return response
        self._look_round(self._clock_s())
        refusal = self.streamer.enable()
        response.success, response.message = refusal is None, "enabled" if refusal is None else refusal.text
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.streamer.disable()
        response.success, response.message = True, "stopping"
        return response

    def _on_emergency_stop(self) -> str:
        self.streamer.emergency_stop()
        self.get_logger().warn("emergency stop")
        return "emergency stop: the arm stops and stays"

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Only what is not read-only comes here."""
        for value in (p.value for p in parameters if p.name == VELOCITY_SCALE):
            if isinstance(value, bool) or not isinstance(value, int | float):
                reason = f"{VELOCITY_SCALE} is {value!r}; it needs a number"
                return SetParametersResult(successful=False, reason=reason)
            if (refusal := self.streamer.set_velocity_scale(value)) is not None:
                return SetParametersResult(successful=False, reason=refusal.text)
        return SetParametersResult(successful=True)

    def _on_reset_fault(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = self.streamer.reset_fault()
        response.success, response.message = refusal is None, "fault left" if refusal is None else refusal.text
        return response

    def _values(self) -> dict[str, object]:
        statistics = self.streamer.statistics(self._clock_s())
        latency = {
            f"follow_latency_ms_{name}": 1e3 * value
            for name, value in zip(("p50", "p99", "max"), statistics.follow_latency_s, strict=True)
        }
        return {
            "state": self.status.state,
            "reason": self.status.reason,
            "text": self.status.text,
            "accepted": statistics.accepted,
            "rejected": sum(statistics.rejected.values()),
            "stops": sum(statistics.stops.values()),
            "velocity_scale": self.streamer.config.velocity_scale,
            "limit_violations": statistics.limit_violations,
            "joint_state_age_s": statistics.joint_state_age_s,
            "chunk_age_s": statistics.chunk_age_s,
            "observation_age_s": statistics.observation_age_s,
            "targets_accepted": statistics.targets_accepted,
            "targets_rejected": sum(statistics.targets_rejected.values()),
            "target_age_s": statistics.target_age_s,
            **latency,
            **self._periods.summary(),
            **{f"tracking_{key}": value for key, value in self._tracking.summary().items()},
        }


def make_clearance(margins: Margins, arm: Arm) -> Clearance:
    """What tells where the arm is too near to itself or to the table.

    Raises:
        RuntimeError: MuJoCo or the arm's meshes are missing.
    """
    try:
        from genima_core.sim.collision import ClearanceModel  # not at the top: where it is off, nothing needs MuJoCo
    except ImportError as error:
        raise RuntimeError(
            f"check_collisions needs MuJoCo ({error}): pip install 'genima_ros[sim]', or set "
            "check_collisions to false and watch the arm yourself"
        ) from error
    return ClearanceModel(arm, margins)


class WidthFilter:
    """Thins out the gripper's widths: a slow action is not flooded, and its last command is always the last width."""

    def __init__(self) -> None:
        self._sent_m: float | None = None
        self._sent_s = -np.inf

    def pass_on(self, width_m: float | None, now_s: float) -> float | None:
        """What to send now, if anything."""
        if width_m is None:  # nothing is commanded: what comes next is news
            self._sent_m = None
            return None
        if now_s - self._sent_s < GRIPPER_PERIOD_S:
            return None
        changed = self._sent_m is None or abs(width_m - self._sent_m) >= GRIPPER_STEP_M
        if not changed and now_s - self._sent_s < REPEAT_S:
            return None
        self._sent_m, self._sent_s = float(width_m), now_s
        return self._sent_m


def is_like(status: Status, other: Status | None) -> bool:
    """Whether they differ in nothing but the text."""
    return other is not None and (status.state, status.reason) == (other.state, other.reason)


def to_trajectory(command: Command, arm: Arm) -> JointTrajectory:
    """The set points ahead; stamp 0 means "from now" to a joint trajectory controller, whatever its clock says."""
    message = JointTrajectory(joint_names=list(arm.joint_names))
    for t_s, q, dq, ddq in zip(
        command.horizon_times_s, command.horizon_q, command.horizon_dq, command.horizon_ddq, strict=True
    ):
        message.points.append(
            JointTrajectoryPoint(
                positions=array.array("d", q),
                velocities=array.array("d", dq),
                accelerations=array.array("d", ddq),
                time_from_start=to_duration(float(t_s)),
            )
        )
    return message


def main() -> None:
    run(StreamerNode, regular=True)


if __name__ == "__main__":
    main()
