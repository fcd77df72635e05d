"""What nodes say of themselves, and back: states of machines, gate and arm; diagnostics once a second.

Values hold the state and the kind of reason; the message is a sentence for people, and nobody reads it to know.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import get_args

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from genima_core.arm_status import ArmStatus, Level
from genima_core.streaming.states import Command, Reason, Refusal, Status
from genima_core.types import Execution
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import seconds

ARM = "arm"
"""Name of the arm's status among others of its kind."""
LONGEST = 400
"""Characters of a text that are kept."""
REPEAT_S = 0.05

PERIOD_S = 1.0
WARN_EVERY_S = 5.0
"""The same problem is logged at most this often; it stays in the diagnostics until it is over."""
PROBLEM_LASTS_S = 2.5
WINDOW_S = 5.0
"""Rates are means over this time."""
LATENCIES = 200
LETTERS, PROBLEMS = 1000, 20
"""At most, of a problem and of problems at a time: what a message says may be quoted, and it may say anything."""


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
        self._publisher, self._due = interfaces.publish(node, interfaces.ARM_STATUS), Repeater(REPEAT_S)

    def tell(self, status: ArmStatus, now_s: float) -> None:
        if self._due(status, now_s):
            self._publisher.publish(arm_status_to_message(status))


def status_to_message(name: str, status: Status, level: Level = Level.OK, **more: str) -> DiagnosticStatus:
    return _message(name, level, status.text, {"state": status.state, "reason": status.reason, **more})


def read_status(message: DiagnosticStatus, states: type[StrEnum]) -> Status | None:
    """The status that a message holds; None if its state is none of these, or its reason is unknown."""
    values = values_of(message)
    try:
        return Status(states(values["state"]), Reason(values["reason"]), _shortened(message.message))
    except (KeyError, ValueError):
        return None


def control_of(command: Command, execution: Execution) -> dict[str, str]:
    """What streamer_state says beside the state: who commands, whether the operator has the arm, how chunks are
    executed.
    """
    taken_over = str(command.taken_over).lower()
    return {"commander": command.commander, "taken_over": taken_over, "execution": execution}


def is_taken_over(message: DiagnosticStatus) -> bool:
    """Whether streamer_state says that the operator has the arm."""
    return values_of(message).get("taken_over") == "true"


def read_execution(message: DiagnosticStatus) -> Execution | None:
    """How streamer_state says that chunks are executed; None where it does not."""
    told = values_of(message).get("execution")
    return next((execution for execution in get_args(Execution) if execution == told), None)


def approval_to_message(decision: str, by: str, proposed: str) -> DiagnosticStatus:
    """What a person decided (`approved` or `rejected`) of a proposal, and who that was."""
    by = _shortened(by) or "somebody"
    return _message("approval", Level.OK, f"{decision} by {by}: {proposed}", {"decision": decision, "by": by})


def arm_status_to_message(status: ArmStatus) -> DiagnosticStatus:
    values = {"mode": status.mode, "errors": ", ".join(status.errors)}
    if status.placed:
        values["placed"] = str(status.placed)
    return _message(ARM, status.level, status.message, values)


def read_arm_status(message: DiagnosticStatus) -> ArmStatus | Refusal:
    """The arm's status, or why it is not used: then it counts as not received."""
    level, values = message.level[0], values_of(message)
    placed = values.get("placed", "0")
    if message.name != ARM or level not in tuple(Level) or not placed.isdecimal():
        valid = ", ".join(f"{item:d} ({item.name})" for item in Level)
        given = f"A status of {_shortened(message.name)!r} with level {level!r}"
        text = f"{given}; valid are the name {ARM!r} and levels {valid}: look at its sender."
        return Refusal(Reason.NAMES, text)
    return ArmStatus(Level(level), _shortened(message.message), values.get("mode", ""), placed=int(placed[:9]))


def values_of(message: DiagnosticStatus) -> dict[str, str]:
    """By key; of many the first ones."""
    return {pair.key: pair.value for pair in message.values[:50]}


def _message(name: str, level: Level, text: str, values: Mapping[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=bytes([level]), name=name, message=text, values=pairs)


def _shortened(text: str) -> str:
    return " ".join(text[: 2 * LONGEST].split())[:LONGEST]


class Diagnostics:
    """Collects what a node reports, and what `extra` says of it, and publishes it in a status named after the node."""

    def __init__(self, node: Node, extra: Callable[[], Mapping[str, object]] = dict) -> None:
        self._node, self._extra, self._started_s = node, extra, time.monotonic()
        self._worked_s: deque[float] = deque()
        self._latencies_s: deque[float] = deque(maxlen=LATENCIES)
        self._input_stamps_s: dict[str, float | None] = {}
        self._problems: dict[str, tuple[float, str]] = {}
        self._last_problem = ""
        self._logged: dict[str, float] = {}
        self._publisher = interfaces.publish(node, interfaces.DIAGNOSTICS)
        # Steady: a timer of the wall clock is silent for as long as that was set back.
        self._timer = node.create_timer(PERIOD_S, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def expect(self, *inputs: str) -> None:
        """Inputs that are told of even before they come."""
        self._input_stamps_s |= dict.fromkeys(inputs)

    def every(self, period_s: float) -> None:
        """As often as this they are published from now on."""
        self._timer.timer_period_ns = round(1e9 * period_s)

    def received(self, name: str, stamp_s: float) -> None:
        """An input was used; `stamp_s` is its stamp in ROS time."""
        self._input_stamps_s[name] = stamp_s

    def worked(self, latency_s: float | None = None) -> None:
        """One output was published, after `latency_s` of work."""
        self._worked_s.append(time.monotonic())
        if latency_s is not None:
            self._latencies_s.append(latency_s)

    def warn(self, message: str, key: str | None = None) -> None:
        """Reports a problem and its remedy; of those with one key (default: the message) the newest stands."""
        message = message if len(message) <= LETTERS else f"{message[:LETTERS]} ..."
        now_s, key = time.monotonic(), key or message
        self._problems.pop(key, None)
        self._problems[key] = now_s, message
        self._last_problem = message
        if now_s - self._logged.get(key, -np.inf) >= WARN_EVERY_S:
            self._logged[key] = now_s
            self._node.get_logger().warning(message)

    def publish(self) -> None:
        now_s, ros_now_s = time.monotonic(), self._node.get_clock().now().nanoseconds * 1e-9
        while self._worked_s and now_s - self._worked_s[0] > WINDOW_S:
            self._worked_s.popleft()
        over_s = min(WINDOW_S, max(now_s - self._started_s, PERIOD_S))
        values: dict[str, object] = {"rate_hz": len(self._worked_s) / over_s}
        if self._latencies_s:
            median, p95 = np.percentile(self._latencies_s, [50, 95]) * 1e3
            values |= {"latency_ms_median": float(median), "latency_ms_p95": float(p95)}
        for name, stamp_s in self._input_stamps_s.items():
            values[f"{name}_age_ms"] = "never" if stamp_s is None else 1e3 * (ros_now_s - stamp_s)
        values |= self._extra()
        newest = list(self._problems.items())[-PROBLEMS:]
        self._problems = {key: (at_s, text) for key, (at_s, text) in newest if now_s - at_s < PROBLEM_LASTS_S}
        self._logged = {key: at_s for key, at_s in self._logged.items() if now_s - at_s < WARN_EVERY_S}
        values["last_problem"] = self._last_problem
        texts = {key: f"{value:.3f}" if isinstance(value, float) else str(value) for key, value in values.items()}
        problems = "; ".join(text for _, text in self._problems.values())
        status = _message(self._node.get_name(), Level.WARN if self._problems else Level.OK, problems or "ok", texts)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def read_diagnostics(message: DiagnosticArray) -> dict[str, dict[str, float | str]]:
    """Node name to its values, numbers as floats; "message", "level" and "stamp_s" are among the keys."""
    result: dict[str, dict[str, float | str]] = {}
    for status in message.status:
        level, stamp_s = float(status.level[0]), seconds(message.header.stamp)
        values: dict[str, float | str] = {"message": status.message, "level": level, "stamp_s": stamp_s}
        for pair in status.values:
            try:
                values[pair.key] = float(pair.value)
            except ValueError:
                values[pair.key] = pair.value
        result[status.name] = values
    return result
