"""The smooth path that a chunk describes, as positions, velocities and accelerations at any time."""

from dataclasses import dataclass

import numpy as np

from genima_core.streaming.profile import Motion

# Rows: powers of u; columns: the four control points around a segment of a uniform cubic B-spline.
_B_SPLINE = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6.0


class ChunkPath:
    """A uniform cubic B-spline through the neighbourhood of the actions, that comes to rest on the last one.

    A B-spline and not an interpolating one: it stays within the range of its actions, so limits that hold for them
    hold for it, and it takes the edge off their noise; on smooth motion it is off by a third of a milliradian per
    rad/s² (dt 0.05 s). It starts and ends exactly on the first and last action. Around the last action time slows
    down: the arm stays on the path and is at rest `settle_s` after that action was due, without overshoot.
    """

    def __init__(self, positions: np.ndarray, dt_s: float, start_s: float, settle_s: float, smoothing: int = 0):
        """Positions (n, 7) rad, n >= 2, action k due at start_s + k * dt_s; smoothing: passes of a (1, 2, 1) / 4 filter."""
        for _ in range(smoothing):
            inner = (positions[:-2] + 2 * positions[1:-1] + positions[2:]) / 4
            positions = np.concatenate([positions[:1], inner, positions[-1:]])
        first, last = 2 * positions[:1] - positions[1:2], 2 * positions[-1:] - positions[-2:-1]
        control = np.concatenate([first, positions, last])
        windows = np.stack([control[i:len(control) - 3 + i] for i in range(4)])
        self._segments = np.einsum("pc,csj->spj", _B_SPLINE, windows)
        self.dt_s, self.start_s = dt_s, start_s
        self.end_s = start_s + (len(positions) - 1) * dt_s
        """When the last action is due."""
        self._settle_s = min(settle_s, self.end_s - start_s)
        self.rest_s = self.end_s + self._settle_s
        """When the path is at rest."""

    def action_at(self, time_s: float) -> int:
        """Index of the action that is due nearest to time_s."""
        return int(np.clip((time_s - self.start_s) / self.dt_s + 0.5, 0, len(self._segments)))

    def at(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities, accelerations (n, 7) at times (n,)."""
        tau, slow_s = self._settle_s, self.end_s - self._settle_s
        w = np.clip((times_s - slow_s) / (2 * tau), 0.0, 1.0)
        path_s = np.where(w > 0, slow_s + 2 * tau * (w - w**3 + w**4 / 2), times_s)
        rate, rate_change = 1 - 3 * w**2 + 2 * w**3, (w - 1) * w * 3 / tau
        x = np.clip((path_s - self.start_s) / self.dt_s, 0.0, len(self._segments))
        index = np.minimum(x.astype(int), len(self._segments) - 1)
        u = (x - index)[:, None]
        c0, c1, c2, c3 = np.moveaxis(self._segments[index], 1, 0)
        q = c0 + u * (c1 + u * (c2 + u * c3))
        dq = (c1 + u * (2 * c2 + u * 3 * c3)) / self.dt_s
        ddq = (2 * c2 + 6 * u * c3) / self.dt_s**2
        rate, rate_change = rate[:, None], rate_change[:, None]
        return q, dq * rate, ddq * rate**2 + dq * rate_change


@dataclass(frozen=True)
class Splice:
    """A path entered from a motion that is elsewhere: the difference fades out as a quintic, joint by joint."""

    path: ChunkPath
    time_s: float
    """When the splice begins."""
    offset: np.ndarray
    """(3, 7) difference of position, velocity, acceleration at time_s."""
    duration_s: np.ndarray
    """(7,)"""

    def at(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities, accelerations (n, 7) at times (n,)."""
        q, dq, ddq = self.path.at(times_s)
        T = self.duration_s
        u = np.clip((times_s[:, None] - self.time_s) / T, 0.0, 1.0)
        if (u == 1).all():
            return q, dq, ddq
        p, v, a = self.offset * np.array([np.ones(7), T, T**2 / 2])
        u2, u3, u4 = u**2, u**3, u**4
        q = q + p * (1 - 10 * u3 + 15 * u4 - 6 * u4 * u) + v * (u - 6 * u3 + 8 * u4 - 3 * u4 * u) \
            + a * (u2 - 3 * u3 + 3 * u4 - u4 * u)
        dq = dq + (p * (-30 * u2 + 60 * u3 - 30 * u4) + v * (1 - 18 * u2 + 32 * u3 - 15 * u4)
                   + a * (2 * u - 9 * u2 + 12 * u3 - 5 * u4)) / T
        ddq = ddq + (p * (-60 * u + 180 * u2 - 120 * u3) + v * (-36 * u + 96 * u2 - 60 * u3)
                     + a * (2 - 18 * u + 36 * u2 - 20 * u3)) / T**2
        return q, dq, ddq


def splice(path: ChunkPath, motion: Motion, time_s: float, acceleration: float, longest_s: float) -> Splice:
    """Enter a path at time_s from a motion, with about the given acceleration (rad/s²), in at most longest_s."""
    wanted = np.array([rows[0] for rows in path.at(np.array([time_s]))])
    offset = np.array([motion.q, motion.dq, motion.ddq]) - wanted
    # Peak acceleration of the quintic is 5.77 p / T² for a distance p, 3.94 v / T for a velocity v.
    p, v = 5.7735 * np.abs(offset[0]), 3.94 * np.abs(offset[1])
    duration = (v + np.sqrt(v**2 + 4 * acceleration * p)) / (2 * acceleration)
    shortest = 0.1
    longest = max(min(longest_s, path.rest_s - time_s), shortest)
    return Splice(path, time_s, offset, np.clip(duration, shortest, longest))
