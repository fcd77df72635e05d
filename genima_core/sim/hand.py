"""The hand that leads a simulated arm: one smooth motion after another, from wherever the arm is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ruckig import InputParameter, Ruckig, RuckigError, Trajectory
from scipy.interpolate import CubicSpline

from genima_core.arm import Arm
from genima_core.environment import Trajectory as Demonstration

SPEED, ACCELERATION, JERK = 0.6, 1.5, 10.0
"""Of the fastest joint when the arm is only put somewhere, rad/s (unless told otherwise), rad/s², rad/s³."""
OPENING_PER_S = 2.0
"""The fingers take half a second from open to closed."""

Motion = Callable[[float], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Seconds since its start to positions, velocities, accelerations (7,)."""


@dataclass(frozen=True)
class Lead:
    """Where the leader is at one moment."""

    q: np.ndarray
    """(7,) rad."""
    dq: np.ndarray
    """(7,) rad/s."""
    opening: float
    """0 closed to 1 open."""
    opening_rate: float
    """1/s."""


class Hand:
    """Leads an arm that has no weight: positions and velocities are continuous, whatever is asked and when.

    All times are seconds of one clock and given by the caller, never decreasing.
    """

    def __init__(self, arm: Arm, q: np.ndarray, opening: float = 1.0, speed: float = SPEED) -> None:
        self.arm, self._speed = arm, speed
        rest = np.asarray(q, dtype=np.float64), np.zeros(7), np.zeros(7)
        self._motion: Motion = lambda _: rest
        self._begin_s = self._end_s = self._opening_s = -np.inf
        self._opening = float(opening)
        self._openings: Callable[[float], float] = lambda _: float(opening)
        """Seconds since the motion's start to the wanted opening."""

    def move(self, q: np.ndarray, now_s: float, opening: float | None = None) -> None:
        """To rest at `q` (7,) rad, by the shortest smooth motion; without an `opening` the fingers stay as they are.

        ValueError for anything but seven finite positions within the arm's limits and an opening from 0 to 1.
        """
        q = np.asarray(q, dtype=np.float64)
        limits = self.arm.limits
        if q.shape != (7,) or not np.isfinite(q).all() or (q < limits.lower).any() or (q > limits.upper).any():
            raise ValueError(
                f"the leader cannot go to {np.round(q, 3).tolist()} rad; valid are 7 positions from "
                f"{limits.lower.tolist()} to {limits.upper.tolist()}"
            )
        if opening is not None and not 0.0 <= opening <= 1.0:
            raise ValueError(f"the leader's fingers cannot open to {opening}; valid is 0 (closed) to 1 (open)")
        here = self._motion(now_s - self._begin_s)
        wanted = self.at(now_s).opening if opening is None else float(opening)
        self._motion, duration_s = _shortest(here, q, self._speed)
        self._openings = lambda _: wanted
        self._begin_s, self._end_s = now_s, now_s + duration_s

    def perform(self, demonstration: Demonstration, now_s: float) -> None:
        """Carries out a demonstration; the arm must rest where it was planned from."""
        q = np.vstack([self.at(now_s).q, demonstration.q])
        spline = CubicSpline(demonstration.dt_s * np.arange(len(q)), q, bc_type="clamped")
        duration_s, last = demonstration.duration_s, len(demonstration) - 1

        def motion(t_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            if t_s >= duration_s:
                return q[-1], np.zeros(7), np.zeros(7)
            return spline(t_s), spline(t_s, 1), spline(t_s, 2)

        self._motion = motion
        self._openings = lambda t_s: float(demonstration.gripper[int(np.clip(t_s / demonstration.dt_s, 0, last))])
        self._begin_s, self._end_s = now_s, now_s + duration_s

    def at_rest(self, now_s: float) -> bool:
        """Whether the motion asked for is over."""
        return now_s >= self._end_s

    def at(self, now_s: float) -> Lead:
        """Where the arm is now; this also moves the fingers on."""
        q, dq, _ = self._motion(now_s - self._begin_s)
        step_s = min(max(now_s - self._opening_s, 0.0), 0.1)
        most = OPENING_PER_S * step_s
        change = float(np.clip(self._openings(now_s - self._begin_s) - self._opening, -most, most))
        self._opening_s, self._opening = now_s, self._opening + change
        return Lead(q, dq, self._opening, change / step_s if step_s > 0 else 0.0)


def _shortest(here: tuple[np.ndarray, np.ndarray, np.ndarray], q: np.ndarray, speed: float) -> tuple[Motion, float]:
    """The shortest motion to rest at `q` from positions, velocities and accelerations, and how long it takes."""
    wanted = InputParameter(7)
    wanted.current_position, wanted.current_velocity, wanted.current_acceleration = map(np.ndarray.tolist, here)
    wanted.target_position, wanted.target_velocity, wanted.target_acceleration = q.tolist(), [0.0] * 7, [0.0] * 7
    wanted.max_velocity, wanted.max_acceleration, wanted.max_jerk = [speed] * 7, [ACCELERATION] * 7, [JERK] * 7
    trajectory = Trajectory(7)
    result = Ruckig(7).calculate(wanted, trajectory)
    if result < 0:
        raise RuckigError(f"no motion from {np.round(here, 4).tolist()} to {q.tolist()}: {result}")

    def motion(t_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        q, dq, ddq = trajectory.at_time(min(max(t_s, 0.0), trajectory.duration))
        return np.array(q), np.array(dq), np.array(ddq)

    return motion, trajectory.duration
