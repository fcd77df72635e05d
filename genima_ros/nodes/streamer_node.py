"""The only node that commands the arm: 50 Hz (200 Hz in teleoperation), nothing heavy in its process."""

import array
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from genima_core.arm import Arm
from genima_core.arm_status import Level
from genima_core.sim.margins import Margins
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.playback import Clearance
from genima_core.streaming.states import Command, Refusal, State, Status
from genima_core.streaming.streamer import Streamer
from genima_core.timing import PeriodMeter
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.conversions import seconds, to_duration, to_joint_state
from genima_ros.messages.status import (
    WARN_EVERY_S,
    Repeater,
    control_of,
    read_arm_status,
    read_status,
    status_to_message,
)
from genima_ros.nodes.base import ArmParameters, GraphNode
from genima_ros.nodes.emergency_stop import EmergencyStop

REPEAT_S = 0.5
"""Slow outputs (gripper, chunk_wanted, state) are sent when they change, and this often in case somebody missed it."""
LOOK_ROUND_S = 0.3
"""How often the graph is asked who else commands the arm."""
GRIPPER_PERIOD_S, GRIPPER_STEP_M = 0.1, 1e-3
"""A gripper takes long for a command: those in between are left out, and what it would not notice."""


@dataclass(frozen=True)
class StreamerParameters(StreamerConfig, Margins, ArmParameters):
    enabled: bool = False
    """Whether to command the arm from the start; a real arm waits for ~/enable."""
    check_collisions: bool = False
    """Whether to stop before the arm comes closer to itself or to the table than `Margins` says; needs MuJoCo."""

    def __post_init__(self) -> None:
        StreamerConfig.__post_init__(self)
        Margins.__post_init__(self)


class StreamerNode(GraphNode[StreamerParameters]):
    """Commands the arm: feeds a `Streamer` with messages, and steps it with a steady clock.

    Publishes: arm_controller/joint_trajectory (or arm_controller/joint_commands, arm_controller/commands),
    gripper/command (width in m), joint_commands (each set point, for recorders), chunk_wanted, streamer_state
    (see `messages.status`), diagnostics.
    Subscribes: joint_states, action_chunk, joint_target (followed at once), arm_status (whether the arm may be moved),
    teleop_state (whether the operator has taken over).
    Services: ~/enable (SetBool), ~/stop (smoothly; then no commands until enabled), ~/emergency_stop (before every
    other message; then FAULT until ~/reset_fault, and no commands until enabled), ~/reset_fault.
    Changes while running: the parameters velocity_scale and execution, which the controller follows.
    """

    regular = True

    def __init__(self, make: Callable[..., Streamer] = Streamer, **options: Any) -> None:
        super().__init__("streamer", StreamerParameters, changeable=("velocity_scale", "execution"), **options)
        p, setup = self.parameters, self.parameters.setup
        self.arm, self._command_kind = setup.arm, setup.driver.command
        clearance = make_clearance(p, self.arm) if p.check_collisions else None
        self.streamer = make(self.arm, p, clearance, setup.driver.receiver_follows_horizon)
        self._tracking, self._periods = PeriodMeter(p.period_s), PeriodMeter(p.period_s)
        self.status = self._logged = Status(State.HOLDING)
        self._logged_s = -np.inf
        self._state_due, self._wanted_due = Repeater(REPEAT_S), Repeater(REPEAT_S)
        self._look_due = Repeater(LOOK_ROUND_S)
        self._widths = WidthFilter()
        self._controller = interfaces.ARM_COMMANDS[self._command_kind]
        self.announce(self._controller, interfaces.GRIPPER_COMMAND, interfaces.JOINT_COMMANDS)
        self.announce(interfaces.CHUNK_WANTED, interfaces.STREAMER_STATE)
        self._emergency = EmergencyStop(self, self._on_emergency_stop)
        for topic, read, take in (
            (interfaces.JOINT_STATES, conversions.read_joint_state, self.streamer.on_joint_state),
            (interfaces.ACTION_CHUNK, conversions.read_chunk, self.streamer.on_chunk),
            (interfaces.JOINT_TARGET, conversions.read_target, self.streamer.on_target),
        ):
            self.subscribe(topic, partial(self._on_input, topic.name, read, take))
            self.diagnostics.expect(topic.name)
        self.subscribe(interfaces.ARM_STATUS, self._on_arm_status)
        self.diagnostics.expect("arm_status")
        self.subscribe(interfaces.TELEOP_STATE, self._on_teleop_state)
        self.serve("enable", self._on_enable)
        self.serve("stop", self._on_stop)
        self.serve("reset_fault", lambda: self.streamer.reset_fault() or "the fault is cleared")
        self.take_changes(self._change)
        if p.enabled:
            self.streamer.enable()
        self.every(p.period_s, self._tick)

    def close(self) -> None:
        self._emergency.close()

    def _tick(self) -> None:
        self._emergency.poll()
        now_s = self.clock_s()
        command = self.streamer.step(now_s)
        if command.q is not None:
            self._send(command, command.q, self.clocks.to_ros(now_s))
        self._periods.tick(now_s)
        if command.state is State.TRACKING:
            self._tracking.tick(now_s)
        else:
            self._tracking.pause()
        if (width_m := self._widths.pass_on(command.gripper_width_m, now_s)) is not None:
            self.say(interfaces.GRIPPER_COMMAND, data=width_m)
        if self._wanted_due(command.wants_chunk, now_s):
            self.say(interfaces.CHUNK_WANTED, data=bool(command.wants_chunk))
        self._tell(command, now_s)
        if self._look_due(None, now_s):
            self._look_round()
        self.diagnostics.worked(self.clock_s() - now_s)

    def _tell(self, command: Command, now_s: float) -> None:
        """Every change of state, kind of reason and commander at once; a text whose numbers change floods no topic.

        In the log every change of the state, but of its reason only now and then: that may change many times a second.
        """
        status, logged, control = command.status, self._logged, control_of(command, self.streamer.config.execution)
        self.status = status
        if self._state_due((status.state, status.reason, *control.values()), now_s):
            level = Level.ERROR if status.state is State.FAULT else Level.OK
            self.say(interfaces.STREAMER_STATE, status_to_message(self.get_name(), status, level, **control))
        late = status.reason is not logged.reason and now_s - self._logged_s > WARN_EVERY_S
        if status.state is not logged.state or late:
            self._logged, self._logged_s = status, now_s
            self.get_logger().info(str(status))
        if status.state is State.FAULT:
            self.diagnostics.warn(status.text, "fault")

    def _look_round(self) -> None:
        """Who else commands the arm, or has this node's name; one of each is this node."""
        own = self.get_fully_qualified_name()
        named = [f"{space.rstrip('/')}/{name}" for name, space in self.get_node_names_and_namespaces()]
        speaking = interfaces.publishers_of(self, self._controller)
        doubled = [f"another {own}"] if max(named.count(own), speaking.count(own)) > 1 else []
        self.streamer.on_commanders([*(name for name in speaking if name != own), *doubled])

    def _send(self, command: Command, q: np.ndarray, stamp_s: float) -> None:
        set_point = to_joint_state(self.arm.joint_names, q, stamp_s, command.dq)
        self.say(interfaces.JOINT_COMMANDS, set_point)
        if self._command_kind == "joint_state":
            self.say(self._controller, set_point)
        elif self._command_kind == "float64_array":
            self.say(self._controller, data=array.array("d", q))
        else:
            self.say(self._controller, to_trajectory(command, self.arm))

    def _on_input(self, name: str, read: Callable, take: Callable, message: JointState | JointTrajectory) -> None:
        self._emergency.poll()
        refusal = take(read(message, self.arm, self.clocks.to_steady), self.clock_s())
        self.note(name, refusal, seconds(message.header.stamp))

    def _on_arm_status(self, message: DiagnosticStatus) -> None:
        self._emergency.poll()
        status = read_arm_status(message)
        self.streamer.on_arm_status(status, self.clock_s())
        self.note("arm_status", status if isinstance(status, Refusal) else None, self.ros_now_s())

    def _on_teleop_state(self, message: DiagnosticStatus) -> None:
        self._emergency.poll()
        if (status := read_status(message, Mirroring)) is not None:
            self.streamer.on_teleop(status, self.clock_s())

    def _on_enable(self, wanted: bool) -> str | Refusal:
        self._emergency.poll()
        if not wanted:
            return self._on_stop()
        self._look_round()
        return self.streamer.enable() or "enabled"

    def _on_stop(self) -> str:
        self.streamer.disable()
        return "stopping"

    def _on_emergency_stop(self) -> str:
        self.streamer.emergency_stop()
        self.get_logger().warn("emergency stop")
        return "emergency stop: the arm stops and stays"

    def _change(self, changed: StreamerParameters) -> None:
        """ValueError: not valid."""
        self._emergency.poll()
        scaled = self.streamer.set_velocity_scale(changed.velocity_scale)
        refusal = scaled or self.streamer.set_execution(changed.execution, self.clock_s())
        if refusal is not None:
            raise ValueError(refusal.text)

    def values(self) -> dict[str, object]:
        statistics = asdict(self.streamer.statistics(self.clock_s()))
        latencies_s = zip(("p50", "p99", "max"), statistics.pop("follow_latency_s"), strict=True)
        return {
            **asdict(self.status),
            "velocity_scale": self.streamer.config.velocity_scale,
            "execution": self.streamer.config.execution,
            **{name: sum(v.values()) if isinstance(v, dict) else v for name, v in statistics.items()},
            **{f"follow_latency_ms_{name}": 1e3 * latency_s for name, latency_s in latencies_s},
            **self._periods.summary(),
            **{f"tracking_{key}": value for key, value in self._tracking.summary().items()},
        }


def make_clearance(margins: Margins, arm: Arm) -> Clearance:
    """What tells where the arm is too near to itself or to the table; RuntimeError without MuJoCo or the meshes."""
    try:
        from genima_core.sim.collision import ClearanceModel  # not at the top: where it is off, nothing needs MuJoCo
    except ImportError as error:
        remedy = "pip install 'genima_ros[sim]', or set check_collisions to false and watch the arm yourself"
        raise RuntimeError(f"check_collisions needs MuJoCo ({error}): {remedy}") from error
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


def to_trajectory(command: Command, arm: Arm) -> JointTrajectory:
    """The set points ahead; stamp 0 means "from now" to a joint trajectory controller, whatever its clock says."""
    message = JointTrajectory(joint_names=list(arm.joint_names))
    horizon = (command.horizon_times_s, command.horizon_q, command.horizon_dq, command.horizon_ddq)
    for t_s, q, dq, ddq in zip(*horizon, strict=True):
        point = JointTrajectoryPoint(positions=array.array("d", q), time_from_start=to_duration(float(t_s)))
        point.velocities, point.accelerations = array.array("d", dq), array.array("d", ddq)
        message.points.append(point)
    return message
