"""The cameras of a rig in the base frame: axes, a frustum and a name each; the one on the hand moves with the arm."""

from collections.abc import Iterator

import numpy as np
from visualization_msgs.msg import Marker

from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.geometry import transform_points
from genima_core.targets.triangulation import camera_poses
from genima_ros.nodes.markers.shapes import AXES, MarkerBuilder, to_colour

DEPTH_M = 0.12
"""Of a frustum."""
AXIS_M = 0.06
GREY = (0.75, 0.75, 0.8)
EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))


def camera_markers(builder: MarkerBuilder, rig: CameraRig, q: np.ndarray) -> Iterator[Marker]:
    """All cameras while the arm is at q (7,) rad."""
    axes = AXIS_M * np.insert(np.eye(3), [0, 1, 2], 0.0, axis=0)
    for i, (camera, T_base_cam) in enumerate(zip(rig.cameras, camera_poses(rig, q), strict=True)):
        colours = [to_colour(colour) for colour in AXES]
        yield builder.segments("axes", i, transform_points(T_base_cam, axes), 0.006, colours)
        corners = transform_points(T_base_cam, frustum(camera.intrinsics, DEPTH_M))
        yield builder.segments("frustum", i, corners[np.ravel(EDGES)], 0.003, [to_colour(GREY, 0.9)])
        yield builder.text("name", i, T_base_cam[:3, 3] + [0.0, 0.0, 0.05], camera.name, 0.04, to_colour(GREY))


def frustum(camera: PinholeCamera, depth_m: float) -> np.ndarray:
    """The camera and the four corners of its picture (5, 3) m at a depth, in the camera frame."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * camera.size - 0.5
    return np.vstack([np.zeros(3), depth_m * camera.rays(corners)])
