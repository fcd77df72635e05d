import numpy as np
import pytest

from genima_core.calibration.board import Board, CameraView
from genima_core.cameras import PinholeCamera
from genima_core.geometry import look_at, rotation_angle, transform_points

from .pictures import photograph

CAMERA = PinholeCamera(640, 480, 600.0, 605.0, 315.0, 242.0)


def looking_at(board: Board, eye) -> np.ndarray:
    """T_cam_board of a camera at `eye` in the board's frame that looks at its middle, the picture upright."""
    T_board_cam = look_at(np.array(eye), board.centre, up=np.array([0.0, -1.0, 0.0]))
    return np.linalg.inv(T_board_cam)


def test_the_frame_is_the_pictures(board):
    # By hand: 7 x 5 squares have 6 x 4 inner corners, in rows from the top left, one square apart.
    s = board.square_m
    np.testing.assert_allclose(board.corners[0], [s, s, 0.0], atol=1e-9)
    np.testing.assert_allclose(board.corners[5], [6 * s, s, 0.0], atol=1e-9)
    np.testing.assert_allclose(board.corners[6], [s, 2 * s, 0.0], atol=1e-9)
    assert len(board.corners) == 24


def test_a_corner_is_seen_where_it_is_by_hand(board):
    # Straight in front, 0.5 m away: u = fx x / z + cx.
    T_cam_board = np.eye(4)
    T_cam_board[:3, 3] = [-board.corners[0, 0], -board.corners[0, 1], 0.5]
    uv = board.project(T_cam_board, CAMERA)
    np.testing.assert_allclose(uv[0], [315.0, 242.0])
    np.testing.assert_allclose(uv[1], [315.0 + 600.0 * board.square_m / 0.5, 242.0])


@pytest.mark.parametrize("eye", [(0.10, 0.08, -0.5), (0.35, 0.05, -0.45), (-0.2, -0.2, -0.6), (0.1, 0.4, -0.7)])
def test_a_photographed_board_is_found_at_its_corners(board, eye):
    T_cam_board = looking_at(board, eye)
    view = board.detect(photograph(board, T_cam_board, CAMERA), CAMERA)
    assert len(view.ids) >= 20  # slanted, not every marker is read
    off_px = view.corners_px - board.project(T_cam_board, CAMERA)[list(view.ids)]
    np.testing.assert_allclose(board.off_px(T_cam_board, view), np.linalg.norm(off_px, axis=1))
    assert np.linalg.norm(off_px, axis=1).max() < 0.5
    assert np.linalg.norm(off_px.mean(axis=0)) < 0.1, "half a pixel off would be a wrong convention"
    pose = board.pose(view)
    assert np.linalg.norm(pose[:3, 3] - T_cam_board[:3, 3]) < 0.004
    assert rotation_angle(pose[:3, :3].T @ T_cam_board[:3, :3]) < np.deg2rad(1.0)


def test_the_pose_takes_points_of_the_board_to_the_camera(board):
    T_cam_board = looking_at(board, (0.3, 0.1, -0.5))
    pose = board.pose(CameraView(CAMERA, tuple(range(24)), board.project(T_cam_board, CAMERA)))
    np.testing.assert_allclose(
        transform_points(pose, board.centre), transform_points(T_cam_board, board.centre), atol=1e-6
    )


def test_half_a_board_is_enough_and_an_empty_wall_is_none(board):
    picture = photograph(board, looking_at(board, (0.1, 0.08, -0.4)), CAMERA)
    covered = picture.copy()
    covered[:, 320:] = 150
    assert 6 <= len(board.detect(covered, CAMERA).ids) < 24
    assert board.detect(np.full((480, 640, 3), 150, np.uint8), CAMERA) is None


def test_corners_in_one_line_have_no_pose(board):
    ids = tuple(range(6))
    assert not board.spans_a_plane(ids)
    with pytest.raises(ValueError, match="one line"):
        board.pose(CameraView(CAMERA, ids, np.zeros((6, 2))))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"marker_m": 0.04}, "do not fit"),
        ({"columns": 2}, "3x3"),
        ({"dictionary": "DICT_9"}, "DICT_4X4_50"),
        ({"columns": 20, "rows": 20}, "needs 200 markers"),
        ({"square_m": -1.0}, "do not fit"),
    ],
)
def test_impossible_boards_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Board(**values)
