"""The simulated arm as RViz draws it, without a URDF, TF or robot_state_publisher."""

from collections.abc import Iterator

import numpy as np
from builtin_interfaces.msg import Duration, Time
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import MarkerArray

from genima_core.arm import FINGER_Z_M, FRAMES, Arm
from genima_core.geometry import make_transform
from genima_core.sim.arm import mesh_folder
from genima_ros.nodes.markers.shapes import MarkerBuilder

WHITE = ColorRGBA(r=0.93, g=0.94, b=0.95, a=0.5)
"""Translucent, because the targets are often inside the arm."""


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
