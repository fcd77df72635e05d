"""Reads all numbers of one recording in one pass; of its images only when they were captured."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genima_core.arm import ARMS, PANDA, Gripper
from genima_core.cameras import PinholeCamera
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.messages import Message
from genima_core.data.bags.reader import Bag
from genima_core.data.bags.stamps import increasing

_CAMERA = re.compile(r"(?:.*/)?(?P<name>[^/]+)/color/(?P<kind>camera_info|image_raw/compressed|image_raw|image_rect)")
_ROLES = {
    "joint_states": "joint_states",
    "joint_commands": "joint_commands",
    "gripper/command": "gripper_command",
    "gripper/state": "gripper_state",
    "instruction": "instruction",
    "success": "success",
}
"""Topic to its role in a recording; beside these there are camera/<name> and camera_info/<name>."""
_JOINT, _FINGER = re.compile(r".*joint_?[1-7]"), re.compile(r".*finger_?joint_?\d?")
EXPECTED = "<camera>/color/image_raw (or image_raw/compressed) of four cameras, and joint_states"


def info_of(bag: Bag) -> EpisodeInfo:
    """What a recording is about: from its episode.json, else from the usual names of topics.

    ValueError if the file is damaged, or there is none and topics are missing.
    """
    if bag.about is not None:
        return bag.about
    streams: dict[str, str] = {}
    for topic in sorted(bag.topics):
        if (found := _CAMERA.fullmatch(topic)) is not None:
            role = "camera_info" if found["kind"] == "camera_info" else "camera"
            streams.setdefault(f"{role}/{found['name']}", topic)
        elif topic.strip("/") in _ROLES:
            streams[_ROLES[topic.strip("/")]] = topic
    if "joint_states" not in streams or not any(role.startswith("camera/") for role in streams):
        lacks = f"it has no episode.json, and lacks the topics that are needed to interpret it: {EXPECTED}"
        raise ValueError(f"{lacks}; it has {', '.join(sorted(bag.topics)) or 'none'}")
    joints, fingers = _find_joints(bag, streams["joint_states"])
    known = [arm for arm in ARMS.values() if (arm.joint_names, arm.gripper.joints) == (joints, fingers)]
    arm = known[0] if known else replace(PANDA, name="recorded", joint_names=joints, gripper=Gripper("topic", fingers))
    return EpisodeInfo(task="", instruction="", streams=streams, arm=arm)


def _find_joints(bag: Bag, topic: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the seven joints and of the fingers, from the messages; arm and hand may be in separate ones."""
    names: dict[str, None] = {}
    for message in bag.messages({topic}):
        names |= dict.fromkeys(message.decode().name)
        fingers = tuple(name for name in names if _FINGER.fullmatch(name))
        joints = tuple(sorted(name for name in names if _JOINT.fullmatch(name) and name not in fingers))
        if len(joints) == 7 and fingers:
            return joints, fingers
    raise ValueError(f"{topic} lacks joints 1 to 7 or fingers of one arm; it has {', '.join(names) or 'none'}")


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


def read_recording(bag: Bag, about: EpisodeInfo, cameras: Sequence[str]) -> Recording:
    """All but the pixels, of the cameras named.

    ValueError if the bag is damaged, a camera or a joint is missing, a clock jumps back, or images are distorted.
    """
    reading = _Reading(about, cameras)
    wanted = {*_ROLES.values(), *(f"{kind}/{name}" for kind in ("camera", "camera_info") for name in cameras)}
    roles = {topic: role for role, topic in about.streams.items() if role in wanted}
    for message in bag.messages(roles):
        reading.take(roles[message.topic], message)
    if bag.damage:
        raise ValueError(f"it is damaged ({bag.damage}): genima bag repair {bag.folder}")
    return reading.result()


class _Reading:
    """Collects what the messages of each role say; rows are pairs of a time in s and values."""

    def __init__(self, about: EpisodeInfo, cameras: Sequence[str]) -> None:
        self.about = about
        self.cameras: dict[str, PinholeCamera] = {}
        self.images: dict[str, list[float]] = {name: [] for name in cameras}
        self.rows: dict[str, list[tuple[float, Any]]] = defaultdict(list)
        """Of the arm, the gripper, and the commands to both."""
        self.instruction = ""
        self.success: bool | None = None
        self.joints_seen: dict[str, None] = {}

    def take(self, role: str, message: Message) -> None:
        kind, _, camera = role.partition("/")
        stamp_s = message.captured_ns * 1e-9
        if kind == "camera":
            self.images[camera].append(stamp_s)
            return
        if camera in self.cameras:
            return
        content, to_opening = message.decode(), self.about.arm.gripper.to_opening
        match kind:
            case "camera_info":
                self.cameras[camera] = PinholeCamera.from_camera_info(content, camera)
            case "joint_states":
                self._take_joints(stamp_s, content)
            case "joint_commands":
                if (columns := _columns(content, self.about.arm.joint_names)) is not None:
                    self.rows["joint_commands"].append((stamp_s, content.position[columns]))
            case "gripper_state":
                if len(content.position):
                    self.rows["gripper"].append((stamp_s, to_opening(content.position[0])))
            case "gripper_command":
                self.rows["gripper_command"].append((message.received_ns * 1e-9, to_opening(content.data)))
            case "instruction":
                self.instruction = content.data
            case "success":
                self.success = bool(content.data)

    def _take_joints(self, stamp_s: float, state: Any) -> None:
        self.joints_seen |= dict.fromkeys(state.name)
        if (columns := _columns(state, self.about.arm.joint_names)) is not None:
            velocity = state.velocity if len(state.velocity) == len(state.name) else np.full(len(state.name), np.nan)
            self.rows["arm"].append((stamp_s, np.concatenate([state.position[columns], velocity[columns]])))
        if (columns := _columns(state, self.about.finger_names)) is not None:
            gripper = self.about.arm.gripper
            width_m = gripper.to_width_m(state.position[columns].sum())
            self.rows["gripper"].append((stamp_s, gripper.to_opening(width_m)))

    def result(self) -> Recording:
        for name, stamps_s in self.images.items():
            if not stamps_s:
                raise ValueError(f"it has no images of camera {name}")
        for kind, names, rows in (
            ("joints", self.about.arm.joint_names, self.rows["arm"]),
            ("fingers", self.about.finger_names, self.rows["gripper"]),
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
