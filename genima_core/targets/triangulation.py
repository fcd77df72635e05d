"""Where spheres are in space, given their centres in several views."""

import numpy as np

from genima_core.cameras import CameraRig
from genima_core.geometry import invert, transform_points

ROUNDS = 3


def camera_poses(rig: CameraRig, q_now: np.ndarray) -> np.ndarray:
    """T_base_cam (views, 4, 4) of all cameras while the arm is at `q_now` (7,) rad, which places those on the hand."""
    T_base_hand = rig.arm.frame_pose(q_now, "hand")
    return np.stack([camera.T_base_cam(T_base_hand) for camera in rig.cameras])


def project(rig: CameraRig, T_base_cam: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (views, N, 2), NaN behind the camera, and the spheres' radii there (views, N) px, of points (N, 3) m."""
    pixels, radii = [], []
    for camera, T in zip(rig.cameras, T_base_cam, strict=True):
        p_cam = transform_points(invert(T), points)
        pixels.append(camera.intrinsics.project(p_cam))
        depth = np.where(p_cam[:, 2] > camera.target_radius_m, p_cam[:, 2], np.nan)
        radii.append(camera.intrinsics.fx * camera.target_radius_m / depth)
    return np.stack(pixels), np.stack(radii)


def triangulate(rig: CameraRig, T_base_cam: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Points (N, 3) m in the base frame nearest to the lines of sight through `centres` (views, N, 2) px.

    NaN centres do not count; a point seen by fewer than two cameras, or whose lines of sight are parallel, is NaN.
    Cameras on the hand count only where those on the base do not suffice: the nearer a sphere, the less its drawn
    centre says. One counts with a deviation of one pixel (at 64 pixels of width) plus the sphere's radius.
    """
    return np.stack([_meet(rig, T_base_cam, centres[:, target]) for target in range(centres.shape[1])])


def _meet(rig: CameraRig, T_base_cam: np.ndarray, centres: np.ndarray) -> np.ndarray:
    seen = np.flatnonzero(np.isfinite(centres).all(axis=-1))
    still = [view for view in seen if rig.cameras[view].mount == "base"]
    seen = np.array(still) if len(still) >= 2 else seen
    point = np.full(3, np.nan)
    if len(seen) < 2:
        return point
    origins = T_base_cam[seen, :3, 3]
    rays = np.stack([T_base_cam[view, :3, :3] @ _direction(rig, view, centres[view]) for view in seen])
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    focal = np.array([rig.cameras[view].intrinsics.fx for view in seen])
    pixel = rig.size[0] / 64
    radius_m = np.array([rig.cameras[view].target_radius_m for view in seen])
    distance = np.ones(len(seen))
    for _ in range(ROUNDS):  # distances weigh the views, and follow from them
        sigma_m = (pixel + focal * radius_m / distance) * distance / focal
        weighted = across / sigma_m[:, None, None] ** 2
        A = weighted.sum(axis=0)
        if np.linalg.cond(A) > 1e6:
            return np.full(3, np.nan)
        point = np.linalg.solve(A, (weighted @ origins[..., None]).sum(axis=0)[:, 0])
        distance = np.maximum(np.linalg.norm(point - origins, axis=-1), 0.02)
    return point


def _direction(rig: CameraRig, view: int | np.integer, centre: np.ndarray) -> np.ndarray:
    """Unit vector (3,) in the camera frame."""
    K = rig.cameras[view].intrinsics
    ray = np.array([(centre[0] - K.cx) / K.fx, (centre[1] - K.cy) / K.fy, 1.0])
    return ray / np.linalg.norm(ray)
