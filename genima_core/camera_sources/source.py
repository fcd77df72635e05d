"""What the camera node reads from, whatever it is: a RealSense, pictures in a folder, a video."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from genima_core.camera_sources.lens import Lens


@dataclass(frozen=True)
class Clock:
    """The time of the node that reads."""

    steady_s: Callable[[], float]
    ros_s: Callable[[], float]
    wait: Callable[[float], object]
    """Waits for so many seconds; less where the node ends."""


class SourceLost(OSError):
    """The source has gone, and may come back."""


Timing = Literal["device", "estimated", "host"]


@dataclass(frozen=True)
class Frame:
    """One picture of a camera."""

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
    """A camera that is open."""

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
