"""Messages to core types and back; every message is checked before it is believed.

All functions raise ValueError with what was received, what is valid and where to look.
"""

import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from genima_core.arm import Arm, Gripper
from genima_core.cameras import PinholeCamera
from genima_core.pixels import to_rgb
from genima_core.types import ActionChunk

GRIPPER_JOINT = "gripper"
"""Column of an action chunk that holds the gripper's width in metres."""


def seconds(stamp: Time | Duration) -> float:
    return stamp.sec + 1e-9 * stamp.nanosec


def to_time(stamp_s: float) -> Time:
    nanoseconds = round(stamp_s * 1e9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def to_duration(duration_s: float) -> Duration:
    nanoseconds = round(duration_s * 1e9)
    return Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def image_to_rgb(message: Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB; for rgb8 a read-only view of the message's own bytes."""
    return to_rgb(
        message.data, message.width, message.height, message.encoding, message.step, bool(message.is_bigendian)
    )


def rgb_to_image(rgb: np.ndarray, stamp_s: float, frame_id: str = "") -> Image:
    """An rgb8 message from (H, W, 3) uint8."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"an rgb8 image needs (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8", step=3 * rgb.shape[1])
    message.header.stamp = to_time(stamp_s)
    message.header.frame_id = frame_id
    message.data = array.array("B", rgb.tobytes())  # rclpy checks a list byte by byte, an array not
    return message


def camera_info_to_camera(message: CameraInfo) -> PinholeCamera:
    """Intrinsics; distorted images must be rectified first."""
    if any(abs(value) > 1e-9 for value in message.d):
        raise ValueError(
            f"camera_info of {message.header.frame_id!r} has distortion {list(message.d)}; "
            "use the rectified image (image_proc) or a camera that rectifies"
        )
    k = message.k
    return PinholeCamera(message.width, message.height, fx=k[0], fy=k[4], cx=k[2], cy=k[5])


def camera_to_camera_info(camera: PinholeCamera, stamp_s: float, frame_id: str = "") -> CameraInfo:
    message = CameraInfo(width=camera.width, height=camera.height, distortion_model="plumb_bob", d=[0.0] * 5)
    message.header.stamp = to_time(stamp_s)
    message.header.frame_id = frame_id
    message.k = camera.K.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.hstack([camera.K, np.zeros((3, 1))]).ravel()
    return message


def positions_by_name(message: JointState, names: Sequence[str]) -> np.ndarray:
    """Positions (n,) of the named joints, in that order, whatever the order of the message."""
    values = dict(zip(message.name, message.position, strict=False))
    if len(message.name) != len(message.position):
        raise ValueError(f"joint state has {len(message.name)} names but {len(message.position)} positions")
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(
            f"joint state lacks {', '.join(missing)}; it has {', '.join(message.name) or 'no joints'}: "
            "name the arm that the robot is (parameter arm)"
        )
    positions = np.array([values[name] for name in names], dtype=np.float64)
    if not np.isfinite(positions).all():
        bad = [name for name, value in zip(names, positions, strict=True) if not np.isfinite(value)]
        raise ValueError(f"joint state has non-finite positions for {', '.join(bad)}")
    return positions


def velocities_by_name(message: JointState, names: Sequence[str]) -> np.ndarray:
    """Velocities (n,) of the named joints; zero where the message carries none."""
    if len(message.velocity) != len(message.name):
        return np.zeros(len(names))
    values = dict(zip(message.name, message.velocity, strict=True))
    velocities = np.array([values.get(name, 0.0) for name in names], dtype=np.float64)
    return np.where(np.isfinite(velocities), velocities, 0.0)


def gripper_opening(message: JointState, gripper: Gripper) -> float:
    """0 closed to 1 open, from the gripper's joints."""
    return gripper.to_opening(gripper.to_width_m(float(positions_by_name(message, gripper.joints).sum())))


def to_joint_state(
    names: Sequence[str], positions: np.ndarray, stamp_s: float, velocities: np.ndarray | None = None
) -> JointState:
    message = JointState(name=list(names), position=array.array("d", np.asarray(positions, np.float64)))
    message.header.stamp = to_time(stamp_s)
    if velocities is not None:
        message.velocity = array.array("d", np.asarray(velocities, np.float64))
    return message


def chunk_to_trajectory(chunk: ActionChunk, arm: Arm) -> JointTrajectory:
    """Stamped with the capture time; action k's `time_from_start` is its due time after the stamp."""
    message = JointTrajectory(joint_names=[*arm.joint_names, GRIPPER_JOINT])
    message.header.stamp = to_time(chunk.stamp_s)
    offset_s = chunk.start_s - chunk.stamp_s
    for k, (q, opening) in enumerate(zip(chunk.positions, chunk.gripper, strict=True)):
        message.points.append(
            JointTrajectoryPoint(
                positions=array.array("d", [*q, opening * arm.gripper.max_width_m]),
                time_from_start=to_duration(offset_s + k * chunk.dt_s),
            )
        )
    return message


def trajectory_to_chunk(message: JointTrajectory, arm: Arm) -> ActionChunk:
    """The chunk of a trajectory with evenly spaced points; joints may come in any order."""
    columns = [*arm.joint_names, GRIPPER_JOINT]
    if sorted(message.joint_names) != sorted(columns):
        raise ValueError(
            f"chunk is for joints {', '.join(message.joint_names) or 'none'}; needed are {', '.join(columns)}"
        )
    if not message.points:
        raise ValueError("chunk has no points")
    if any(len(point.positions) != len(columns) for point in message.points):
        raise ValueError(
            f"chunk has points with {sorted({len(p.positions) for p in message.points})} positions; "
            f"each needs {len(columns)}"
        )
    values = np.array([point.positions for point in message.points], dtype=np.float64)
    values = values[:, [list(message.joint_names).index(name) for name in columns]]
    if not np.isfinite(values).all():
        raise ValueError("chunk has non-finite positions")
    times_s = np.array([seconds(point.time_from_start) for point in message.points])
    steps_s = np.diff(times_s)
    if (steps_s <= 0).any():
        raise ValueError(f"chunk times do not increase: {np.round(times_s, 3).tolist()} s")
    dt_s = float(np.median(steps_s)) if len(steps_s) else 1.0
    if (abs(steps_s - dt_s) > 1e-3).any():
        raise ValueError(f"chunk times are not evenly spaced: {np.round(times_s, 3).tolist()} s")
    stamp_s = seconds(message.header.stamp)
    return ActionChunk(
        values[:, :-1], np.clip(values[:, -1] / arm.gripper.max_width_m, 0.0, 1.0), dt_s, stamp_s + times_s[0], stamp_s
    )
