"""Jerk-limited shaping of seven joints, one period at a time.

Ruckig finds every motion. Two rules make the limits hold by construction:

- Each new state can be reached within the velocity, acceleration and jerk limits in one period.
- From each new state a jerk-limited stop fits: before the position limits, and before the time by which the arm has
  to be at rest. Where a wanted state breaks this, the joint takes the next state of its present stop instead, which
  by induction always fits. (Ruckig's free edition does not look at position limits itself.)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ruckig import ControlInterface, InputParameter, Ruckig, RuckigError, Synchronization, Trajectory

from genima_core.panda import JointLimits

Reference = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Seconds from now (n,) to wanted positions, velocities, accelerations (n, 7)."""

CHASE_PERIODS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
"""When the wanted state cannot be reached in one period: after how many periods to look for it."""

_TINY_RAD = 1e-9


@dataclass(frozen=True)
class Motion:
    """State of the seven joints: q (7,) rad, dq (7,) rad/s, ddq (7,) rad/s²."""

    q: np.ndarray
    dq: np.ndarray
    ddq: np.ndarray

    @property
    def at_rest(self) -> bool:
        return not (self.dq.any() or self.ddq.any())


def scale_limits(limits: JointLimits, velocity: float, acceleration: float, jerk: float,
                 position_margin_rad: float) -> JointLimits:
    """Limits times factors, position limits drawn in by a margin."""
    return JointLimits(limits.lower + position_margin_rad, limits.upper - position_margin_rad,
                       limits.velocity * velocity, limits.acceleration * acceleration, limits.jerk * jerk)


class Profile:
    """The commanded motion; `track` and `stop` advance it by one period of nominal length, whatever the clock says."""

    def __init__(self, limits: JointLimits, period_s: float, start: np.ndarray):
        self.period_s = period_s
        # A start within the margin (or on the limit itself) is where the arm is: it must not be a reason to step.
        self._limits = JointLimits(np.minimum(limits.lower, start), np.maximum(limits.upper, start),
                                   limits.velocity, limits.acceleration, limits.jerk)
        self._reacher = Ruckig(1)
        self._reaches = [_joint_input(self._limits, i) for i in range(7)]
        self._stopper = Ruckig(7)
        self._stop_input = _stop_input(self._limits)
        self._times = np.array([1, *CHASE_PERIODS]) * period_s
        self.motion = Motion(np.array(start, dtype=np.float64), np.zeros(7), np.zeros(7))
        self._stop = self._plan_stop(self.motion)

    def track(self, reference: Reference, rest_within_s: float = np.inf) -> Motion:
        """Advance one period towards the reference, able to be at rest rest_within_s from now."""
        self.motion, self._stop = self._toward(self.motion, self._stop, reference, rest_within_s)
        return self.motion

    def stop(self) -> Motion:
        """Advance one period of the shortest stop; each joint stops on its own."""
        self.motion, self._stop = self._slower(self._stop)
        return self.motion

    def horizon(self, count: int, reference: Reference | None = None, rest_within_s: float = np.inf,
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What comes if no input comes any more: times (h,), q, dq, ddq (h, 7).

        The first `count` points, one period apart, are exactly the states that the next calls of `track` (of `stop`
        without a reference) will give; then follows a stop, so the last point is at rest.
        """
        motion, stop, points = self.motion, self._stop, []
        for k in range(1, count + 1):
            if reference is None:
                motion, stop = self._slower(stop)
            else:
                ahead = (k - 1) * self.period_s
                motion, stop = self._toward(motion, stop, _shifted(reference, ahead), rest_within_s - ahead)
            points.append((k * self.period_s, motion.q, motion.dq, motion.ddq))
        tail = np.ceil(round(stop.duration_s / self.period_s, 6))
        # Every second period is enough where a quintic connects the points; the last one is at rest.
        for k in np.unique(np.append(np.arange(2, tail, 2), tail)) if tail else ():
            rest = stop.at(k * self.period_s)
            points.append(((count + k) * self.period_s, rest.q, rest.dq, rest.ddq))
        times, q, dq, ddq = (np.array(column) for column in zip(*points, strict=True))
        return times, q, dq, ddq

    def _toward(self, motion: Motion, stop: "_Stop", reference: Reference, rest_within_s: float,
                ) -> tuple[Motion, "_Stop"]:
        states = np.array([motion.q, motion.dq, motion.ddq])
        wanted = self._clamp(*reference(self._times[:1]))
        late = [i for i in range(7) if not self._reach(i, motion, wanted[:, 0, i], self.period_s, states)]
        if late:
            wanted = self._clamp(*reference(self._times))
            for i in late:
                self._chase(i, motion, wanted[:, 1:, i], states)
        candidate = _snap(states)
        try:
            fits = self._plan_stop(candidate)
        except RuckigError:
            return self._slower(stop)
        lowest, highest = self._reach_of_stop(candidate, fits)
        wrong = ((lowest < self._limits.lower - _TINY_RAD) | (highest > self._limits.upper + _TINY_RAD)
                 | (fits.durations_s > rest_within_s - self.period_s + _TINY_RAD))
        if not wrong.any():
            return candidate, fits
        slower, rest = self._slower(stop)
        if wrong.all():
            return slower, rest
        mixed = Motion(*(np.where(wrong, s, c) for s, c in ((slower.q, candidate.q), (slower.dq, candidate.dq),
                                                           (slower.ddq, candidate.ddq))))
        return mixed, self._plan_stop(mixed)

    def _slower(self, stop: "_Stop") -> tuple[Motion, "_Stop"]:
        return stop.at(self.period_s), stop.after(self.period_s)

    def _reach(self, joint: int, motion: Motion, wanted: np.ndarray, duration_s: float, states: np.ndarray) -> bool:
        """Write the joint's state one period on into states; False if `wanted` is not reached after duration_s."""
        request, trajectory = self._reaches[joint], Trajectory(1)
        request.current_position, request.current_velocity = [motion.q[joint]], [motion.dq[joint]]
        request.current_acceleration = [motion.ddq[joint]]
        request.target_position, request.target_velocity = [wanted[0]], [wanted[1]]
        request.target_acceleration, request.minimum_duration = [wanted[2]], duration_s
        try:
            self._reacher.calculate(request, trajectory)
        except RuckigError:
            return False
        (q,), (dq,), (ddq,) = trajectory.at_time(self.period_s)
        states[:, joint] = q, dq, ddq
        return trajectory.duration <= duration_s + 1e-6

    def _chase(self, joint: int, motion: Motion, wanted: np.ndarray, states: np.ndarray) -> None:
        """Head for the earliest point of the reference that can be met on time, else for the last one looked at."""
        for k, periods in enumerate(CHASE_PERIODS):
            if self._reach(joint, motion, wanted[:, k], periods * self.period_s, states):
                return

    def _clamp(self, q: np.ndarray, dq: np.ndarray, ddq: np.ndarray) -> np.ndarray:
        """Wanted states (3, n, 7) that a motion within the limits can pass through."""
        limits = self._limits
        inside = np.clip(q, limits.lower, limits.upper)
        free = inside == q
        dq = np.clip(dq, -limits.velocity, limits.velocity) * free
        # With more acceleration than this the velocity limit would be broken just before or after.
        most = np.sqrt(2 * limits.jerk * (limits.velocity - np.abs(dq)))
        most = np.minimum(limits.acceleration, most * (1 - 1e-9))
        return np.array([inside, dq, np.clip(ddq, -most, most) * free])

    def _reach_of_stop(self, motion: Motion, stop: "_Stop") -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest position (7,) on the way to rest. (Ruckig's extrema are wrong for velocity targets.)"""
        q, dq, ddq, jerk = motion.q, motion.dq, motion.ddq, self._limits.jerk
        end = stop.at(stop.duration_s).q
        lowest, highest = np.minimum(q, end), np.maximum(q, end)
        # A joint that brakes harder than its speed needs comes to a halt and turns back before it is at rest.
        turns = (dq * ddq < 0) & (ddq**2 > 2 * jerk * np.abs(dq))
        if turns.any():
            t = (np.abs(ddq) - np.sqrt(np.maximum(ddq**2 - 2 * jerk * np.abs(dq), 0.0))) / jerk
            turn = np.where(turns, q + t * (dq + t * (ddq / 2 - t * np.sign(ddq) * jerk / 6)), q)
            lowest, highest = np.minimum(lowest, turn), np.maximum(highest, turn)
        return lowest, highest

    def _plan_stop(self, motion: Motion) -> "_Stop":
        request, trajectory = self._stop_input, Trajectory(7)
        request.current_position, request.current_velocity = motion.q, motion.dq
        request.current_acceleration = motion.ddq
        self._stopper.calculate(request, trajectory)
        return _Stop(trajectory)


class _Stop:
    """A planned stop and how far it has been followed."""

    def __init__(self, trajectory: Trajectory, elapsed_s: float = 0.0):
        self._trajectory, self._elapsed_s = trajectory, elapsed_s
        self.duration_s = max(trajectory.duration - elapsed_s, 0.0)
        """Until all joints are at rest; durations_s (7,) each joint's."""

    @property
    def durations_s(self) -> np.ndarray:
        return np.array(self._trajectory.independent_min_durations) - self._elapsed_s

    def at(self, time_s: float) -> Motion:
        return _snap(np.array(self._trajectory.at_time(self._elapsed_s + time_s)))

    def after(self, time_s: float) -> "_Stop":
        return _Stop(self._trajectory, self._elapsed_s + time_s)


def _snap(states: np.ndarray) -> Motion:
    """Motion from states (3, 7); what is at rest but for rounding is exactly at rest."""
    still = (np.abs(states[1]) < 1e-9) & (np.abs(states[2]) < 1e-6)
    states[1:, still] = 0.0
    return Motion(*states)


def _shifted(reference: Reference, ahead_s: float) -> Reference:
    return lambda times: reference(times + ahead_s)


def _joint_input(limits: JointLimits, joint: int) -> InputParameter:
    request = InputParameter(1)
    request.max_velocity = [limits.velocity[joint]]
    request.max_acceleration = [limits.acceleration[joint]]
    request.max_jerk = [limits.jerk[joint]]
    return request


def _stop_input(limits: JointLimits) -> InputParameter:
    request = InputParameter(7)
    request.control_interface = ControlInterface.Velocity
    # Each joint in its own shortest time: only then is a stop that is planned anew on the way the same stop.
    request.synchronization = Synchronization.No
    request.max_velocity, request.max_acceleration, request.max_jerk = limits.velocity, limits.acceleration, limits.jerk
    request.target_velocity = np.zeros(7)
    return request
