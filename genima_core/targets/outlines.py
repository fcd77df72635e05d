"""Which pixels spheres cover in each view, without rendering."""

import numpy as np

from genima_core.cameras import CameraRig
from genima_core.geometry import invert, transform_points


def outline_labels(rig: CameraRig, T_base_cam: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Front-most sphere at each pixel (views, H, W) uint8, 0 for none, else 1 + its index in `points` (N, 3) m.

    As `TargetViews.labels`; a point that is NaN covers nothing.
    """
    width, height = rig.size
    labels = np.zeros((len(rig.cameras), height, width), np.uint8)
    v, u = np.mgrid[:height, :width]
    for view, (camera, T) in enumerate(zip(rig.cameras, T_base_cam, strict=True)):
        K, radius_m = camera.intrinsics, camera.target_radius_m
        rays = np.stack([(u - K.cx) / K.fx, (v - K.cy) / K.fy, np.ones(u.shape)], axis=-1)
        squared = (rays * rays).sum(axis=-1)
        nearest = np.full(u.shape, np.inf)
        for index, p_cam in enumerate(transform_points(invert(T), points)):
            if not (np.isfinite(p_cam).all() and p_cam[2] > 0):
                continue
            along = rays @ p_cam
            root = along * along - squared * (p_cam @ p_cam - radius_m * radius_m)
            # Depth of the first crossing of the ray with the sphere.
            depth = np.where(root >= 0, (along - np.sqrt(np.maximum(root, 0.0))) / squared, np.inf)
            front = (depth > 0) & (depth < nearest)
            labels[view][front] = index + 1
            nearest[front] = depth[front]
    return labels
