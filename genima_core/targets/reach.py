"""Joint positions whose drawn frames lie at given points: damped least squares, without torch."""

from dataclasses import dataclass

import numpy as np

from genima_core.arm import Arm, frame_index

STAY_M_PER_RAD = 0.004
"""What a joint is held by where it is: four points leave the seventh open, and a stretched arm more."""
ITERATIONS = 15
LONGEST_STEP_RAD = 0.4


@dataclass(frozen=True)
class Reach:
    """The configuration that comes nearest, and how near."""

    q: np.ndarray
    """(7,) rad, within the limits."""
    points: np.ndarray
    """(4, 3) m, where its drawn frames are."""
    distance_m: np.ndarray
    """(4,) from there to what was asked for; NaN where nothing was."""


def reach(arm: Arm, points: np.ndarray, q_start: np.ndarray) -> Reach:
    """The configuration nearest to `points` (4, 3) m, the origins of the drawn frames; NaN points do not count.

    Searched from `q_start` (7,) rad, where joints stay that the points leave open, and from the home position.
    """
    found = [_search(arm, points, start, q_start) for start in (q_start, arm.home)]
    return min(found, key=lambda result: _loss(result.points, points, result.q, q_start))


def _search(arm: Arm, points: np.ndarray, start: np.ndarray, stay: np.ndarray) -> Reach:
    asked = np.isfinite(points).all(axis=-1)
    q, damping = arm.clip(start), 1e-4
    origins, J = _frames(arm, q)
    loss = _loss(origins, points, q, stay)
    for _ in range(ITERATIONS):
        error, J_asked = (points - origins)[asked].reshape(-1), J[asked].reshape(-1, 7)
        A = J_asked.T @ J_asked + (STAY_M_PER_RAD**2 + damping) * np.eye(7)
        step = np.linalg.solve(A, J_asked.T @ error + STAY_M_PER_RAD**2 * (stay - q))
        longest = np.abs(step).max()
        trial = arm.clip(q + step * min(1.0, LONGEST_STEP_RAD / max(longest, 1e-12)))
        trial_origins, trial_J = _frames(arm, trial)
        trial_loss = _loss(trial_origins, points, trial, stay)
        if trial_loss < loss:
            q, origins, J, loss, damping = trial, trial_origins, trial_J, trial_loss, damping / 4
            if longest < 1e-4:
                break
        else:
            damping *= 8
    return Reach(q, origins, np.linalg.norm(points - origins, axis=-1))


def _loss(origins: np.ndarray, points: np.ndarray, q: np.ndarray, stay: np.ndarray) -> float:
    return float(np.nansum((points - origins) ** 2) + STAY_M_PER_RAD**2 * np.sum((q - stay) ** 2))


def _frames(arm: Arm, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origins (4, 3) m of the drawn frames and their derivatives (4, 3, 7) m/rad."""
    poses, index = arm.forward_kinematics(q), np.array([frame_index(name) for name in arm.drawn_frames])
    origins = poses[index, :3, 3]
    arms = origins[:, None] - poses[None, :7, :3, 3]
    J = np.cross(poses[None, :7, :3, 2], arms) * (np.arange(7) <= np.minimum(index, 6)[:, None])[..., None]
    return origins, J.transpose(0, 2, 1)
