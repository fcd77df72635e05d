"""Simulated views of the board by a camera of a known rig, with noise, on which the solver is measured."""

from itertools import islice

import numpy as np

from genima_core.arm import Arm
from genima_core.calibration.board import Board, CameraView
from genima_core.calibration.reprojection import mount_to_other
from genima_core.calibration.samples import Sample, SampleSet
from genima_core.cameras import RigCamera
from genima_core.geometry import invert, make_transform, transform_points

JOINT_RANGE_RAD = np.array([0.9, 0.5, 0.7, 0.6, 0.9, 0.7, np.inf])
"""Largest distance of each joint from home; joint 7 turns the board towards the cameras."""
SLANT_MOST_RAD = np.deg2rad(60.0)
"""Largest angle between the line of sight and the board's normal; beyond it detectors fail."""
ABOVE_TABLE_M = 0.03
EDGE_PX = 4.0
TRIES = 4000


def board_on_table(board: Board, x_m: float = 0.5, y_m: float = 0.0) -> np.ndarray:
    """T_base_board with the board's middle on the table, its top away from the robot."""
    R_base_board = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    return make_transform(R_base_board, np.array([x_m, y_m, 0.0]) - R_base_board @ board.centre)


def board_in_hand(board: Board, below_m: float = 0.20) -> np.ndarray:
    """T_hand_board held by its upper edge, its picture towards the hand's x axis, its middle `below_m` away."""
    R_hand_board = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return make_transform(R_hand_board, np.array([0.0, 0.0, below_m]) - R_hand_board @ board.centre)


def board_for(camera: RigCamera, board: Board) -> np.ndarray:
    """T_other_board of the usual set-up: on the table for a camera on the hand, else in the hand."""
    return board_on_table(board) if camera.mount == "hand" else board_in_hand(board)


def poses_that_show(
    arm: Arm, camera: RigCamera, board: Board, T_other_board: np.ndarray, rng: np.random.Generator, count: int
) -> np.ndarray:
    """Random joints (count, 7) rad at which the camera sees the whole board, not too slanted.

    ValueError if so many are not found.
    """
    q = rng.uniform(arm.clip(arm.home - JOINT_RANGE_RAD), arm.clip(arm.home + JOINT_RANGE_RAD), (TRIES, 7))
    found = list(islice((q_i for q_i in q if _is_shown(arm, camera, board, T_other_board, q_i)), count))
    if len(found) < count:
        raise ValueError(f"camera {camera.name!r} sees the whole board at {len(found)} poses, not at {count}: move it")
    return np.stack(found)


def _is_shown(arm: Arm, camera: RigCamera, board: Board, T_other_board: np.ndarray, q: np.ndarray) -> bool:
    T_base_hand = arm.frame_pose(q, "hand")
    T_cam_board = invert(camera.T_mount_cam) @ mount_to_other(camera.mount, T_base_hand) @ T_other_board
    uv, size = board.project(T_cam_board, camera.intrinsics), np.array(camera.intrinsics.size)
    middle = transform_points(T_cam_board, board.centre)
    facing = T_cam_board[:3, 2] @ middle > np.cos(SLANT_MOST_RAD) * np.linalg.norm(middle)
    lowest_m = arm.frame_pose(q, "tcp")[2, 3]
    if camera.mount == "base":
        outline = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) * [*board.size_m, 0.0]
        lowest_m = min(lowest_m, *transform_points(T_base_hand @ T_other_board, outline)[:, 2])
    return bool(((uv > EDGE_PX) & (uv < size - 1 - EDGE_PX)).all() and facing and lowest_m > ABOVE_TABLE_M)


def simulate(
    arm: Arm,
    camera: RigCamera,
    board: Board,
    T_other_board: np.ndarray,
    rng: np.random.Generator,
    count: int = 15,
    noise_px: float = 0.3,
) -> SampleSet:
    """Samples of one camera: every corner of the board, each coordinate with Gaussian noise."""
    samples = []
    for i, q in enumerate(poses_that_show(arm, camera, board, T_other_board, rng, count)):
        T_mount_other = mount_to_other(camera.mount, arm.frame_pose(q, "hand"))
        uv = board.project(invert(camera.T_mount_cam) @ T_mount_other @ T_other_board, camera.intrinsics)
        uv += rng.normal(0.0, noise_px, uv.shape)
        views = {camera.name: CameraView(camera.intrinsics, tuple(range(len(uv))), uv)}
        samples.append(Sample.at(arm, f"sample_{i:03d}", float(i), q, views))
    return SampleSet(board, tuple(samples))
