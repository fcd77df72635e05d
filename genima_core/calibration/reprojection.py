"""Reprojection errors as a function of two poses, the camera's and the board's, and first guesses of both."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, least_squares
from scipy.spatial.transform import Rotation

from genima_core.calibration.samples import SampleSet
from genima_core.cameras import Mount, PinholeCamera, RigCamera
from genima_core.geometry import invert, make_transform, transform_points

NOISE_PX = 2.0
"""Errors well below this count squared, those beyond it only linearly."""
BEHIND_PX = 1e4
"""Error of a corner that a guess puts behind the camera."""

Poses = tuple[np.ndarray, np.ndarray]
"""T_mount_cam and T_other_board."""
MIN_VIEWS = 3
TURN_RAD = (0.02, 3.0)
"""Range of turns between two views that show an axis: less is noise, and half a turn has two axes."""
SECOND_AXIS = 1e-3
"""The turns about a second axis must be at least this share of those about the first."""


@dataclass(frozen=True)
class PoseView:
    """The board as one camera saw it at one pose of the arm."""

    name: str
    """Of the sample."""
    camera: PinholeCamera
    T_mount_other: np.ndarray
    """(4, 4) by forward kinematics; see `mount_to_other`."""
    T_cam_board: np.ndarray
    """(4, 4) as measured in this view alone."""
    points: np.ndarray
    """(n, 3) corners in the board's frame, in m."""
    corners_px: np.ndarray
    """(n, 2) where they were seen."""


def pose_views(camera: RigCamera, samples: SampleSet) -> list[PoseView]:
    """All views of one camera, with the intrinsics of the samples."""
    views, board = [], samples.board
    for sample in samples.seen_by(camera.name):
        view = sample.views[camera.name]
        T_mount_other = mount_to_other(camera.mount, sample.T_base_hand)
        points = board.corners[list(view.ids)]
        views.append(PoseView(sample.name, view.intrinsics, T_mount_other, board.pose(view), points, view.corners_px))
    return views


def mount_to_other(mount: Mount, T_base_hand: np.ndarray) -> np.ndarray:
    """T_mount_other (..., 4, 4): for a camera at the base the hand in the base, for one on the hand the inverse."""
    return T_base_hand if mount == "base" else invert(T_base_hand)


class Reprojection:
    """Errors of one camera's views, as a function of the two poses."""

    def __init__(self, views: Sequence[PoseView]) -> None:
        self._camera = views[0].camera
        self._counts = np.array([len(view.points) for view in views])
        T = np.repeat([view.T_mount_other for view in views], self._counts, axis=0)
        self._R, self._p = T[:, :3, :3], T[:, :3, 3]
        self._points = np.concatenate([view.points for view in views])
        self._corners_px = np.concatenate([view.corners_px for view in views])

    def errors_px(self, T_mount_cam: np.ndarray, T_other_board: np.ndarray, board_scale: float = 1.0) -> np.ndarray:
        """(corners of all views, 2), predicted minus seen."""
        p_other = transform_points(T_other_board, board_scale * self._points)
        p_mount = np.einsum("nij,nj->ni", self._R, p_other) + self._p
        uv = self._camera.project(transform_points(invert(T_mount_cam), p_mount))
        return np.nan_to_num(uv - self._corners_px, nan=BEHIND_PX)

    def rms_px(self, T_mount_cam: np.ndarray, T_other_board: np.ndarray) -> np.ndarray:
        """(views,) root mean square of the corners' distances."""
        squares = (self.errors_px(T_mount_cam, T_other_board) ** 2).sum(axis=1)
        return np.sqrt(np.add.reduceat(squares, np.cumsum(self._counts) - self._counts) / self._counts)

    def total_rms_px(self, T_mount_cam: np.ndarray, T_other_board: np.ndarray) -> float:
        """Root mean square over the corners of all views."""
        return float(np.sqrt((self.errors_px(T_mount_cam, T_other_board) ** 2).sum(axis=1).mean()))

    def refine(self, T_mount_cam: np.ndarray, T_other_board: np.ndarray) -> Poses:
        """Both poses that explain the corners best: a robust fit that begins with a guess."""
        x = _fit(lambda x: self.errors_px(moved(T_mount_cam, x[:6]), moved(T_other_board, x[6:])), 12).x
        return moved(T_mount_cam, x[:6]), moved(T_other_board, x[6:])

    def board_scale(self, T_mount_cam: np.ndarray, T_other_board: np.ndarray) -> tuple[float, float]:
        """Size of the board by the arm's motion, relative to the assumed size, and the standard error of this ratio."""
        fit = _fit(lambda x: self.errors_px(moved(T_mount_cam, x[:6]), moved(T_other_board, x[6:12]), 1 + x[12]), 13)
        variance = np.linalg.pinv(fit.jac.T @ fit.jac)[12, 12] * 2 * fit.cost / max(1, len(fit.fun) - 13)
        return 1 + float(fit.x[12]), float(np.sqrt(variance))

    def refine_board(self, T_mount_cam: np.ndarray, T_other_board: np.ndarray) -> np.ndarray:
        """The board's pose that explains the corners best while the camera is fixed: a fit that begins with a guess."""
        return moved(T_other_board, _fit(lambda x: self.errors_px(T_mount_cam, moved(T_other_board, x)), 6).x)


def _fit(errors: Callable[[np.ndarray], np.ndarray], size: int) -> OptimizeResult:
    """Finds the (size,) numbers with the smallest errors, robustly, beginning at zero."""
    return least_squares(lambda x: errors(x).ravel(), np.zeros(size), loss="soft_l1", f_scale=NOISE_PX, x_scale="jac")


def moved(T_a_b: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A pose turned about its own axes by the rotation vector x[:3] in rad, and shifted by x[3:6] in m in frame a."""
    return make_transform(T_a_b[:3, :3] @ Rotation.from_rotvec(x[:3]).as_matrix(), T_a_b[:3, 3] + x[3:6])


def best_guess(views: Sequence[PoseView]) -> Poses:
    """The closed form's poses with the smallest reprojection errors.

    It is tried on all views and on parts of them, because a bad view may spoil those that contain it. ValueError if
    there are too few views, or too little rotation.
    """
    if len(views) < MIN_VIEWS:
        raise ValueError(f"{len(views)} views of the board do not determine where it is; take {MIN_VIEWS} or more")
    guesses = [poses for part in _parts(views) if (poses := closed_form(part)) is not None]
    if not guesses:
        why = "the hand hardly turned, or about one axis only; turn it by 30 degrees or more about different axes"
        raise ValueError(f"{len(views)} views of the board determine nothing: {why}")
    reprojection = Reprojection(views)
    # The median: half of the views may be wrong.
    return min(guesses, key=lambda poses: np.median(reprojection.rms_px(*poses)))


def _parts(views: Sequence[PoseView]) -> Iterator[Sequence[PoseView]]:
    yield views
    for i in range(3):
        for part in (views[i::3], [view for k, view in enumerate(views) if k % 3 != i]):
            if MIN_VIEWS <= len(part) < len(views):
                yield part


def closed_form(views: Sequence[PoseView]) -> Poses | None:
    """What solves T_mount_other @ T_other_board = T_mount_cam @ T_cam_board, from the motions between views (AX = XB;
    Park and Martin 1994); None where they turn about one axis only.
    """
    T_mount_other = np.stack([view.T_mount_other for view in views])
    T_cam_board, T_other_mount = np.stack([view.T_cam_board for view in views]), invert(T_mount_other)
    i, j = np.triu_indices(len(T_mount_other), 1)
    A = T_mount_other[j] @ T_other_mount[i]
    B = T_cam_board[j] @ invert(T_cam_board[i])
    a, b = (Rotation.from_matrix(T[:, :3, :3]).as_rotvec() for T in (A, B))
    turn = np.linalg.norm(a, axis=1)
    clear = (turn > TURN_RAD[0]) & (turn < TURN_RAD[1])
    U, size, Vt = np.linalg.svd(a[clear].T @ b[clear])
    if size[1] <= SECOND_AXIS * size[0]:
        return None
    R_mount_cam = U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt
    left = (A[:, :3, :3] - np.eye(3)).reshape(-1, 3)
    right = (B[:, :3, 3] @ R_mount_cam.T - A[:, :3, 3]).reshape(-1)
    T_mount_cam = make_transform(R_mount_cam, np.linalg.lstsq(left, right)[0])
    return T_mount_cam, mean_pose(T_other_mount @ T_mount_cam @ T_cam_board)


def mean_pose(T_a_b: np.ndarray) -> np.ndarray:
    """One pose for several measured ones (n, 4, 4): mean rotation, median position."""
    return make_transform(Rotation.from_matrix(T_a_b[:, :3, :3]).mean().as_matrix(), np.median(T_a_b[:, :3, 3], axis=0))
