"""Joint mirroring as a node: the follower goes where the leader's arm is led."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState

from genima_core.arm_status import Level
from genima_core.streaming.mirror import ENGAGED, Mirror, MirrorConfig, Mirroring, MirrorOutput
from genima_core.streaming.states import Refusal, State, Status
from genima_core.timing import PeriodMeter
from genima_ros.arms import find_arm
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import read_joint_state, read_width, seconds, target_to_joint_state
from genima_ros.messages.status import Repeater, is_taken_over, read_status, status_to_message
from genima_ros.nodes.base import ArmParameters, GraphNode

REPEAT_S = 0.5
"""The state is told when it changes, and this often for its message."""
COUNT_EVERY_S = 0.5


@dataclass(frozen=True)
class TeleopParameters(MirrorConfig, ArmParameters):
    """The arm is the follower."""

    leader_arm: str = ""
    """The leader arm, likewise; by default one like the follower."""
    period_s: float = 0.01
    """Time between two steps of watchdogs and approach; mirroring itself is stepped by each state of the leader."""

    def __post_init__(self) -> None:
        MirrorConfig.__post_init__(self)
        if not 0 < self.period_s <= 0.05:
            raise ValueError(f"period_s is {self.period_s}; it must be in (0, 0.05]")


class TeleopNode(GraphNode[TeleopParameters]):
    """Lets the follower mirror the leader: steps a `Mirror` with each leader state and a steady clock.

    Publishes: joint_target (for the streamer), teleop_state (see `messages.status`), diagnostics.
    Subscribes: leader/joint_states, leader/gripper/joint_states, joint_states (of the follower), streamer_state.
    Services: ~/engage (take over: approach the leader, then mirror it), ~/pause (clutch), ~/stop, ~/disengage (give the
    arm back to a policy).
    """

    regular = True

    def __init__(self, make: Callable[..., Mirror] = Mirror, **options: Any) -> None:
        super().__init__("teleop", TeleopParameters, **options)
        self.arm = self.parameters.setup.arm
        self.leader_arm = find_arm(self.parameters.leader_arm or self.parameters.arm).arm
        self.mirror = make(self.arm, self.leader_arm, self.parameters)
        self._output = MirrorOutput(Status(Mirroring.IDLE), 0.0, float("nan"), None)
        self._tell_due, self._count_due = Repeater(REPEAT_S), Repeater(COUNT_EVERY_S)
        self._logged: tuple[object, str] = (None, "")
        self._sent = PeriodMeter(1 / self.parameters.max_rate_hz)
        self.announce(interfaces.JOINT_TARGET, interfaces.TELEOP_STATE)
        self._leader = self.subscribe(interfaces.LEADER_JOINT_STATES, self._on_leader)
        follower = self.subscribe(interfaces.JOINT_STATES, self._on_follower)
        shared = set(self.arm.joint_names) & set(self.leader_arm.joint_names)
        if self._leader.topic_name == follower.topic_name and shared:
            given = f"both joint states come on {follower.topic_name} with the same joints"
            remedy = "remap leader/joint_states to the leader's topic"
            raise ValueError(f"leader and follower are one arm: {given}; {remedy}")
        self.diagnostics.expect("leader", "follower")
        self.subscribe(interfaces.LEADER_GRIPPER_JOINT_STATES, self._on_leader_gripper)
        self.subscribe(interfaces.STREAMER_STATE, self._on_streamer)
        self.serve("engage", self._on_engage)
        self.serve("pause", lambda: self.mirror.pause(self.clock_s()) or "paused")
        self.serve("stop", self._on_stop)
        self.serve("disengage", lambda: self.mirror.disengage(self.clock_s()) or "given back")
        self.every(self.parameters.period_s, self._tick)

    def _tick(self) -> None:
        now_s = self.clock_s()
        if self._count_due(None, now_s):
            self._count_leaders()
        self._step(now_s)

    def _step(self, now_s: float) -> None:
        output = self.mirror.step(now_s)
        if output.target is not None:
            stamp_s = self.clocks.to_ros(output.target.stamp_s)
            self.say(interfaces.JOINT_TARGET, target_to_joint_state(output.target, self.arm, stamp_s))
            self._sent.tick(now_s)
            self.diagnostics.worked(self.clock_s() - now_s)
        elif output.status.state is not Mirroring.MIRRORING:
            self._sent.pause()
        self._output = output
        self._tell(output.status, round(output.progress, 1), now_s)

    def _tell(self, status: Status, progress: float, now_s: float) -> None:
        """Every change of the state, every tenth of the approach, and everything now and then."""
        key = status.state, status.reason, progress, "" if status.state in ENGAGED else status.text
        if not self._tell_due(key, now_s):
            return
        stopped, text = status.state is Mirroring.STOPPED, str(status)
        message = status_to_message(self.get_name(), status, Level.WARN if stopped else Level.OK)
        self.say(interfaces.TELEOP_STATE, message)
        if key != self._logged[0] and text != self._logged[1]:
            if stopped:
                self.get_logger().warning(text)
            else:  # a call of its own: rclpy refuses another severity from the same line
                self.get_logger().info(text)
        self._logged = key, text

    def _count_leaders(self) -> None:
        self.mirror.on_leaders(self.count_publishers(self._leader.topic_name))

    def _on_leader(self, message: JointState) -> None:
        now_s = self.clock_s()
        state = read_joint_state(message, self.leader_arm, self.clocks.to_steady, gripper=True)
        self.note("leader", self.mirror.on_leader(state, now_s), seconds(message.header.stamp))
        self._step(now_s)

    def _on_leader_gripper(self, message: JointState) -> None:
        width = read_width(message, self.leader_arm)
        if isinstance(width, Refusal):
            self.diagnostics.warn(width.text, "leader gripper")
        else:
            self.mirror.on_leader_width(width)

    def _on_follower(self, message: JointState) -> None:
        state = read_joint_state(message, self.arm, self.clocks.to_steady)
        self.note("follower", self.mirror.on_follower(state, self.clock_s()), seconds(message.header.stamp))

    def _on_streamer(self, message: DiagnosticStatus) -> None:
        if (status := read_status(message, State)) is not None:
            self.mirror.on_streamer(status, self.clock_s(), is_taken_over(message))

    def _on_engage(self) -> str | Refusal:
        self._count_leaders()
        return self.mirror.engage(self.clock_s()) or "approaching"

    def _on_stop(self) -> str:
        self.mirror.stop(self.clock_s())
        return "stopped"

    def values(self) -> dict[str, object]:
        output = self._output
        if output.status.state is Mirroring.STOPPED:
            self.diagnostics.warn(output.status.text, "stopped")
        return {
            **asdict(output.status),
            "progress": output.progress,
            "distance_rad": output.distance_rad,
            **{f"target_{key}": value for key, value in self._sent.summary().items()},
        }
