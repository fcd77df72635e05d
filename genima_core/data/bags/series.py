"""Reads all numbers of one recording in one pass; of its images only when they were captured."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genima_core.arm import ARMS, PANDA, Gripper
from genima_core.cameras import PinholeCamera
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.messages import Message
from genima_core.data.bags.reader import Bag
from genima_core.data.bags.stamps import increasing
from genima_core.streaming.states import Commander

_CAMERA = re.compile(r"(?:.*/)?(?P<name>[^/]+)/color/(?P<kind>camera_info|image_raw/compressed|image_raw|image_rect)")
_ROLES = {
    "joint_states": "joint_states",
    "joint_commands": "joint_commands",
    "gripper/command": "gripper_command",
    "gripper/state": "gripper_state",
    "instruction": "instruction",
    "success": "success",
    "streamer_state": "streamer_state",
}
"""Topic to its role in a recording; beside these there are camera/<name> and camera_info/<name>."""
_JOINT, _FINGER = re.compile(r".*joint_?[1-7]"), re.compile(r".*finger_?joint_?\d?")
COMMANDERS = tuple(Commander)
"""By their places, which stand for them in data sets."""
EXPECTED = "<camera>/color/image_raw (or image_raw/compressed) of 1 to 6 cameras, and joint_states"


def roles_of(given: str) -> dict[str, str]:
    """Role to topic, from role=topic,...; a role that is none of `_ROLES` is a camera's name."""
    pairs = [part.partition("=")[::2] for part in given.split(",") if part]
    if bad := [role for role, topic in pairs if not role or not topic]:
        example = "joint_states=/panda/joint_states,front=/cam0/image_raw"
        raise ValueError(f"--topics {given!r} lacks a role or a topic at {bad[0]!r}; write them as in {example}")
    return {role if role in _ROLES.values() else f"camera/{role}": topic for role, topic in pairs}


def info_of(bag: Bag, given: Mapping[str, str] | None = None) -> EpisodeInfo:
    """What a recording is about: from its episode.json, else from the usual names of topics, or those that are `given`.

    ValueError if the file is damaged, or there is none and topics are missing.
    """
    if bag.info is not None:
        return bag.info
    streams: dict[str, str] = {}
    for topic in sorted(bag.topics):
        if (found := _CAMERA.fullmatch(topic)) is not None:
            role = "camera_info" if found["kind"] == "camera_info" else "camera"
            streams.setdefault(f"{role}/{found['name']}", topic)
        elif topic.strip("/") in _ROLES:
            streams[_ROLES[topic.strip("/")]] = topic
    streams |= given or {}
    if absent := sorted({*streams.values()} - {*bag.topics}):
        raise ValueError(f"it has no topic {', '.join(absent)}; it has {', '.join(sorted(bag.topics)) or 'none'}")
    if "joint_states" not in streams or not any(role.startswith("camera/") for role in streams):
        lacks = f"it has no episode.json, and lacks the topics that are needed to interpret it: {EXPECTED}"
        raise ValueError(
            f"{lacks}; it has {', '.join(sorted(bag.topics)) or 'none'}: say which are which with --topics"
        )
    joints, fingers = _find_joints(bag, streams["joint_states"], "gripper_state" not in streams)
    known = [arm for arm in ARMS.values() if (arm.joint_names, arm.gripper.joints) == (joints, fingers)]
    gripper = Gripper("topic", fingers) if fingers else replace(PANDA.gripper, kind="parallel_gripper_command")
    arm = known[0] if known else replace(PANDA, name="recorded", joint_names=joints, gripper=gripper)
    return EpisodeInfo(task="", instruction="", streams=streams, arm=arm, fps=0.0)


def _find_joints(bag: Bag, topic: str, with_fingers: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the seven joints and of the fingers, from the messages; arm and hand may be in separate ones."""
    names: dict[str, None] = {}
    for message in bag.messages({topic}):
        names |= dict.fromkeys(message.decode().name)
        fingers = tuple(name for name in names if _FINGER.fullmatch(name))
        joints = tuple(sorted(name for name in names if _JOINT.fullmatch(name) and name not in fingers))
        if len(joints) == 7 and (fingers or not with_fingers):
            return joints, fingers
    missing = (
        " or fingers of one arm (--topics gripper_state=... says where else its gripper is)" if with_fingers else ""
    )
    raise ValueError(f"{topic} lacks joints 1 to 7{missing}; it has {', '.join(names) or 'none'}")


@dataclass(frozen=True)
class Series:
    """Values (N, n) of one stream at stamps (N,), which strictly increase."""

    stamps_s: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.stamps_s)

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """Values (T, n): linear between neighbours, held beyond the ends."""
        return np.column_stack([np.interp(times_s, self.stamps_s, column) for column in self.values.T])

    def covers(self, times_s: np.ndarray, longest_gap_s: float) -> np.ndarray:
        """(T,) bool: which times are on a stamp, or between two stamps that are at most `longest_gap_s` apart."""
        if not len(self):
            return np.zeros(len(times_s), bool)
        after = np.searchsorted(self.stamps_s, times_s)
        inside = (after > 0) & (after < len(self))
        gap_s = self.stamps_s[np.clip(after, 0, len(self) - 1)] - self.stamps_s[np.clip(after - 1, 0, None)]
        return np.isin(times_s, self.stamps_s) | (inside & (gap_s <= longest_gap_s))

    def latest(self, times_s: np.ndarray, before: np.ndarray) -> np.ndarray:
        """(T,) for a stream of single values: the last one up to each time, before the first one `before` (T,)."""
        so_far = np.searchsorted(self.stamps_s, times_s, side="right")
        return np.where(so_far > 0, np.append(0.0, self.values)[so_far], before)


@dataclass(frozen=True)
class Recording:
    """All of one recording but the pixels."""

    image_stamps_s: dict[str, np.ndarray]
    """Camera to the capture times (N,) of its images."""
    cameras: dict[str, PinholeCamera]
    """Camera to the intrinsics of its camera_info."""
    arm: Series
    """(N, 14) positions in rad and velocities in rad/s, NaN where not measured."""
    gripper: Series
    """(N, 1) openings, 0 to 1."""
    commands: Series
    """(N, 7) set points in rad, at the times that they are meant for."""
    gripper_commands: Series
    """(N, 1) commanded openings, at the times of their reception."""
    instruction: str
    """The last one; "" if there was none."""
    success: bool | None
    """The last message on it; None if there was none."""
    commanders: Series
    """(N, 1) who commands from then on, the place of a `Commander`; without rows where nobody said."""
    marks: tuple[tuple[float, Any], ...]
    """Times and contents of the messages that divide it into episodes."""


def read_recording(bag: Bag, info: EpisodeInfo, cameras: Sequence[str], marks: str = "") -> Recording:
    """All but the pixels, of the cameras named; `marks` is the topic that divides it.

    ValueError if the bag is damaged, a camera or a joint is missing, a clock jumps back, or images are distorted.
    """
    reading = _Reading(info, cameras)
    wanted = {*_ROLES.values(), *(f"{kind}/{name}" for kind in ("camera", "camera_info") for name in cameras)}
    roles = {topic: role for role, topic in info.streams.items() if role in wanted}
    for message in bag.messages({*roles, marks}):
        if message.topic == marks:
            reading.marks.append((message.captured_ns * 1e-9, getattr(message.decode(), "data", None)))
        if message.topic in roles:
            reading.take(roles[message.topic], message)
    if bag.damage:
        raise ValueError(f"it is damaged ({bag.damage}): genima bag repair {bag.folder}")
    return reading.result()


class _Reading:
    """Collects what the messages of each role say; rows are pairs of a time in s and values."""

    def __init__(self, info: EpisodeInfo, cameras: Sequence[str]) -> None:
        self.info = info
        self.cameras: dict[str, PinholeCamera] = {}
        self.images: dict[str, list[float]] = {name: [] for name in cameras}
        self.rows: dict[str, list[tuple[float, Any]]] = defaultdict(list)
        """Of the arm, the gripper, and the commands to both."""
        self.instruction = ""
        self.success: bool | None = None
        self.marks: list[tuple[float, Any]] = []
        self.joints_seen: dict[str, None] = {}

    def take(self, role: str, message: Message) -> None:
        kind, _, camera = role.partition("/")
        stamp_s = message.captured_ns * 1e-9
        if kind == "camera":
            self.images[camera].append(stamp_s)
            return
        if camera in self.cameras:
            return
        content, to_opening = message.decode(), self.info.arm.gripper.to_opening
        match kind:
            case "camera_info":
                self.cameras[camera] = PinholeCamera.from_camera_info(content, camera)
            case "joint_states":
                self._take_joints(stamp_s, content)
            case "joint_commands":
                if (columns := _columns(content, self.info.arm.joint_names)) is not None:
                    self.rows["joint_commands"].append((stamp_s, content.position[columns]))
            case "gripper_state":
                if len(content.position):
                    self.rows["gripper"].append((stamp_s, to_opening(content.position[0])))
            case "gripper_command":
                self.rows["gripper_command"].append((message.received_ns * 1e-9, to_opening(content.data)))
            case "streamer_state":
                said = next((pair.value for pair in content.values if pair.key == "commander"), None)
                if said in COMMANDERS:
                    self.rows["commander"].append((stamp_s, COMMANDERS.index(said)))
            case "instruction":
                self.instruction = content.data
            case "success":
                self.success = bool(content.data)

    def _take_joints(self, stamp_s: float, state: Any) -> None:
        self.joints_seen |= dict.fromkeys(state.name)
        if (columns := _columns(state, self.info.arm.joint_names)) is not None:
            velocity = state.velocity if len(state.velocity) == len(state.name) else np.full(len(state.name), np.nan)
            self.rows["arm"].append((stamp_s, np.concatenate([state.position[columns], velocity[columns]])))
        if (columns := _columns(state, self.info.finger_names)) is not None:
            gripper = self.info.arm.gripper
            width_m = gripper.to_width_m(state.position[columns].sum())
            self.rows["gripper"].append((stamp_s, gripper.to_opening(width_m)))

    def result(self) -> Recording:
        for name, stamps_s in self.images.items():
            if not stamps_s:
                raise ValueError(f"it has no images of camera {name}")
        for kind, names, rows in (
            ("joints", self.info.arm.joint_names, self.rows["arm"]),
            ("fingers", self.info.finger_names, self.rows["gripper"]),
        ):
            if not rows and not names:
                raise ValueError("it has no messages on gripper/state, and its arm's joint states have no fingers")
            if not rows:
                seen = f"their messages have {', '.join(self.joints_seen)}" if self.joints_seen else "there are none"
                raise ValueError(f"it has no joint states with the {kind} {', '.join(names)}; {seen}")
        return Recording(
            {name: np.array(stamps_s) for name, stamps_s in self.images.items()},
            self.cameras,
            _series("joint_states", self.rows["arm"], 14),
            _series("joint_states", self.rows["gripper"], 1),
            _series("joint_commands", self.rows["joint_commands"], 7),
            _series("gripper_command", self.rows["gripper_command"], 1),
            self.instruction,
            self.success,
            _series("streamer_state", self.rows["commander"], 1),
            tuple(sorted(self.marks, key=lambda mark: mark[0])),
        )


def _series(stream: str, rows: list[tuple[float, Any]], width: int) -> Series:
    stamps_s = np.array([stamp_s for stamp_s, _ in rows])
    kept = increasing(stamps_s, stream)
    values = np.array([values for _, values in rows], dtype=np.float64).reshape(-1, width)
    if not np.isfinite(values[:, :7]).all():
        raise ValueError(f"{stream} holds NaN or infinite values")
    return Series(stamps_s[kept], values[kept])


def _columns(state: Any, names: Sequence[str]) -> list[int] | None:
    """Indices of the named joints in a JointState; None if it lacks one, as messages of other publishers do."""
    at = {name: i for i, name in enumerate(state.name)}
    if not names or len(state.position) != len(state.name) or any(name not in at for name in names):
        return None
    return [at[name] for name in names]
