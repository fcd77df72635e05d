"""Watches the state of a real arm and says whether it may be moved."""

from dataclasses import dataclass
from typing import Any

from rclpy.serialization import deserialize_message

from genima_core.arm_status import ArmStatus, Level, read_status, silent_status
from genima_core.config import check_positive
from genima_ros.graph.packages import import_messages
from genima_ros.messages import interfaces
from genima_ros.messages.status import StatusTeller
from genima_ros.nodes.base import ArmParameters, GraphNode

TICK_S = 0.01
"""States come up to a thousand times a second; only the newest is looked at, this often."""


@dataclass(frozen=True)
class ArmMonitorParameters(ArmParameters):
    robot_state_type: str = ""
    """Message type with the fields robot_mode and current_errors; by default that of the arm's file."""
    robot_state_timeout_s: float = 0.3
    """Without a state for this long the arm must not be moved; drivers send 30 a second or more."""

    def __post_init__(self) -> None:
        check_positive(self, "robot_state_timeout_s")


class ArmMonitorNode(GraphNode[ArmMonitorParameters]):
    """Turns the driver's state into arm_status.

    Publishes: arm_status, diagnostics.
    Subscribes: robot_state.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("arm_monitor", ArmMonitorParameters, **options)
        self._type = self.parameters.robot_state_type or self.parameters.setup.driver.robot_state_type
        self._kind = load_message(self._type)
        self._newest: tuple[bytes, float] | None = None
        self._status: ArmStatus | None = None
        self._heard_s = self.clock_s()
        self._teller = StatusTeller(self)
        topic = interfaces.robot_state(self._kind)
        self.create_subscription(topic.type, topic.name, self._on_state, topic.qos, raw=True)
        self.every(TICK_S, self._tick)

    def _on_state(self, data: bytes) -> None:
        self._newest = data, self.clock_s()

    def _tick(self) -> None:
        now_s, limit_s = self.clock_s(), self.parameters.robot_state_timeout_s
        if self._newest is not None:
            self._read(*self._newest)
        self._newest, status = None, self._status
        if status is None or now_s - self._heard_s > limit_s:
            status = silent_status(status, limit_s)
        self._teller.tell(status, now_s)
        if status.level is not Level.OK:
            self.diagnostics.warn(f"the arm must not be moved: {status.message}", "arm")
        self.diagnostics.worked(self.clock_s() - now_s)

    def _read(self, data: bytes, heard_s: float) -> None:
        try:
            state = deserialize_message(data, self._kind)
        except RuntimeError as error:
            text = f"robot_state is not a {self._type} ({error}); source the franka_msgs of the driver's own workspace"
            self.diagnostics.warn(text, "robot_state")
            return
        self._heard_s = heard_s
        last_errors = errors_of(getattr(state, "last_motion_errors", None))
        self._status = read_status(state.robot_mode, errors_of(state.current_errors), last_errors)

    def values(self) -> dict[str, object]:
        return {"mode": "" if self._status is None else self._status.mode}


def errors_of(flags: Any) -> tuple[str, ...]:
    """Names of the fields that are true; none of None."""
    kinds = {} if flags is None else flags.get_fields_and_field_types()
    return tuple(name for name, kind in kinds.items() if kind == "boolean" and getattr(flags, name))


def load_message(name: str) -> type:
    """The class of a message with an arm's mode and errors, such as franka_msgs/msg/FrankaRobotState; ValueError where
    it cannot be one, RuntimeError where it is missing.
    """
    package, _, kind = name.partition("/msg/")
    if not (package and kind):
        raise ValueError(f"robot_state_type is {name!r}; valid is a message such as franka_msgs/msg/FrankaRobotState")
    message = getattr(import_messages(f"{package}.msg", f"robot_state_type {name}"), kind, None)
    if message is None:
        hint = "source the workspace of its driver: franka_ros2 for an FR3, multipanda_ros2 for a Panda"
        raise RuntimeError(f"{package} has no message {kind}; {hint}")
    missing = {"robot_mode", "current_errors"} - set(message.get_fields_and_field_types())
    if missing:
        valid = "valid are franka_msgs/msg/FrankaRobotState and franka_msgs/msg/FrankaState"
        raise ValueError(f"robot_state_type is {name}, which has no {' and no '.join(sorted(missing))}; {valid}")
    return message
