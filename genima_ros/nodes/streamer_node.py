"""The only node that commands the arm: 50 Hz (200 Hz in teleoperation), nothing heavy in its process."""

import array
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64, Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from genima_core.arm import ARMS, Arm
from genima_core.sim.margins import Margins
from genima_core.streaming.clearance import Clearance
from genima_core.streaming.streamer import Command, State, Streamer, StreamerConfig
from genima_core.timing import ClockPair, PeriodMeter
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import seconds, to_duration, to_joint_state
from genima_ros.messages.diagnostics import WARN_EVERY_S, Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.nodes.run import NODE_OPTIONS, run

REPEAT_S = 0.5
"""Slow outputs (gripper, chunk_wanted, state) are sent when they change, and this often in case somebody missed it."""
VELOCITY_SCALE = "velocity_scale"
GRIPPER_PERIOD_S, GRIPPER_STEP_M = 0.1, 1e-3
"""A gripper takes long for a command: those in between are left out, and what it would not notice."""


@dataclass(frozen=True)
class StreamerParameters(StreamerConfig, Margins):
    command: Literal["joint_trajectory", "joint_state", "float64_array"] = "joint_trajectory"
    """What the arm controller understands."""
    receiver_follows_horizon: bool = True
    """Right for the default `command`; see `StreamerConfig`."""
    enabled: bool = False
    """Whether to command the arm from the start; a real arm waits for ~/enable."""
    check_collisions: bool = False
    """Whether to stop before the arm comes nearer to itself or to the table than `Margins` says; needs MuJoCo."""

    def __post_init__(self) -> None:
        StreamerConfig.__post_init__(self)
        Margins.__post_init__(self)
        if self.receiver_follows_horizon and self.command != "joint_trajectory":
            raise ValueError(
                f"command is {self.command!r}, which carries no horizon: set receiver_follows_horizon to "
                "false, or command to 'joint_trajectory'"
            )


class StreamerNode(Node):
    """Feeds a `Streamer` with messages and steps it with a steady clock.

    Publishes: arm_controller/joint_trajectory (or arm_controller/joint_commands, arm_controller/commands),
    gripper/command (width in m), joint_commands (each set point, for recorders), chunk_wanted, streamer_state ("state"
    or "state: reason"), diagnostics.
    Subscribes: joint_states, action_chunk, joint_target (followed at once), arm_status (whether the arm may be moved).
    Services: ~/enable (SetBool), ~/stop (smoothly; then no commands until enabled), ~/emergency_stop (at once;
    then FAULT until ~/reset_fault, and no commands until enabled), ~/reset_fault.
    Changes while running: the parameter velocity_scale.
    """

    def __init__(
        self, make: Callable[..., Streamer] = Streamer, clock_s: Callable[[], float] = time.monotonic, **options
    ) -> None:
        super().__init__("streamer", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, StreamerParameters, changeable=(VELOCITY_SCALE,))
        clearance = (
            make_clearance(self.parameters, ARMS[self.parameters.arm]) if self.parameters.check_collisions else None
        )
        self.streamer = make(self.parameters, clearance)
        self._clock_s = clock_s
        self._clocks = ClockPair(clock_s, lambda: self.get_clock().now().nanoseconds * 1e-9)
        self._tracking = PeriodMeter(self.parameters.period_s)
        self._periods = PeriodMeter(self.parameters.period_s)
        self._repeated_s = -np.inf
        self._state, self._reason, self._logged_reason, self._logged_s = State.HOLDING, "", "", -np.inf
        self._wants_chunk: bool | None = None
        self._widths = WidthFilter()
        self._told = ""
        self._arm = interfaces.publish(self, interfaces.ARM_COMMANDS[self.parameters.command])
        self._gripper = interfaces.publish(self, interfaces.GRIPPER_COMMAND)
        self._commands = interfaces.publish(self, interfaces.JOINT_COMMANDS)
        self._wanted = interfaces.publish(self, interfaces.CHUNK_WANTED)
        self._told_state = interfaces.publish(self, interfaces.STREAMER_STATE)
        interfaces.subscribe(self, interfaces.JOINT_STATES, self._on_joint_state)
        interfaces.subscribe(self, interfaces.ACTION_CHUNK, self._on_chunk)
        interfaces.subscribe(self, interfaces.JOINT_TARGET, self._on_target)
        interfaces.subscribe(self, interfaces.ARM_STATUS, self._on_arm_status)
        self.create_service(interfaces.ENABLE.type, interfaces.ENABLE.name, self._on_enable)
        self.create_service(interfaces.STOP.type, interfaces.STOP.name, self._on_stop)
        self.create_service(interfaces.EMERGENCY_STOP.type, interfaces.EMERGENCY_STOP.name, self._on_emergency_stop)
        self.create_service(interfaces.RESET_FAULT.type, interfaces.RESET_FAULT.name, self._on_reset_fault)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = Diagnostics(
            self, ("joint_states", "action_chunk", "joint_target", "arm_status"), self._values
        )
        if self.parameters.enabled:
            self.streamer.enable()
        self._timer = self.create_timer(
            self.parameters.period_s, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _tick(self) -> None:
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
        self._tell_state(command, repeat)
        self._log_state(command, now_s)
        if command.state == State.FAULT:
            self._diagnostics.warn(command.reason, "fault")
        self._diagnostics.worked(self._clock_s() - now_s)

    def _tell_state(self, command: Command, repeat: bool) -> None:
        """Every change of the state at once; a reason whose numbers change does not flood the topic."""
        kind = command.state + _kind(command.reason)
        if repeat or kind != self._told:
            self._told = kind
            self._told_state.publish(String(data=_line(command)))

    def _log_state(self, command: Command, now_s: float) -> None:
        """Every change of the state, but of its reason only now and then: that may change many times a second."""
        changed, self._reason = command.state != self._state, command.reason
        self._state = command.state
        if changed or (_kind(command.reason) != _kind(self._logged_reason) and now_s - self._logged_s > WARN_EVERY_S):
            self._logged_reason, self._logged_s = command.reason, now_s
            self.get_logger().info(_line(command))

    def _send(self, command: Command, stamp_s: float) -> None:
        names = self.parameters.joint_names
        set_point = to_joint_state(names, command.q, stamp_s, command.dq)
        self._commands.publish(set_point)
        if self.parameters.command == "joint_state":
            self._arm.publish(set_point)
        elif self.parameters.command == "float64_array":
            self._arm.publish(Float64MultiArray(data=array.array("d", command.q)))
        else:
            self._arm.publish(to_trajectory(command, names))

    def _measure(self, state: State, now_s: float) -> None:
        self._periods.tick(now_s)
        if state == State.TRACKING:
            self._tracking.tick(now_s)
        else:
            self._tracking.pause()

    def _on_joint_state(self, message: JointState) -> None:
        now_s, stamp_s = self._clock_s(), seconds(message.header.stamp)
        problem = self.streamer.on_joint_state(
            message.name, message.position, message.velocity, self._clocks.to_steady(stamp_s), now_s
        )
        if problem is None:
            self._diagnostics.received("joint_states", stamp_s)
        else:
            self._diagnostics.warn(f"joint_states not used: {problem}", "joint_states")

    def _on_chunk(self, message: JointTrajectory) -> None:
        now_s, stamp_s = self._clock_s(), seconds(message.header.stamp)
        problem = self.streamer.on_chunk(
            message.joint_names,
            [seconds(point.time_from_start) for point in message.points],
            [point.positions for point in message.points],
            self._clocks.to_steady(stamp_s),
            now_s,
        )
        if problem is None:
            self._diagnostics.received("action_chunk", stamp_s)
        else:
            self._diagnostics.warn(f"action_chunk not used: {problem}", "action_chunk")

    def _on_target(self, message: JointState) -> None:
        now_s, stamp_s = self._clock_s(), seconds(message.header.stamp)
        problem = self.streamer.on_target(
            message.name, message.position, message.velocity, self._clocks.to_steady(stamp_s), now_s
        )
        if problem is None:
            self._diagnostics.received("joint_target", stamp_s)
        else:
            self._diagnostics.warn(f"joint_target not used: {problem}", "joint_target")

    def _on_arm_status(self, message: DiagnosticStatus) -> None:
        problem = self.streamer.on_arm_status(message.name, message.level[0], message.message, self._clock_s())
        self._diagnostics.received("arm_status", self.get_clock().now().nanoseconds * 1e-9)
        if problem:
            self._diagnostics.warn(problem, "arm_status")

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        refusal = self.streamer.enable() if request.data else self.streamer.disable()
        response.success = refusal is None
        response.message = refusal or ("enabled" if request.data else "stopping")
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.streamer.disable()
        response.success, response.message = True, "stopping"
        return response

    def _on_emergency_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.streamer.emergency_stop()
        self.get_logger().warn("emergency stop")
        response.success, response.message = True, "emergency stop: the arm stops and stays"
        return response

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Only what is not read-only comes here, with the right type."""
        refusals = [self.streamer.set_velocity_scale(p.value) for p in parameters if p.name == VELOCITY_SCALE]
        reason = " ".join(filter(None, refusals))
        return SetParametersResult(successful=not reason, reason=reason)

    def _on_reset_fault(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self.streamer.reset_fault()
        response.message = (
            "fault left"
            if response.success
            else (f"nothing changed: the state is {self._state}{': ' + self._reason if self._reason else ''}")
        )
        return response

    def _values(self) -> dict[str, object]:
        statistics = self.streamer.statistics(self._clock_s())
        latency = {
            f"follow_latency_ms_{name}": 1e3 * value
            for name, value in zip(("p50", "p99", "max"), statistics.follow_latency_s, strict=True)
        }
        return {
            "state": self._state,
            "reason": self._reason,
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


def _line(command: Command) -> str:
    return f"{command.state}: {command.reason}" if command.reason else str(command.state)


def _kind(reason: str) -> str:
    """A reason without its numbers, which change from tick to tick."""
    return "".join(c for c in reason if not c.isdigit())


def to_trajectory(command: Command, names: tuple[str, ...]) -> JointTrajectory:
    """The set points ahead; stamp 0 means "from now" to a joint trajectory controller, whatever its clock says."""
    message = JointTrajectory(joint_names=list(names))
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
