"""Measures the quality of an episode, while it is recorded or from a bag."""

from collections.abc import Callable, Sequence

import numpy as np

from genima_core.data.bags import messages, stamps
from genima_core.data.bags.pictures import Pictures
from genima_core.data.bags.quality import CameraQuality, Quality, StreamQuality
from genima_core.data.bags.reader import Bag
from genima_core.data.bags.stamps import Stamps
from genima_core.data.bags.topic_roles import infer

CLOCK_JITTER_NS = 2_000_000
"""Stamps of a stream may be swapped by this much without a clock having been set back."""


class QualityMeter:
    """Takes in an episode message by message, and says in the end how good it is."""

    def __init__(self, fps: float, expected: Sequence[str], joint_names: Sequence[str] = ()) -> None:
        """`fps` as asked of the cameras, 0 if not known; `expected` are roles; without names all joints count.

        Arm and hand may come in messages of their own on one topic: those without the arm's first joint do not count.
        """
        self._fps = fps
        self._joint_names = tuple(joint_names)
        self._stamps = {role: Stamps() for role in expected}
        self._pictures: dict[str, Pictures] = {}
        self._joint_state = b""

    def add(
        self, role: str, data: bytes, captured_ns: int, received_ns: int, image: object | Exception | None = None
    ) -> None:
        """One message; `image` is it as an object, where it is an image, or why it cannot be one."""
        if role == "joint_states" and self._joint_names and self._joint_names[0].encode() not in data:
            return
        self._stamps.setdefault(role, Stamps()).add(captured_ns, received_ns)
        if role == "joint_states":
            self._joint_state = data
        elif isinstance(image, Exception):
            self._pictures.setdefault(role, Pictures()).miss(image)
        elif image is not None:
            self._pictures.setdefault(role, Pictures()).look(image, self._motion)

    def result(self, begun_ns: int, ended_ns: int, overflow: int = 0) -> Quality:
        """Of an episode between these times of the receiving clock."""
        captured = {role: times.captured_ns for role, times in self._stamps.items()}
        cameras = [role for role in captured if role.startswith("camera/")]
        fps = self._fps if self._fps > 0 else _measured_fps([captured[role] for role in cameras])
        images = {role.removeprefix("camera/"): self._camera(role, 1e9 / fps, begun_ns, ended_ns) for role in cameras}
        skews = stamps.percentiles(stamps.spread_ms([captured[role] for role in cameras if len(captured[role])]))
        joints = captured.get("joint_states", np.zeros(0, np.int64))
        to_joints = [
            1e-6 * stamps.distances_ns(stamps.within(captured[role], [joints]), joints)
            for role in cameras
            if len(joints)
        ]
        joint_skews = stamps.percentiles(np.concatenate(to_joints) if to_joints else np.zeros(0))
        return Quality(
            1e-9 * (ended_ns - begun_ns),
            sum(image.expected for image in images.values()),
            sum(image.lost for image in images.values()),
            overflow,
            *skews,
            *joint_skews,
            fps,
            images,
            {
                role: StreamQuality(**self._stream(role, begun_ns, ended_ns))
                for role in captured
                if role in ("joint_states", "leader_joint_states", "gripper_state", "joint_commands", "gripper_command")
            },
        )

    def _camera(self, role: str, period_ns: float, begun_ns: int, ended_ns: int) -> CameraQuality:
        stream, captured_ns = self._stream(role, begun_ns, ended_ns), self._stamps[role].captured_ns
        pictures = self._pictures.get(role, Pictures())
        if len(captured_ns):
            # A frame on its way for longer than the others is none that is missing at an end.
            slack_ns = np.ptp(self._stamps[role].received_ns - captured_ns)
            ends_ns = [1e9 * stream[end] - slack_ns for end in ("late_s", "early_s")]
            lost = stamps.count_lost(captured_ns, period_ns) + sum(max(0, round(x / period_ns) - 1) for x in ends_ns)
        else:
            lost = int((ended_ns - begun_ns) / period_ns)
        fresh = stream["messages"] - stream["repeated"]
        return CameraQuality(
            **stream,
            expected=fresh + lost,
            lost=lost,
            frozen=pictures.frozen,
            black=pictures.black,
            overexposed=pictures.overexposed,
            unreadable=pictures.unreadable,
            unreadable_reason=pictures.reason,
            sizes=tuple(pictures.sizes),
        )

    def _stream(self, role: str, begun_ns: int, ended_ns: int) -> dict:
        captured_ns, received_ns = self._stamps[role].captured_ns, self._stamps[role].received_ns
        there, steps = len(captured_ns) > 0, np.diff(captured_ns)
        whole_s = 1e-9 * (ended_ns - begun_ns)
        return {
            "messages": len(captured_ns),
            "rate_hz": stamps.rate_hz(captured_ns),
            "gap_s": stamps.longest_gap_s(captured_ns),
            "late_s": max(0.0, 1e-9 * (received_ns[0] - begun_ns)) if there else whole_s,
            "early_s": max(0.0, 1e-9 * (ended_ns - received_ns[-1])) if there else whole_s,
            "delay_s": 1e-9 * float(np.median(received_ns - captured_ns)) if there else None,
            "repeated": int((steps == 0).sum()),
            "backwards": int((steps < -CLOCK_JITTER_NS).sum()),
        }

    def _motion(self) -> Callable[[], float]:
        before = self._joint_state

        def moved_rad() -> float:
            q0, q1 = self._positions(before), self._positions(self._joint_state)
            return float(np.abs(q1 - q0).max(initial=0.0)) if q0.shape == q1.shape else 0.0

        return moved_rad

    def _positions(self, data: bytes) -> np.ndarray:
        if not data:
            return np.zeros(0)
        state = messages.deserialize(data, "sensor_msgs/msg/JointState")
        wanted = self._joint_names or tuple(state.name)
        return np.array([x for name, x in zip(state.name, state.position, strict=False) if name in wanted])


def quality_of_bag(bag: Bag) -> Quality:
    """Measures a recording that was interrupted, mended or made by somebody else.

    Raises:
        ValueError: it has no episode.json and not the usual topics either.
    """
    about = bag.about or infer(bag)
    roles = {topic: role for role, topic in about.streams.items()}
    unexpected = (
        "instruction",
        "success",
        "scene",
        "gripper_command",
        *(("gripper_state",) if about.finger_names else ()),
    )
    expected = [role for role in about.streams if not role.startswith("camera_info/") and role not in unexpected]
    meter = QualityMeter(about.fps, expected, about.arm.joint_names)
    begun_ns = ended_ns = None
    for message in bag.messages():
        begun_ns = message.received_ns if begun_ns is None else min(begun_ns, message.received_ns)
        ended_ns = message.received_ns if ended_ns is None else max(ended_ns, message.received_ns)
        role = roles.get(message.topic)
        if role is None:
            continue
        captured_ns = messages.header_stamp_ns(message.data, message.type) or message.published_ns
        image = messages.image_or_error(message.data, message.type) if role.startswith("camera/") else None
        meter.add(role, message.data, captured_ns, message.received_ns, image)
    return meter.result(begun_ns or 0, ended_ns or 0)


def _measured_fps(cameras: Sequence[np.ndarray]) -> float:
    """From the median time between images; 30 where there are none."""
    periods_ns = [float(np.median(np.diff(captured_ns))) for captured_ns in cameras if len(captured_ns) > 1]
    longest_ns = max(periods_ns, default=0.0)
    return 1e9 / longest_ns if longest_ns > 0 else 30.0
