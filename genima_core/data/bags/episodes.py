"""One recording as an episode of a data set: its streams on a regular grid, its images as views, cut and resized."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from genima_core.cameras import CameraRig
from genima_core.data.bags import stamps
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.messages import Message, image_to_rgb
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.series import Recording, info_of, read_recording
from genima_core.data.dataset import load_rig
from genima_core.data.episode import Episode

LONGEST_GAP_S = 0.25
"""Between two set points; where nothing was commanded for longer, the arm's next measured positions are the actions."""
CALIBRATED = 0.02
"""Intrinsics by the driver and by our calibration differ by less; another stream or another camera by more."""


@dataclass(frozen=True)
class Options:
    """What decides what ends up in the data set."""

    fps: int = 20
    """Rows per second: the step of the demo preset and of the paper."""
    crop: str | None = None
    """Part of each image to keep before it is resized: square (the middle), or left,top,width,height in recorded
    pixels; all by default."""
    size: int | None = None
    """Width and height of each view in pixels; as recorded by default."""
    rig: Path | None = None
    """The cameras, as a rig's file or a data set's folder; by default, what each recording says."""
    instruction: str | None = None
    """Of recordings that do not say theirs."""
    include_suspect: bool = False
    """Also recordings that were flagged suspect."""
    include_failures: bool = False
    """Also failed demonstrations, marked as such."""

    def __post_init__(self) -> None:
        if self.fps < 1:
            raise ValueError(f"fps is {self.fps}; it must be at least 1")
        if self.size is not None and self.size < 16:
            raise ValueError(f"size is {self.size}; it must be at least 16")
        if self.crop not in (None, "square") and len(self._numbers()) != 4:
            raise ValueError(f"crop is {self.crop!r}; valid are square and left,top,width,height in pixels")

    @cached_property
    def cameras(self) -> CameraRig | None:
        return None if self.rig is None else load_rig(self.rig)

    def arguments(self) -> dict[str, object]:
        """By name, for `Origin`."""
        return asdict(self) | {"rig": self.cameras and self.cameras.fingerprint()}

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


def read_episode(
    folder: Path, options: Options = Options(), on_frame: Callable[[], None] = lambda: None
) -> tuple[Episode, CameraRig]:
    """A recording as an episode whose frames are read only when they are written, and the rig of its views.

    `on_frame` is called for every frame that was read.

    Raises:
        ValueError, FileNotFoundError: why it is left out.
    """
    bag = open_bag(folder)
    if bag.being_recorded:
        raise ValueError("it is being recorded; convert again when that has ended")
    if not bag.finished:
        raise ValueError(f"its recording was interrupted; repair it with `genima bag repair {folder}`")
    about = info_of(bag)
    _check_wanted(about, options)
    rig = options.cameras or _rig(about)
    if missing := [name for name in rig.names if f"camera/{name}" not in about.streams]:
        raise ValueError(f"it has no camera {', '.join(missing)}, which its rig lists")
    recording = read_recording(bag, about, rig.names)
    success = about.label == "success" or (about.label == "" and recording.success is not False)
    if not success and not about.label and not options.include_failures:
        raise ValueError("the task was not done (--include-failures includes it)")
    instruction = about.instruction or recording.instruction or options.instruction
    if not instruction:
        raise ValueError("it has no instruction; give --instruction")
    for name, camera in recording.cameras.items():
        if text := rig[name].intrinsics.difference(camera, CALIBRATED):
            raise ValueError(
                f"camera {name} was recorded with other intrinsics than the rig says: {text}; give the rig of this "
                "recording with --rig"
            )
    views = options.cut_rig(rig)

    # Numbers of each camera's images, without those that repeat a stamp or were overtaken.
    taken = {
        name: np.flatnonzero(stamps.increasing(stamps_s, f"camera {name}"))
        for name, stamps_s in recording.image_stamps_s.items()
    }
    streams = {f"camera {name}": recording.image_stamps_s[name][numbers] for name, numbers in taken.items()}
    streams |= {"joints": recording.arm.stamps_s, "fingers": recording.gripper.stamps_s}
    times_s = stamps.grid(streams, options.fps)
    shown = {name: numbers[stamps.nearest(streams[f"camera {name}"], times_s)] for name, numbers in taken.items()}
    return Episode(
        stamps_s=times_s,
        image_stamps_s=np.column_stack([recording.image_stamps_s[name][numbers] for name, numbers in shown.items()]),
        images={
            name: RecordedFrames(folder, about.streams[f"camera/{name}"], numbers, rig.size, options, on_frame)
            for name, numbers in shown.items()
        },
        **_motion(recording, times_s),
        instruction=instruction,
        task=about.task,
        seed=about.seed,
        success=success,
    ), views


def _check_wanted(about: EpisodeInfo, options: Options) -> None:
    if about.suspect and not options.include_suspect:
        raise ValueError(f"suspect: {'; '.join(about.suspect)} (--include-suspect includes it)")
    if about.label == "failure" and not options.include_failures:
        raise ValueError("labelled a failure (--include-failures includes it)")


def _rig(about: EpisodeInfo) -> CameraRig:
    if about.rig is None:
        raise ValueError(
            "it does not describe its cameras: give --rig, a rig's file or the folder of a data set "
            "that was recorded with them"
        )
    return CameraRig.from_dict(about.rig, "what it says of its cameras (or give --rig)")


def _motion(recording: Recording, times_s: np.ndarray) -> dict[str, np.ndarray]:
    """What was measured at each row's time and commanded for the next one's, by the names of `Episode`."""
    step_s = times_s[1] - times_s[0]
    next_s = times_s + step_s
    rows_s = np.append(times_s, next_s[-1])
    arm, opening = recording.arm.at(rows_s), recording.gripper.at(rows_s)[:, 0]
    q, dq, action = arm[:-1, :7], arm[:-1, 7:], arm[1:, :7]
    commanded = recording.commands.covers(next_s, LONGEST_GAP_S)
    if commanded.any():
        action = np.where(commanded[:, None], recording.commands.at(next_s), action)
    return {
        "q": q,
        "dq": dq if np.isfinite(dq).all() else np.gradient(q, step_s, axis=0),
        "gripper": opening[:-1],
        "action_q": action,
        "action_gripper": recording.gripper_commands.latest(next_s, opening[1:]),
    }


class RecordedFrames:
    """Views of one camera, decoded from a bag one at a time; every iteration reads the bag again."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        bag: Path,
        topic: str,
        chosen: np.ndarray,
        size: tuple[int, int],
        options: Options,
        on_frame: Callable[[], None],
    ) -> None:
        """Row t shows message `chosen[t]` of the topic, which never decreases; images must have the `size`."""
        self._bag, self._topic, self._chosen, self._size = bag, topic, chosen, size
        self._options, self._on_frame = options, on_frame
        _, _, width, height = options.rectangle(*size)
        self.shape = (len(chosen), options.size or height, options.size or width, 3)

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
            image = image_to_rgb(message.decode())
        except ValueError as error:
            raise ValueError(f"image {number} of {self._topic} cannot be decoded: {error}") from error
        size = image.shape[1], image.shape[0]
        if size != self._size:
            raise ValueError(
                f"image {number} of {self._topic} is {size[0]}x{size[1]}; the rig says "
                f"{self._size[0]}x{self._size[1]}: give the rig of this recording with --rig"
            )
        return self._options.view(image)
