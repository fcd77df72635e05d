"""Where a camera is, from views of the board by closed forms: a start for the refinement.

OpenCV's solvers are used where it has them; OpenCV 5 has none, so that two of our own stand beside them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from genima_core.calibration.reprojection import PoseView, Reprojection
from genima_core.cameras import PinholeCamera
from genima_core.geometry import invert, make_transform

MIN_VIEWS = 3
TURN_RAD = (0.02, 3.0)
"""Turns between two views that tell an axis: less is noise, and half a turn has two axes."""
SECOND_AXIS = 1e-3
"""Least share of the turns about a second axis."""
HAND_EYE = ("TSAI", "PARK", "HORAUD", "ANDREFF", "DANIILIDIS")
ROBOT_WORLD = ("SHAH", "LI")
"""OpenCV's methods."""

Solved = tuple[np.ndarray, np.ndarray]
"""T_mount_cam and T_other_board."""


@dataclass(frozen=True)
class Guess:
    """What one method made of the views."""

    method: str
    T_mount_cam: np.ndarray
    T_other_board: np.ndarray
    median_px: float
    """Of the views' reprojection errors: half of the views may be wrong."""


def best_guess(camera: PinholeCamera, views: Sequence[PoseView]) -> Guess:
    """The guess that reprojects best, of all methods, on all views and on parts of them: a bad view spoils only some.

    Raises:
        ValueError: too few views, or views that determine nothing.
    """
    if len(views) < MIN_VIEWS:
        raise ValueError(
            f"{len(views)} views of the board do not determine where the camera is; take at least "
            f"{MIN_VIEWS}, better 15, each with the hand turned differently"
        )
    reprojection = Reprojection(camera, views)
    guesses = []
    for part in _parts(views):
        T_mount_other, T_cam_board = (
            np.stack([getattr(view, name) for view in part]) for name in ("T_mount_other", "T_cam_board")
        )
        for method, solved in solutions(T_mount_other, T_cam_board):
            guesses.append(Guess(method, *solved, float(np.median(reprojection.rms_px(*solved)))))
    if not guesses:
        raise ValueError(
            f"{len(views)} views of the board determine nothing: the hand hardly turned between them, "
            "or about one axis only; turn it by 30 degrees or more about different axes"
        )
    return min(guesses, key=lambda guess: guess.median_px)


def _parts(views: Sequence[PoseView]) -> Iterator[Sequence[PoseView]]:
    yield views
    for i in range(3):
        for part in (views[i::3], [view for k, view in enumerate(views) if k % 3 != i]):
            if MIN_VIEWS <= len(part) < len(views):
                yield part


def solutions(T_mount_other: np.ndarray, T_cam_board: np.ndarray) -> Iterator[tuple[str, Solved]]:
    """Every method that has an answer to T_mount_other @ T_other_board = T_mount_cam @ T_cam_board, (n, 4, 4) each."""
    ours = {
        method: solver(T_mount_other, T_cam_board)
        for method, solver in (("motions", from_motions), ("rotations", from_rotations))
    }
    yield from ((method, solved) for method, solved in ours.items() if solved is not None)
    # OpenCV's have an answer to anything, also where there is none.
    if any(solved is not None for solved in ours.values()) and hasattr(cv2, "calibrateHandEye"):
        yield from _by_opencv(T_mount_other, T_cam_board)


def from_motions(T_mount_other: np.ndarray, T_cam_board: np.ndarray) -> Solved | None:
    """From the motions between views (AX = XB; Park and Martin 1994); None where they turn about one axis only."""
    T_other_mount = invert(T_mount_other)
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


def from_rotations(T_mount_other: np.ndarray, T_cam_board: np.ndarray) -> Solved | None:
    """Both rotations at once, then both positions (Shah 2013); None where they are not determined."""
    R_a, R_b = T_mount_other[:, :3, :3], T_cam_board[:, :3, :3]
    K = sum(np.kron(b, a) for a, b in zip(R_a, R_b, strict=True))
    U, size, Vt = np.linalg.svd(K)
    if size[1] > (1 - 1e-6) * size[0]:
        return None
    # R_a R_other_board = R_mount_cam R_b; vec() stacks columns.
    R_mount_cam, R_other_board = (_nearest_rotation(vector.reshape(3, 3).T) for vector in (U[:, 0], Vt[0]))
    left = np.concatenate([np.broadcast_to(np.eye(3), R_a.shape), -R_a], axis=2).reshape(-1, 6)
    right = (T_mount_other[:, :3, 3] - T_cam_board[:, :3, 3] @ R_mount_cam.T).reshape(-1)
    positions = np.linalg.lstsq(left, right)[0]
    return make_transform(R_mount_cam, positions[:3]), make_transform(R_other_board, positions[3:])


def _by_opencv(T_mount_other: np.ndarray, T_cam_board: np.ndarray) -> Iterator[tuple[str, Solved]]:
    T_other_mount = invert(T_mount_other)
    solvers: Any = cv2  # the stubs are OpenCV 5's, which has neither
    for method in HAND_EYE:
        try:
            R, p = solvers.calibrateHandEye(
                *_split(T_other_mount), *_split(T_cam_board), method=getattr(cv2, f"CALIB_HAND_EYE_{method}")
            )
        except cv2.error:
            continue
        if _is_rotation(R) and np.isfinite(p).all():
            T_mount_cam = make_transform(R, np.ravel(p))
            yield f"OpenCV {method}", (T_mount_cam, mean_pose(T_other_mount @ T_mount_cam @ T_cam_board))
    for method in ROBOT_WORLD:
        try:
            R_board_other, p_board, R_cam_mount, p_cam = solvers.calibrateRobotWorldHandEye(
                *_split(T_cam_board),
                *_split(T_mount_other),
                method=getattr(cv2, f"CALIB_ROBOT_WORLD_HAND_EYE_{method}"),
            )
        except cv2.error:
            continue
        if all(map(_is_rotation, (R_board_other, R_cam_mount))) and np.isfinite([p_board, p_cam]).all():
            yield (
                f"OpenCV {method}",
                (
                    invert(make_transform(R_cam_mount, np.ravel(p_cam))),
                    invert(make_transform(R_board_other, np.ravel(p_board))),
                ),
            )


def mean_pose(T_a_b: np.ndarray) -> np.ndarray:
    """One pose for several measured ones (n, 4, 4): mean rotation, median position."""
    return make_transform(Rotation.from_matrix(T_a_b[:, :3, :3]).mean().as_matrix(), np.median(T_a_b[:, :3, 3], axis=0))


def _nearest_rotation(M: np.ndarray) -> np.ndarray:
    """Of a matrix that is a rotation times any number, also a negative one."""
    U, _, Vt = np.linalg.svd(np.sign(np.linalg.det(M)) * M)
    return U @ Vt


def _split(T: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return list(T[:, :3, :3]), list(T[:, :3, 3:])


def _is_rotation(R: np.ndarray) -> bool:
    return bool(np.isfinite(R).all() and np.allclose(R @ R.T, np.eye(3), atol=1e-3) and np.linalg.det(R) > 0)
