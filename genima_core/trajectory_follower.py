"""What a joint trajectory controller does with the messages it gets: interpolate, replace, hold the end."""

import numpy as np
from scipy.interpolate import CubicHermiteSpline, PPoly

LARGEST = 1e3
"""rad and rad/s: no arm gets there, and interpolation between much larger numbers would overflow."""


class TrajectoryFollower:
    """Samples the newest trajectory, as `joint_trajectory_controller` does; for the simulated cell and our own driver.

    Positions alone are joined by lines, positions with velocities by cubics; the first piece starts at the desired
    state at the moment the message came (`interpolate_from_desired_state`). After the last point it is held.
    """

    def __init__(self, q: np.ndarray) -> None:
        self.hold(q)

    def hold(self, q: np.ndarray) -> None:
        """Forget the trajectory and stay at `q` (7,) rad."""
        self._end = np.array(q, dtype=np.float64)
        self._path: PPoly | None = None

    def replace(self, now_s: float, start_s: float, times_s: np.ndarray, q: np.ndarray, dq: np.ndarray | None) -> None:
        """Follow the points `q` (n, 7) rad with velocities `dq` (n, 7) rad/s, due `times_s` (n,) after `start_s`.

        ValueError for no points, wrong shapes, times that do not increase or end in the past, and values that
        are not finite or beyond LARGEST.
        """
        due_s = start_s + np.asarray(times_s, dtype=np.float64)
        q, dq = np.asarray(q, dtype=np.float64), None if dq is None else np.asarray(dq, dtype=np.float64)
        if q.shape != (len(due_s), len(self._end)) or len(q) == 0 or (dq is not None and dq.shape != q.shape):
            raise ValueError(
                f"trajectory has {len(due_s)} times, positions of shape {q.shape} and velocities of shape "
                f"{None if dq is None else dq.shape}; it needs one or more points of {len(self._end)} joints"
            )
        if not (np.abs(q) <= LARGEST).all() or not (dq is None or (np.abs(dq) <= LARGEST).all()):
            raise ValueError(f"trajectory has values beyond {LARGEST:g} rad or rad/s, or that are not numbers")
        if not ((np.diff(due_s) > 0).all() and now_s <= due_s[-1] < np.inf):
            raise ValueError("trajectory times must increase and end in the future")
        here_q, here_dq = self.sample(now_s)
        ahead = due_s > now_s
        knots_s, knots = np.append(now_s, due_s[ahead]), np.vstack([here_q, q[ahead]])
        self._end = knots[-1]
        if len(knots) == 1:
            self._path = None
        elif dq is None:
            slopes = np.diff(knots, axis=0) / np.diff(knots_s)[:, None]
            self._path = PPoly(np.stack([slopes, knots[:-1]]), knots_s)
        else:
            self._path = CubicHermiteSpline(knots_s, knots, np.vstack([here_dq, dq[ahead]]))

    def sample(self, now_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Desired positions (7,) rad and velocities (7,) rad/s at `now_s`."""
        q, dq = self.samples(np.array([now_s]))
        return q[0], dq[0]

    def samples(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (n, 7) rad and velocities (n, 7) rad/s at `times_s` (n,)."""
        q = np.tile(self._end, (len(times_s), 1))
        dq = np.zeros_like(q)
        if self._path is not None:
            moving = times_s < self._path.x[-1]
            at_s = np.maximum(times_s[moving], self._path.x[0])
            q[moving], dq[moving] = self._path(at_s), self._path(at_s, 1)
        return q, dq
