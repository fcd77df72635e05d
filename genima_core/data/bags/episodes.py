"""One recording as an episode of a data set: its streams on a regular time grid, its images cropped and resized."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from genima_core.camera_sources.lens import View
from genima_core.cameras import CameraRig
from genima_core.data.bags import stamps
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.messages import Message, image_to_rgb
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.series import Recording, info_of, read_recording
from genima_core.data.episode import Episode
from genima_core.data.framing import Framing, framed
from genima_core.files import explained

LONGEST_GAP_S = 0.25
"""Set points are interpolated over this time at most; in longer gaps the next measured positions are the actions."""
CALIBRATED = 0.02
"""The driver's intrinsics may differ from our calibration by this share; another stream or camera differs by more."""


@dataclass(frozen=True)
class Options(Framing):
    """What decides what ends up in the data set."""

    fps: int = 20
    """Rows per second: the step of the demo preset and of the paper."""
    instruction: str | None = None
    """Instruction of recordings that contain none."""
    include_suspect: bool = False
    """Also recordings that were flagged suspect."""
    include_failures: bool = False
    """Also failed demonstrations, marked as such."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fps < 1:
            raise ValueError(f"fps is {self.fps}; it must be at least 1")


def read_episode(
    folder: Path, options: Options = Options(), on_frame: Callable[[], None] = lambda: None
) -> tuple[Episode, CameraRig]:
    """A recording as an episode, and its rig; ValueError, with the reason, if it cannot be used.

    Frames are decoded only while the episode is written; `on_frame` is called after each.
    """
    bag = open_bag(folder)
    if bag.being_recorded:
        raise ValueError("it is being recorded; convert again when that has ended")
    if not bag.finished:
        raise ValueError(f"its recording was interrupted; repair it with `genima bag repair {folder}`")
    about = info_of(bag)
    _check_wanted(about, options)
    rig = options.given_rig or _rig(about)
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
            raise ValueError(f"camera {name} was recorded with other intrinsics than the rig says: {text}; give --rig")
    views = {camera.name: options.view_of(camera.intrinsics) for camera in rig.cameras}

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
            name: RecordedFrames(folder, about.streams[f"camera/{name}"], numbers, views[name], on_frame)
            for name, numbers in shown.items()
        },
        **_motion(recording, times_s),
        instruction=instruction,
        task=about.task,
        seed=about.seed,
        success=success,
    ), framed(rig, views)


def _check_wanted(about: EpisodeInfo, options: Options) -> None:
    if about.suspect and not options.include_suspect:
        raise ValueError(f"suspect: {'; '.join(about.suspect)} (--include-suspect includes it)")
    if about.label == "failure" and not options.include_failures:
        raise ValueError("labelled a failure (--include-failures includes it)")


def _rig(about: EpisodeInfo) -> CameraRig:
    if about.rig is None:
        raise ValueError("it does not describe its cameras: give --rig, a rig's file or a data set recorded with them")
    return CameraRig.from_dict(about.rig, "what it says of its cameras (or give --rig)")


def _motion(recording: Recording, times_s: np.ndarray) -> dict[str, np.ndarray]:
    """What was measured at each row's time, and commanded for the next row's, by the field names of `Episode`."""
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

    def __init__(self, bag: Path, topic: str, chosen: np.ndarray, view: View, on_frame: Callable[[], None]) -> None:
        """Row t shows message number `chosen[t]` of the topic; these numbers never decrease."""
        self._bag, self._topic, self._chosen, self._view, self._on_frame = bag, topic, chosen, view, on_frame
        self.shape = (len(chosen), view.camera.height, view.camera.width, 3)

    def __iter__(self) -> Iterator[np.ndarray]:
        """ValueError if an image cannot be decoded or has another size, or if the bag ends too early."""
        stored = enumerate(open_bag(self._bag).messages({self._topic}))
        for wanted, rows in groupby(self._chosen):
            message = next((message for number, message in stored if number == wanted), None)
            if message is None:
                raise ValueError(f"image {wanted} of {self._topic} is gone; it was there a moment ago")
            frame = self._frame(message, wanted)
            for _ in rows:
                yield frame
                self._on_frame()

    def _frame(self, message: Message, number: int) -> np.ndarray:
        with explained(f"image {number} of {self._topic} cannot be decoded"):
            image = image_to_rgb(message.decode())
        camera = self._view.lens.camera
        if image.shape[:2] != (camera.height, camera.width):
            given = f"image {number} of {self._topic} is {image.shape[1]}x{image.shape[0]}"
            needed = f"the rig says {camera.width}x{camera.height}: give the rig of this recording with --rig"
            raise ValueError(f"{given}; {needed}")
        return self._view(image)
