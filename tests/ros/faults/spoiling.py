"""What faults do to messages: each function makes a `wire.Change`."""

import array
import copy
from collections.abc import Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from genima_ros.messages.conversions import seconds, to_time

from .wire import Change


def lost(_: object) -> None:
    """Nothing arrives."""


def unchanged(message: object) -> object:
    """For what is only late."""
    return message


def restamped(by_s: float) -> Change:
    """Stamps by a clock that differs by so much."""

    def change(message):
        message.header.stamp = to_time(seconds(message.header.stamp) + by_s)
        return message

    return change


def frozen(new_stamps: bool) -> Change:
    """The first message again and again, under its own stamp or under those of the others."""
    first: list = []

    def change(message):
        if not first:
            first.append(copy.deepcopy(message))
        repeated = copy.deepcopy(first[0])
        if new_stamps:
            repeated.header.stamp = message.header.stamp
        return repeated

    return change


# ---- pictures


def resized(width: int, height: int) -> Change:
    """Another size, cut out or repeated."""

    def change(message: Image) -> Image:
        message.data = array.array("B", np.resize(np.frombuffer(message.data, np.uint8), width * height * 3).tobytes())
        message.width, message.height, message.step = width, height, 3 * width
        return message

    return change


def encoded(encoding: str) -> Change:
    """The same bytes under another name."""

    def change(message: Image) -> Image:
        message.encoding = encoding
        return message

    return change


def noisy(levels: float, rng: np.random.Generator) -> Change:
    """Gaussian noise of so many of 255 levels."""

    def change(message: Image) -> Image:
        pixels = np.frombuffer(message.data, np.uint8) + rng.normal(0.0, levels, len(message.data))
        message.data = array.array("B", np.clip(pixels, 0, 255).astype(np.uint8).tobytes())
        return message

    return change


def mirrored(message: Image) -> Image:
    """Left and right exchanged."""
    picture = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
    message.data = array.array("B", np.ascontiguousarray(picture[:, ::-1]).tobytes())
    return message


# ---- joint states


def joint_at(joint: int, value: float) -> Change:
    """One joint is said to be there."""

    def change(message: JointState) -> JointState:
        message.position[joint] = value
        return message

    return change


def joint_beside(joint: int, by: float) -> Change:
    """One joint is said to be so far from where it is."""

    def change(message: JointState) -> JointState:
        message.position[joint] += by
        return message

    return change


def stuck_values() -> Change:
    """The first values under ever new stamps: an encoder that sticks."""
    return frozen(new_stamps=True)


def renamed(old: str, new: str) -> Change:
    """Another arm's joint names."""

    def change(message: JointState | JointTrajectory):
        names = message.name if isinstance(message, JointState) else message.joint_names
        names[:] = [name.replace(old, new) for name in names]
        return message

    return change


def shortened(message: JointState) -> JointState:
    """Fewer positions than names."""
    message.position = message.position[:5]
    return message


# ---- the arm's status


def guided(message: DiagnosticStatus) -> DiagnosticStatus:
    """A person leads the arm by hand."""
    message.level, message.message = DiagnosticStatus.WARN, "it is guided by hand"
    return message


# ---- chunks


def with_values(message: JointTrajectory, values: Sequence[Sequence[float]]) -> JointTrajectory:
    """The same chunk with positions (n, 8)."""
    for point, row in zip(message.points, values, strict=True):
        point.positions = array.array("d", row)
    return message


def values_of(message: JointTrajectory) -> np.ndarray:
    return np.array([point.positions for point in message.points])
