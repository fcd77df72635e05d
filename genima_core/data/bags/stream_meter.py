"""How a stream is doing right now: rate, age, skew and lost frames for the operator's eyes."""

import time
from collections import deque
from collections.abc import Callable

import numpy as np

from genima_core.data.bags import stamps

WINDOW_S = 2.0


class StreamMeter:
    """One stream, seen over the last two seconds."""

    def __init__(self, nominal_hz: float | None = None, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Without a nominal rate no message is missed."""
        self.lost = 0
        """Since `reset`, by the gaps between stamps; the quality of an episode counts more carefully."""
        self._period_ns = None if nominal_hz is None else 1e9 / nominal_hz
        self._clock_s = clock_s
        self._recent: deque[tuple[float, int]] = deque()
        self._last: tuple[float, int] | None = None

    def add(self, captured_ns: int) -> None:
        now_s = self._clock_s()
        if self._period_ns is not None and self._last is not None:
            self.lost += max(0, round((captured_ns - self._last[1]) / self._period_ns) - 1)
        self._last = now_s, captured_ns
        self._recent.append(self._last)
        self._trim(now_s)

    def reset(self) -> None:
        self.lost = 0

    @property
    def rate_hz(self) -> float:
        self._trim(self._clock_s())
        return len(self._recent) / WINDOW_S

    @property
    def silent_s(self) -> float:
        """Since the last message; infinite before any."""
        return np.inf if self._last is None else self._clock_s() - self._last[0]

    def age_s(self, now_ns: int) -> float:
        """Since the newest was captured; infinite before any."""
        return np.inf if self._last is None else 1e-9 * (now_ns - self._last[1])

    def captured_ns(self) -> np.ndarray:
        """(N,) of the last two seconds."""
        return np.array([captured_ns for _, captured_ns in self._recent], np.int64)

    def skew_ms(self, reference: "StreamMeter") -> float:
        """Median distance of this stream's captures from those of another; NaN if there are none."""
        wanted, own = reference.captured_ns(), self.captured_ns()
        if not len(wanted) or not len(own):
            return np.nan
        return 1e-6 * float(np.median(np.abs(stamps.distances_ns(wanted, own))))

    def _trim(self, now_s: float) -> None:
        while self._recent and now_s - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()
