"""How far the cameras have moved since they were calibrated, wherever the board is seen."""

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
from genima_core.geometry import invert, rotation_angle, transform_points


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
    """One camera's drift, from samples taken since its calibration.

    Raises:
        ValueError: the camera never saw the board.
    """
    views = pose_views(samples, camera.name, camera.mount)
    if not views:
        raise ValueError(f"camera {camera.name!r} does not see the board in any of {len(samples.samples)} samples")
    intrinsics = samples.seen_by(camera.name)[0].views[camera.name].camera
    reprojection = Reprojection(intrinsics, views)
    guess = mean_pose(np.stack([invert(view.T_mount_other) @ camera.T_mount_cam @ view.T_cam_board for view in views]))
    T_other_board = reprojection.refine_board(camera.T_mount_cam, guess)
    px = float(np.sqrt((reprojection.errors_px(camera.T_mount_cam, T_other_board) ** 2).sum(axis=1).mean()))
    try:
        solution = solve(camera.name, camera.mount, intrinsics, views)
    except ValueError:  # too few views, or the hand hardly turned
        return Drift(camera.name, len(views), px, None, None)
    if judge(solution).grade == "bad":
        return Drift(camera.name, len(views), px, None, None)
    return Drift(camera.name, len(views), px, *distance(camera.T_mount_cam, solution.T_mount_cam))


def distance(T_a_first: np.ndarray, T_a_second: np.ndarray) -> tuple[float, float]:
    """Between two poses in one frame, in mm and degrees."""
    return (
        1e3 * float(np.linalg.norm(T_a_first[:3, 3] - T_a_second[:3, 3])),
        float(np.rad2deg(rotation_angle(T_a_first[:3, :3].T @ T_a_second[:3, :3]))),
    )


def from_known_board(camera: RigCamera, sample: Sample, board: Board, T_other_board: np.ndarray) -> tuple[float, float]:
    """One view against a board whose place is known: rms in px, and mm between the board's middles."""
    view = sample.views[camera.name]
    T_cam_board = invert(camera.T_mount_cam) @ mount_to_other(camera.mount, sample.T_base_hand) @ T_other_board
    off_px = board.project(T_cam_board, view.camera)[view.detection.ids] - view.detection.corners_px
    seen = transform_points(board.pose(view.detection, view.camera), board.centre)
    return (
        float(np.sqrt((off_px**2).sum(axis=1).mean())),
        1e3 * float(np.linalg.norm(seen - transform_points(T_cam_board, board.centre))),
    )


def cameras_apart(rig: CameraRig, sample: Sample, board: Board) -> tuple[Apart, ...]:
    """Every two cameras that see the board in one sample."""
    found = []
    T_base_board = {
        name: rig[name].T_base_cam(sample.T_base_hand) @ board.pose(view.detection, view.camera)
        for name, view in sample.views.items()
    }
    for first, second in combinations(sample.views, 2):
        view = sample.views[second]
        T_cam_board = invert(rig[second].T_base_cam(sample.T_base_hand)) @ T_base_board[first]
        off_px = board.project(T_cam_board, view.camera)[view.detection.ids] - view.detection.corners_px
        middles = [transform_points(T_base_board[name], board.centre) for name in (first, second)]
        found.append(
            Apart(
                first,
                second,
                float(np.linalg.norm(off_px, axis=1).mean()),
                1e3 * float(np.linalg.norm(middles[0] - middles[1])),
            )
        )
    return tuple(found)
