from pathlib import Path
from urllib.parse import urlparse

import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time

from genima_core.arm import PANDA
from genima_ros.nodes.markers import robot_markers


def test_every_mesh_exists_and_is_shown_in_the_base_frame():
    markers = robot_markers(PANDA, PANDA.home, 1.0, Time(sec=3)).markers
    assert len({marker.id for marker in markers}) == 11
    for marker in markers:
        assert Path(urlparse(marker.mesh_resource).path).is_file()
        assert marker.header.frame_id == "panda_link0"
        assert marker.color.a == pytest.approx(0.5), "targets inside the arm are seen"
