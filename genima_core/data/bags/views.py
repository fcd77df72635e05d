"""From recorded images to the views of a data set: cut, resized, and the camera rig with them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.data.bags import messages
from genima_core.data.bags.reader import Message, open_bag

FOCAL_TOLERANCE, CENTRE_TOLERANCE = 0.02, 0.02
"""How far a rig's focal lengths (as a share of them) and principal points (as a share of the width) may be from what
the camera says: two calibrations of one camera differ by less, another stream or another camera by more."""


@dataclass(frozen=True)
class Cut:
    """Which part of an image becomes the view, and how large."""

    crop: str | None = None
    """square (the middle), or left,top,width,height in recorded pixels; None keeps all."""
    size: int | None = None
    """Width and height of the view; None keeps those of the crop."""

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
        side = min(width, height)
        if self.crop is None:
            rectangle = (0, 0, width, height)
        elif self.crop == "square":
            rectangle = ((width - side) // 2, (height - side) // 2, side, side)
        else:
            left, top, wide, high = self._numbers()
            rectangle = (left, top, wide, high)
        if self.size is not None and rectangle[2] != rectangle[3]:
            raise ValueError(
                f"--size {self.size} makes square views, and these are {rectangle[2]}x{rectangle[3]}: add "
                f"--crop square, which keeps the middle {side}x{side}, or --crop left,top,width,height "
                "with equal width and height"
            )
        return rectangle

    def rig(self, rig: CameraRig) -> CameraRig:
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
        ValueError: a camera's own camera_info is not what the rig says, beyond `FOCAL_TOLERANCE` and
            `CENTRE_TOLERANCE`.
    """
    for name in rig.names:
        ours, theirs = rig[name].intrinsics, recorded.get(name)
        if theirs is None:
            continue
        focal = max(abs(theirs.fx / ours.fx - 1), abs(theirs.fy / ours.fy - 1))
        centre = max(abs(theirs.cx - ours.cx), abs(theirs.cy - ours.cy)) / ours.width
        if (
            (ours.width, ours.height) != (theirs.width, theirs.height)
            or focal > FOCAL_TOLERANCE
            or centre > CENTRE_TOLERANCE
        ):
            raise ValueError(
                f"camera {name} was recorded with {_words(theirs)}, but the rig says {_words(ours)}: "
                "give the rig of this recording with --rig"
            )


class RecordedFrames:
    """Views of one camera, decoded from a bag one at a time; every iteration reads the bag again."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        bag: Path,
        topic: str,
        chosen: np.ndarray,
        size: tuple[int, int],
        cut: Cut,
        on_frame: Callable[[], None] = lambda: None,
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
        t, number = 0, -1
        for number, message in enumerate(open_bag(self._bag).messages({self._topic})):
            if number != self._chosen[t]:
                continue
            view = self._view(message, number)
            while t < len(self._chosen) and self._chosen[t] == number:
                yield view
                self._on_frame()
                t += 1
            if t == len(self._chosen):
                return
        raise ValueError(
            f"{self._topic} ends after {number + 1} images; a moment ago there were {self._chosen[-1] + 1}"
        )

    def _view(self, message: Message, number: int) -> np.ndarray:
        try:
            image = messages.image_to_rgb(messages.deserialize(message.data, message.type))
        except ValueError as error:
            raise ValueError(f"image {number} of {self._topic} cannot be decoded: {error}") from error
        size = image.shape[1], image.shape[0]
        if size != self._size:
            raise ValueError(
                f"image {number} of {self._topic} is {size[0]}x{size[1]}; the rig says "
                f"{self._size[0]}x{self._size[1]}: give the rig of this recording with --rig"
            )
        return self._cut.view(image)


def _words(camera: PinholeCamera) -> str:
    return (
        f"{camera.width}x{camera.height}, fx {camera.fx:.1f}, fy {camera.fy:.1f}, cx {camera.cx:.1f}, "
        f"cy {camera.cy:.1f}"
    )
