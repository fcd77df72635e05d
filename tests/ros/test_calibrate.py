"""Samples of a running cell, and the check of a rig against it."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from genima_core.arm import PANDA
from genima_core.calibration.board import Board
from genima_core.calibration.samples import SampleSet
from genima_core.calibration.solution import load_solutions
from genima_core.cameras import CameraRig
from genima_core.geometry import distance, invert, make_transform
from genima_core.sim.scene import default_rig
from genima_ros.arms import find_arm
from genima_ros.cli import main as cli
from genima_ros.clients.calibration_client import CalibrationLink
from genima_ros.messages import conversions, interfaces

from ..calibration.pictures import photograph

pytestmark = pytest.mark.ros

BOARD = Board()
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
LIMIT_S = 60.0
PERIOD_S = 0.05


class BoardCell:
    """Publishes joint states, images and intrinsics like a cell whose front camera sees the board."""

    def __init__(self, node, rig: CameraRig) -> None:
        self.node, self.rig, self.q = node, rig, PANDA.home.copy()
        self.info_size = rig.size
        self.speed = 0.0
        self.pictures = {name: np.full((*rig.size[::-1], 3), 120, np.uint8) for name in rig.names}
        self._publishers = {
            name: (
                interfaces.publish(node, interfaces.camera_image(name)),
                interfaces.publish(node, interfaces.camera_info(name)),
            )
            for name in rig.names
        }
        self._joints = interfaces.publish(node, interfaces.JOINT_STATES)
        self.timer = node.create_timer(PERIOD_S, self.tick)

    def show_board(self, name: str, T_cam_board: np.ndarray, board: Board = BOARD) -> None:
        self.pictures[name] = photograph(board, T_cam_board, self.rig[name].intrinsics)

    def tick(self) -> None:
        now_s = self.node.get_clock().now().nanoseconds * 1e-9
        self.q = self.q + self.speed * PERIOD_S
        self._joints.publish(
            conversions.to_joint_state((*PANDA.joint_names, *PANDA.gripper.joints), [*self.q, 0.04, 0.04], now_s)
        )
        for name, (image, info) in self._publishers.items():
            image.publish(conversions.rgb_to_image(self.pictures[name], now_s, name))
            camera = self.rig[name].intrinsics.resize(*self.info_size)
            info.publish(conversions.camera_to_camera_info(camera, now_s, name))


@pytest.fixture(scope="module")
def wide_rig() -> CameraRig:
    return default_rig(320, 240)


@pytest.fixture
def cell(bench, wide_rig) -> Iterator[BoardCell]:
    """Spun in a thread of its own."""
    end = threading.Event()
    cell = BoardCell(bench.probe, wide_rig)

    def spin() -> None:
        while not end.is_set():
            bench.executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin)
    thread.start()
    yield cell
    end.set()
    thread.join()


@pytest.fixture
def link(wide_rig) -> Iterator[CalibrationLink]:
    with CalibrationLink(DOMAIN, wide_rig.names, find_arm("sim")) as link:
        yield link


def in_front(distance_m: float) -> np.ndarray:
    """T_cam_board, the board's middle straight ahead."""
    return make_transform(np.eye(3), np.array([0.0, 0.0, distance_m]) - BOARD.centre)


def test_an_arm_at_rest_gives_a_moment(cell, link):
    link.wait_ready(LIMIT_S)
    assert link.spin_until(lambda: not link.why_not(), LIMIT_S), link.why_not()
    moment = link.moment()
    np.testing.assert_allclose(moment.q, PANDA.home)
    assert moment.opening == pytest.approx(1.0)
    assert set(moment.images) == set(cell.rig.names)
    assert moment.cameras["front"].fx == pytest.approx(cell.rig["front"].intrinsics.fx)


def test_a_moving_arm_gives_none(cell, link):
    cell.speed = 0.1
    link.wait_ready(LIMIT_S)
    link.spin(0.5)
    assert link.moment() is None
    assert link.why_not() == "the arm moves"


def test_intrinsics_of_another_size_are_refused(cell, link):
    cell.info_size = (640, 480)
    link.wait_ready(LIMIT_S)
    assert link.spin_until(lambda: not link.why_not(), LIMIT_S)
    with pytest.raises(ValueError, match="are 320x240; its camera_info is for 640x480"):
        link.moment()


def test_what_is_silent_is_named(link):
    with pytest.raises(RuntimeError, match="front/color/image_raw.*joint_states in ROS domain"):
        link.wait_ready(0.2)


@pytest.fixture
def keys(monkeypatch) -> Iterator:
    """Types keys into what reads from stdin."""
    read, write = os.pipe()
    with os.fdopen(read) as stdin, os.fdopen(write, "w") as keyboard:
        monkeypatch.setattr("sys.stdin", stdin)
        yield keyboard


def test_collecting_by_itself_waits_for_new_poses(cell, keys, tmp_path, capfd):
    cell.show_board("front", in_front(0.6))
    folder = tmp_path / "samples"
    move = cell.node.create_timer(
        PERIOD_S, lambda: setattr(cell, "q", PANDA.home + 0.1 * len(list(folder.glob("sample_*.json"))))
    )
    assert cli.run(["calibrate", "collect", str(folder), "--auto", "--count", "2", "--domain", str(DOMAIN)]) == 0
    move.cancel()
    taken = SampleSet.load(folder)
    assert [sample.name for sample in taken.samples] == ["sample_000", "sample_001"]
    np.testing.assert_allclose(taken.samples[1].q - taken.samples[0].q, 0.1, atol=1e-6)
    assert taken.cameras == ("front",)
    np.testing.assert_allclose(taken.samples[0].T_base_hand, PANDA.frame_pose(PANDA.home, "hand"))
    view = taken.samples[0].views["front"]
    np.testing.assert_allclose(BOARD.pose(view)[:3, 3], in_front(0.6)[:3, 3], atol=0.005)
    assert "front 24" in capfd.readouterr().out


def test_keys_take_undo_and_end(cell, keys, tmp_path, capfd):
    cell.show_board("front", in_front(0.6))
    folder = tmp_path / "samples"
    # A key that comes before the arm has settled is answered; so it is pressed until a sample is there, or several.
    press = cell.node.create_timer(
        0.5, lambda: (keys.write("uuuuuq" if any(folder.glob("sample_*.json")) else " "), keys.flush())
    )
    assert cli.run(["calibrate", "collect", str(folder), "--domain", str(DOMAIN)]) == 1
    press.cancel()
    output = capfd.readouterr().out
    assert "sample_000: corners seen by" in output and "sample_000 deleted" in output
    assert not list(folder.glob("sample_*"))


@pytest.mark.slow
def test_practice_needs_neither_arm_nor_board(tmp_path, capfd):
    arguments = ["calibrate", "collect", str(tmp_path), "--sim", "--cameras", "wrist", "--count", "3"]
    assert cli.run(arguments) == 0
    solved = cli.run(["calibrate", "solve", str(tmp_path), "--rig", str(tmp_path / "rig.json"), "--cameras", "wrist"])
    assert "wrist" in capfd.readouterr().out and solved in (0, 1)  # three views are few
    found, true = load_solutions(tmp_path / "solution.json")["wrist"], CameraRig.load(tmp_path / "rig.json")["wrist"]
    mm, deg = distance(true.T_mount_cam, found.T_mount_cam)
    assert mm < 5.0 and deg < 0.5


def test_practice_with_two_boards_is_refused(tmp_path, capfd):
    assert cli.run(["calibrate", "collect", str(tmp_path), "--sim"]) == 1
    assert "wrist needs the board on the table" in capfd.readouterr().err


def test_another_board_in_the_same_folder_is_refused(tmp_path, capfd):
    SampleSet(BOARD, ()).save(tmp_path)
    assert cli.run(["calibrate", "collect", str(tmp_path), "--board.columns", "9"]) == 1
    assert "are of another board" in capfd.readouterr().err


def run_check(folder, rig: CameraRig, *options: str) -> int:
    rig.save(folder / "rig.json")
    return cli.run(
        [
            "calibrate",
            "check",
            "--rig",
            str(folder / "rig.json"),
            "--out",
            str(folder / "check.png"),
            "--domain",
            str(DOMAIN),
            *options,
        ]
    )


def test_the_check_draws_the_spheres_where_the_joints_are(cell, wide_rig, tmp_path, capfd):
    assert run_check(tmp_path, wide_rig) == 0
    assert "no camera sees the board" in capfd.readouterr().out
    drawn = cv2.cvtColor(cv2.imread(str(tmp_path / "check.png")), cv2.COLOR_BGR2RGB)
    assert drawn.shape == (480, 640, 3)
    # The right shoulder's view, bottom left: the elbow's green sphere.
    camera = wide_rig["right_shoulder"]
    p_cam = (invert(camera.T_mount_cam) @ PANDA.frame_pose(PANDA.home, "joint4"))[:3, 3]
    u, v = np.rint(camera.intrinsics.project(p_cam)).astype(int)
    red, green, blue = drawn[240 + v, u].astype(int)
    assert green > red + 20 and green > blue + 20


def test_the_check_compares_cameras_that_see_the_board(cell, wide_rig, tmp_path, capfd):
    # A large board over the table that leans towards both shoulder cameras.
    R_base_board = np.array([[0.0, -0.8, 0.6], [-1.0, 0.0, 0.0], [0.0, -0.6, -0.8]])
    board = Board(square_m=0.1, marker_m=0.08)
    T_base_board = make_transform(R_base_board, np.array([0.25, 0.0, 0.35]) - R_base_board @ board.centre)
    for name in ("right_shoulder", "left_shoulder"):
        cell.show_board(name, invert(wide_rig[name].T_mount_cam) @ T_base_board, board)
    large = ("--board.square-m", "0.1", "--board.marker-m", "0.08")
    assert run_check(tmp_path, wide_rig, *large) == 0
    assert "right_shoulder and left_shoulder see the board" in capfd.readouterr().out
    shift = make_transform(np.eye(3), np.array([0.03, 0.0, 0.0]))
    knocked = CameraRig(
        tuple(
            replace(c, T_mount_cam=shift @ c.T_mount_cam) if c.name == "left_shoulder" else c for c in wide_rig.cameras
        )
    )
    assert run_check(tmp_path, knocked, "--json", str(tmp_path / "check.json"), *large) == 1
    assert "calibrate again" in capfd.readouterr().out
    (row,) = json.loads((tmp_path / "check.json").read_text())["rows"]
    assert row["mm"] == pytest.approx(30.0, abs=8.0)


def test_a_rig_of_another_picture_is_refused(cell, wide_rig, tmp_path, capfd):
    square = CameraRig(tuple(replace(c, intrinsics=c.intrinsics.crop(40, 0, 240, 240)) for c in wide_rig.cameras))
    assert run_check(tmp_path, square) == 1
    assert "not the same picture resized" in capfd.readouterr().err
