"""Where spheres are in space, given their centres in several views, what they cover, and which arm shows them."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from genima_core.arm import Arm, frame_index
from genima_core.cameras import CameraRig
from genima_core.geometry import invert, transform_points

ROUNDS = 3
STAY_M_PER_RAD = 0.004
"""What a joint is held by where it is: four points leave the seventh open, and a stretched arm more."""


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
    """Front-most sphere at each pixel (views, H, W), 0 for none, else 1 + its index in `points` (N, 3) m; NaN: none."""
    width, height = rig.size
    labels = np.zeros((len(rig.cameras), height, width), np.uint8)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    for view, (camera, T) in enumerate(zip(rig.cameras, T_base_cam, strict=True)):
        rays = camera.intrinsics.rays(pixels)
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
    rays = np.stack([camera.intrinsics.rays(centres[view]) for camera, view in zip(cameras, seen, strict=True)])
    rays = (T_base_cam[seen, :3, :3] @ (rays / np.linalg.norm(rays, axis=-1, keepdims=True))[..., None])[..., 0]
    across = _across(rays)
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


@dataclass(frozen=True)
class Reach:
    """The configuration (7,) rad that comes nearest, its drawn frames (4, 3) m, and their distances (4,) m or NaN."""

    q: np.ndarray
    points: np.ndarray
    distance_m: np.ndarray


def reach(arm: Arm, points: np.ndarray, q_start: np.ndarray) -> Reach:
    """The configuration whose drawn frames come nearest to `points` (4, 3) m, NaN for any; it stays at `q_start`."""
    asked = np.flatnonzero(np.isfinite(points).all(axis=-1))
    q, origins = _nearest(arm, asked, points[asked], np.broadcast_to(np.eye(3), (len(asked), 3, 3)), q_start)
    return Reach(q, origins, np.linalg.norm(points - origins, axis=-1))


def reach_in_sight(
    rig: CameraRig, T_base_cam: np.ndarray, centres: np.ndarray, shown: np.ndarray, q_start: np.ndarray
) -> np.ndarray:
    """Points (4, 3) m of the arm whose drawn frames come nearest to the lines of sight through `centres` (views, 4, 2)
    px, where `shown` (views, 4); it stays at `q_start`.
    """
    seen = np.nonzero(shown)
    rays = [rig.cameras[view].intrinsics.rays(centres[view, target]) for view, target in zip(*seen, strict=True)]
    towards = (T_base_cam[seen[0], :3, :3] @ np.reshape(rays, (-1, 3, 1)))[..., 0]
    across = _across(towards / np.linalg.norm(towards, axis=-1, keepdims=True))
    return _nearest(rig.arm, seen[1], T_base_cam[seen[0], :3, 3], across, q_start)[1]


def _across(rays: np.ndarray) -> np.ndarray:
    """(N, 3, 3): from a vector to its part across each of the rays (N, 3), of length 1."""
    return np.eye(3) - rays[:, :, None] * rays[:, None, :]


def _nearest(
    arm: Arm, asked: np.ndarray, places: np.ndarray, counted: np.ndarray, q_start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The configuration (7,) rad, and the drawn frames (4, 3) m, whose frames `asked` (N,) come nearest to `places`
    (N, 3) m; of each distance counts what `counted` (N, 3, 3) makes of it.
    """

    def distances(q: np.ndarray) -> np.ndarray:
        away = counted @ (_frames(arm, q)[0][asked] - places)[..., None]
        return np.append(away, STAY_M_PER_RAD * (q - q_start))

    def derivatives(q: np.ndarray) -> np.ndarray:
        return np.concatenate([(counted @ _frames(arm, q)[1][asked]).reshape(-1, 7), STAY_M_PER_RAD * np.eye(7)])

    bounds = arm.limits.lower, arm.limits.upper
    found = [least_squares(distances, arm.clip(start), derivatives, bounds, ftol=1e-5) for start in (q_start, arm.home)]
    q = min(found, key=lambda fit: fit.cost).x
    return q, _frames(arm, q)[0]


def _frames(arm: Arm, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origins (4, 3) m of the drawn frames and their derivatives (4, 3, 7) m/rad."""
    poses, index = arm.forward_kinematics(q), np.array([frame_index(name) for name in arm.drawn_frames])
    origins = poses[index, :3, 3]
    arms = origins[:, None] - poses[None, :7, :3, 3]
    J = np.cross(poses[None, :7, :3, 2], arms) * (np.arange(7) <= np.minimum(index, 6)[:, None])[..., None]
    return origins, J.transpose(0, 2, 1)
