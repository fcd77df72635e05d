"""The smooth path that a chunk or a target describes, as positions, velocities and accelerations at any time."""

from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial

from genima_core.streaming.profile import Motion

# Rows: powers of u; columns: the four control points around a segment of a uniform cubic B-spline.
_B_SPLINE = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6.0
# Rows: a difference of position, of velocity, of half the acceleration; columns: powers of u, by which it fades out.
_FADE = np.array([[1, 0, 0, -10, 15, -6], [0, 1, 0, -6, 8, -3], [0, 0, 1, -3, 3, -1]])


class ChunkPath:
    """A uniform cubic B-spline through the neighbourhood of the actions, that comes to rest on the last one.

    A B-spline and not an interpolating one: it stays within the range of its actions, so limits that hold for them
    hold for it, and it takes the edge off their noise; on smooth motion it is off by 0.4 mrad per rad/s² (dt 0.05 s).
    It starts and ends exactly on the first and last action. Around the last action time slows down: the arm stays on
    the path and is at rest `settle_s` after that action was due, without overshoot. `from_rest` does the same at the
    start, which makes everything later by `settle_s`.
    """

    def __init__(
        self,
        positions: np.ndarray,
        dt_s: float,
        start_s: float,
        settle_s: float,
        smoothing: int = 0,
        from_rest: bool = False,
        widths_m: np.ndarray | None = None,
    ):
        """Positions (n, 7) rad, n >= 2, action k due at start_s + k * dt_s; passes of (1, 2, 1) / 4; widths_m (n,)."""
        for _ in range(smoothing):
            inner = (positions[:-2] + 2 * positions[1:-1] + positions[2:]) / 4
            positions = np.concatenate([positions[:1], inner, positions[-1:]])
        first, last = 2 * positions[:1] - positions[1:2], 2 * positions[-1:] - positions[-2:-1]
        control = np.concatenate([first, positions, last])
        windows = np.stack([control[i : len(control) - 3 + i] for i in range(4)])
        c0, c1, c2, c3 = np.einsum("pc,csj->psj", _B_SPLINE, windows)
        self._segments = c0, c1 / dt_s, c2 / dt_s**2, c3 / dt_s**3
        self.dt_s, self.start_s, self._widths_m = dt_s, start_s, widths_m
        length_s = (len(positions) - 1) * dt_s
        settle_s = min(settle_s, length_s / 2 if from_rest else length_s)
        self._ease_in_s, self._ease_out_s = settle_s if from_rest else 0.0, settle_s
        self._length_s = length_s
        self.end_s = start_s + self._ease_in_s + length_s
        """When the last action is due."""
        self.rest_s = self.end_s + settle_s
        """When the path is at rest."""
        self._as_planned = start_s, self.end_s
        self._zero_s, self._rate = 0.0, 1.0

    def repaced(self, since_s: float, rate: float) -> "ChunkPath":
        """The same path, played faster or slower by a constant from some time on."""
        path = copy(self)
        path.start_s, path.end_s, path.rest_s = (
            since_s + (time_s - since_s) / rate if time_s > since_s else time_s
            for time_s in (self.start_s, self.end_s, self.rest_s)
        )
        path._rate = self._rate * rate
        path._zero_s = self._zero_s + self._rate * since_s * (1 - rate)
        return path

    def executed_s(self, actions: int) -> float:
        """When so many actions are executed; 0 means all."""
        due_s = self._as_planned[0] + self._ease_in_s + (actions - 1) * self.dt_s
        return min(self.end_s, (due_s - self._zero_s) / self._rate) if actions else self.end_s

    def width_at(self, time_s: float) -> float | None:
        """Of the gripper, in m, by the action that the path is nearest to at time_s."""
        if self._widths_m is None:
            return None
        played_s = self._played(np.array([time_s]))[0][0]
        return float(self._widths_m[int(np.clip(played_s / self.dt_s + 0.5, 0, len(self._widths_m) - 1))])

    def at(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities, accelerations (n, 7) at times (n,)."""
        played_s, rate, change = self._played(times_s)
        index = np.clip((played_s / self.dt_s).astype(int), 0, len(self._segments[0]) - 1)
        u = (played_s - index * self.dt_s)[:, None]
        c0, c1, c2, c3 = (coefficients[index] for coefficients in self._segments)
        q = c0 + u * (c1 + u * (c2 + u * c3))
        dq = c1 + u * (2 * c2 + u * 3 * c3)
        ddq = 2 * c2 + 6 * u * c3
        rate, change = rate[:, None], change[:, None]
        return q, dq * rate * self._rate, (ddq * rate**2 + dq * change) * self._rate**2

    def _played(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How much of the chunk is played at times (n,), in s, the rate (1 in the middle, 0 at rest), its change."""
        (start_s, end_s), times_s = self._as_planned, self._zero_s + times_s * self._rate
        ease_s = self._ease_out_s
        eased, rate, change = _slowing((times_s - end_s + ease_s) / (2 * ease_s))
        played_s = np.minimum(times_s - start_s - self._ease_in_s, self._length_s - ease_s) + 2 * ease_s * eased
        change /= 2 * ease_s
        if ease_s := self._ease_in_s:  # the same curve backwards in time
            w = (times_s - start_s) / (2 * ease_s)
            back, rate_in, change_in = _slowing(1 - w)
            played_s = np.where(w < 1, ease_s * (1 - 2 * back), played_s)
            rate, change = np.where(w < 1, rate_in, rate), np.where(w < 1, -change_in / (2 * ease_s), change)
        return np.clip(played_s, 0.0, self._length_s), rate, change


class TargetPath:
    """On from a target at its velocity, as its sender likely goes; without a newer one it slows down to rest."""

    end_s = rest_s = np.inf
    """Nobody knows."""

    def __init__(self, q: np.ndarray, dq: np.ndarray, stamp_s: float, ahead_s: float, width_m: float | None = None):
        """Position (7,) rad and velocity (7,) rad/s at stamp_s; as far as ahead_s it stays as it is."""
        self._q, self._dq, self.stamp_s, self._ahead_s, self._width_m = q, dq, stamp_s, ahead_s, width_m

    def width_at(self, time_s: float) -> float | None:
        return self._width_m

    def at(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities, accelerations (n, 7) at times (n,)."""
        age_s, ahead_s = times_s - self.stamp_s, self._ahead_s
        eased, rate, change = _slowing(age_s / ahead_s - 1.0)
        played_s, change = np.minimum(age_s, ahead_s) + ahead_s * eased, change / ahead_s
        return self._q + played_s[:, None] * self._dq, rate[:, None] * self._dq, change[:, None] * self._dq


Path = ChunkPath | TargetPath


def _slowing(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A rate that falls smoothly from 1 to 0 as w goes from 0 to 1: its integral (0 to 1/2), itself, its derivative."""
    w = np.clip(w, 0.0, 1.0)
    return w - w**3 + w**4 / 2, 1 - w**2 * (3 - 2 * w), -6 * w * (1 - w)


@dataclass(frozen=True)
class Blend:
    """How quickly the difference to a path is made up: with about this acceleration, but within these times."""

    acceleration: float
    """rad/s²"""
    shortest_s: float
    longest_s: float


@dataclass(frozen=True)
class Splice:
    """A path entered from a motion that is elsewhere: the difference fades out as a quintic, joint by joint."""

    path: Path
    blend: Blend
    time_s: float
    duration_s: np.ndarray
    """(7,)"""
    fades: tuple[np.ndarray, ...]
    """The difference, its first and its second derivative: coefficients (n, 7) of powers of the share of the time."""

    def at(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities, accelerations (n, 7) at times (n,)."""
        q, dq, ddq = self.path.at(times_s)
        u = np.clip((times_s[:, None] - self.time_s) / self.duration_s, 0.0, 1.0)
        if (u == 1).all():
            return q, dq, ddq
        p, v, a = (polynomial.polyval(u, fade, tensor=False) for fade in self.fades)
        return q + p, dq + v / self.duration_s, ddq + a / self.duration_s**2


def splice(path: Path, motion: Motion, time_s: float, blend: Blend) -> Splice:
    """Enter a path at time_s from a motion; before the path's end if that is soon."""
    wanted = np.array([rows[0] for rows in path.at(np.array([time_s]))])
    offset = np.array(motion) - wanted
    # Peak acceleration of the quintic is 5.77 p / T² for a distance p, 3.94 v / T for a velocity v.
    p, v = 5.7735 * np.abs(offset[0]), 3.94 * np.abs(offset[1])
    duration = (v + np.sqrt(v**2 + 4 * blend.acceleration * p)) / (2 * blend.acceleration)
    longest = max(min(blend.longest_s, path.rest_s - time_s), blend.shortest_s)
    T = np.clip(duration, blend.shortest_s, longest)
    fade = _FADE.T @ (offset * np.array([np.ones(7), T, T**2 / 2]))
    return Splice(path, blend, time_s, T, (fade, polynomial.polyder(fade), polynomial.polyder(fade, 2)))
