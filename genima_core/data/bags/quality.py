"""How good an episode is in numbers, and what makes it suspect, in plain words."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

NAMES = {
    "joint_states": "the arm's joint states",
    "leader_joint_states": "the leader's joint states",
    "gripper_state": "the gripper's widths",
    "joint_commands": "commands",
    "gripper_command": "gripper commands",
}
"""Roles of the streams that are judged beside the cameras, for the operator."""


@dataclass(frozen=True)
class StreamQuality:
    messages: int
    rate_hz: float | None
    gap_s: float
    """Longest time between two captures."""
    late_s: float
    """From the start of the episode to the first message."""
    early_s: float
    """From the last message to the end of the episode."""
    delay_s: float | None
    """From capture to reception, median; far from 0 if clocks differ."""
    repeated: int
    backwards: int
    """Messages whose stamp lies before that of the one before."""


@dataclass(frozen=True)
class CameraQuality(StreamQuality):
    expected: int
    lost: int
    frozen: int
    black: int
    overexposed: int
    unreadable: int
    unreadable_reason: str
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class Quality:
    """An episode in numbers; None is what could not be measured."""

    duration_s: float
    frames_expected: int
    frames_lost: int
    overflow: int
    """Messages that the recorder lost because its queue was full."""
    skew_ms_p50: float | None
    """Between the images of all cameras nearest to one moment."""
    skew_ms_p99: float | None
    skew_ms_max: float | None
    joint_skew_ms_p50: float | None
    """Between an image and the nearest joint state."""
    joint_skew_ms_p99: float | None
    joint_skew_ms_max: float | None
    fps: float
    """Rate that the cameras were set to; measured if that is not known."""
    cameras: dict[str, CameraQuality] = field(default_factory=dict)
    streams: dict[str, StreamQuality] = field(default_factory=dict)
    """The other streams that were expected or present, by role."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded to four digits."""
        return json.loads(json.dumps(asdict(self)), parse_float=lambda text: round(float(text), 4))


@dataclass(frozen=True)
class QualityBounds:
    """An episode outside of these is suspect."""

    lost_share: float = 0.02
    """Share of a camera's frames that may be lost."""
    rate_share: float = 0.9
    """A camera must reach this share of its required rate, and may exceed the rate by as much."""
    camera_gap_s: float = 0.25
    """Longest time between two images of a camera."""
    skew_ms: float = 50.0
    """Largest time between the images of one moment, p99."""
    joint_skew_ms: float = 25.0
    """Largest time between an image and the nearest joint state, p99."""
    joint_gap_s: float = 0.1
    """Longest time between two joint states of the arm."""
    leader_gap_s: float = 0.3
    """The same of the leader: nothing is trained on its states, but an arm that is not led demonstrates nothing."""
    end_s: float = 0.5
    """An expected stream may begin or end this long after or before the episode."""
    delay_s: float = 0.5
    """Longest time from capture to reception, or the other way round; more means that clocks differ."""
    delay_spread_s: float = 0.25
    """Largest difference of that time between two streams; more means that one of them is stamped wrongly."""
    bad_share: float = 0.02
    """Share of a camera's images that may be frozen; likewise black, overexposed or repeated."""
    least_s: float = 0.5
    """Length of the shortest valid episode."""
    commands: bool = True
    """Whether an episode without commands is suspect."""


def suspect(quality: Quality, bounds: QualityBounds) -> tuple[str, ...]:
    return tuple(_reasons(quality, bounds))


def _reasons(quality: Quality, bounds: QualityBounds) -> Iterator[str]:
    if quality.duration_s < bounds.least_s:
        yield f"it lasted {quality.duration_s:.1f} s; at least {bounds.least_s:g} s are needed"
    for camera, images in quality.cameras.items():
        yield from _of_camera(camera, images, quality.fps, bounds)
    for role, stream in quality.streams.items():
        yield from _of_stream(role, stream, bounds)
    for what, skew_ms, most_ms in (
        ("cameras are up to {:.0f} ms apart", quality.skew_ms_p99, bounds.skew_ms),
        ("images are up to {:.0f} ms from the nearest joint state", quality.joint_skew_ms_p99, bounds.joint_skew_ms),
    ):
        if skew_ms is not None and skew_ms > most_ms:
            yield f"{what.format(skew_ms)} (p99; valid is {most_ms:g} ms)"
    measured = {**quality.cameras, **{NAMES[role]: stream for role, stream in quality.streams.items()}}
    delays_s = {name: stream.delay_s for name, stream in measured.items() if stream.delay_s is not None}
    if delays_s and max(map(abs, delays_s.values())) <= bounds.delay_s:  # else it has been said
        early, late = min(delays_s, key=delays_s.__getitem__), max(delays_s, key=delays_s.__getitem__)
        if (spread_s := delays_s[late] - delays_s[early]) > bounds.delay_spread_s:
            yield f"{late}: stamps are {spread_s:.2f} s earlier than those of {early}, against when they came"
    if quality.overflow:
        slow = "the disk or the processor is too slow"
        yield f"{quality.overflow} messages did not fit into the recorder's queue: {slow}"


def _of_camera(camera: str, images: CameraQuality, fps: float, bounds: QualityBounds) -> Iterator[str]:
    if not images.messages:
        yield f"{camera} sent no image"
        return
    if images.lost > bounds.lost_share * images.expected:
        yield f"{camera} dropped {images.lost} of {images.expected} frames"
    rate_hz = fps if images.rate_hz is None else images.rate_hz
    if rate_hz < bounds.rate_share * fps or bounds.rate_share * rate_hz > fps:
        yield f"{camera} ran at {rate_hz:.1f} Hz instead of {fps:g}"
    yield from _at_ends(camera, images, bounds)
    if images.gap_s > bounds.camera_gap_s:
        yield f"{camera} was silent for {images.gap_s:.2f} s"
    for what, count in (
        ("show the same picture while the arm moved", images.frozen),
        ("are black", images.black),
        ("are overexposed", images.overexposed),
        ("have the stamp of the one before", images.repeated),
    ):
        if count > bounds.bad_share * images.messages:
            yield f"{camera}: {count} of {images.messages} images {what}"
    if images.unreadable:
        yield f"{camera}: {images.unreadable} images cannot be read ({images.unreadable_reason})"
    if len(images.sizes) > 1:
        yield f"{camera} changed its size: {', '.join(images.sizes)}"
    yield from _of_clock(camera, images, bounds)


def _of_stream(role: str, stream: StreamQuality, bounds: QualityBounds) -> Iterator[str]:
    name = NAMES[role]
    if role == "gripper_command":  # sent when it changes only
        return
    if role == "joint_commands":  # they may pause with the operator's clutch
        if not stream.messages and bounds.commands:
            yield "no commands were recorded: the arm was not commanded"
    elif not stream.messages:
        yield f"there are no messages of {name}"
        return
    else:
        yield from _at_ends(name, stream, bounds)
        if stream.gap_s > (bounds.leader_gap_s if role == "leader_joint_states" else bounds.joint_gap_s):
            yield f"{name} were silent for {stream.gap_s:.2f} s"
    yield from _of_clock(name, stream, bounds)


def _at_ends(name: str, stream: StreamQuality, bounds: QualityBounds) -> Iterator[str]:
    if stream.late_s > bounds.end_s:
        yield f"{name} came {stream.late_s:.1f} s late"
    if stream.early_s > bounds.end_s:
        yield f"{name} stopped {stream.early_s:.1f} s before the end"


def _of_clock(name: str, stream: StreamQuality, bounds: QualityBounds) -> Iterator[str]:
    if stream.backwards:
        yield f"{name}: the clock went back {stream.backwards} times"
    if stream.delay_s is not None and abs(stream.delay_s) > bounds.delay_s:
        behind = "behind" if stream.delay_s > 0 else "ahead of"
        yield f"{name}: stamps are {abs(stream.delay_s):.1f} s {behind} this machine's clock"
