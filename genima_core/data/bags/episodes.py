"""One recording as an episode of a data set: its streams on a regular time grid, its images cropped and resized."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from genima_core.camera_sources.lens import View
from genima_core.cameras import CameraRig
from genima_core.config import check_positive
from genima_core.data.bags import stamps
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.messages import Message, image_to_rgb
from genima_core.data.bags.meter import quality_of_bag
from genima_core.data.bags.quality import QualityBounds, suspect
from genima_core.data.bags.reader import Bag, open_bag
from genima_core.data.bags.series import Recording, info_of, read_recording, roles_of
from genima_core.data.bags.spans import LEAST_S, PAUSE, Span, commanded_by, spans_of
from genima_core.data.episode import Episode
from genima_core.data.framing import Framing, framed
from genima_core.files import explained

LONGEST_GAP_S = 0.25
"""Set points are interpolated over this time at most; in longer gaps the next measured positions are the actions."""
BEYOND_LIMITS_RAD = 0.1
"""Encoders and limits of one arm differ by less."""
CALIBRATED = 0.02
"""The driver's intrinsics may differ from our calibration by this share; another stream or camera differs by more."""


@dataclass(frozen=True)
class Options(Framing):
    """What decides what ends up in the data set."""

    fps: int = 20
    """Rows per second: the step of the demo preset and of the paper."""
    instruction: str | None = None
    """Instruction of recordings that contain none."""
    topics: str | None = None
    """Topics of recordings without an episode.json, where their names do not tell: role=topic,...; roles are
    joint_states, gripper_state, joint_commands, gripper_command, instruction, success, and the rig's cameras."""
    split_on: str | None = None
    """Cut recordings into episodes: pause, where the arm rests; or a topic, each message on which begins one (of a
    Bool only true does, and false ends it; a String is the episode's instruction)."""
    pause_s: float = 1.0
    """So long the arm rests between episodes."""
    only: Literal["all", "human", "policy"] = "all"
    """Of recordings in which an operator took over from a policy, the rows that one of them commanded: each of their
    turns becomes an episode, but those shorter than a chunk (1 s)."""
    include_suspect: bool = False
    """Also recordings that were flagged suspect, or seem so."""
    include_failures: bool = False
    """Also failed demonstrations, marked as such."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fps < 1:
            raise ValueError(f"fps is {self.fps}; it must be at least 1")
        check_positive(self, "pause_s")
        roles_of(self.topics or "")

    @property
    def splits(self) -> bool:
        """Whether a recording may become several episodes."""
        return self.split_on is not None or self.only != "all"


@dataclass(frozen=True)
class RecordedBag:
    """A recording that can be used: all of it but the pixels, and where its episodes begin and end."""

    folder: Path
    info: EpisodeInfo
    rig: CameraRig
    """As recorded."""
    recording: Recording
    spans: tuple[Span, ...]
    options: Options

    @cached_property
    def views(self) -> dict[str, View]:
        return {camera.name: self.options.view_of(camera.intrinsics) for camera in self.rig.cameras}

    @property
    def framed_rig(self) -> CameraRig:
        return framed(self.rig, self.views)

    def episode(self, span: Span, on_frame: Callable[[], None] = lambda: None) -> Episode:
        """A part of it; ValueError, with the reason, if that cannot be used.

        Frames are decoded only while the episode is written; `on_frame` is called after each.
        """
        info, recording, options = self.info, self.recording, self.options
        success = info.label == "success" or (info.label == "" and recording.success is not False)
        if not success and not info.label and not options.include_failures:
            raise ValueError("the task was not done (--include-failures includes it)")
        instruction = span.instruction or info.instruction or recording.instruction or options.instruction
        if not instruction:
            raise ValueError("it has no instruction; give --instruction")
        # Numbers of each camera's images, without those that repeat a stamp or were overtaken.
        taken = {
            name: np.flatnonzero(stamps.increasing(stamps_s, f"camera {name}"))
            for name, stamps_s in recording.image_stamps_s.items()
        }
        streams = {f"camera {name}": recording.image_stamps_s[name][numbers] for name, numbers in taken.items()}
        streams |= {"joints": recording.arm.stamps_s, "fingers": recording.gripper.stamps_s}
        times_s = stamps.grid(streams, options.fps)
        times_s = times_s[(times_s >= span.begin_s) & (times_s < span.end_s)]
        if len(times_s) < 2:
            raise ValueError(f"its cameras and joints have less than two rows at {options.fps} per second in common")
        if options.only != "all" and len(times_s) < LEAST_S * options.fps:
            lasts = f"the {options.only} commands for {len(times_s) / options.fps:.2f} s only"
            raise ValueError(f"{lasts}, less than a chunk ({LEAST_S:g} s)")
        shown = {name: numbers[stamps.nearest(streams[f"camera {name}"], times_s)] for name, numbers in taken.items()}
        return Episode(
            stamps_s=times_s,
            image_stamps_s=np.column_stack(
                [recording.image_stamps_s[name][numbers] for name, numbers in shown.items()]
            ),
            images={
                name: RecordedFrames(self.folder, info.streams[f"camera/{name}"], numbers, self.views[name], on_frame)
                for name, numbers in shown.items()
            },
            **_motion(recording, times_s),
            instruction=instruction,
            task=info.task,
            seed=info.seed,
            success=success,
        )


def open_recording(folder: Path, options: Options = Options()) -> RecordedBag:
    """A recording of ours or of others; ValueError, with the reason, if it cannot be used.

    One without an episode.json is judged here by the recorder's bounds, but for when its streams begin and end.
    """
    bag = open_bag(folder)
    if bag.being_recorded:
        raise ValueError("it is being recorded; convert again when that has ended")
    if not bag.finished:
        raise ValueError(f"its recording was interrupted; repair it with `genima bag repair {folder}`")
    info = info_of(bag, roles_of(options.topics or ""))
    rig = options.given_rig or _rig(info)
    if missing := [name for name in rig.names if f"camera/{name}" not in info.streams]:
        raise ValueError(f"it has no camera {', '.join(missing)}, which its rig lists")
    if options.split_on not in (None, PAUSE) and options.split_on not in bag.topics:
        raise ValueError(f"--split-on {options.split_on}: it has no such topic; it has {', '.join(sorted(bag.topics))}")
    recording = read_recording(bag, info, rig.names, options.split_on or "")
    _check_wanted(info, options, () if bag.info else _flaws(bag, info, recording))
    for name, camera in recording.cameras.items():
        if text := rig[name].intrinsics.difference(camera, CALIBRATED):
            raise ValueError(
                f"camera {name} was recorded with other intrinsics than the rig says: {text}; give its own --rig"
            )
    if not (spans := spans_of(recording, options.split_on, options.pause_s)):
        raise ValueError(f"--split-on {options.split_on} leaves no episode of it")
    if options.only != "all":
        if not len(recording.commanders):
            raise ValueError("it does not say who commanded (streamer_state); convert it with --only all")
        spans = commanded_by(options.only, spans, recording, 1 / options.fps)
        if not spans:
            raise ValueError(f"the {options.only} never commanded in it")
    return RecordedBag(folder, info, rig, recording, spans, options)


def read_episode(folder: Path, options: Options = Options()) -> tuple[Episode, CameraRig]:
    """The only episode of a recording, and its rig; ValueError, with the reason, if it cannot be used."""
    recorded = open_recording(folder, replace(options, split_on=None, only="all"))
    return recorded.episode(recorded.spans[0]), recorded.framed_rig


def _flaws(bag: Bag, info: EpisodeInfo, recording: Recording) -> tuple[str, ...]:
    """What is suspect about a recording of others."""
    limits, q = info.arm.limits, recording.arm.values[:, :7]
    beyond = np.maximum(limits.lower - q, q - limits.upper).max(axis=0)
    far = [name for name, by in zip(info.arm.joint_names, beyond, strict=True) if by > BEYOND_LIMITS_RAD]
    bent = [f"{', '.join(far)} beyond the limits of a {info.arm.name}; are they in rad?"] if far else []
    bounds = QualityBounds(commands=False, end_s=np.inf)
    return (*suspect(quality_of_bag(bag, info), bounds), *bent)


def _check_wanted(info: EpisodeInfo, options: Options, flaws: tuple[str, ...]) -> None:
    if (suspicions := (*info.suspect, *flaws)) and not options.include_suspect:
        raise ValueError(f"suspect: {'; '.join(suspicions)} (--include-suspect includes it)")
    if info.label == "failure" and not options.include_failures:
        raise ValueError("labelled a failure (--include-failures includes it)")


def _rig(info: EpisodeInfo) -> CameraRig:
    if info.rig is None:
        raise ValueError("it does not describe its cameras: give --rig, a rig's file or a data set recorded with them")
    return CameraRig.from_dict(info.rig, "what it says of its cameras (or give --rig)")


def _motion(recording: Recording, times_s: np.ndarray) -> dict[str, np.ndarray]:
    """What was measured at each row's time, and commanded for the next row's, by the field names of `Episode`."""
    step_s = times_s[1] - times_s[0]
    next_s = times_s + step_s
    rows_s = np.append(times_s, next_s[-1])
    arm, opening = recording.arm.at(rows_s), recording.gripper.at(rows_s)[:, 0]
    q, dq, action = arm[:-1, :7], arm[:-1, 7:], arm[1:, :7]
    nobody = np.zeros(len(times_s))
    now = recording.commanders.latest(times_s, nobody)
    commanded = recording.commands.covers(next_s, LONGEST_GAP_S)
    if commanded.any():
        action = np.where(commanded[:, None], recording.commands.at(next_s), action)
    return {
        "q": q,
        "dq": dq if np.isfinite(dq).all() else np.gradient(q, step_s, axis=0),
        "gripper": opening[:-1],
        "action_q": action,
        "action_gripper": recording.gripper_commands.latest(next_s, opening[1:]),
        "commander": np.where(now == recording.commanders.latest(next_s, nobody), now, nobody),
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
