"""Sources and clocks that do what a test says."""

from collections.abc import Callable, Iterable

import numpy as np

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.source import Frame, SourceLost
from genima_core.cameras import PinholeCamera

LENS = Lens(PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5))


class Clock:
    """A steady clock, and ROS time beside it that can be set."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.ros_minus_steady_s = 1.7e9

    def steady_s(self) -> float:
        return self.now_s

    def ros_s(self) -> float:
        return self.now_s + self.ros_minus_steady_s

    def wait(self, duration_s: float) -> None:
        self.now_s += duration_s


class ScriptedOpener:
    """Opens sources, itself, that play one script: an exception (raised), None (nothing comes), or a function of the
    time that makes a frame. Opening takes from `openings`: an exception, or None for a source; then always a source.
    """

    warning = ""

    def __init__(
        self, clock: Clock, script: Iterable, openings: Iterable = (), lens: Lens = LENS, live: bool = False
    ) -> None:
        self.clock, self.lens, self.live = clock, lens, live
        self.script, self.openings = iter(script), iter(openings)
        self.opened = self.closed = self.resets = 0
        self.ended = False
        """Whether the script is over; nothing comes any more."""
        self.asked_s: list[float] = []

    def __call__(self, reset: bool) -> "ScriptedOpener":
        self.resets += reset
        self.asked_s.append(self.clock.now_s)
        if (error := next(self.openings, None)) is not None:
            raise error
        self.opened += 1
        return self

    def read(self, timeout_s: float) -> Frame | None:
        try:
            item = next(self.script)
        except StopIteration:
            item, self.ended = None, True
        if isinstance(item, Exception):
            raise item
        if item is None:
            self.clock.wait(timeout_s)
            return None
        self.clock.wait(1 / 30)
        return item(self.clock.ros_s())

    def close(self) -> None:
        self.closed += 1


def frame(
    number: int, delay_s: float = 0.01, lens: Lens = LENS, size: tuple[int, int] = (48, 64), timing: str = "device"
) -> Callable[[float], Frame]:
    """Number `number`, captured `delay_s` before it is read."""
    return lambda now_s: Frame(np.full((*size, 3), number % 256, np.uint8), now_s - delay_s, number, lens, timing)


def at(number: int, stamp_s: float) -> Callable[[float], Frame]:
    """Number `number` with this very stamp."""
    return lambda _: Frame(np.full((48, 64, 3), number % 256, np.uint8), stamp_s, number, LENS)


def lost(text: str = "unplugged") -> SourceLost:
    return SourceLost(text)
