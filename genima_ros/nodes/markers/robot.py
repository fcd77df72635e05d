"""The simulated arm as RViz draws it, without a URDF, TF or robot_state_publisher."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from genima_core.arm import FINGER_Z_M, FRAMES, Arm
from genima_core.geometry import make_transform, to_quat_xyzw
from genima_core.sim.arm import mesh_folder

WHITE = ColorRGBA(r=0.93, g=0.94, b=0.95, a=0.5)
"""Translucent, because the targets are often inside the arm."""


def robot_markers(arm: Arm, q: np.ndarray, opening: float, stamp: Time) -> MarkerArray:
    """The vendor's meshes at joint positions q (7,) rad and a gripper opening from 0 to 1, in the base frame.

    The meshes are named by their place on this machine: RViz must run on it.
    """
    folder, message = mesh_folder() / "visual", MarkerArray()
    for i, (mesh, T_base_mesh) in enumerate(mesh_poses(arm, q, opening)):
        message.markers.append(_marker(i, folder / f"{mesh}.stl", T_base_mesh, arm.base_frame, stamp))
    return message


def mesh_poses(arm: Arm, q: np.ndarray, opening: float) -> Iterator[tuple[str, np.ndarray]]:
    """Name of each mesh and its pose in the base frame."""
    frames = dict(zip(FRAMES, arm.forward_kinematics(q), strict=True))
    yield "link0", np.eye(4)
    for i in range(1, 8):
        yield f"link{i}", frames[f"joint{i}"]
    yield "hand", frames["hand"]
    for side in (1.0, -1.0):  # the second finger is the first one, turned by half a turn about the hand's z axis
        position = np.array([0.0, side * opening * arm.gripper.max_width_m / 2, FINGER_Z_M])
        yield "finger", frames["hand"] @ make_transform(np.diag([side, side, 1.0]), position)


def _marker(i: int, mesh: Path, T_base_mesh: np.ndarray, base_frame: str, stamp: Time) -> Marker:
    x, y, z = map(float, T_base_mesh[:3, 3])
    qx, qy, qz, qw = map(float, to_quat_xyzw(T_base_mesh))
    marker = Marker(
        ns="robot",
        id=i,
        type=Marker.MESH_RESOURCE,
        action=Marker.ADD,
        mesh_resource=mesh.as_uri(),
        pose=Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw)),
        scale=Vector3(x=1.0, y=1.0, z=1.0),
        color=WHITE,
    )
    marker.header.frame_id, marker.header.stamp = base_frame, stamp
    return marker
