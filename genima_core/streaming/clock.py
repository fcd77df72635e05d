"""When steps came, and what is wrong with that."""

import math

from genima_core.streaming.inspection import Refusal

MISSED_SHARE = 0.25
"""A command is counted as missed this share of a period before the next one is due."""


class StepClock:
    """Watches the times of the steps; counts those that were late, and pauses."""

    def __init__(self, period_s: float, max_gap_s: float, counts_missed: bool):
        """`counts_missed`: periods without a step moved the receiver on (`StreamerConfig.receiver_follows_horizon`)."""
        self._period_s, self._max_gap_s, self._counts_missed = period_s, max_gap_s, counts_missed
        self.now_s = self.previous_s = math.nan
        """Times of the last step and of the one before."""
        self.awake_since_s = -math.inf
        """End of the last pause: what did not come before says nothing about those who send it."""
        self._commanded_s = math.nan  # until when commands have moved the receiver
        self.gaps = self.late = 0
        self.longest_gap_s = 0.0

    def observe(self, now_s: float) -> tuple[int, Refusal | None]:
        """A step at now_s: periods that the receiver moved on without us since the last, what is wrong with the time.

        A step without a time comes one period after the last. "clock": time went back. "gap": a pause.
        """
        if not math.isfinite(now_s):
            now_s = self.now_s + self._period_s if math.isfinite(self.now_s) else 0.0
        self.previous_s, self.now_s = self.now_s, now_s
        if not math.isfinite(self.previous_s):
            self._commanded_s = now_s
            return 0, None
        gap, interruption = now_s - self.previous_s, None
        self.longest_gap_s = max(self.longest_gap_s, gap)
        self.late += gap >= 1.5 * self._period_s
        if gap < -self._period_s:
            interruption = Refusal(
                "clock",
                f"The clock jumped back by {-gap:.3f} s, and inputs are timed by it; the "
                "next one is taken by the new time.",
            )
        elif gap > self._max_gap_s:
            interruption = Refusal(
                "gap",
                f"No step came for {gap:.3f} s (limit {self._max_gap_s:g} s); give this "
                "process a processor, or find out what paused it.",
            )
        if interruption is not None:
            self.gaps += 1
            self.awake_since_s = now_s
        return self._count_missed() if self._counts_missed else 0, interruption

    def _count_missed(self) -> int:
        """By all steps so far: a timer that is late once is early the next time, and has missed nothing."""
        period = self._period_s
        self._commanded_s = min(self._commanded_s + period, self.now_s + period)
        missed = min(max(0, math.floor((self.now_s - self._commanded_s) / period + MISSED_SHARE)), 1000)
        self._commanded_s += missed * period
        return missed

    @property
    def heard_until_s(self) -> float:
        """Until when messages were surely handled: after a late step some may still wait for their turn."""
        if not math.isfinite(self.previous_s):
            return self.now_s
        return min(self.now_s, self.previous_s + 2 * self._period_s)
