"""When the messages of a stream were captured and received: rate, gaps, what is missing, how far it is from others."""

from array import array
from collections.abc import Sequence

import numpy as np

SWAPPED_PERIODS = 5
"""A stamp that lies further back than this means that the clock was set."""


class Stamps:
    """Capture and receive times of one stream, ns, as its messages come."""

    def __init__(self) -> None:
        self._captured, self._received = array("q"), array("q")

    def __len__(self) -> int:
        return len(self._captured)

    def add(self, captured_ns: int, received_ns: int) -> None:
        self._captured.append(captured_ns)
        self._received.append(received_ns)

    @property
    def captured_ns(self) -> np.ndarray:
        """(N,) int64."""
        return np.array(self._captured, np.int64)

    @property
    def received_ns(self) -> np.ndarray:
        """(N,) int64."""
        return np.array(self._received, np.int64)


def rate_hz(captured_ns: np.ndarray) -> float | None:
    """Mean rate over the whole time; None where that cannot be said."""
    span_ns = int(captured_ns[-1] - captured_ns[0]) if len(captured_ns) > 1 else 0
    return 1e9 * (len(captured_ns) - 1) / span_ns if span_ns > 0 else None


def count_lost(captured_ns: np.ndarray, period_ns: float) -> int:
    """Frames that are missing between the first and the last, by the gaps between their stamps.

    A frame that was only late is none: the ones after it come so much earlier, and no time is missing in the end. A
    clock that was set back or a camera that is slower by less than a twentieth loses nothing either.
    """
    steps = np.diff(captured_ns) / period_ns
    if steps.min(initial=0.0) > -SWAPPED_PERIODS:  # frames that overtook each other are none that is missing
        steps = np.diff(np.sort(captured_ns)) / period_ns
    steps = steps[steps >= 0]
    lost = 0
    for i in np.nonzero(steps >= 1.5)[0]:
        most = round(float(steps[i])) - 1
        spans = np.cumsum(steps[i : i + 2 * most + 3])
        lost += int(np.maximum(0, np.round(spans) - np.arange(1, len(spans) + 1)).min())
    return lost


def longest_gap_s(captured_ns: np.ndarray) -> float:
    """Between two messages; 0 with fewer."""
    return 1e-9 * float(np.diff(captured_ns).max(initial=0))


def distances_ns(wanted_ns: np.ndarray, captured_ns: np.ndarray) -> np.ndarray:
    """(N,) signed, from each wanted time to the nearest capture, which there must be one of."""
    captured_ns = np.sort(captured_ns)
    after = np.clip(np.searchsorted(captured_ns, wanted_ns), 1, max(1, len(captured_ns) - 1))
    before = after - 1
    after = np.minimum(after, len(captured_ns) - 1)
    to_before, to_after = captured_ns[before] - wanted_ns, captured_ns[after] - wanted_ns
    return np.where(np.abs(to_before) <= np.abs(to_after), to_before, to_after)


def within(captured_ns: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Those captures for which each of the others, which must not be empty, has one before and one after.

    At the ends of an episode a camera's pictures come later than joint states of the same moment, and have no partner.
    """
    first = max(int(other.min()) for other in others)
    last = min(int(other.max()) for other in others)
    return captured_ns[(captured_ns >= first) & (captured_ns <= last)]


def spread_ms(streams: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) between the earliest and the latest of the captures nearest to each of the first stream; empty without."""
    if len(streams) < 2 or any(len(captured_ns) == 0 for captured_ns in streams):
        return np.zeros(0)
    wanted_ns = within(streams[0], streams[1:])
    distances = np.stack([distances_ns(wanted_ns, captured_ns) for captured_ns in streams])
    return 1e-6 * (distances.max(axis=0) - distances.min(axis=0))


def percentiles(values: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """p50, p99 and maximum of absolute values; None of nothing."""
    if len(values) == 0:
        return None, None, None
    p50, p99 = np.percentile(np.abs(values), [50, 99])
    return float(p50), float(p99), float(np.abs(values).max())
