from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time

from genima_core.arm import PANDA
from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task
from genima_ros.nodes.markers import mesh_poses, robot_markers


def test_meshes_lie_where_the_simulated_bodies_are():
    cell = Cell(make_task("push_button"), default_rig(32, 32))
    cell.reset(3)
    bodies = ["link0", *(f"link{i}" for i in range(1, 8)), "hand", "finger1", "finger2"]
    poses = list(mesh_poses(PANDA, cell.q, cell.gripper))
    assert [name.rstrip("12") for name in bodies[-2:]] == [name for name, _ in poses[-2:]]
    for body, (_, T_base_mesh) in zip(bodies, poses, strict=True):
        np.testing.assert_allclose(T_base_mesh, cell.body_pose(body), atol=1e-6, err_msg=body)


def test_every_mesh_exists_and_is_shown_in_the_base_frame():
    markers = robot_markers(PANDA, PANDA.home, 1.0, Time(sec=3)).markers
    assert len({marker.id for marker in markers}) == 11
    for marker in markers:
        assert Path(urlparse(marker.mesh_resource).path).is_file()
        assert marker.header.frame_id == "panda_link0"
        assert marker.color.a == pytest.approx(0.5), "targets inside the arm are seen"
