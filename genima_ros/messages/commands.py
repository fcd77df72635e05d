"""What arm controllers are told, in each of the kinds of `interfaces.ARM_COMMANDS`, as numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from genima_ros.messages import conversions
from genima_ros.messages.conversions import seconds

COMMAND_S = 0.02
"""In which the arm moves to a position that is commanded without a time."""


class Points(NamedTuple):
    """What an arm controller is told: q (n, 7) rad, dq (n, 7) rad/s where it is said, times_s (n,) after stamp_s."""

    q: np.ndarray
    dq: np.ndarray | None
    times_s: np.ndarray
    stamp_s: float
    """0 for now."""


def read_trajectory(message: JointTrajectory, names: Sequence[str]) -> Points:
    given, points = list(message.joint_names), message.points
    columns = [given.index(name) for name in names]
    q = np.array([point.positions for point in points], dtype=np.float64)[:, columns]
    dq = None
    if all(len(point.velocities) == len(given) for point in points):
        dq = np.array([point.velocities for point in points], dtype=np.float64)[:, columns]
    times_s = np.array([seconds(point.time_from_start) for point in points])
    return Points(q, dq, times_s, seconds(message.header.stamp))


def read_joint_command(message: JointState, names: Sequence[str]) -> Points:
    return Points(conversions.positions_by_name(message, names)[None], None, np.array([COMMAND_S]), 0.0)


def read_positions(message: Float64MultiArray, names: Sequence[str]) -> Points:
    return Points(np.array([message.data], dtype=np.float64), None, np.array([COMMAND_S]), 0.0)


COMMANDS = {
    "joint_trajectory": ("trajectory", read_trajectory),
    "joint_state": ("joint command", read_joint_command),
    "float64_array": ("joint command", read_positions),
}
"""By the kind of `interfaces.ARM_COMMANDS`: what it is called, and how it is read."""
