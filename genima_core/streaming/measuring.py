"""Where the arm is, as far as its joint states can be believed."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.inspection import Measurement, Refusal, read_joint_state

STAMP_SLACK_S = 1e-4
"""Stamps that differ by less are the same, converted between clocks."""
JUMP_RATIO, JUMP_SLACK_RAD = 2.0, 0.05
"""An arm that seems to have turned further between two joint states than this times its greatest velocity, has not."""
STUCK_S = 0.1
"""Sensors have noise: seven numbers that stay the same for longer are no measurements."""


class Measuring:
    """Keeps the newest usable joint state; nothing here raises."""

    def __init__(self, config: StreamerConfig):
        self._config = config
        self.last: Measurement | None = None
        self.rejected = Counter()
        self.last_refusal = ""
        """Of a joint state, "" if the newest one is used."""
        self._jumped = False
        self._same_since_s = math.inf

    def take(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
        stamp_s: float,
        now_s: float,
    ) -> str | None:
        """None, or why a joint state is not used: see `Streamer.on_joint_state`."""
        seen = read_joint_state(self._config.joint_names, names, positions, velocities, stamp_s, now_s)
        if isinstance(seen, Measurement):
            age, limit = now_s - seen.stamp_s, self._config.joint_state_timeout_s
            if not abs(age) <= limit:
                seen = Refusal(
                    "stale",
                    f"The joint state is stamped {abs(age):.3f} s {'ago' if age > 0 else 'ahead'}; "
                    f"valid is within {limit:g} s: look at the driver and synchronise the clocks.",
                )
            elif self.last is not None and seen.stamp_s < self.last.stamp_s + STAMP_SLACK_S:
                seen = Refusal(
                    "frozen",
                    f"The joint state's stamp {seen.stamp_s:.3f} s is not after the one before "
                    f"({self.last.stamp_s:.3f} s); look at the driver of the arm.",
                )
        if isinstance(seen, Refusal):
            self.rejected[seen.kind] += 1
            self.last_refusal = seen.reason
            return seen.reason
        self._compare(seen)
        self.last, self.last_refusal = seen, ""
        return None

    def _compare(self, seen: Measurement) -> None:
        """Remembers what no arm does: to be elsewhere at once, or to give the same numbers again and again."""
        if self.last is None or not math.isfinite(self.last.stamp_s):
            self._same_since_s = seen.stamp_s
            return
        turned = np.abs(seen.q - self.last.q)
        within = JUMP_RATIO * self._config.limits.velocity * (seen.stamp_s - self.last.stamp_s) + JUMP_SLACK_RAD
        self._jumped = self._jumped or bool((turned > within).any())
        if turned.any():
            self._same_since_s = seen.stamp_s

    @property
    def doubt(self) -> str:
        """What speaks against the measured position since the stream began; "" if nothing does."""
        if self._jumped:
            return "the joint states jump"
        return "the joint states repeat the same numbers" if self.last.stamp_s - self._same_since_s > STUCK_S else ""

    @property
    def received_s(self) -> float:
        return -math.inf if self.last is None else self.last.received_s

    def fresh(self, now_s: float) -> bool:
        """A joint state came lately."""
        return now_s - self.received_s <= self._config.joint_state_timeout_s

    def start(self) -> np.ndarray | str:
        """Where commands may begin (7,), or why they may not."""
        limits, q, self._jumped = self._config.limits, self.last.q, False
        outside = np.maximum(limits.lower - q, q - limits.upper)
        i = int(np.argmax(outside))
        if outside[i] > self._config.start_tolerance_rad:
            return (
                f"{self._config.joint_names[i]} is measured at {q[i]:.3f} rad, outside [{limits.lower[i]:.4f}, "
                f"{limits.upper[i]:.4f}]; move the arm back by hand."
            )
        return np.clip(q, limits.lower, limits.upper)

    def find_silence(self, now_s: float, awake_since_s: float) -> tuple[str, bool] | None:
        """What is wrong with a driver that says nothing, and whether it is a fault."""
        # While this process was paused nothing could come: only the time since then counts against the driver.
        silent_s, config = now_s - max(self.received_s, awake_since_s), self._config
        if silent_s <= config.joint_state_timeout_s:
            return None
        hint = self.last_refusal or "Look at the arm's driver and the network."
        if silent_s > config.joint_state_fault_s:
            return f"No usable joint state for more than {config.joint_state_fault_s:g} s. {hint}", True
        return (f"No usable joint state for {silent_s:.2f} s (limit {config.joint_state_timeout_s:g} s). {hint}", False)

    def find_deviation(self, deviation: np.ndarray) -> str | None:
        """What is wrong with an arm that is measured so far (7,) from its commands."""
        config, i = self._config, int(np.argmax(deviation))
        if deviation[i] <= config.max_deviation_rad:
            return None
        remedy = (
            f"{self.doubt}: look at the arm's driver"
            if self.doubt
            else "free the arm or recover it from its reflex stop"
        )
        return (
            f"{config.joint_names[i]} is measured at {self.last.q[i]:.3f} rad, {deviation[i]:.3f} rad from its "
            f"command (limit {config.max_deviation_rad:g} rad); {remedy}, then reset the fault."
        )

    def forget_times(self, now_s: float) -> None:
        """The clock was set back."""
        if self.last is not None:
            self.last = replace(self.last, stamp_s=-math.inf, received_s=min(self.last.received_s, now_s))
