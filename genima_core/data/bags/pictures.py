"""What is wrong with the pictures of one camera: frozen, black, overexposed, or of changing size."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from genima_core.data.bags import messages
from genima_core.files import one_line
from genima_core.pixels import picture_size

EVERY_PX = 8
"""Brightness is measured on every eighth pixel of both directions."""
BLACK = 8.0
"""Mean brightness below which an image is black, of 255."""
SATURATED = 250
"""A pixel is saturated from here on, in all its channels."""
OVEREXPOSED = 0.6
"""Share of saturated pixels above which an image is overexposed; a white wall is none yet."""
MOVED_RAD = 0.02
"""The same picture again is frozen if a joint has moved by more than this meanwhile; a scene at rest may look so."""


@dataclass
class Pictures:
    """Counts of one camera, as its images come."""

    frozen: int = 0
    black: int = 0
    overexposed: int = 0
    unreadable: int = 0
    reason: str = ""
    """Of the last unreadable one."""
    sizes: dict[str, int] = field(default_factory=dict)
    _last: np.ndarray | None = None
    _moved_since: Callable[[], float] = lambda: 0.0

    def miss(self, error: Exception) -> None:
        """Counts an image that cannot be read."""
        self.unreadable, self.reason = self.unreadable + 1, one_line(error)

    def look(self, message: Any, motion: Callable[[], Callable[[], float]]) -> None:
        """Judges an Image or CompressedImage.

        `motion()` starts to measure: what it returns tells by how many rad a joint has moved since.
        """
        payload = np.frombuffer(memoryview(message.data), np.uint8)
        try:
            thumbnail, size = _thumbnail(message, payload)
        except (ValueError, cv2.error) as error:
            self.miss(error)
            return
        self.sizes[size] = self.sizes.get(size, 0) + 1
        if self._last is not None and np.array_equal(payload, self._last):
            self.frozen += self._moved_since() > MOVED_RAD
        else:
            self._last, self._moved_since = payload, motion()
        self.black += float(thumbnail.mean()) < BLACK
        self.overexposed += float((thumbnail.min(axis=2) >= SATURATED).mean()) > OVEREXPOSED


def _thumbnail(message: Any, payload: np.ndarray) -> tuple[np.ndarray, str]:
    """A small picture (h, w, 3) and the full one's size as text."""
    if hasattr(message, "format"):
        width, height = picture_size(bytes(payload), f"a picture of format {message.format[:40]!r}")
        small = cv2.imdecode(payload, cv2.IMREAD_REDUCED_COLOR_8)
        if small is None:
            raise ValueError(f"{len(payload)} bytes that are no {message.format[:40]} picture")
        return small, f"{width}x{height}"
    pixels = messages.image_to_rgb(message)
    return pixels[::EVERY_PX, ::EVERY_PX], f"{message.width}x{message.height}"
