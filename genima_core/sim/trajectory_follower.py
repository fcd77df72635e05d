"""What a joint trajectory controller does with the messages it gets: interpolate, replace, hold the end."""

import numpy as np


class TrajectoryFollower:
    """Samples the newest trajectory; the simulated cell's stand-in for `joint_trajectory_controller`.

    Positions alone are joined by lines, positions with velocities by cubics; the first piece starts at the desired
    state at the moment the message came (`interpolate_from_desired_state`). After the last point it is held.
    """

    def __init__(self, q: np.ndarray) -> None:
        self.hold(q)

    def hold(self, q: np.ndarray) -> None:
        """Forget the trajectory and stay at `q` (7,) rad."""
        self._times_s = np.array([-np.inf])
        self._q = np.array(q, dtype=np.float64)[None]
        self._dq = np.zeros_like(self._q)
        self._cubic = False

    def replace(self, now_s: float, start_s: float, times_s: np.ndarray, q: np.ndarray, dq: np.ndarray | None) -> None:
        """Follow the points `q` (n, 7), due `times_s` (n,) after `start_s`, from now on.

        Raises:
            ValueError: no points, wrong shapes, times that do not increase or lie in the past, or non-finite values.
        """
        due_s = start_s + np.asarray(times_s, dtype=np.float64)
        q = np.asarray(q, dtype=np.float64)
        values = q if dq is None else np.concatenate([q, dq], axis=-1)
        if q.ndim != 2 or q.shape != (len(due_s), self._q.shape[1]) or len(q) == 0:
            raise ValueError(
                f"trajectory has {len(due_s)} times and positions of shape {q.shape}; it needs one or "
                f"more points of {self._q.shape[1]} joints"
            )
        if not np.isfinite(values).all():
            raise ValueError("trajectory has non-finite values")
        if (np.diff(due_s) <= 0).any() or due_s[-1] < now_s:
            raise ValueError("trajectory times must increase and end in the future")
        here_q, here_dq = self.sample(now_s)
        ahead = due_s > now_s
        self._times_s = np.concatenate([[now_s], due_s[ahead]])
        self._q = np.vstack([here_q, q[ahead]])
        self._cubic = dq is not None
        self._dq = np.zeros_like(self._q) if dq is None else np.vstack([here_dq, dq[ahead]])

    def sample(self, now_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Desired positions (7,) rad and velocities (7,) rad/s at `now_s`."""
        i = int(np.searchsorted(self._times_s, now_s, side="right"))
        if i >= len(self._times_s):
            return self._q[-1].copy(), np.zeros_like(self._q[-1])
        if i == 0:
            return self._q[0].copy(), self._dq[0].copy()
        duration_s = self._times_s[i] - self._times_s[i - 1]
        s, q0, q1 = (now_s - self._times_s[i - 1]) / duration_s, self._q[i - 1], self._q[i]
        if not self._cubic:
            return q0 + s * (q1 - q0), (q1 - q0) / duration_s
        v0, v1 = self._dq[i - 1] * duration_s, self._dq[i] * duration_s
        c2, c3 = 3 * (q1 - q0) - 2 * v0 - v1, 2 * (q0 - q1) + v0 + v1
        return q0 + s * (v0 + s * (c2 + s * c3)), (v0 + s * (2 * c2 + s * 3 * c3)) / duration_s
