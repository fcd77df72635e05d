"""How regularly a periodic loop runs."""

import numpy as np


class PeriodMeter:
    """Periods of a loop that should tick every `nominal_s`; keeps the last `window` of them."""

    def __init__(self, nominal_s: float, window: int = 6000) -> None:
        self.nominal_s = nominal_s
        self.longest_s = 0.0
        self._last_s: float | None = None
        self._periods_s = np.zeros(window)
        self._count = 0

    def tick(self, now_s: float) -> None:
        """One tick at `now_s`, s of a steady clock."""
        if self._last_s is not None:
            period_s = now_s - self._last_s
            self._periods_s[self._count % len(self._periods_s)] = period_s
            self._count += 1
            self.longest_s = max(self.longest_s, period_s)
        self._last_s = now_s

    def pause(self) -> None:
        """The next tick starts a new run: the time until then is no period."""
        self._last_s = None

    @property
    def periods_s(self) -> np.ndarray:
        return self._periods_s[:min(self._count, len(self._periods_s))]

    def summary(self) -> dict[str, float]:
        """Milliseconds: median period, p50 and p99 of the deviation from nominal, longest period; NaN before any."""
        if not self._count:
            return dict.fromkeys(("period_ms_median", "jitter_ms_p50", "jitter_ms_p99", "gap_ms_max"), float("nan"))
        deviation_ms = 1e3 * np.abs(self.periods_s - self.nominal_s)
        p50, p99 = np.percentile(deviation_ms, [50, 99])
        return {"period_ms_median": 1e3 * float(np.median(self.periods_s)), "jitter_ms_p50": float(p50),
                "jitter_ms_p99": float(p99), "gap_ms_max": 1e3 * self.longest_s}
