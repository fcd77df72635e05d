"""The cameras of a rig in the base frame: axes, a frustum and a name each; the one on the hand moves with the arm."""

from collections.abc import Iterator

import numpy as np
from visualization_msgs.msg import Marker

from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.geometry import transform_points
from genima_core.targets.triangulation import camera_poses
from genima_ros.nodes.markers.shapes import AXES, Sheet

DEPTH_M = 0.12
"""Of a frustum."""
AXIS_M = 0.06
GREY = (0.75, 0.75, 0.8)
EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))


def camera_markers(sheet: Sheet, rig: CameraRig, q: np.ndarray) -> Iterator[Marker]:
    """All cameras while the arm is at q (7,) rad."""
    for i, (camera, T_base_cam) in enumerate(zip(rig.cameras, camera_poses(rig, q), strict=True)):
        origin = T_base_cam[:3, 3]
        ends = origin + AXIS_M * T_base_cam[:3, :3].T
        yield sheet.segments(
            "axes", i, np.stack([np.tile(origin, (3, 1)), ends], axis=1).reshape(-1, 3), 0.006, AXES, 1.0
        )
        corners = transform_points(T_base_cam, frustum(camera.intrinsics, DEPTH_M))
        yield sheet.segments("frustum", i, corners[np.array(EDGES).ravel()], 0.003, (GREY,), 0.9)
        yield sheet.text("name", i, origin + [0.0, 0.0, 0.05], camera.name, 0.04, GREY)


def frustum(camera: PinholeCamera, depth_m: float) -> np.ndarray:
    """The camera and the four corners of its picture (5, 3) m at a depth, in the camera frame."""
    u, v = np.array([0, 1, 1, 0]) * camera.width - 0.5, np.array([0, 0, 1, 1]) * camera.height - 0.5
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(4)], axis=1)
    return np.vstack([np.zeros(3), depth_m * rays])
