"""One recording as an episode of a data set: its streams on a regular grid, its images as views."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from genima_core.cameras import CameraRig
from genima_core.data.bags import stamps
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.series import Recording, info_of, read_recording
from genima_core.data.bags.views import Cut, RecordedFrames, check_cameras
from genima_core.data.dataset import load_rig
from genima_core.data.episode import Episode

LONGEST_GAP_S = 0.25
"""Between two set points; where nothing was commanded for longer, the arm's next measured positions are the actions."""


@dataclass(frozen=True)
class Options(Cut):
    """What decides what ends up in the data set."""

    fps: int = 20
    """Rows per second: the step of the demo preset and of the paper."""
    rig: Path | None = None
    """The cameras, as a rig's file or a data set's folder; by default, what each recording says."""
    instruction: str | None = None
    """Of recordings that do not say theirs."""
    include_suspect: bool = False
    """Also recordings that were flagged suspect."""
    include_failures: bool = False
    """Also failed demonstrations, marked as such."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fps < 1:
            raise ValueError(f"fps is {self.fps}; it must be at least 1")

    @cached_property
    def cameras(self) -> CameraRig | None:
        return None if self.rig is None else load_rig(self.rig)

    def arguments(self) -> dict[str, object]:
        """By name, for `Origin`."""
        return asdict(self) | {"rig": self.cameras and self.cameras.fingerprint()}


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
    check_cameras(rig, recording.cameras)
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
    arm = stamps.interpolated(recording.arm.stamps_s, recording.arm.values, rows_s)
    opening = stamps.interpolated(recording.gripper.stamps_s, recording.gripper.values, rows_s)[:, 0]
    q, dq, action = arm[:-1, :7], arm[:-1, 7:], arm[1:, :7]
    commands, held = recording.commands, recording.gripper_commands
    commanded = stamps.covered(commands.stamps_s, next_s, LONGEST_GAP_S)
    if commanded.any():
        set_points = stamps.interpolated(commands.stamps_s, commands.values, next_s)
        action = np.where(commanded[:, None], set_points, action)
    return {
        "q": q,
        "dq": dq if np.isfinite(dq).all() else np.gradient(q, step_s, axis=0),
        "gripper": opening[:-1],
        "action_q": action,
        "action_gripper": stamps.held(held.stamps_s, held.values[:, 0], next_s, opening[1:]),
    }
