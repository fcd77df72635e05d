"""The board as a frame of TF, against pictures whose board is where we put it."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")

from genima_core.calibration.board import Board
from genima_core.cameras import PinholeCamera
from genima_core.geometry import from_quat_xyzw, make_transform, rotation_angle
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.board_node import TF, BoardNode

from ..calibration.pictures import photograph

pytestmark = pytest.mark.ros

BOARD = Board(square_m=0.05, marker_m=0.04)
CAMERA = PinholeCamera.from_fov(640, 480, np.deg2rad(60.0))
T_CAM_BOARD = make_transform(np.eye(3), np.array([0.02, -0.01, 0.8]) - BOARD.centre)


def test_the_board_is_a_frame_of_the_camera_that_sees_it(bench, interface_packages):
    from tf2_msgs.msg import TFMessage

    bench.node(BoardNode, parameters={"camera": "wrist", "square_m": 0.05, "marker_m": 0.04, "marker_frame": "board"})
    heard: list = []
    bench.probe.create_subscription(TFMessage, TF, heard.append, 10)
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    infos = bench.talk(interfaces.camera_info("wrist"))
    pictures = bench.talk(interfaces.camera_image("wrist"))
    stamp_s = bench.now_s()
    empty = conversions.rgb_to_image(np.full((480, 640, 3), 90, np.uint8), stamp_s)
    infos.publish(conversions.camera_to_camera_info(CAMERA, stamp_s))
    sees_none = bench.problem("board", diagnostics, "wrist sees no board")
    bench.until(lambda: pictures.publish(empty) or sees_none())  # the first may arrive before the intrinsics
    assert not heard
    pictures.publish(conversions.rgb_to_image(photograph(BOARD, T_CAM_BOARD, CAMERA), stamp_s))
    bench.until(lambda: heard)
    (message,) = heard[0].transforms  # one board
    assert (message.header.frame_id, message.child_frame_id) == ("wrist_color_optical_frame", "board")
    assert conversions.seconds(message.header.stamp) == pytest.approx(stamp_s, abs=1e-6)
    q, p = message.transform.rotation, message.transform.translation
    T = from_quat_xyzw(np.array([q.x, q.y, q.z, q.w]), np.array([p.x, p.y, p.z]))
    np.testing.assert_allclose(T[:3, 3], T_CAM_BOARD[:3, 3], atol=0.003)
    assert rotation_angle(T[:3, :3].T @ T_CAM_BOARD[:3, :3]) < np.deg2rad(1.0)


def test_a_board_that_cannot_be_is_refused(bench):
    with pytest.raises(ValueError, match="do not fit into squares"):
        bench.node(BoardNode, parameters={"marker_m": 0.5})


def test_a_node_without_one_of_its_packages_says_in_a_line_how_to_get_it():
    code = "import sys; sys.modules['cv2'] = None; from genima_ros.nodes.base import run; run('board_node')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("board_node cannot start: ") and "pip install" in done.stderr
