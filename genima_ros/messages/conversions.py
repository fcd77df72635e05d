"""Messages to core types, checked, and back; what moves the arm may become a `Refusal`, all else raises ValueError."""

import array
from collections.abc import Callable, Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from genima_core import types
from genima_core.arm import Arm, Gripper
from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.files import parse_json
from genima_core.pixels import to_rgb
from genima_core.streaming.states import Reason
from genima_core.types import ActionChunk, Target
from genima_ros.messages.checks import UnusableError, find_columns, read_joints, read_rows, read_step, refusing, shown

GRIPPER_JOINT = "gripper"
"""Column of an action chunk that holds the gripper's width in metres."""
APPROVED = "approved"
"""Frame of an action chunk that a person approved of; joints have none."""


def seconds(stamp: Time | Duration) -> float:
    return stamp.sec + 1e-9 * stamp.nanosec


def to_time(stamp_s: float) -> Time:
    whole_s, nanoseconds = divmod(round(stamp_s * 1e9), 10**9)
    return Time(sec=whole_s, nanosec=nanoseconds)


def to_duration(duration_s: float) -> Duration:
    whole_s, nanoseconds = divmod(round(duration_s * 1e9), 10**9)
    return Duration(sec=whole_s, nanosec=nanoseconds)


def image_to_rgb(message: Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB; for rgb8 a read-only view of the message's own bytes."""
    width, height, big_endian = message.width, message.height, bool(message.is_bigendian)
    return to_rgb(message.data, width, height, message.encoding, message.step, big_endian)


def rgb_to_image(rgb: np.ndarray, stamp_s: float, frame_id: str = "") -> Image:
    """An rgb8 message from (H, W, 3) uint8."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"an rgb8 image needs (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8", step=3 * rgb.shape[1])
    message.header = Header(stamp=to_time(stamp_s), frame_id=frame_id)
    message.data = array.array("B", rgb.tobytes())  # rclpy checks a list byte by byte, an array not
    return message


def camera_info_to_camera(message: CameraInfo) -> PinholeCamera:
    """Intrinsics; distorted images must be rectified first."""
    return PinholeCamera.from_camera_info(message, message.header.frame_id)


def camera_to_camera_info(camera: PinholeCamera, stamp_s: float, frame_id: str = "") -> CameraInfo:
    message = CameraInfo(width=camera.width, height=camera.height, distortion_model="plumb_bob", d=[0.0] * 5)
    message.header = Header(stamp=to_time(stamp_s), frame_id=frame_id)
    message.k = camera.K.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.hstack([camera.K, np.zeros((3, 1))]).ravel()
    return message


def read_rig(message: String) -> CameraRig:
    """The rig of a message on camera_rig; ValueError if it holds none."""
    try:
        return CameraRig.from_dict(parse_json(message.data, "the message"), "it")
    except ValueError as error:
        raise ValueError(f"camera_rig holds no rig ({error}); `genima calibrate install` writes one") from error


def positions_by_name(message: JointState, names: Sequence[str], what: str = "joint state") -> np.ndarray:
    """Positions (n,) of the named joints, in that order, whatever the order of the message."""
    return read_joints(what, message, names)[0]


def gripper_opening(message: JointState, gripper: Gripper) -> float:
    """0 closed to 1 open."""
    return gripper.to_opening(gripper.to_width_m(float(positions_by_name(message, gripper.joints).sum())))


def to_joint_state(
    names: Sequence[str], positions: np.ndarray, stamp_s: float, velocities: np.ndarray | None = None
) -> JointState:
    message = JointState(name=list(names), position=array.array("d", np.asarray(positions, np.float64)))
    message.header.stamp = to_time(stamp_s)
    if velocities is not None:
        message.velocity = array.array("d", np.asarray(velocities, np.float64))
    return message


Clock = Callable[[float], float]
"""From a stamp in ROS time to the clock of the caller; float for the same."""


@refusing
def read_joint_state(message: JointState, arm: Arm, clock: Clock = float, gripper: bool = False) -> types.JointState:
    """The arm's joints, and the width of its gripper if that is wanted and told."""
    q, dq = read_joints("joint state", message, arm.joint_names)
    told = gripper and arm.gripper.joints and set(arm.gripper.joints) <= set(message.name)
    return types.JointState(q, dq, clock(seconds(message.header.stamp)), _width_m(message, arm) if told else None)


@refusing
def read_width(message: JointState, arm: Arm) -> float:
    """Width of the arm's gripper, in m, by its joints."""
    return _width_m(message, arm)


def _width_m(message: JointState, arm: Arm) -> float:
    positions = positions_by_name(message, arm.gripper.joints, "gripper's joint state")
    width_m, most_m = arm.gripper.to_width_m(float(positions.sum())), arm.gripper.max_width_m
    if not -0.1 <= width_m / most_m <= 1.25:
        given = f"{shown(arm.gripper.joints)} add up to a width of {width_m:.3f} m; valid is 0 to {most_m:g} m"
        raise UnusableError(Reason.GRIPPER, f"{given}: look at the gripper's driver and the arm's file.")
    return width_m


@refusing
def read_target(message: JointState, arm: Arm, clock: Clock = float) -> Target:
    """Where the arm should be, and if it is named the gripper."""
    q, dq = read_joints("target", message, arm.joint_names, (GRIPPER_JOINT,))
    stamp_s = clock(seconds(message.header.stamp))
    return Target(q[:7], None if dq is None else dq[:7], stamp_s, float(q[7]) if len(q) > 7 else None)


def target_to_joint_state(target: Target, arm: Arm, stamp_s: float) -> JointState:
    """As `read_target` takes it; of a target without velocities none are sent."""
    if target.width_m is None:
        return to_joint_state(arm.joint_names, target.q, stamp_s, target.dq)
    dq = None if target.dq is None else np.append(target.dq, 0.0)
    return to_joint_state((*arm.joint_names, GRIPPER_JOINT), np.append(target.q, target.width_m), stamp_s, dq)


@refusing
def read_chunk(message: JointTrajectory, arm: Arm, clock: Clock = float) -> ActionChunk:
    """The actions of a trajectory; its joints may come in any order, the gripper's width in m may be among them."""
    names = message.joint_names
    columns = find_columns("chunk", arm.joint_names, names, (GRIPPER_JOINT,))
    values = read_rows("chunk", names, [point.positions for point in message.points])[:, columns]
    times_s = np.array([seconds(point.time_from_start) for point in message.points])
    dt_s, stamp_s = read_step("chunk", times_s), clock(seconds(message.header.stamp))
    gripper = values[:, 7] / arm.gripper.max_width_m if len(columns) > 7 else None
    approved = message.header.frame_id == APPROVED
    return ActionChunk(values[:, :7], gripper, dt_s, stamp_s + float(times_s[0]), stamp_s, approved)


def chunk_to_trajectory(chunk: ActionChunk, arm: Arm) -> JointTrajectory:
    """Stamped with the capture time; action k's `time_from_start` is its due time after the stamp."""
    names, values = arm.joint_names, chunk.positions
    if chunk.gripper is not None:
        names = (*names, GRIPPER_JOINT)
        values = np.column_stack([values, chunk.gripper * arm.gripper.max_width_m])
    message = JointTrajectory(joint_names=list(names))
    message.header = Header(stamp=to_time(chunk.stamp_s), frame_id=APPROVED if chunk.approved else "")
    offset_s = chunk.start_s - chunk.stamp_s
    message.points = [
        JointTrajectoryPoint(positions=array.array("d", row), time_from_start=to_duration(offset_s + k * chunk.dt_s))
        for k, row in enumerate(values)
    ]
    return message
