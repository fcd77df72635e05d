"""All numbers of one recording, read in one pass; of its images only when they were taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from genima_core.cameras import PinholeCamera
from genima_core.data.bags import messages
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.reader import Bag, Message
from genima_core.data.bags.resample import increasing


@dataclass(frozen=True)
class Series:
    """What one stream said, at stamps that increase strictly."""

    stamps_s: np.ndarray
    """(N,)"""
    values: np.ndarray
    """(N, n)"""


@dataclass(frozen=True)
class Recording:
    """The numbers of one bag."""

    image_stamps_s: dict[str, np.ndarray]
    """Camera to the capture times (N,) of all its messages, in their order."""
    cameras: dict[str, PinholeCamera]
    """What camera_info said, of cameras that have one."""
    arm: Series
    """Positions in rad and velocities in rad/s, (N, 14); NaN where no velocity was measured."""
    gripper: Series
    """Opening (N, 1), 0 closed to 1 open."""
    commands: Series
    """Set points (N, 7) in rad, at the time that each is meant for."""
    gripper_commands: Series
    """Commanded opening (N, 1) at the time it was received."""
    instruction: str
    """The last one; "" where none was sent."""
    success: bool | None
    """What the cell itself said last; None where it said nothing."""


def read_recording(bag: Bag, about: EpisodeInfo, cameras: Sequence[str]) -> Recording:
    """Reads all but the pixels; of the cameras only those named.

    Raises:
        ValueError: a damaged bag, a joint that is not there, a clock that jumps back, a camera with distortion.
    """
    reading = _Reading(about, cameras)
    for message in bag.messages(set(reading.takers)):
        reading.takers[message.topic](message)
    if bag.damage:
        raise ValueError(f"it is damaged ({bag.damage}): genima bag repair {bag.folder}")
    return reading.result()


class _Reading:
    """Collects what the messages of each role say."""

    def __init__(self, about: EpisodeInfo, cameras: Sequence[str]) -> None:
        self.about = about
        self.cameras: dict[str, PinholeCamera] = {}
        self.images: dict[str, list[float]] = {}
        self.arm, self.gripper, self.commands, self.gripper_commands = _Rows(), _Rows(), _Rows(), _Rows()
        self.instruction = ""
        self.success: bool | None = None
        self.joints_seen: tuple[str, ...] = ()
        take = {
            "joint_states": self._take_joints,
            "joint_commands": self._take_command,
            "gripper_state": self._take_gripper_state,
            "gripper_command": self._take_gripper_command,
            "instruction": self._take_instruction,
            "success": self._take_success,
        }
        self.takers = {topic: take[role] for role, topic in about.streams.items() if role in take}
        for role, topic in about.streams.items():
            kind, _, name = role.partition("/")
            if name not in cameras:
                continue
            if kind == "camera":
                self.takers[topic] = partial(self._take_image, self.images.setdefault(name, []))
            elif kind == "camera_info":
                self.takers[topic] = partial(self._take_info, name)

    def _take_image(self, stamps_s: list[float], message: Message) -> None:
        stamps_s.append(_stamp_s(message))

    def _take_info(self, name: str, message: Message) -> None:
        if name in self.cameras:
            return
        info = messages.deserialize(message.data, message.type)
        if any(abs(value) > 1e-9 for value in info.d):
            raise ValueError(
                f"camera {name} has distortion {np.round(info.d, 4).tolist()}; record its rectified "
                "images (image_proc) or let the camera rectify"
            )
        k = info.k
        self.cameras[name] = PinholeCamera(info.width, info.height, fx=k[0], fy=k[4], cx=k[2], cy=k[5])

    def _take_joints(self, message: Message) -> None:
        state = messages.deserialize(message.data, message.type)
        columns = _columns(state, self.about.arm.joint_names)
        if columns is not None:
            velocity = state.velocity if len(state.velocity) == len(state.name) else np.full(len(state.name), np.nan)
            self.arm.add(_stamp_s(message), np.concatenate([state.position[columns], velocity[columns]]))
        fingers = _columns(state, self.about.finger_names)
        if fingers is not None:
            self.gripper.add(
                _stamp_s(message), [self._opening(self.about.arm.gripper.to_width_m(state.position[fingers].sum()))]
            )
        self.joints_seen = tuple(dict.fromkeys((*self.joints_seen, *state.name)))

    def _take_command(self, message: Message) -> None:
        state = messages.deserialize(message.data, message.type)
        columns = _columns(state, self.about.arm.joint_names)
        if columns is not None:
            self.commands.add(_stamp_s(message), state.position[columns])

    def _take_gripper_command(self, message: Message) -> None:
        width_m = messages.deserialize(message.data, message.type).data
        self.gripper_commands.add(message.received_ns * 1e-9, [self._opening(width_m)])

    def _take_gripper_state(self, message: Message) -> None:
        state = messages.deserialize(message.data, message.type)
        if len(state.position):
            self.gripper.add(_stamp_s(message), [self._opening(state.position[0])])

    def _opening(self, width_m: float) -> float:
        return self.about.arm.gripper.to_opening(width_m)

    def _take_instruction(self, message: Message) -> None:
        self.instruction = messages.deserialize(message.data, message.type).data

    def _take_success(self, message: Message) -> None:
        self.success = bool(messages.deserialize(message.data, message.type).data)

    def result(self) -> Recording:
        for name, stamps_s in self.images.items():
            if not stamps_s:
                raise ValueError(f"it has no images of camera {name}")
        for kind, names, rows in (
            ("joints", self.about.arm.joint_names, self.arm),
            ("fingers", self.about.finger_names, self.gripper),
        ):
            if not rows.stamps_s:
                seen = f"their messages have {', '.join(self.joints_seen)}" if self.joints_seen else "there are none"
                if not names:
                    raise ValueError("it has no messages on gripper/state, and its arm's joint states have no fingers")
                raise ValueError(f"it has no joint states with the {kind} {', '.join(names)}; {seen}")
        return Recording(
            {name: np.array(stamps_s) for name, stamps_s in self.images.items()},
            self.cameras,
            self.arm.series("joint_states", 14),
            self.gripper.series("joint_states", 1),
            self.commands.series("joint_commands", 7),
            self.gripper_commands.series("gripper_command", 1),
            self.instruction,
            self.success,
        )


class _Rows:
    """Values with stamps, as they come."""

    def __init__(self) -> None:
        self.stamps_s: list[float] = []
        self._values: list[Sequence[float] | np.ndarray] = []

    def add(self, stamp_s: float, values: Sequence[float] | np.ndarray) -> None:
        self.stamps_s.append(stamp_s)
        self._values.append(values)

    def series(self, stream: str, width: int) -> Series:
        stamps_s = np.array(self.stamps_s)
        kept = increasing(stamps_s, stream)
        values = np.array(self._values, dtype=np.float64).reshape(-1, width)
        if not np.isfinite(values[:, :7]).all():
            raise ValueError(f"{stream} holds NaN or infinite values")
        return Series(stamps_s[kept], values[kept])


def _stamp_s(message: Message) -> float:
    """When it was captured; where a message does not say so, when it was received."""
    stamp_ns = messages.header_stamp_ns(message.data, message.type)
    return (message.received_ns if stamp_ns is None else stamp_ns) * 1e-9


def _columns(state, names: Sequence[str]) -> list[int] | None:
    """Where the named joints stand in a JointState; None if it lacks one, as those of other publishers do."""
    at = {name: i for i, name in enumerate(state.name)}
    if not names or len(state.position) != len(state.name) or any(name not in at for name in names):
        return None
    return [at[name] for name in names]
