"""The corners' pixels as a function of two poses: the camera in its mount, and the board in what carries it.

One of base and hand is the camera's mount, the other one (`other`) carries the board, so that for both kinds of
calibration ``T_cam_board = inv(T_mount_cam) @ T_mount_other @ T_other_board``.
"""

from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class PoseView:
    """The board as one camera saw it at one pose of the arm."""

    name: str
    camera: PinholeCamera
    T_mount_other: np.ndarray
    """(4, 4) by forward kinematics."""
    T_cam_board: np.ndarray
    """(4, 4) as measured from this view alone."""
    points: np.ndarray
    """(n, 3) corners in the board's frame."""
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
    """T_mount_other (..., 4, 4): the hand in the base for a camera at the base, the base in the hand for one on it."""
    return T_base_hand if mount == "base" else invert(T_base_hand)


class Reprojection:
    """Errors of one camera's views under guesses of the two poses."""

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
        """The same over the corners of all views."""
        return float(np.sqrt((self.errors_px(T_mount_cam, T_other_board) ** 2).sum(axis=1).mean()))

    def refine(self, T_mount_cam: np.ndarray, T_other_board: np.ndarray) -> Poses:
        """Both poses that explain the corners best, robustly, from a guess."""
        x = _fit(lambda x: self.errors_px(moved(T_mount_cam, x[:6]), moved(T_other_board, x[6:])), 12).x
        return moved(T_mount_cam, x[:6]), moved(T_other_board, x[6:])

    def board_scale(self, T_mount_cam: np.ndarray, T_other_board: np.ndarray) -> tuple[float, float]:
        """How many times as large as assumed the board is, by the arm's motion, and the standard error of that."""
        fit = _fit(
            lambda x: self.errors_px(moved(T_mount_cam, x[:6]), moved(T_other_board, x[6:12]), 1 + x[12]),
            13,
        )
        variance = np.linalg.pinv(fit.jac.T @ fit.jac)[12, 12] * 2 * fit.cost / max(1, len(fit.fun) - 13)
        return 1 + float(fit.x[12]), float(np.sqrt(variance))

    def refine_board(self, T_mount_cam: np.ndarray, T_other_board: np.ndarray) -> np.ndarray:
        """The board's pose that explains the corners best while the camera stays where it is, from a guess."""
        return moved(T_other_board, _fit(lambda x: self.errors_px(T_mount_cam, moved(T_other_board, x)), 6).x)


def _fit(errors_px: Callable[[np.ndarray], np.ndarray], size: int) -> OptimizeResult:
    """The (size,) numbers around zero with the least errors, robustly."""
    return least_squares(
        lambda x: errors_px(x).ravel(), np.zeros(size), loss="soft_l1", f_scale=NOISE_PX, x_scale="jac"
    )


def moved(T_a_b: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A pose turned about its own axes by the rotation vector x[:3] in rad, and shifted by x[3:6] in m in frame a."""
    return make_transform(T_a_b[:3, :3] @ Rotation.from_rotvec(x[:3]).as_matrix(), T_a_b[:3, 3] + x[3:6])
