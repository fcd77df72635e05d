"""The Franka arms: names, limits, forward kinematics and Jacobian.

Sources: the vendor's control-parameter pages (limits, Craig's DH parameters, hand geometry).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

JOINT_NAMES = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGER_NAMES = ("panda_finger_joint1", "panda_finger_joint2")
FINGER_OPEN_M = 0.04
"""Travel of one finger; the gripper's width is twice that."""
FINGER_Z_M = 0.0584
"""Where the fingers begin, in the hand frame; vendor's description."""
GRIPPER_WIDTH_M = 2 * FINGER_OPEN_M

HOME = np.array([0.0, -0.785398, 0.0, -2.356194, 0.0, 1.570796, 0.785398])
"""Franka's "ready" configuration, rad."""


@dataclass(frozen=True)
class JointLimits:
    """Limits of the seven joints, arrays (7,): rad, rad/s, rad/s², rad/s³."""

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray


PANDA_LIMITS = JointLimits(
    lower=np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]),
    upper=np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]),
    velocity=np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61]),
    acceleration=np.array([15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0]),
    jerk=np.array([7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0]),
)

FR3_LIMITS = JointLimits(
    lower=np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159]),
    upper=np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159]),
    velocity=np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
    acceleration=np.full(7, 10.0),
    jerk=np.full(7, 5000.0),
)
"""The arm lowers its velocity limits near its position limits; that is not modelled. Its kinematics are the Panda's."""

ARM_LIMITS = {"panda": PANDA_LIMITS, "fr3": FR3_LIMITS}


def narrow_limits(
    arm: str, lower: Sequence[float] = (), upper: Sequence[float] = (), velocity: Sequence[float] = ()
) -> JointLimits:
    """Limits of an arm with some of them, seven each, replaced by narrower ones.

    Raises:
        ValueError: another number of them, none left, or wider than the arm's.
    """
    limits = ARM_LIMITS[arm]
    for name, given, known, sign in (
        ("lower position", lower, limits.lower, -1),
        ("upper position", upper, limits.upper, 1),
        ("velocity", velocity, limits.velocity, 1),
    ):
        if len(given) not in (0, 7) or not np.isfinite(given).all():
            raise ValueError(f"{name} limits are {list(given)}; seven numbers are needed, or none for the arm's own")
        for i, (value, most) in enumerate(zip(given, known, strict=False)):
            if sign * (value - most) > 0:
                raise ValueError(
                    f"the {name} limit of joint {i + 1} is {value:g}, wider than the {arm}'s own of "
                    f"{most:g}; limits may only be narrower"
                )
    narrow = replace(
        limits,
        lower=np.array(lower if len(lower) else limits.lower),
        upper=np.array(upper if len(upper) else limits.upper),
        velocity=np.array(velocity if len(velocity) else limits.velocity),
    )
    for i in np.flatnonzero((narrow.lower >= narrow.upper) | (narrow.velocity <= 0))[:1]:
        raise ValueError(
            f"nothing is left of joint {i + 1}: positions from {narrow.lower[i]:g} to "
            f"{narrow.upper[i]:g} rad, velocity {narrow.velocity[i]:g} rad/s; widen its limits"
        )
    return narrow


# Craig's (modified) DH parameters a, d, alpha of joint 1 to 7.
_DH = (
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -np.pi / 2),
    (0.0, 0.316, np.pi / 2),
    (0.0825, 0.0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0.0, 0.0, np.pi / 2),
    (0.088, 0.0, np.pi / 2),
)
FLANGE_Z_M = 0.107
HAND_YAW = -np.pi / 4
TCP_Z_M = 0.1034

FRAMES = ("joint1", "joint2", "joint3", "joint4", "joint5", "joint6", "joint7", "hand", "tcp")
"""Frames that `forward_kinematics` returns, in order. A joint's frame turns about its own z axis."""

TARGET_FRAMES = ("joint2", "joint4", "joint6", "tcp")
"""Frames that are drawn, as in the paper: base, elbow and wrist joints, and the gripper."""


def forward_kinematics(q: np.ndarray) -> np.ndarray:
    """Poses in the base frame of all `FRAMES`, (..., 9, 4, 4), for joint positions (..., 7) in rad."""
    q = np.asarray(q, dtype=np.float64)
    if q.shape[-1:] != (7,):
        raise ValueError(f"joint positions have shape {q.shape}; forward kinematics needs (..., 7)")
    T_base_frame = np.zeros((*q.shape[:-1], len(FRAMES), 4, 4))
    T = np.broadcast_to(np.eye(4), (*q.shape[:-1], 4, 4))
    for i, (a, d, alpha) in enumerate(_DH):
        T = T @ _dh_transform(q[..., i], a, d, alpha)
        T_base_frame[..., i, :, :] = T
    T_base_frame[..., 7, :, :] = T @ _T_JOINT7_HAND
    T_base_frame[..., 8, :, :] = T_base_frame[..., 7, :, :] @ _T_HAND_TCP
    return T_base_frame


def frame_pose(q: np.ndarray, frame: str) -> np.ndarray:
    """T_base_frame (..., 4, 4) of one of `FRAMES`."""
    return forward_kinematics(q)[..., frame_index(frame), :, :]


def target_poses(q: np.ndarray) -> np.ndarray:
    """Poses (..., 4, 4, 4) of the four `TARGET_FRAMES` in the base frame."""
    return forward_kinematics(q)[..., [frame_index(name) for name in TARGET_FRAMES], :, :]


def frame_index(frame: str) -> int:
    if frame not in FRAMES:
        raise ValueError(f"unknown frame {frame!r}; the arm has {', '.join(FRAMES)}")
    return FRAMES.index(frame)


def jacobian(q: np.ndarray, frame: str = "tcp") -> np.ndarray:
    """Geometric Jacobian (6, 7) of a frame in the base frame: linear velocity (m/rad) above angular."""
    poses = forward_kinematics(q)
    index = frame_index(frame)
    p_frame = poses[index, :3, 3]
    J = np.zeros((6, 7))
    for i in range(min(index + 1, 7)):
        axis = poses[i, :3, 2]
        J[:3, i] = np.cross(axis, p_frame - poses[i, :3, 3])
        J[3:, i] = axis
    return J


def _dh_transform(theta: np.ndarray, a: float, d: float, alpha: float) -> np.ndarray:
    c, s, ca, sa = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
    T = np.zeros((*np.shape(theta), 4, 4))
    T[..., 0, 0], T[..., 0, 1], T[..., 0, 3] = c, -s, a
    T[..., 1, 0], T[..., 1, 1], T[..., 1, 2], T[..., 1, 3] = s * ca, c * ca, -sa, -d * sa
    T[..., 2, 0], T[..., 2, 1], T[..., 2, 2], T[..., 2, 3] = s * sa, c * sa, ca, d * ca
    T[..., 3, 3] = 1.0
    return T


def _translation_z(z: float) -> np.ndarray:
    T = np.eye(4)
    T[2, 3] = z
    return T


def _rotation_z(angle: float) -> np.ndarray:
    T = np.eye(4)
    T[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return T


_T_JOINT7_HAND = _translation_z(FLANGE_Z_M) @ _rotation_z(HAND_YAW)
_T_HAND_TCP = _translation_z(TCP_Z_M)
