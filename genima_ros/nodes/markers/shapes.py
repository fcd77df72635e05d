"""Markers for RViz from core types: spheres, lines, texts, frames; all in one frame, and gone when not renewed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from genima_core.geometry import to_quat_xyzw

Colour = tuple[float, float, float]
"""Red, green, blue from 0 to 1."""
BLANK_WIDTH = 0.6
"""Of a blank, relative to the height of letters: RViz takes it from scale.x, which nothing else uses."""
AXES: tuple[Colour, ...] = ((0.9, 0.2, 0.2), (0.2, 0.8, 0.2), (0.3, 0.4, 1.0))


@dataclass(frozen=True)
class Sheet:
    """What the markers of one message share."""

    frame_id: str
    stamp: Time
    lifetime: Duration

    def sphere(
        self, ns: str, i: int, T_frame_sphere: np.ndarray, radius_m: float, colour: Colour, alpha: float
    ) -> Marker:
        marker = self._marker(ns, i, Marker.SPHERE, colour, alpha)
        marker.pose = to_pose(T_frame_sphere)
        marker.scale = Vector3(**dict.fromkeys("xyz", 2 * radius_m))
        return marker

    def arrow(
        self, ns: str, i: int, start: np.ndarray, end: np.ndarray, width_m: float, colour: Colour, alpha: float
    ) -> Marker:
        marker = self._marker(ns, i, Marker.ARROW, colour, alpha)
        marker.points = [to_point(start), to_point(end)]
        marker.scale = Vector3(x=width_m, y=2.5 * width_m, z=2.5 * width_m)
        return marker

    def line(self, ns: str, i: int, points: np.ndarray, width_m: float, colour: Colour, alpha: float) -> Marker:
        """Through points (n, 3) m."""
        marker = self._marker(ns, i, Marker.LINE_STRIP, colour, alpha)
        marker.points, marker.scale.x = [to_point(point) for point in points], width_m
        return marker

    def segments(
        self, ns: str, i: int, points: np.ndarray, width_m: float, colours: Sequence[Colour], alpha: float
    ) -> Marker:
        """Between each two of points (2 n, 3) m, in n colours or one."""
        marker = self._marker(ns, i, Marker.LINE_LIST, colours[0], alpha)
        marker.points, marker.scale.x = [to_point(point) for point in points], width_m
        if len(colours) > 1:
            marker.colors = [to_colour(colour, alpha) for colour in colours for _ in range(2)]
        return marker

    def text(self, ns: str, i: int, position: np.ndarray, words: str, height_m: float, colour: Colour) -> Marker:
        """Faces whoever looks."""
        marker = self._marker(ns, i, Marker.TEXT_VIEW_FACING, colour, 1.0)
        marker.pose.position, marker.text, marker.scale.z = to_point(position), words, height_m
        marker.scale.x = BLANK_WIDTH * height_m
        return marker

    def _marker(self, ns: str, i: int, kind: int, colour: Colour, alpha: float) -> Marker:
        marker = Marker(
            ns=ns, id=i, type=kind, action=Marker.ADD, color=to_colour(colour, alpha), lifetime=self.lifetime
        )
        marker.header.frame_id, marker.header.stamp = self.frame_id, self.stamp
        marker.pose.orientation.w = 1.0
        return marker


def to_pose(T: np.ndarray) -> Pose:
    x, y, z, w = map(float, to_quat_xyzw(T))
    return Pose(position=to_point(T[:3, 3]), orientation=Quaternion(x=x, y=y, z=z, w=w))


def to_point(p: np.ndarray) -> Point:
    x, y, z = map(float, p)
    return Point(x=x, y=y, z=z)


def to_colour(colour: Colour, alpha: float) -> ColorRGBA:
    r, g, b = map(float, colour)
    return ColorRGBA(r=r, g=g, b=b, a=float(np.clip(alpha, 0.0, 1.0)))
