"""Streams with times of their own, brought onto one regular grid; times and stamps are arrays in seconds."""

from collections.abc import Mapping

import numpy as np

STEP_BACK_S = 0.1
"""Messages that overtook each other are put aside; a clock that jumps back by more than this is an error."""


def increasing(stamps_s: np.ndarray, stream: str) -> np.ndarray:
    """(N,) bool: which stamps are later than all before them; those that repeat or were overtaken are not.

    Raises:
        ValueError: the clock jumped back.
    """
    if not len(stamps_s):
        return np.zeros(0, bool)
    latest = np.maximum.accumulate(stamps_s)
    back_s = latest - stamps_s
    if back_s.max() > STEP_BACK_S:
        at = int(back_s.argmax())
        raise ValueError(
            f"the clock of {stream} jumps back by {back_s[at]:.3f} s at its message {at}; synchronise the "
            "clocks (NTP, or global time of the cameras) and record again"
        )
    return np.append(True, stamps_s[1:] > latest[:-1])


def grid(streams: Mapping[str, np.ndarray], fps: int) -> np.ndarray:
    """(T,) times of rows, 1 / fps apart from the first moment on that all streams cover; name to stamps.

    Raises:
        ValueError: a stream is empty, or they have no two rows in common.
    """
    if empty := [name for name, stamps_s in streams.items() if not len(stamps_s)]:
        raise ValueError(f"there is nothing of {', '.join(empty)}")
    late, early = max(streams, key=lambda name: streams[name][0]), min(streams, key=lambda name: streams[name][-1])
    begin_s, end_s = streams[late][0], streams[early][-1]
    rows = int(np.floor((end_s - begin_s) * fps + 1e-3)) + 1
    if rows < 2:
        raise ValueError(
            f"its streams have {max(end_s - begin_s, 0.0):.3f} s in common, which is less than two rows "
            f"at {fps} per second: {late} begins last, {early} ends first"
        )
    return begin_s + np.arange(rows) / fps


def nearest(stamps_s: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """(T,) index of the stamp next to each time, the earlier one of two; stamps increase strictly."""
    if len(stamps_s) == 1:
        return np.zeros(len(times_s), int)
    after = np.clip(np.searchsorted(stamps_s, times_s), 1, len(stamps_s) - 1)
    before = after - 1
    return np.where(times_s - stamps_s[before] <= stamps_s[after] - times_s, before, after)


def interpolated(stamps_s: np.ndarray, values: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Values (N, n) at other times, (T, n): linear between neighbours, held beyond the ends."""
    return np.column_stack([np.interp(times_s, stamps_s, column) for column in values.T])


def covered(stamps_s: np.ndarray, times_s: np.ndarray, longest_gap_s: float) -> np.ndarray:
    """(T,) bool: which times lie between two stamps that are no more than a gap apart, or on one."""
    if not len(stamps_s):
        return np.zeros(len(times_s), bool)
    after = np.searchsorted(stamps_s, times_s)
    inside = (after > 0) & (after < len(stamps_s))
    gap_s = stamps_s[np.clip(after, 0, len(stamps_s) - 1)] - stamps_s[np.clip(after - 1, 0, None)]
    return np.isin(times_s, stamps_s) | (inside & (gap_s <= longest_gap_s))


def held(stamps_s: np.ndarray, values: np.ndarray, times_s: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(T,) latest value up to each time; until the first one, what `before` (T,) says."""
    latest = np.searchsorted(stamps_s, times_s, side="right") - 1
    return np.where(latest >= 0, values[np.clip(latest, 0, None)], before) if len(stamps_s) else before
