"""What the arm says of itself, and its silence: may it be moved?"""

import math
from dataclasses import dataclass
from enum import IntEnum

from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.reasons import ARM_ELSEWHERE, ARM_REPORTS, ARM_SILENT, ARM_UNKNOWN

NAME = "arm"
"""Of the arm's status among others of its kind."""
LONGEST = 400
"""Characters of a message that are kept."""


class Level(IntEnum):
    """Numbers as in diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    """May be moved."""
    WARN = 1
    """Must not be moved now: another mode, such as guiding."""
    ERROR = 2
    """Reflex, error or user stop."""


@dataclass(frozen=True)
class ArmStatus:
    level: Level
    message: str = ""
    """Part of a sentence: what is wrong, and what to do about it; "" at OK."""
    mode: str = ""
    errors: tuple[str, ...] = ()


class ArmWatch:
    """Keeps what the arm said last; nothing here raises, and nothing is found unless `watch_arm_status` is set."""

    def __init__(self, config: StreamerConfig) -> None:
        self._on, self._timeout_s = config.watch_arm_status, config.arm_status_timeout_s
        self._last: ArmStatus | None = None
        self._refusal = ""
        self._heard_s = -math.inf

    def take(self, name: str, level: int, message: str, now_s: float) -> str | None:
        """None, or why a status is not used: then it is as if it had not come."""
        if name != NAME or level not in tuple(Level):
            valid = ", ".join(f"{item:d} ({item.name})" for item in Level)
            self._refusal = (
                f"A status of {name!r} with level {level!r} is not used; valid are the name {NAME!r} and "
                f"levels {valid}: look at its sender."
            )
            return self._refusal
        self._last, self._refusal = ArmStatus(Level(level), " ".join(message.split())[:LONGEST]), ""
        self._heard_s = now_s
        return None

    @property
    def level(self) -> Level:
        """What it said last; OK where nobody asks."""
        return self._last.level if self._on and self._last is not None else Level.OK

    def find_trouble(self, now_s: float, awake_since_s: float) -> str | None:
        """Why the arm must not be moved now; an error stays until it says otherwise."""
        if not self._on:
            return None
        if self._last is None:
            hint = self._refusal or "Start the arm monitor, or the simulated cell, and check the topic arm_status."
            return f"{ARM_UNKNOWN} {hint}"
        if self._last.level is Level.ERROR:
            return f"{ARM_REPORTS} {self._last.message or 'an error; look at its driver'}; then: genima recover."
        # While this process was paused nothing could come: only the time since then counts against the sender.
        silent_s = now_s - max(self._heard_s, awake_since_s)
        if silent_s > self._timeout_s:
            return (
                f"{ARM_SILENT} for {silent_s:.2f} s (limit {self._timeout_s:g} s). "
                f"{self._refusal or 'Look at the arm monitor.'}"
            )
        if self._last.level is Level.WARN:
            return f"{ARM_ELSEWHERE} {self._last.message or 'it does not say why'}; then enable the streamer."
        return None

    def forget_times(self, now_s: float) -> None:
        """The clock was set back."""
        self._heard_s = min(self._heard_s, now_s)
