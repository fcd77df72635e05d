"""A recorded episode for the viewer: numbers in a first pass over its bag, pictures and words in a second."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genima_core.cameras import CameraRig
from genima_core.data.bags.chunks import chunk_of_message
from genima_core.data.bags.episode_info import EPISODE, EpisodeInfo, number_of
from genima_core.data.bags.episodes import LONGEST_GAP_S
from genima_core.data.bags.messages import JPEG, Message, image_to_rgb
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.recording import DRAWINGS
from genima_core.data.bags.series import Recording, info_of, read_recording
from genima_core.files import one_line
from genima_core.pixels import untile
from genima_core.targets.locate import locate
from genima_core.view.log import DRAWING, EpisodeLog, camera_path, jpeg, skews_ms
from genima_core.view.log import about as table

STATES = {"streamer_state": "streamer", "gate": "gate"}
"""Role to what says it of itself."""


@dataclass(frozen=True)
class About:
    """What a recording says of itself before its messages are read."""

    folder: Path
    info: EpisodeInfo
    rig: CameraRig
    """Of the cameras that sent something."""
    drawn: bool


def numbered(bags: Sequence[Path]) -> dict[int, Path]:
    """By the numbers in their names, or by their places where not all have one."""
    if all(EPISODE.fullmatch(bag.name) for bag in bags):
        return {number_of(bag): bag for bag in bags}
    return dict(enumerate(bags))


def about(folder: Path) -> About:
    """ValueError, with the reason: it cannot be shown."""
    bag = open_bag(folder)
    if bag.being_recorded:
        raise ValueError("it is being recorded; look at it when that has ended")
    info, there = info_of(bag), {name for name, topic in bag.topics.items() if topic.count}
    if bag.damage:
        raise ValueError(f"it is damaged ({bag.damage}): genima bag repair {folder}")
    if info.rig is None:
        raise ValueError("it does not say where its cameras are; genima convert bags takes a --rig")
    rig = CameraRig.from_dict(info.rig, "what it says of its cameras")
    cameras = tuple(camera for camera in rig.cameras if info.streams.get(f"camera/{camera.name}") in there)
    if not cameras:
        raise ValueError("it has no pictures")
    return About(folder, info, CameraRig(cameras, rig.arm), info.streams.get(DRAWINGS) in there)


def write(recorded: About, open_log: Callable[[], EpisodeLog]) -> None:
    """ValueError, with the reason: its messages are damaged, or not those of an episode."""
    bag, info = open_bag(recorded.folder), recorded.info
    recording, log = read_recording(bag, info, recorded.rig.names), open_log()
    _write_numbers(recording, log)
    _write_verdict(info, _ns(recording.arm.stamps_s[[0, -1]]), log)
    second = _SecondPass(recorded, recording, log)
    roles = {topic: role for role, topic in info.streams.items() if role in second.handlers}
    for message in bag.messages(roles):
        second.take(roles[message.topic], message)
    log.describe(table([*_rows(recorded, bag.duration_s), *(("not shown", text) for text in second.problems)]))


def _write_numbers(recording: Recording, log: EpisodeLog) -> None:
    arm, gripper, commands = recording.arm, recording.gripper, recording.commands
    log.joints(_ns(arm.stamps_s), arm.values[:, :7], gripper.at(arm.stamps_s)[:, 0])
    if len(commands):
        log.commands(_ns(commands.stamps_s), commands.values)
        covered = commands.covers(arm.stamps_s, LONGEST_GAP_S)
        if covered.any():
            error = np.abs(commands.at(arm.stamps_s[covered]) - arm.values[covered, :7]).max(axis=1)
            log.following_errors(_ns(arm.stamps_s[covered]), error)
    if len(recording.gripper_commands):
        log.gripper_commands(_ns(recording.gripper_commands.stamps_s), recording.gripper_commands.values[:, 0])
    stamps_ns = {name: _ns(np.sort(stamps_s)) for name, stamps_s in recording.image_stamps_s.items()}
    for name, skew_ms in skews_ms(stamps_ns).items():
        log.skews(name, stamps_ns[name], skew_ms)


def _write_verdict(info: EpisodeInfo, ends_ns: np.ndarray, log: EpisodeLog) -> None:
    for reason in info.suspect:
        log.say("suspect", int(ends_ns[0]), reason, "WARN")
    if info.label:
        log.say("label", int(ends_ns[1]), info.label, "INFO" if info.label == "success" else "WARN")


class _SecondPass:
    """Pictures, drawings, chunks, states and words, one message at a time; what cannot be read is counted as such."""

    def __init__(self, recorded: About, recording: Recording, log: EpisodeLog) -> None:
        self._rig, self._recording, self._log = recorded.rig, recording, log
        self._whole = len(recorded.rig.cameras) == len((recorded.info.rig or {}).get("cameras", ()))
        self._said: dict[str, object] = {}
        self.problems: list[str] = []
        pictures = dict.fromkeys((f"camera/{name}" for name in recorded.rig.names), self._on_picture)
        words = {"instruction": self._on_word, "success": self._on_word, "approval": self._on_approval}
        states = dict.fromkeys(STATES, self._on_state)
        drawings = {DRAWINGS: self._on_drawing, "action_chunk": self._on_chunk}
        self.handlers = {**pictures, **words, **states, **drawings}

    def take(self, role: str, message: Message) -> None:
        try:
            self.handlers[role](role, message)
        except ValueError as error:
            self.problems.append(f"{message.topic}: {one_line(error)}")

    def _on_picture(self, role: str, message: Message) -> None:
        self._show(camera_path(role.partition("/")[2]), message)

    def _show(self, path: str, message: Message) -> Any:
        """The decoded message."""
        content = message.decode()
        if message.type == JPEG:  # of the name of all compressed pictures
            kind = "image/png" if "png" in content.format else "image/jpeg"
            self._log.picture(path, message.captured_ns, bytes(content.data), kind)
        else:
            self._log.picture(path, message.captured_ns, jpeg(image_to_rgb(content)))
        return content

    def _on_drawing(self, _: str, message: Message) -> None:
        content = self._show(DRAWING, message)
        if self._whole:
            stamp_s = 1e-9 * message.captured_ns
            q = self._recording.arm.at(np.array([stamp_s]))[0, :7]
            views = untile(image_to_rgb(content), len(self._rig.cameras))
            self._log.drawn(locate(views, self._rig, q, stamp_s), message.captured_ns)

    def _on_chunk(self, _: str, message: Message) -> None:
        self._log.chunk(chunk_of_message(message.decode(), self._log.arm), message.captured_ns)

    def _on_state(self, role: str, message: Message) -> None:
        content, name = message.decode(), STATES[role]
        told = {pair.key: pair.value for pair in content.values}
        for what, state in ((name, told.get("state")), ("commander", told.get("commander"))):
            if state and self._is_new(what, state):
                self._log.state(what, message.captured_ns, state)
        if self._is_new(role, (told.get("state"), content.message)):
            text = f"{told.get('state', '')}: {content.message}" if content.message else told.get("state", "")
            level = "WARN" if told.get("reason") else "INFO"
            self._log.say(name, message.captured_ns, text, level)

    def _on_approval(self, role: str, message: Message) -> None:
        self._log.say(role, message.captured_ns, message.decode().message)

    def _on_word(self, role: str, message: Message) -> None:
        said = message.decode().data
        if self._is_new(role, said):
            text = said if isinstance(said, str) else "the task is done" if said else "the task is not done"
            self._log.say(role, message.captured_ns, text)

    def _is_new(self, what: str, said: object) -> bool:
        new, self._said[what] = self._said.get(what) != said, said
        return new


def _rows(recorded: About, duration_s: float) -> list[tuple[str, object]]:
    info, quality = recorded.info, recorded.info.quality
    flaws = [(f"**suspect** {i}", reason) for i, reason in enumerate(info.suspect, 1)]
    measured = [
        (what, f"{quality[key]:.1f}{unit}")
        for what, key, unit in (
            ("camera skew, p99", "skew_ms_p99", " ms"),
            ("picture to joint state, p99", "joint_skew_ms_p99", " ms"),
        )
        if isinstance(quality.get(key), float)
    ]
    return [
        ("recording", recorded.folder),
        ("task", info.task),
        ("instruction", info.instruction),
        ("label", f"**{info.label}**" if info.label else "none"),
        *(flaws or [("suspect", "no")]),
        ("begun", info.begun_at),
        ("length", f"{duration_s:.1f} s"),
        ("seed", info.seed if info.seed >= 0 else None),
        ("arm", info.arm.name),
        *measured,
    ]


def _ns(stamps_s: np.ndarray) -> np.ndarray:
    return np.round(1e9 * np.asarray(stamps_s)).astype(np.int64)
