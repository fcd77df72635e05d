"""The arm's status as a message: at once when it changes, and again and again, so that silence means something."""

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from genima_core.streaming.arm_status import NAME, ArmStatus
from genima_ros.messages import interfaces

REPEAT_S = 0.05


class StatusTeller:
    """Publishes arm_status; `tell` is called by a timer, more often than every REPEAT_S."""

    def __init__(self, node) -> None:
        self._publisher = interfaces.publish(node, interfaces.ARM_STATUS)
        self._told: ArmStatus | None = None
        self._told_s = 0.0

    def tell(self, status: ArmStatus, now_s: float) -> None:
        if status != self._told or now_s - self._told_s >= REPEAT_S:
            self._told, self._told_s = status, now_s
            self._publisher.publish(to_message(status))


def to_message(status: ArmStatus) -> DiagnosticStatus:
    values = {"mode": status.mode, "errors": ", ".join(status.errors)}
    return DiagnosticStatus(
        level=bytes([status.level]),
        name=NAME,
        message=status.message,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
