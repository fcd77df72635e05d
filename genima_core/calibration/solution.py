"""A camera's extrinsics from its views of the board, how far to trust them, and the file of a rig's solutions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from genima_core.calibration.reprojection import MIN_VIEWS, Poses, PoseView, Reprojection, best_guess, pose_views
from genima_core.calibration.samples import SampleSet
from genima_core.cameras import Mount, PinholeCamera, RigCamera
from genima_core.config import from_overrides
from genima_core.files import check_name, explained, read_json, write_json
from genima_core.geometry import checked_pose, distance, invert, transform_points

OUTLIER_RATIO = 3.0
"""A view is left out if its error is more than this many times that of the median view..."""
OUTLIER_PX = 1.0
"""...and more than this many pixels."""
ROUNDS = 6


@dataclass(frozen=True)
class Residual:
    """One view against what all the other views say (leave one out)."""

    name: str
    px: float
    """Root mean square over its corners."""
    mm: float
    """Between the board's position as predicted and as measured in this view alone."""
    deg: float
    used: bool


@dataclass(frozen=True)
class Spread:
    """How different the views are that were used."""

    turn_deg: float
    """Rotation of the hand about its most used axis, root mean square."""
    second_turn_deg: float
    """The same about the second axis; rotation about one axis alone does not determine the solution."""
    coverage: float
    """Share of the image, in width times height, between the outermost corners seen."""


@dataclass(frozen=True)
class Solution:
    """Extrinsics of one camera."""

    camera: str
    mount: Mount
    intrinsics: PinholeCamera
    T_mount_cam: np.ndarray
    T_other_board: np.ndarray
    """The board in what carries it: the base for a camera on the hand, else the hand."""
    rms_px: float
    """Over all corners of the views that were used."""
    residuals: tuple[Residual, ...]
    uncertainty_mm: float
    """Standard error of the camera's position (jackknife over the views)."""
    uncertainty_deg: float
    board_scale: float
    """Size of the board, measured by the arm's motion, relative to the size that was given."""
    board_scale_error: float
    spread: Spread

    def __post_init__(self) -> None:
        check_name(self.camera, "a camera")
        for name in ("T_mount_cam", "T_other_board"):
            checked_pose(getattr(self, name), f"{name} of camera {self.camera!r}")

    @property
    def used(self) -> tuple[Residual, ...]:
        return tuple(residual for residual in self.residuals if residual.used)

    @property
    def left_out(self) -> tuple[Residual, ...]:
        return tuple(residual for residual in self.residuals if not residual.used)


def solve(camera: RigCamera, samples: SampleSet) -> Solution:
    """Extrinsics of a camera from all views that agree; ValueError if they are too few, or the hand hardly turned."""
    views = pose_views(camera, samples)
    used, poses = _agreeing(views, best_guess(views))
    while True:
        kept = list(compress(views, used))
        without = [Reprojection(kept[:i] + kept[i + 1 :]).refine(*poses) for i in range(len(kept))]
        residuals = [_residual(view, *others, used=True) for view, others in zip(kept, without, strict=True)]
        errors_px = np.array([residual.px for residual in residuals])
        worst = int(np.argmax(errors_px))
        if errors_px[worst] <= _limit_px(errors_px) or len(kept) <= MIN_VIEWS + 1:
            break
        # The worst view only: it may be what makes the others look wrong.
        used[np.flatnonzero(used)[worst]] = False
        poses = Reprojection(list(compress(views, used))).refine(*poses)
    of_kept, reprojection = iter(residuals), Reprojection(kept)
    return Solution(
        camera.name,
        camera.mount,
        views[0].camera,
        *poses,
        reprojection.total_rms_px(*poses),
        tuple(
            next(of_kept) if flag else _residual(view, *poses, used=False)
            for view, flag in zip(views, used, strict=True)
        ),
        *_jackknife([T_mount_cam for T_mount_cam, _ in without]),
        *reprojection.board_scale(*poses),
        _spread(kept),
    )


def _agreeing(views: Sequence[PoseView], poses: Poses) -> tuple[np.ndarray, Poses]:
    all_views = Reprojection(views)
    poses = all_views.refine(*poses)
    used = np.ones(len(views), dtype=bool)
    for _ in range(ROUNDS):
        errors_px = all_views.rms_px(*poses)
        now = errors_px <= _limit_px(errors_px)
        if now.sum() < MIN_VIEWS or (now == used).all():
            break
        used = now
        poses = Reprojection(list(compress(views, used))).refine(*poses)
    return used, poses


def _limit_px(errors_px: np.ndarray) -> float:
    return max(OUTLIER_PX, OUTLIER_RATIO * float(np.median(errors_px)))


def _residual(view: PoseView, T_mount_cam: np.ndarray, T_other_board: np.ndarray, used: bool) -> Residual:
    T_cam_board = invert(T_mount_cam) @ view.T_mount_other @ T_other_board
    middle = view.points.mean(axis=0)
    apart_m = np.linalg.norm(transform_points(T_cam_board, middle) - transform_points(view.T_cam_board, middle))
    _, deg = distance(T_cam_board, view.T_cam_board)
    px = Reprojection([view]).total_rms_px(T_mount_cam, T_other_board)
    return Residual(view.name, px, 1e3 * float(apart_m), deg, used)


def _jackknife(T_mount_cam: Sequence[np.ndarray]) -> tuple[float, float]:
    """Standard errors in mm and degrees from the solutions that lack one view each."""
    poses = np.stack(T_mount_cam)
    factor = (len(poses) - 1) / len(poses)
    return (
        1e3 * float(np.sqrt(factor * ((poses[:, :3, 3] - poses[:, :3, 3].mean(axis=0)) ** 2).sum())),
        float(np.rad2deg(np.sqrt(factor * (_turns(poses) ** 2).sum()))),
    )


def _turns(T_a_b: np.ndarray) -> np.ndarray:
    """Rotation vectors (n, 3) in rad of poses (n, 4, 4) from their mean."""
    rotations = Rotation.from_matrix(T_a_b[:, :3, :3])
    return (rotations.mean().inv() * rotations).as_rotvec()


def _spread(views: Sequence[PoseView]) -> Spread:
    turns = _turns(np.stack([view.T_mount_other for view in views]))
    sizes = np.rad2deg(np.linalg.svd(turns, compute_uv=False)) / np.sqrt(len(views))
    seen_px = np.ptp(np.concatenate([view.corners_px for view in views]), axis=0)
    return Spread(float(sizes[0]), float(sizes[1]), float((seen_px / views[0].camera.size).prod()))


def save_solutions(solutions: Mapping[str, Solution], path: Path) -> None:
    write_json(path, {"solutions": [asdict(s) for s in solutions.values()]}, 1)


@dataclass(frozen=True)
class _Solutions:
    solutions: tuple[Solution, ...]


def load_solutions(path: Path) -> dict[str, Solution]:
    """Camera name to solution; FileNotFoundError or ValueError if it is not a file of `save_solutions`."""
    with explained(f"{path} holds no solutions of genima calibrate solve"):
        stored = from_overrides(_Solutions, read_json(path), "the file", strict=False)
    return {solution.camera: solution for solution in stored.solutions}
