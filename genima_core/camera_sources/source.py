"""What the camera node reads, and how: through unplugging, frozen streams, resets and jumps of clocks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from genima_core.camera_sources.lens import Lens
from genima_core.config import check_positive

COUNTED = ("frames", "repeated", "misplaced", "frozen", "lost", "reopened", "resets", "clock_jumps")
STAMP_ERROR_S = 1.0
"""A picture whose stamp is further from now has a wrong stamp."""


@dataclass(frozen=True)
class Clock:
    steady_s: Callable[[], float]
    ros_s: Callable[[], float]
    wait: Callable[[float], object]
    """Waits for so many seconds; less where the node ends."""


class SourceLost(OSError):
    """The source has gone, and may come back."""


Timing = Literal["device", "estimated", "host"]


@dataclass(frozen=True)
class Frame:
    rgb: np.ndarray
    """(H, W, 3) uint8, as the camera took it; nobody else writes to it."""
    stamp_s: float
    """Capture time in ROS time."""
    number: int
    """Counts up while a source is open; the same number is the same picture."""
    lens: Lens
    timing: Timing = "device"
    """Where the stamp is from: the device's clock, set against the host's; the device's clock, less the shortest delay
    seen; or the host's clock when the picture arrived, which is late by an unknown time."""


class Source(Protocol):
    lens: Lens
    live: bool
    """Whether pictures are a sensor's, whose noise never repeats, so that equal pixels are the same picture once more,
    whatever its number and stamp say."""
    warning: str
    """What is not as it should be, though it works; "" else."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture; None if none comes within `timeout_s`, SourceLost if the source has gone."""

    def close(self) -> None:
        """Gives the source free, in whatever state it is."""


Opener = Callable[[bool], Source]
"""Opens one source, again and again; where True is given, after a reset of its device, if it is one.

It raises SourceLost where the source is not there now, or busy, and ValueError where it will never work as configured.
"""


@dataclass(frozen=True)
class ReadingConfig:
    freeze_s: float = 1.0
    """A stream without a new picture for this long has frozen."""
    retry_s: float = 0.5
    """Time until a lost source is opened again; doubles with each failure, up to `retry_longest_s`."""
    retry_longest_s: float = 8.0
    reset_after: int = 3
    """Failures in a row after which the device is reset, and again after as many."""

    def __post_init__(self) -> None:
        check_positive(self, "freeze_s retry_s retry_longest_s")
        if self.reset_after < 1:
            raise ValueError(f"reset_after is {self.reset_after}; it must be at least 1")


class Reader:
    """Gives each picture once, with stamps that increase unless the clock is set back; `step` raises nothing."""

    def __init__(self, opener: Opener, config: ReadingConfig, clock: Clock) -> None:
        """Opens the source; ValueError or OSError, which say what to do, if that is not possible."""
        self.config = config
        self.problem = ""
        """What is wrong now, "" while pictures come."""
        self.timing = "device"
        self.counts = dict.fromkeys(COUNTED, 0)
        """Since the start."""
        self._open, self._clock = opener, clock
        self._source: Source | None = opener(False)
        self.lens = self._source.lens
        """Of the source as it was opened first; pictures of another size are refused from then on."""
        self._number: int | None = None  # kept when opened again: a device may still hold its last picture
        self._stamp_s = float("-inf")
        self._rgb: np.ndarray | None = None
        self._failures = 0
        self._retry_at_s = 0.0
        self._new_at_s = clock.steady_s()

    @property
    def warning(self) -> str:
        source = self._source
        return "" if source is None else source.warning

    @property
    def connected(self) -> bool:
        return self._source is not None

    def step(self, timeout_s: float = 0.1) -> Frame | None:
        """A new picture, or None after at most `timeout_s` (longer only where the device's driver takes longer)."""
        try:
            source = self._source or self._reopen(timeout_s)
            if source is None:
                return None
            frame = source.read(timeout_s)
            if frame is not None:
                self._check_size(frame)
        except (OSError, RuntimeError, ValueError) as error:
            self.counts["lost"] += self.connected
            self._give_up(str(error))
            return None
        if frame is not None and self._is_new(frame, source.live):
            self._new_at_s = self._clock.steady_s()
            self._failures, self.problem, self.timing = 0, "", frame.timing
            self.counts["frames"] += 1
            return frame
        silent_s = self._clock.steady_s() - self._new_at_s
        if silent_s > self.config.freeze_s:
            self.counts["frozen"] += 1
            self._give_up(self.problem or f"no new picture for {silent_s:.1f} s: the stream has frozen")
        return None

    def close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _reopen(self, timeout_s: float) -> Source | None:
        left_s = self._retry_at_s - self._clock.steady_s()
        if left_s > 0:
            self._clock.wait(min(left_s, timeout_s))
            return None
        reset = self._failures % self.config.reset_after == 0
        self.counts["resets"] += reset
        self._source = self._open(reset)
        self.counts["reopened"] += 1
        self._new_at_s = self._clock.steady_s()
        return self._source

    def _give_up(self, problem: str) -> None:
        self.problem = problem
        try:
            self.close()
        except (OSError, RuntimeError) as error:
            self.problem += f" (and it does not close: {error})"
        delay_s = min(self.config.retry_s * 2 ** min(self._failures, 20), self.config.retry_longest_s)
        self._failures += 1
        self._retry_at_s = self._clock.steady_s() + delay_s

    def _check_size(self, frame: Frame) -> None:
        size, of_lens, first = frame.rgb.shape[1::-1], frame.lens.camera.size, self.lens.camera.size
        if not size == of_lens == first:
            given = f"a picture of {size[0]}x{size[1]} came with intrinsics for {of_lens[0]}x{of_lens[1]}"
            raise ValueError(f"{given}; the camera was opened with {first[0]}x{first[1]}")

    def _is_new(self, frame: Frame, live: bool) -> bool:
        now_s = self._clock.ros_s()
        same = frame.number == self._number or frame.stamp_s == self._stamp_s
        if same or (live and self._rgb is not None and np.array_equal(frame.rgb, self._rgb)):
            self.counts["repeated"] += 1
            return False
        if abs(now_s - frame.stamp_s) > STAMP_ERROR_S:
            self.counts["misplaced"] += 1
            when = f"{abs(now_s - frame.stamp_s):.1f} s in the {'past' if frame.stamp_s < now_s else 'future'}"
            self.problem = f"a picture is stamped {when}: the clock of the camera or the host jumped"
            return False
        if frame.stamp_s < self._stamp_s:
            # Only a clock that was set back makes of the last stamp one that would not be accepted now.
            jumped = self._stamp_s > now_s + STAMP_ERROR_S
            self.counts["clock_jumps" if jumped else "misplaced"] += 1
            if not jumped:
                return False
        self._number, self._stamp_s = frame.number, frame.stamp_s
        self._rgb = frame.rgb if live else None
        return True
