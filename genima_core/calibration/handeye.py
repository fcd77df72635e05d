"""Where a camera is, from views of the board by closed forms: a start for the refinement."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from genima_core.calibration.reprojection import Poses, PoseView, Reprojection
from genima_core.geometry import invert, make_transform

MIN_VIEWS = 3
TURN_RAD = (0.02, 3.0)
"""Turns between two views that tell an axis: less is noise, and half a turn has two axes."""
SECOND_AXIS = 1e-3
"""Least share of the turns about a second axis."""


def best_guess(views: Sequence[PoseView]) -> tuple[str, Poses]:
    """The method and its poses that reproject best, on all views and on parts of them: a bad view spoils only some.

    ValueError if the views are too few, or determine nothing.
    """
    if len(views) < MIN_VIEWS:
        raise ValueError(
            f"{len(views)} views of the board do not determine where the camera is; take at least "
            f"{MIN_VIEWS}, better 15, each with the hand turned differently"
        )
    guesses = [guess for part in _parts(views) for guess in closed_forms(part)]
    if not guesses:
        raise ValueError(
            f"{len(views)} views of the board determine nothing: the hand hardly turned between them, "
            "or about one axis only; turn it by 30 degrees or more about different axes"
        )
    reprojection = Reprojection(views)
    # The median: half of the views may be wrong.
    return min(guesses, key=lambda guess: np.median(reprojection.rms_px(*guess[1])))


def _parts(views: Sequence[PoseView]) -> Iterator[Sequence[PoseView]]:
    yield views
    for i in range(3):
        for part in (views[i::3], [view for k, view in enumerate(views) if k % 3 != i]):
            if MIN_VIEWS <= len(part) < len(views):
                yield part


def closed_forms(views: Sequence[PoseView]) -> Iterator[tuple[str, Poses]]:
    """Every method that has an answer to T_mount_other @ T_other_board = T_mount_cam @ T_cam_board, with its poses."""
    T_mount_other = np.stack([view.T_mount_other for view in views])
    T_cam_board = np.stack([view.T_cam_board for view in views])
    for method, solver in {"motions": from_motions, "rotations": from_rotations}.items():
        if (poses := solver(T_mount_other, T_cam_board)) is not None:
            yield method, poses


def from_motions(T_mount_other: np.ndarray, T_cam_board: np.ndarray) -> Poses | None:
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


def from_rotations(T_mount_other: np.ndarray, T_cam_board: np.ndarray) -> Poses | None:
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


def mean_pose(T_a_b: np.ndarray) -> np.ndarray:
    """One pose for several measured ones (n, 4, 4): mean rotation, median position."""
    return make_transform(Rotation.from_matrix(T_a_b[:, :3, :3]).mean().as_matrix(), np.median(T_a_b[:, :3, 3], axis=0))


def _nearest_rotation(M: np.ndarray) -> np.ndarray:
    """Of a matrix that is a rotation times any number, also a negative one."""
    U, _, Vt = np.linalg.svd(np.sign(np.linalg.det(M)) * M)
    return U @ Vt
