"""From recorded images to the views of a data set: cut, resized, and the camera rig with them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.data.bags import messages
from genima_core.data.bags.messages import Message
from genima_core.data.bags.reader import open_bag

CALIBRATED = 0.02
"""Intrinsics by the driver and by our calibration differ by less; another stream or another camera by more."""


@dataclass(frozen=True)
class Cut:
    """Which part of an image becomes the view, and how large."""

    crop: str | None = None
    """Part of each image to keep before it is resized: square (the middle), or left,top,width,height in recorded
    pixels; all by default."""
    size: int | None = None
    """Width and height of each view in pixels; as recorded by default."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 16:
            raise ValueError(f"size is {self.size}; it must be at least 16")
        if self.crop not in (None, "square") and len(self._numbers()) != 4:
            raise ValueError(f"crop is {self.crop!r}; valid are square and left,top,width,height in pixels")

    def rectangle(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, width and height of the part of an image of this size.

        Raises:
            ValueError: it is not square but `size` asks for a square.
        """
        left, top, wide, high, side = 0, 0, width, height, min(width, height)
        if self.crop == "square":
            left, top, wide, high = (width - side) // 2, (height - side) // 2, side, side
        elif self.crop is not None:
            left, top, wide, high = self._numbers()
        if self.size is not None and wide != high:
            raise ValueError(
                f"--size {self.size} makes square views, and these are {wide}x{high}: add --crop square, which keeps "
                f"the middle {side}x{side}, or --crop left,top,width,height with equal width and height"
            )
        return left, top, wide, high

    def cut_rig(self, rig: CameraRig) -> CameraRig:
        """The rig of the views.

        Raises:
            ValueError: the crop leaves the image, or see `rectangle`.
        """
        part = self.rectangle(*rig.size)
        cropped = replace(rig, cameras=tuple(replace(c, intrinsics=c.intrinsics.crop(*part)) for c in rig.cameras))
        return cropped if self.size is None else cropped.resize(self.size, self.size)

    def view(self, image: np.ndarray) -> np.ndarray:
        """The view of an image (H, W, 3)."""
        left, top, width, height = self.rectangle(image.shape[1], image.shape[0])
        part = image[top : top + height, left : left + width]
        if self.size in (None, width):
            return part
        return cv2.resize(part, (self.size, self.size), interpolation=cv2.INTER_AREA)

    def _numbers(self) -> tuple[int, ...]:
        try:
            return tuple(int(number) for number in (self.crop or "").split(","))
        except ValueError:
            return ()


def check_cameras(rig: CameraRig, recorded: Mapping[str, PinholeCamera]) -> None:
    """
    Raises:
        ValueError: a camera's own camera_info is not what the rig says.
    """
    for name, camera in recorded.items():
        if text := rig[name].intrinsics.difference(camera, CALIBRATED):
            raise ValueError(
                f"camera {name} was recorded with other intrinsics than the rig says: {text}; give the rig of this "
                "recording with --rig"
            )


class RecordedFrames:
    """Views of one camera, decoded from a bag one at a time; every iteration reads the bag again."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self, bag: Path, topic: str, chosen: np.ndarray, size: tuple[int, int], cut: Cut, on_frame: Callable[[], None]
    ) -> None:
        """
        Args:
            bag: Its folder.
            topic: Where the images are.
            chosen: (T,) which of the topic's messages each row shows; never decreasing.
            size: Width and height that the images must have.
            cut: What becomes of them.
            on_frame: Called for every row that is through.
        """
        self._bag, self._topic, self._chosen, self._size, self._cut = bag, topic, chosen, size, cut
        self._on_frame = on_frame
        _, _, width, height = cut.rectangle(*size)
        self.shape = (len(chosen), cut.size or height, cut.size or width, 3)

    def __iter__(self) -> Iterator[np.ndarray]:
        """
        Raises:
            ValueError: an image cannot be decoded or has another size, or the bag ends before.
        """
        stored = enumerate(open_bag(self._bag).messages({self._topic}))
        for wanted, rows in groupby(self._chosen):
            message = next((message for number, message in stored if number == wanted), None)
            if message is None:
                raise ValueError(f"image {wanted} of {self._topic} is gone; it was there a moment ago")
            view = self._view(message, wanted)
            for _ in rows:
                yield view
                self._on_frame()

    def _view(self, message: Message, number: int) -> np.ndarray:
        try:
            image = messages.image_to_rgb(message.decode())
        except ValueError as error:
            raise ValueError(f"image {number} of {self._topic} cannot be decoded: {error}") from error
        size = image.shape[1], image.shape[0]
        if size != self._size:
            raise ValueError(
                f"image {number} of {self._topic} is {size[0]}x{size[1]}; the rig says "
                f"{self._size[0]}x{self._size[1]}: give the rig of this recording with --rig"
            )
        return self._cut.view(image)
