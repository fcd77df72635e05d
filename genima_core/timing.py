"""Two clocks side by side, how regularly a loop runs, and sets of messages captured at about the same time."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

READING_S = 2e-4
"""Two readings further apart were interrupted, and say nothing about the clocks."""

WALL_CLOCK_S = 1e9
"""Further apart are only clocks of which one tells the date, and the other started at 0."""
T = TypeVar("T")

RESTARTED_S = 1.0
"""A stamp that falls back by more than this means that the source has started again."""


def stamp_problem(what: str, stamp_s: float, now_s: float, limit_s: float, sender: str = "its sender") -> str:
    """Why a message counts as stale, whose stamp is more than `limit_s` from now, and what to do."""
    if now_s - stamp_s > WALL_CLOCK_S:
        remedy = f"set header.stamp in {sender}, and use_sim_time for all nodes or for none."
        return f"{what} carries no stamp, or one of simulated time: {remedy}"
    if stamp_s - now_s > WALL_CLOCK_S:
        remedy = "set use_sim_time for all nodes or for none; if it is on, /clock must arrive."
        return f"{what} is stamped by the wall clock, and the clock here is simulated: {remedy}"
    given = f"{what} is stamped {abs(now_s - stamp_s):.3f} s {'ago' if now_s > stamp_s else 'ahead'}"
    return f"{given}; valid is within {limit_s:g} s: look at {sender} and synchronise the clocks."


class ClockPair:
    """Translates between a steady clock, which loops run on, and ROS time, which stamps are in."""

    def __init__(self, steady_s: Callable[[], float], ros_s: Callable[[], float]) -> None:
        self._steady_s, self._ros_s = steady_s, ros_s
        self._ros_minus_steady_s: float | None = None

    def to_ros(self, steady_s: float) -> float:
        return steady_s + self._offset_s()

    def to_steady(self, ros_s: float) -> float:
        return ros_s - self._offset_s()

    def _offset_s(self) -> float:
        before_s = self._steady_s()
        ros_s = self._ros_s()
        after_s = self._steady_s()
        if after_s - before_s < READING_S or self._ros_minus_steady_s is None:
            self._ros_minus_steady_s = ros_s - (before_s + after_s) / 2
        return self._ros_minus_steady_s


class DeviceClock:
    """Host times of a device's own stamps: its clock, less the shortest delay seen in the last `window` stamps."""

    def __init__(self, window: int) -> None:
        self._delays_s: deque[float] = deque(maxlen=window)
        self._last_s = -math.inf

    def to_host(self, device_s: float, now_s: float) -> float:
        """When a stamp `device_s` that arrived at `now_s` was taken, by the host's clock."""
        if device_s < self._last_s:  # it has started again
            self._delays_s.clear()
        self._last_s = device_s
        self._delays_s.append(now_s - device_s)
        return device_s + min(self._delays_s)


class PeriodMeter:
    """Periods of a loop that should tick every `nominal_s`; keeps the last `window` of them."""

    def __init__(self, nominal_s: float, window: int = 6000) -> None:
        self._nominal_s, self._longest_s = nominal_s, math.nan
        self._last_s: float | None = None
        self.periods_s: deque[float] = deque(maxlen=window)

    def tick(self, now_s: float) -> None:
        if self._last_s is not None:
            self.periods_s.append(now_s - self._last_s)
            self._longest_s = float(np.fmax(self._longest_s, now_s - self._last_s))
        self._last_s = now_s

    def pause(self) -> None:
        """The next tick starts a new run: the time until then is no period."""
        self._last_s = None

    def summary(self) -> dict[str, float]:
        """Milliseconds: median period, p50 and p99 of the deviation from nominal, longest period; NaN before any."""
        periods_ms = 1e3 * np.array(self.periods_s or [math.nan])
        p50, p99 = np.percentile(np.abs(periods_ms - 1e3 * self._nominal_s), [50, 99])
        return {
            "period_ms_median": float(np.median(periods_ms)),
            "jitter_ms_p50": float(p50),
            "jitter_ms_p99": float(p99),
            "gap_ms_max": 1e3 * self._longest_s,
        }


@dataclass(frozen=True)
class Stamped(Generic[T]):
    stamp_s: float
    item: T


class Synchroniser(Generic[T]):
    """Keeps the newest message of each source; a set is complete when its stamps lie within `slack_s`."""

    def __init__(self, names: Sequence[str], slack_s: float) -> None:
        self.names = tuple(names)
        self.slack_s = slack_s
        self._newest: dict[str, Stamped[T]] = {}
        self._last_stamp_s: dict[str, float] = {}

    def add(self, name: str, stamp_s: float, item: T) -> tuple[Stamped[T], ...] | None:
        """The set that this message completes, in order, each used once; ValueError: a stamp that does not advance."""
        last_s = self._last_stamp_s.get(name)
        if last_s is not None and last_s - RESTARTED_S < stamp_s <= last_s:
            stands = f"its stamp {stamp_s:.3f} s does not advance (the one before was {last_s:.3f} s)"
            raise ValueError(f"{name} is frozen: {stands}; restart its driver")
        self._last_stamp_s[name] = stamp_s
        self._newest[name] = Stamped(stamp_s, item)
        if self.spread_s is None or self.spread_s > self.slack_s:
            return None
        complete = tuple(self._newest[name] for name in self.names)
        self._newest.clear()
        return complete

    @property
    def spread_s(self) -> float | None:
        """Between the oldest and the newest of the waiting messages; None until every source has one."""
        if len(self._newest) < len(self.names):
            return None
        stamps_s = [message.stamp_s for message in self._newest.values()]
        return max(stamps_s) - min(stamps_s)
