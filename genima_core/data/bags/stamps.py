"""Times of streams: lost frames, skew between streams, a common grid, and how a stream is doing right now."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np

SWAPPED_PERIODS = 5
"""A stamp that goes back by more periods than this means that the clock was set back."""
STEP_BACK_S = 0.1
"""Messages that were overtaken are left out; a clock that jumps back by more than this is an error."""
WINDOW_S = 2.0


def count_lost(captured_ns: np.ndarray, period_ns: float) -> int:
    """Number of frames missing between the first and the last, judged by the gaps between their stamps.

    A frame that was only late is not missing: the next ones come that much earlier, so no time is lost in the end. Nor
    does a clock that was set back, or a camera that is slower by less than a twentieth, count as lost frames.
    """
    steps = np.diff(captured_ns) / period_ns
    if steps.min(initial=0.0) > -SWAPPED_PERIODS:  # frames that overtook each other are not missing
        steps = np.diff(np.sort(captured_ns)) / period_ns
    steps = steps[steps >= 0]
    lost = 0
    for i in np.nonzero(steps >= 1.5)[0]:
        most = round(float(steps[i])) - 1
        spans = np.cumsum(steps[i : i + 2 * most + 3])
        lost += int(np.maximum(0, np.round(spans) - np.arange(1, len(spans) + 1)).min())
    return lost


def nearest(stamps: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(T,) index of the stamp nearest to each time, the earlier one of two; `stamps`, one or more, increase."""
    after = np.clip(np.searchsorted(stamps, times), 1, max(1, len(stamps) - 1))
    before, after = after - 1, np.minimum(after, len(stamps) - 1)
    return np.where(times - stamps[before] <= stamps[after] - times, before, after)


def distances_ns(wanted_ns: np.ndarray, captured_ns: np.ndarray) -> np.ndarray:
    """(N,) signed distance from each wanted time to the nearest capture; there must be at least one capture."""
    captured_ns = np.sort(captured_ns)
    return captured_ns[nearest(captured_ns, wanted_ns)] - wanted_ns


def within(captured_ns: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Captures between the first and the last one of every other stream, none of which may be empty."""
    first = max(int(other.min()) for other in others)
    last = min(int(other.max()) for other in others)
    return captured_ns[(captured_ns >= first) & (captured_ns <= last)]


def spread_ms(streams: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) time that the streams' captures nearest to each of the first stream's are apart; no stream may be empty."""
    if len(streams) < 2:
        return np.zeros(0)
    wanted_ns = within(streams[0], streams[1:])
    return 1e-6 * np.ptp([distances_ns(wanted_ns, captured_ns) for captured_ns in streams], axis=0)


def percentiles(values: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """p50, p99 and maximum of absolute values; None if there are no values."""
    if len(values) == 0:
        return None, None, None
    p50, p99, most = np.percentile(np.abs(values), [50, 99, 100])
    return float(p50), float(p99), float(most)


def increasing(stamps_s: np.ndarray, stream: str) -> np.ndarray:
    """(N,) bool: which stamps are later than all before them; ValueError if the clock jumped back.

    The others are repeated, or belong to messages that were overtaken.
    """
    if not len(stamps_s):
        return np.zeros(0, bool)
    latest = np.maximum.accumulate(stamps_s)
    back_s = latest - stamps_s
    if back_s.max() > STEP_BACK_S:
        at = int(back_s.argmax())
        remedy = "synchronise the clocks (NTP, or global time of the cameras) and record again"
        raise ValueError(f"the clock of {stream} jumps back by {back_s[at]:.3f} s at its message {at}; {remedy}")
    return np.append(True, stamps_s[1:] > latest[:-1])


def grid(streams: Mapping[str, np.ndarray], fps: int) -> np.ndarray:
    """(T,) times of rows, 1 / fps apart, over the time that all streams cover; `streams` is name to stamps, in s.

    Raises:
        ValueError: a stream is empty, or they have no two rows in common.
    """
    if empty := [name for name, stamps_s in streams.items() if not len(stamps_s)]:
        raise ValueError(f"there are no messages of {', '.join(empty)}")
    late, early = max(streams, key=lambda name: streams[name][0]), min(streams, key=lambda name: streams[name][-1])
    begin_s, end_s = streams[late][0], streams[early][-1]
    rows = int(np.floor((end_s - begin_s) * fps + 1e-3)) + 1
    if rows < 2:
        common = f"{max(end_s - begin_s, 0.0):.3f} s in common, which is less than two rows at {fps} per second"
        raise ValueError(f"its streams have {common}: {late} begins last, {early} ends first")
    return begin_s + np.arange(rows) / fps


class StreamMeter:
    """How one stream is doing right now, over the last two seconds; for the operator."""

    def __init__(self, nominal_hz: float | None = None, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Without a nominal rate no message counts as lost."""
        self.lost = 0
        """Lost messages by the gaps between stamps, since this was set to 0; `count_lost` counts more carefully."""
        self._period_ns = np.inf if nominal_hz is None else 1e9 / nominal_hz
        self._clock_s = clock_s
        self._recent: deque[tuple[float, int]] = deque()
        self._last: tuple[float, int] | None = None

    def add(self, captured_ns: int) -> None:
        now_s = self._clock_s()
        if self._last is not None:
            self.lost += max(0, round((captured_ns - self._last[1]) / self._period_ns) - 1)
        self._last = now_s, captured_ns
        self._recent.append(self._last)
        self._trim(now_s)

    @property
    def rate_hz(self) -> float:
        self._trim(self._clock_s())
        return len(self._recent) / WINDOW_S

    @property
    def silent_s(self) -> float:
        return np.inf if self._last is None else self._clock_s() - self._last[0]

    def age_s(self, now_ns: int) -> float:
        """Since the newest was captured; infinite before any."""
        return np.inf if self._last is None else 1e-9 * (now_ns - self._last[1])

    def captured_ns(self) -> np.ndarray:
        return np.array([captured_ns for _, captured_ns in self._recent], np.int64)

    def skew_ms(self, reference: "StreamMeter") -> float:
        """Median distance of this stream's captures from those of another; NaN if there are none."""
        wanted, own = reference.captured_ns(), self.captured_ns()
        if not len(wanted) or not len(own):
            return np.nan
        return 1e-6 * float(np.median(np.abs(distances_ns(wanted, own))))

    def _trim(self, now_s: float) -> None:
        while self._recent and now_s - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()
