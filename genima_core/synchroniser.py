"""One set of messages, one from each source, captured at about the same time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

RESTARTED_S = 1.0
"""A stamp that falls back by more than this means that the source has started again."""


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
