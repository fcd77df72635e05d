"""Action chunks to and from JointTrajectory messages, without ROS, as `genima_ros.messages` does it with."""

from typing import Any

import numpy as np

from genima_core.arm import Arm
from genima_core.data.bags import messages
from genima_core.types import ActionChunk

GRIPPER = "gripper"
"""Column that holds the gripper's width in metres."""
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"


def chunk_to_message(chunk: ActionChunk, arm: Arm) -> tuple[str, object]:
    """Type and message, stamped with the capture time; times of points are when they are due after it."""
    types, names, values = messages.typestore().types, list(arm.joint_names), chunk.positions
    if chunk.gripper is not None:
        names, values = [*names, GRIPPER], np.column_stack([values, chunk.gripper * arm.gripper.max_width_m])
    none, points = np.zeros(0), []
    for k, row in enumerate(values):
        due = _split(chunk.start_s - chunk.stamp_s + k * chunk.dt_s)
        duration = types["builtin_interfaces/msg/Duration"](*due)
        points.append(types["trajectory_msgs/msg/JointTrajectoryPoint"](row, none, none, none, duration))
    stamp = types["builtin_interfaces/msg/Time"](*_split(chunk.stamp_s))
    return TRAJECTORY, types[TRAJECTORY](types["std_msgs/msg/Header"](stamp, ""), names, points)


def chunk_of_message(message: Any, arm: Arm) -> ActionChunk:
    """What a decoded message says; ValueError: it lacks a joint, or is no chunk."""
    names = list(message.joint_names)
    if missing := [name for name in arm.joint_names if name not in names]:
        raise ValueError(f"an action chunk lacks {', '.join(missing)}; it has {', '.join(names) or 'no joints'}")
    if len(message.points) < 2 or any(len(point.positions) != len(names) for point in message.points):
        raise ValueError(f"an action chunk has {len(message.points)} points; two or more of all joints are needed")
    values = np.array([point.positions for point in message.points], np.float64)
    due_s = [point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec for point in message.points]
    gripper = values[:, names.index(GRIPPER)] / arm.gripper.max_width_m if GRIPPER in names else None
    stamp_s = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
    columns = [names.index(name) for name in arm.joint_names]
    return ActionChunk(values[:, columns], gripper, due_s[1] - due_s[0], stamp_s + due_s[0], stamp_s)


def _split(time_s: float) -> tuple[int, int]:
    seconds, nanoseconds = divmod(round(time_s * 1e9), 10**9)
    return seconds, nanoseconds
