"""A camera's extrinsics from its views of the board, how far to trust them, and the file of a rig's solutions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from genima_core.calibration.handeye import MIN_VIEWS, best_guess
from genima_core.calibration.reprojection import PoseView, Reprojection
from genima_core.cameras import Mount, PinholeCamera
from genima_core.config import from_overrides
from genima_core.files import check_name, read_json, write_json
from genima_core.geometry import checked_pose, invert, rotation_angle

OUTLIER_RATIO = 3.0
"""A view is left out when its error is this many times the median view's..."""
OUTLIER_PX = 1.0
"""...and more than this."""
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
    """False for a view that was left out as wrong."""


@dataclass(frozen=True)
class Spread:
    """How much the views differ."""

    turn_deg: float
    """Rotation of the hand about its most used axis, root mean square."""
    second_turn_deg: float
    """EpisodeInfo the second axis; rotation about one axis alone leaves the solution open."""
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
    method: str
    """OpenCV's solver whose answer was refined."""
    rms_px: float
    """Over all corners of the views that were used."""
    residuals: tuple[Residual, ...]
    uncertainty_mm: float
    """Standard error of the camera's position (jackknife over the views)."""
    uncertainty_deg: float
    board_scale: float
    """How many times as large as it was said to be the board seems, measured by the arm's motion."""
    board_scale_error: float
    """Standard error of that."""
    spread: Spread

    @property
    def used(self) -> tuple[Residual, ...]:
        return tuple(residual for residual in self.residuals if residual.used)

    @property
    def left_out(self) -> tuple[Residual, ...]:
        return tuple(residual for residual in self.residuals if not residual.used)

    def __post_init__(self) -> None:
        check_name(self.camera, "a camera")
        for name in ("T_mount_cam", "T_other_board"):
            checked_pose(getattr(self, name), f"{name} of camera {self.camera!r}")


def solve(name: str, mount: Mount, camera: PinholeCamera, views: Sequence[PoseView]) -> Solution:
    """Extrinsics of camera `name` from all views that agree with each other.

    Raises:
        ValueError: too few views, or the hand hardly turned.
    """
    guess = best_guess(camera, views)
    used, X, Y = _agreeing(camera, views, guess.T_mount_cam, guess.T_other_board)
    while True:
        kept = [view for view, flag in zip(views, used, strict=True) if flag]
        without = _leave_one_out(camera, kept, X, Y)
        errors = np.array(
            [Reprojection(camera, [view]).rms_px(*poses)[0] for view, poses in zip(kept, without, strict=True)]
        )
        worst = int(np.argmax(errors))
        if errors[worst] <= _limit_px(errors) or len(kept) <= MIN_VIEWS + 1:
            break
        # The worst view only: it may be what makes the others look wrong.
        used[[k for k, flag in enumerate(used) if flag][worst]] = False
        X, Y = Reprojection(camera, [v for v, flag in zip(views, used, strict=True) if flag]).refine(X, Y)
    others = iter(without)
    residuals = tuple(
        _residual(camera, view, *(next(others) if flag else (X, Y)), used=bool(flag))
        for view, flag in zip(views, used, strict=True)
    )
    uncertainty_mm, uncertainty_deg = _jackknife([poses[0] for poses in without])
    rms_px = float(np.sqrt((Reprojection(camera, kept).errors_px(X, Y) ** 2).sum(axis=1).mean()))
    return Solution(
        name,
        mount,
        camera,
        X,
        Y,
        guess.method,
        rms_px,
        residuals,
        uncertainty_mm,
        uncertainty_deg,
        *Reprojection(camera, kept).board_scale(X, Y),
        _spread(camera, kept),
    )


def _agreeing(
    camera: PinholeCamera, views: Sequence[PoseView], X: np.ndarray, Y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which views agree, and both poses refined on these."""
    all_views = Reprojection(camera, views)
    X, Y = all_views.refine(X, Y)
    used = np.ones(len(views), dtype=bool)
    for _ in range(ROUNDS):
        errors = all_views.rms_px(X, Y)
        now = errors <= _limit_px(errors)
        if now.sum() < MIN_VIEWS or (now == used).all():
            break
        used = now
        X, Y = Reprojection(camera, [view for view, flag in zip(views, used, strict=True) if flag]).refine(X, Y)
    return used, X, Y


def _limit_px(errors_px: np.ndarray) -> float:
    return max(OUTLIER_PX, OUTLIER_RATIO * float(np.median(errors_px)))


def _leave_one_out(
    camera: PinholeCamera, views: Sequence[PoseView], X: np.ndarray, Y: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both poses without the first, the second, ... view."""
    return [Reprojection(camera, [*views[:i], *views[i + 1 :]]).refine(X, Y) for i in range(len(views))]


def _residual(camera: PinholeCamera, view: PoseView, X: np.ndarray, Y: np.ndarray, used: bool) -> Residual:
    T_cam_board = invert(X) @ view.T_mount_other @ Y
    middle = np.append(view.points.mean(axis=0), 1.0)
    apart_m = np.linalg.norm(((T_cam_board - view.T_cam_board) @ middle)[:3])
    turned = rotation_angle(T_cam_board[:3, :3].T @ view.T_cam_board[:3, :3])
    return Residual(
        view.name,
        float(Reprojection(camera, [view]).rms_px(X, Y)[0]),
        1e3 * float(apart_m),
        float(np.rad2deg(turned)),
        used,
    )


def _jackknife(T_mount_cam: Sequence[np.ndarray]) -> tuple[float, float]:
    """Standard errors in mm and degrees from the solutions that lack one view each."""
    positions = np.stack([T[:3, 3] for T in T_mount_cam])
    rotations = Rotation.from_matrix(np.stack([T[:3, :3] for T in T_mount_cam]))
    turns = (rotations.mean().inv() * rotations).as_rotvec()
    factor = (len(positions) - 1) / len(positions)
    return (
        1e3 * float(np.sqrt(factor * ((positions - positions.mean(axis=0)) ** 2).sum())),
        float(np.rad2deg(np.sqrt(factor * (turns**2).sum()))),
    )


def _spread(camera: PinholeCamera, views: Sequence[PoseView]) -> Spread:
    rotations = Rotation.from_matrix(np.stack([view.T_mount_other[:3, :3] for view in views]))
    turns = (rotations.mean().inv() * rotations).as_rotvec()
    sizes = np.rad2deg(np.linalg.svd(turns, compute_uv=False)) / np.sqrt(len(views))
    corners = np.concatenate([view.corners_px for view in views])
    seen = corners.max(axis=0) - corners.min(axis=0)
    return Spread(float(sizes[0]), float(sizes[1]), float(seen[0] * seen[1] / (camera.width * camera.height)))


def save_solutions(solutions: Mapping[str, Solution], path: Path) -> None:
    """Writes the solutions of several cameras as JSON."""
    write_json(path, {"solutions": [asdict(s) for s in solutions.values()]}, 1)


@dataclass(frozen=True)
class _Solutions:
    solutions: tuple[Solution, ...]


def load_solutions(path: Path) -> dict[str, Solution]:
    """Camera name to solution.

    Raises:
        FileNotFoundError, ValueError: no such file; not what `save_solutions` wrote.
    """
    try:
        stored = from_overrides(_Solutions, read_json(path), "the file")
    except ValueError as error:
        raise ValueError(f"{path} holds no solutions of genima calibrate solve: {error}") from error
    return {solution.camera: solution for solution in stored.solutions}
