"""Rigid transforms, and the conventions that the whole project keeps.

Frames and names
    ``T_a_b`` is the pose of frame ``b`` in frame ``a``, a (4, 4) float64 matrix: ``p_a = T_a_b @ p_b``.
    In a product adjacent names cancel: ``T_base_cam = T_base_hand @ T_hand_cam``.
    ``base`` is the robot's link 0 (x forward, z up), ``hand`` is the Franka hand (``panda_hand``:
    z out of the fingers), ``tcp`` is the point between the fingertips, ``cam`` an OpenCV camera
    (x right, y down, z forward).
    Only renderers need OpenGL cameras (y up, z backward): `opencv_to_opengl` is the one conversion.

Units
    Metres, radians, seconds. A suffix where it could be doubted: ``_s``, ``_px``, ``_ms``.

Rotations
    ``R_a_b`` (3, 3); quaternions are ``quat_wxyz`` or ``quat_xyzw``, never ``quat``.

Pixels
    OpenCV's: the centre of the top-left pixel is (0, 0), u to the right, v down.
"""

from collections.abc import Sequence
from reprlib import repr as short

import numpy as np
from numpy.typing import ArrayLike

FARTHEST_M = 1000.0
"""No camera of a cell is farther away."""


def make_transform(R_a_b: ArrayLike, p_a: ArrayLike) -> np.ndarray:
    """T_a_b (4, 4) from a rotation (3, 3) and the origin of b in a (3,), metres."""
    T_a_b = np.eye(4)
    T_a_b[:3, :3] = R_a_b
    T_a_b[:3, 3] = p_a
    return T_a_b


def invert(T_a_b: np.ndarray) -> np.ndarray:
    """T_b_a of T_a_b; works on (..., 4, 4)."""
    R_b_a = np.swapaxes(T_a_b[..., :3, :3], -1, -2)
    T_b_a = np.zeros_like(T_a_b)
    T_b_a[..., :3, :3] = R_b_a
    T_b_a[..., :3, 3] = -(R_b_a @ T_a_b[..., :3, 3:])[..., 0]
    T_b_a[..., 3, 3] = 1.0
    return T_b_a


def transform_points(T_a_b: np.ndarray, points_b: np.ndarray) -> np.ndarray:
    """Points (..., 3) of frame b in frame a."""
    return points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3]


def from_rpy(rpy: ArrayLike, p_a: ArrayLike) -> np.ndarray:
    """T_a_b from roll, pitch and yaw in rad, about the fixed axes x, y and z one after the other, and metres."""
    (c_r, c_p, c_y), (s_r, s_p, s_y) = np.cos(rpy), np.sin(rpy)
    roll = [[1.0, 0.0, 0.0], [0.0, c_r, -s_r], [0.0, s_r, c_r]]
    pitch = [[c_p, 0.0, s_p], [0.0, 1.0, 0.0], [-s_p, 0.0, c_p]]
    yaw = [[c_y, -s_y, 0.0], [s_y, c_y, 0.0], [0.0, 0.0, 1.0]]
    return make_transform(np.array(yaw) @ pitch @ roll, p_a)


def from_quat_xyzw(quat_xyzw: np.ndarray, p_a: np.ndarray) -> np.ndarray:
    """T_a_b from a quaternion (x, y, z, w), whose norm may differ from 1 by 1e-3 (else ValueError), and metres."""
    norm = float(np.linalg.norm(quat_xyzw))
    if not abs(norm - 1.0) <= 1e-3:
        raise ValueError(f"quaternion (x, y, z, w) {list(quat_xyzw)} has norm {norm:.4f}; a rotation needs norm 1")
    from scipy.spatial.transform import Rotation  # not at the top: it takes longer to load than all else

    return make_transform(Rotation.from_quat(quat_xyzw).as_matrix(), p_a)


def to_quat_xyzw(T_a_b: np.ndarray) -> np.ndarray:
    """Quaternion (x, y, z, w) of the rotation of T_a_b, w >= 0."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(T_a_b[:3, :3]).as_quat(canonical=True)


def to_quat_wxyz(T_a_b: np.ndarray) -> np.ndarray:
    """Quaternion (w, x, y, z) of the rotation of T_a_b, w >= 0 (MuJoCo's order)."""
    return np.roll(to_quat_xyzw(T_a_b), 1)


def rotation_angle(R_a_b: np.ndarray) -> float:
    """Angle in rad, 0 to pi, of a rotation (3, 3)."""
    from scipy.spatial.transform import Rotation

    return float(Rotation.from_matrix(R_a_b).magnitude())


def distance(T_a_first: np.ndarray, T_a_second: np.ndarray) -> tuple[float, float]:
    """Between two poses in one frame, in mm and degrees."""
    return (
        1e3 * float(np.linalg.norm(T_a_first[:3, 3] - T_a_second[:3, 3])),
        float(np.rad2deg(rotation_angle(T_a_first[:3, :3].T @ T_a_second[:3, :3]))),
    )


def look_at(
    eye: Sequence[float] | np.ndarray, target: Sequence[float] | np.ndarray, up: Sequence[float] = (0.0, 0.0, 1.0)
) -> np.ndarray:
    """T_base_cam of an OpenCV camera at `eye` (3,) looking at `target` (3,); ValueError: coincide, parallel to `up`."""
    z_axis = np.asarray(target, float) - np.asarray(eye, float)
    x_axis = np.cross(z_axis, np.asarray(up, float))
    if np.linalg.norm(z_axis) < 1e-9 or np.linalg.norm(x_axis) < 1e-9:
        raise ValueError(f"no camera pose from eye {list(eye)} to target {list(target)} with up {list(up)}")
    z_axis = z_axis / np.linalg.norm(z_axis)
    x_axis = x_axis / np.linalg.norm(x_axis)
    return make_transform(np.column_stack([x_axis, np.cross(z_axis, x_axis), z_axis]), eye)


def opencv_to_opengl(T_base_cam: np.ndarray) -> np.ndarray:
    """The same camera with OpenGL axes (y up, z backward); for renderers only."""
    return T_base_cam @ np.diag([1.0, -1.0, -1.0, 1.0])


def checked_numbers(values: object, shape: tuple[int, ...] | None, what: str) -> np.ndarray:
    """A float64 array of this shape, or of any; ValueError, which names `what`, for texts and what is not finite."""
    try:
        given = np.array(values)
        array = given.astype(np.float64) if given.dtype.kind in "fiu" else np.array(np.nan)
    except (TypeError, ValueError, OverflowError):
        array = np.array(np.nan)
    if (shape is not None and array.shape != shape) or not np.isfinite(array).all():
        needed = "" if shape is None else f"{' x '.join(map(str, shape))} "
        raise ValueError(f"{what} is {short(values)}; it needs {needed}finite numbers")
    return array


def checked_pose(T_a_b: object, what: str) -> np.ndarray:
    """A pose (4, 4); ValueError, which names `what`, where it is mirrored, scaled, sheared or not finite."""
    T = checked_numbers(T_a_b, (4, 4), what)
    R = T[:3, :3]
    within = np.abs(T[:3, 3]).max() <= FARTHEST_M and np.abs(R).max() <= 1.001
    if not (within and np.allclose(R @ R.T, np.eye(3), atol=1e-3) and np.linalg.det(R) > 0) or not np.allclose(
        T[3], [0.0, 0.0, 0.0, 1.0]
    ):
        rigid = f"a rotation that is not mirrored or scaled, a place within {FARTHEST_M:g} m"
        raise ValueError(f"{what} is not a pose: it needs {rigid}, and the last row 0 0 0 1; it is {short(T.tolist())}")
    return T
