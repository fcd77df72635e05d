"""Markers for RViz from core types, all in one frame and gone when not renewed; and the simulated arm in these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from genima_core.arm import Arm
from genima_core.geometry import to_quat_xyzw
from genima_core.sim.meshes import mesh_folder, mesh_poses

Colour = tuple[float, float, float]
"""Red, green, blue from 0 to 1."""
BLANK_WIDTH = 0.6
"""Of a blank, relative to the height of letters: RViz takes it from scale.x, which nothing else uses."""
AXES: tuple[Colour, ...] = ((0.9, 0.2, 0.2), (0.2, 0.8, 0.2), (0.3, 0.4, 1.0))
WHITE = ColorRGBA(r=0.93, g=0.94, b=0.95, a=0.5)
"""Translucent, because the targets are often inside the arm."""


@dataclass(frozen=True)
class MarkerBuilder:
    """Makes the markers of one message, which share a frame, a stamp and a lifetime; positions (3,) and sizes in m."""

    frame_id: str
    stamp: Time
    lifetime: Duration

    def sphere(self, ns: str, i: int, position: np.ndarray, radius_m: float, colour: ColorRGBA) -> Marker:
        scale = Vector3(**dict.fromkeys("xyz", 2 * radius_m))
        return self._marker(ns, i, Marker.SPHERE, colour, pose=to_pose(position), scale=scale)

    def mesh(self, ns: str, i: int, T_frame_mesh: np.ndarray, uri: str, colour: ColorRGBA) -> Marker:
        pose, scale = to_pose(T_frame_mesh[:3, 3], to_quat_xyzw(T_frame_mesh)), Vector3(x=1.0, y=1.0, z=1.0)
        return self._marker(ns, i, Marker.MESH_RESOURCE, colour, pose=pose, scale=scale, mesh_resource=uri)

    def arrow(self, ns: str, i: int, ends: np.ndarray, width_m: float, colour: ColorRGBA) -> Marker:
        scale = Vector3(x=width_m, y=2.5 * width_m, z=2.5 * width_m)
        return self._marker(ns, i, Marker.ARROW, colour, points=to_points(ends), scale=scale)

    def line(self, ns: str, i: int, points: np.ndarray, width_m: float, colour: ColorRGBA) -> Marker:
        """Through points (n, 3)."""
        return self._marker(ns, i, Marker.LINE_STRIP, colour, points=to_points(points), scale=Vector3(x=width_m))

    def segments(self, ns: str, i: int, points: np.ndarray, width_m: float, colours: Sequence[ColorRGBA]) -> Marker:
        """Between each two of points (2 n, 3), in n colours or one."""
        each = [colour for colour in colours for _ in range(2)] if len(colours) > 1 else []
        ends, scale = to_points(points), Vector3(x=width_m)
        return self._marker(ns, i, Marker.LINE_LIST, colours[0], points=ends, scale=scale, colors=each)

    def text(self, ns: str, i: int, position: np.ndarray, words: str, height_m: float, colour: ColorRGBA) -> Marker:
        """Faces whoever looks."""
        pose, scale = to_pose(position), Vector3(x=BLANK_WIDTH * height_m, z=height_m)
        return self._marker(ns, i, Marker.TEXT_VIEW_FACING, colour, pose=pose, scale=scale, text=words)

    def _marker(self, ns: str, i: int, kind: int, colour: ColorRGBA, **fields: Any) -> Marker:
        fields = {"pose": to_pose(np.zeros(3)), **fields}
        marker = Marker(ns=ns, id=i, type=kind, action=Marker.ADD, color=colour, lifetime=self.lifetime, **fields)
        marker.header.frame_id, marker.header.stamp = self.frame_id, self.stamp
        return marker


def to_pose(position: np.ndarray, quat_xyzw: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0, 1.0)) -> Pose:
    x, y, z, w = map(float, quat_xyzw)
    return Pose(position=to_points([position])[0], orientation=Quaternion(x=x, y=y, z=z, w=w))


def to_points(points: Sequence[np.ndarray] | np.ndarray) -> list[Point]:
    return [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in points]


def to_colour(colour: Colour, alpha: float = 1.0) -> ColorRGBA:
    r, g, b = colour
    return ColorRGBA(r=r, g=g, b=b, a=float(np.clip(alpha, 0.0, 1.0)))


def robot_markers(arm: Arm, q: np.ndarray, opening: float, stamp: Time) -> MarkerArray:
    """The vendor's meshes at joint positions q (7,) rad and a gripper opening from 0 to 1, in the base frame.

    The meshes are named by their place on this machine: RViz must run on it.
    """
    folder, builder = mesh_folder() / "visual", MarkerBuilder(arm.base_frame, stamp, Duration())
    markers = [
        builder.mesh("robot", i, T_base_mesh, (folder / f"{mesh}.stl").as_uri(), WHITE)
        for i, (mesh, T_base_mesh) in enumerate(mesh_poses(arm, q, opening))
    ]
    return MarkerArray(markers=markers)
