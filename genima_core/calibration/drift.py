"""How far the cameras have moved since they were calibrated, wherever the board is seen."""

from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from genima_core.calibration.board import Board
from genima_core.calibration.handeye import mean_pose
from genima_core.calibration.reprojection import Reprojection, mount_to_other, pose_views
from genima_core.calibration.samples import Sample, SampleSet
from genima_core.calibration.solution import solve
from genima_core.calibration.verdict import judge
from genima_core.cameras import CameraRig, RigCamera
from genima_core.geometry import distance, invert, transform_points


@dataclass(frozen=True)
class Drift:
    """One camera, stored against measured."""

    camera: str
    views: int
    px: float
    """Root mean square distance of the corners from where the stored extrinsics put them, the board fitted to them."""
    mm: float | None
    """Between the stored position and a new solution; None where the views do not determine one."""
    deg: float | None


@dataclass(frozen=True)
class Apart:
    """Two cameras that see the board at the same moment."""

    first: str
    second: str
    px: float
    """Mean distance, in the second image, between the corners seen and those that the first camera predicts."""
    mm: float
    """Between the two places of the board's middle in the base frame."""


def drift(camera: RigCamera, samples: SampleSet) -> Drift:
    """One camera's drift, from samples taken since its calibration; ValueError if the camera never saw the board."""
    views = pose_views(camera, samples)
    if not views:
        raise ValueError(f"camera {camera.name!r} does not see the board in any of {len(samples.samples)} samples")
    reprojection, T_mount_cam = Reprojection(views), camera.T_mount_cam
    guess = mean_pose(np.stack([invert(view.T_mount_other) @ T_mount_cam @ view.T_cam_board for view in views]))
    px = reprojection.total_rms_px(T_mount_cam, reprojection.refine_board(T_mount_cam, guess))
    mm = deg = None
    with suppress(ValueError):  # too few views, or the hand hardly turned
        solution = solve(camera, samples)
        if judge(solution).grade != "bad":
            mm, deg = distance(T_mount_cam, solution.T_mount_cam)
    return Drift(camera.name, len(views), px, mm, deg)


def from_known_board(camera: RigCamera, sample: Sample, board: Board, T_other_board: np.ndarray) -> tuple[float, float]:
    """One view against a board whose place is known: rms in px, and mm between the board's middles."""
    view = sample.views[camera.name]
    T_cam_board = invert(camera.T_mount_cam) @ mount_to_other(camera.mount, sample.T_base_hand) @ T_other_board
    rms_px = float(np.sqrt((board.off_px(T_cam_board, view) ** 2).mean()))
    return rms_px, _middles_mm(board, board.pose(view), T_cam_board)


def cameras_apart(rig: CameraRig, sample: Sample, board: Board) -> tuple[Apart, ...]:
    """Every two cameras that see the board in one sample."""
    T_base_cam = {name: rig[name].T_base_cam(sample.T_base_hand) for name in sample.views}
    T_base_board = {name: T_base_cam[name] @ board.pose(view) for name, view in sample.views.items()}
    return tuple(
        Apart(
            first,
            second,
            float(board.off_px(invert(T_base_cam[second]) @ T_base_board[first], sample.views[second]).mean()),
            _middles_mm(board, T_base_board[first], T_base_board[second]),
        )
        for first, second in combinations(sample.views, 2)
    )


def _middles_mm(board: Board, *T_a_board: np.ndarray) -> float:
    first, second = (transform_points(T, board.centre) for T in T_a_board)
    return 1e3 * float(np.linalg.norm(first - second))
