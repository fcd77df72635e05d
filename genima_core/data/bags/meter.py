"""Measures the quality of an episode, while it is recorded or from its bag: when messages came, what images show."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from genima_core.data.bags import messages, stamps
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.quality import NAMES, CameraQuality, Quality, StreamQuality
from genima_core.data.bags.reader import Bag
from genima_core.files import one_line
from genima_core.pixels import picture_size

CLOCK_JITTER_NS = 2_000_000
"""Stamps of a stream may go back by this much without a clock having been set back: messages may be swapped."""
UNEXPECTED = ("leader_joint_states", "gripper_command")
"""Streams that a good bag may lack: the leader's without a leader, the gripper's commands if it never moved."""

EVERY_PX = 8
"""Brightness is measured on every eighth pixel of both directions."""
BLACK = 8.0
"""Mean brightness below which an image is black, of 255."""
SATURATED = 250
"""A pixel is saturated if all its channels are at least this."""
OVEREXPOSED = 0.6
"""Share of saturated pixels above which an image is overexposed; a white wall does not reach it."""
MOVED_RAD = 0.02
"""A repeated picture counts as frozen if a joint has moved by more than this meanwhile; at rest it is normal."""


class QualityMeter:
    """Takes in an episode message by message, and says at the end how good it is."""

    def __init__(self, fps: float, expected: Sequence[str], joint_names: Sequence[str] = ()) -> None:
        """`fps`: rate that the cameras were set to, 0 if not known. `expected`: roles that are judged even if nothing
        comes. `joint_names`: the arm's; without them all joints count.

        Arm and hand may send separate messages on one topic: those without the arm's first joint do not count.
        """
        self._fps = fps
        self._joint_names = tuple(joint_names)
        self._times_ns = {role: array("q") for role in expected}
        """For each message in turn: when it was captured, when it was received."""
        self._pictures: dict[str, Pictures] = defaultdict(Pictures)
        self._joint_state = b""

    def add(
        self, role: str, data: bytes, captured_ns: int, received_ns: int, image: object | Exception | None = None
    ) -> None:
        """Takes one message; of an image `image` is the decoded message, or the error why it cannot be decoded."""
        if role == "joint_states" and self._joint_names and self._joint_names[0].encode() not in data:
            return
        self._times_ns.setdefault(role, array("q")).extend((captured_ns, received_ns))
        if role == "joint_states":
            self._joint_state = data
        elif isinstance(image, Exception):
            self._pictures[role].miss(image)
        elif image is not None:
            self._pictures[role].look(image, self._joint_state, self._moved_rad)

    def result(self, begun_ns: int, ended_ns: int, overflow: int = 0) -> Quality:
        """The quality of an episode between two times of reception; `overflow`: messages that the recorder lost."""
        captured = {role: np.array(times_ns[::2]) for role, times_ns in self._times_ns.items()}
        received = {role: np.array(times_ns[1::2]) for role, times_ns in self._times_ns.items()}
        streams = {role: _stream(captured[role], received[role], begun_ns, ended_ns) for role in captured}
        names = [role for role in captured if role.startswith("camera/")]
        seen = [captured[role] for role in names if len(captured[role])]
        fps = self._fps if self._fps > 0 else _measured_fps(seen)
        cameras = {}
        for role in names:
            lost = _lost(captured[role], received[role], 1e9 / fps, begun_ns, ended_ns)
            stream, pictures = streams[role], self._pictures[role]
            cameras[role.removeprefix("camera/")] = CameraQuality(
                **vars(stream),
                **pictures.counts,
                expected=stream.messages - stream.repeated + lost,
                lost=lost,
                unreadable_reason=pictures.reason,
                sizes=tuple(pictures.sizes),
            )
        joints = captured.get("joint_states", np.zeros(0, np.int64))
        to_joints = [stamps.distances_ns(stamps.within(own, [joints]), joints) for own in seen if len(joints)]
        return Quality(
            1e-9 * (ended_ns - begun_ns),
            sum(camera.expected for camera in cameras.values()),
            sum(camera.lost for camera in cameras.values()),
            overflow,
            *stamps.percentiles(stamps.spread_ms(seen)),
            *stamps.percentiles(1e-6 * np.concatenate([np.zeros(0), *to_joints])),
            fps,
            cameras,
            {role: stream for role, stream in streams.items() if role in NAMES},
        )

    def _moved_rad(self, before: bytes, after: bytes) -> float:
        q0, q1 = self._positions(before), self._positions(after)
        return float(np.abs(q1 - q0).max(initial=0.0)) if q0.shape == q1.shape else 0.0

    def _positions(self, data: bytes) -> np.ndarray:
        if not data:
            return np.zeros(0)
        state = messages.deserialize(data, "sensor_msgs/msg/JointState")
        wanted = self._joint_names or tuple(state.name)
        return np.array([x for name, x in zip(state.name, state.position, strict=False) if name in wanted])


class Pictures:
    """Counts the flawed images of one camera, as they come."""

    def __init__(self) -> None:
        self.counts = {"frozen": 0, "black": 0, "overexposed": 0, "unreadable": 0}
        self.reason = ""
        """Why the last unreadable one cannot be read."""
        self.sizes: dict[str, None] = {}
        self._newest, self._joint_state = np.zeros(0, np.uint8), b""
        """Bytes of the newest image that differs from the one before it, and the joint state at that time."""

    def miss(self, error: Exception) -> None:
        self.counts["unreadable"] += 1
        self.reason = one_line(error)

    def look(self, message: Any, joint_state: bytes, moved_rad: Callable[[bytes, bytes], float]) -> None:
        """Judges an Image or CompressedImage; `joint_state` is the newest one before it."""
        payload = np.frombuffer(memoryview(message.data), np.uint8)
        try:
            thumbnail, size = _thumbnail(message, payload)
        except (ValueError, cv2.error) as error:
            self.miss(error)
            return
        self.sizes[size] = None
        if np.array_equal(payload, self._newest):
            self.counts["frozen"] += moved_rad(self._joint_state, joint_state) > MOVED_RAD
        else:
            self._newest, self._joint_state = payload, joint_state
        self.counts["black"] += float(thumbnail.mean()) < BLACK
        self.counts["overexposed"] += float((thumbnail.min(axis=2) >= SATURATED).mean()) > OVEREXPOSED


def _thumbnail(message: Any, payload: np.ndarray) -> tuple[np.ndarray, str]:
    """A small version (h, w, 3) of a picture, and the picture's size as text."""
    if hasattr(message, "format"):
        width, height = picture_size(bytes(payload), f"a picture of format {message.format[:40]!r}")
        small = cv2.imdecode(payload, cv2.IMREAD_REDUCED_COLOR_8)
        if small is None:
            raise ValueError(f"{len(payload)} bytes are not a {message.format[:40]} picture")
        return small, f"{width}x{height}"
    pixels = messages.image_to_rgb(message)
    return pixels[::EVERY_PX, ::EVERY_PX], f"{message.width}x{message.height}"


def quality_of_bag(bag: Bag, info: EpisodeInfo) -> Quality:
    """Measures a recording that was interrupted, repaired or made by others."""
    roles = {topic: role for role, topic in info.streams.items() if role in NAMES or role.startswith("camera/")}
    own_fingers = ("gripper_state",) if info.finger_names else ()
    expected = [role for role in roles.values() if role not in (*UNEXPECTED, *own_fingers)]
    meter, received_ns = QualityMeter(info.fps, expected, info.arm.joint_names), array("q")
    for message in bag.messages():
        received_ns.append(message.received_ns)
        if (role := roles.get(message.topic)) is not None:
            image = messages.image_or_error(message.data, message.type) if role.startswith("camera/") else None
            meter.add(role, message.data, message.captured_ns, message.received_ns, image)
    return meter.result(min(received_ns, default=0), max(received_ns, default=0))


def _stream(captured_ns: np.ndarray, received_ns: np.ndarray, begun_ns: int, ended_ns: int) -> StreamQuality:
    there, steps = len(captured_ns) > 0, np.diff(captured_ns)
    span_s, whole_s = 1e-9 * float(steps.sum()), 1e-9 * (ended_ns - begun_ns)
    return StreamQuality(
        messages=len(captured_ns),
        rate_hz=len(steps) / span_s if span_s > 0 else None,
        gap_s=1e-9 * float(steps.max(initial=0)),
        late_s=max(0.0, 1e-9 * (received_ns[0] - begun_ns)) if there else whole_s,
        early_s=max(0.0, 1e-9 * (ended_ns - received_ns[-1])) if there else whole_s,
        delay_s=1e-9 * float(np.median(received_ns - captured_ns)) if there else None,
        repeated=int((steps == 0).sum()),
        backwards=int((steps < -CLOCK_JITTER_NS).sum()),
    )


def _lost(captured_ns: np.ndarray, received_ns: np.ndarray, period_ns: float, begun_ns: int, ended_ns: int) -> int:
    """Number of frames that are missing within an episode and at its ends."""
    if not len(captured_ns):
        return int((ended_ns - begun_ns) / period_ns)
    # A frame that took longer to arrive than the others is not missing at an end.
    slack_ns = np.ptp(received_ns - captured_ns)
    ends_ns = [max(0, ns) - slack_ns for ns in (received_ns[0] - begun_ns, ended_ns - received_ns[-1])]
    return stamps.count_lost(captured_ns, period_ns) + sum(max(0, round(ns / period_ns) - 1) for ns in ends_ns)


def _measured_fps(cameras: Sequence[np.ndarray]) -> float:
    """From the median time between images; 30 where there are none."""
    periods_ns = [float(np.median(np.diff(captured_ns))) for captured_ns in cameras if len(captured_ns) > 1]
    longest_ns = max(periods_ns, default=0.0)
    return 1e9 / longest_ns if longest_ns > 0 else 30.0
