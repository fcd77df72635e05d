"""Where spheres are in space, given their centres in several views; and what they cover in each view."""

import numpy as np

from genima_core.cameras import CameraRig, PinholeCamera
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


def outline_labels(rig: CameraRig, T_base_cam: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Front-most sphere at each pixel (views, H, W) uint8, 0 for none, else 1 + its index in `points` (N, 3) m.

    As `TargetViews.labels`, without rendering; a point that is NaN covers nothing.
    """
    width, height = rig.size
    labels = np.zeros((len(rig.cameras), height, width), np.uint8)
    pixels = np.mgrid[:height, :width][::-1]
    for view, (camera, T) in enumerate(zip(rig.cameras, T_base_cam, strict=True)):
        rays = _rays(camera.intrinsics, *pixels)
        squared = (rays * rays).sum(axis=-1)
        nearest = np.full((height, width), np.inf)
        for index, p_cam in enumerate(transform_points(invert(T), points)):
            if not (np.isfinite(p_cam).all() and p_cam[2] > 0):
                continue
            along = rays @ p_cam
            root = along * along - squared * (p_cam @ p_cam - camera.target_radius_m**2)
            # Depth of the first crossing of the ray with the sphere.
            depth = np.where(root >= 0, (along - np.sqrt(np.maximum(root, 0.0))) / squared, np.inf)
            front = (depth > 0) & (depth < nearest)
            labels[view][front] = index + 1
            nearest[front] = depth[front]
    return labels


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
    origins, cameras = T_base_cam[seen, :3, 3], [rig.cameras[view] for view in seen]
    rays = np.stack([_rays(camera.intrinsics, *centres[view]) for camera, view in zip(cameras, seen, strict=True)])
    rays = (T_base_cam[seen, :3, :3] @ (rays / np.linalg.norm(rays, axis=-1, keepdims=True))[..., None])[..., 0]
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    focal = np.array([camera.intrinsics.fx for camera in cameras])
    radius_m = np.array([camera.target_radius_m for camera in cameras])
    pixel, distance = rig.size[0] / 64, np.ones(len(seen))
    for _ in range(ROUNDS):  # distances weigh the views, and follow from them
        sigma_m = (pixel + focal * radius_m / distance) * distance / focal
        weighted = across / sigma_m[:, None, None] ** 2
        A = weighted.sum(axis=0)
        if np.linalg.cond(A) > 1e6:
            return np.full(3, np.nan)
        point = np.linalg.solve(A, (weighted @ origins[..., None]).sum(axis=0)[:, 0])
        distance = np.maximum(np.linalg.norm(point - origins, axis=-1), 0.02)
    return point


def _rays(camera: PinholeCamera, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Points (..., 3) at depth 1 in the camera frame, seen at the pixels (u, v)."""
    return np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u, float)], axis=-1)
