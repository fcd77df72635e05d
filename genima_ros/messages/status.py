"""State as data: what a state machine, the target gate or an arm reports, as a DiagnosticStatus and back.

Values hold the state and the kind of reason; the message is a sentence for people, and nobody reads it to know.
"""

import math
from enum import StrEnum

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node

from genima_core.arm_status import ArmStatus, Level
from genima_core.streaming.states import Reason, Refusal, Status
from genima_ros.messages import interfaces

ARM = "arm"
"""Name of the arm's status among others of its kind."""
LONGEST = 400
"""Characters of a text that are kept."""
REPEAT_S = 0.05


class Repeater:
    """Says when to publish: at once what is new, and the same again every so often, in case somebody missed it."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._said: object = Repeater
        self._said_s = -math.inf

    def __call__(self, what: object, now_s: float) -> bool:
        if what == self._said and now_s - self._said_s < self._every_s:
            return False
        self._said, self._said_s = what, now_s
        return True


class StatusTeller:
    """Publishes arm_status; silence means something, so `tell` is called by a timer, more often than every REPEAT_S."""

    def __init__(self, node: Node) -> None:
        self._publisher = interfaces.publish(node, interfaces.ARM_STATUS)
        self._due = Repeater(REPEAT_S)

    def tell(self, status: ArmStatus, now_s: float) -> None:
        if self._due(status, now_s):
            self._publisher.publish(arm_status_to_message(status))


def status_to_message(name: str, status: Status, level: Level = Level.OK) -> DiagnosticStatus:
    return _message(name, level, status.text, state=status.state, reason=status.reason)


def read_status(message: DiagnosticStatus, states: type[StrEnum]) -> Status | None:
    """The status that a message holds; None if its state is none of these, or its reason is unknown."""
    values = values_of(message)
    try:
        return Status(states(values["state"]), Reason(values["reason"]), _shortened(message.message))
    except (KeyError, ValueError):
        return None


def arm_status_to_message(status: ArmStatus) -> DiagnosticStatus:
    values = {"mode": status.mode, "errors": ", ".join(status.errors)}
    if status.placed:
        values["placed"] = str(status.placed)
    return _message(ARM, status.level, status.message, **values)


def read_arm_status(message: DiagnosticStatus) -> ArmStatus | Refusal:
    """The arm's status, or why it is not used: then it counts as not received."""
    level, values = message.level[0], values_of(message)
    placed = values.get("placed", "0")
    if message.name != ARM or level not in tuple(Level) or not placed.isdecimal():
        valid = ", ".join(f"{item:d} ({item.name})" for item in Level)
        given = f"A status of {_shortened(message.name)!r} with level {level!r} is not used"
        text = f"{given}; valid are the name {ARM!r} and levels {valid}: look at its sender."
        return Refusal(Reason.NAMES, text)
    return ArmStatus(Level(level), _shortened(message.message), values.get("mode", ""), placed=int(placed[:9]))


def values_of(message: DiagnosticStatus) -> dict[str, str]:
    """By key; of many the first ones."""
    return {pair.key: pair.value for pair in message.values[:50]}


def _message(name: str, level: Level, text: str, **values: str) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=bytes([level]),
        name=name,
        message=text,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _shortened(text: str) -> str:
    return " ".join(text[: 2 * LONGEST].split())[:LONGEST]
