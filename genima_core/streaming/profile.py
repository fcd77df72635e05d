"""Jerk-limited motion of seven joints, one period at a time: `Profile` shapes commands, `Glide` makes gentle ways.

Ruckig finds every motion. Two rules make the limits hold by construction:

- Each new state can be reached within the velocity, acceleration and jerk limits in one period.
- From each new state a jerk-limited stop fits: before the position limits, within the lower velocity limits near
  them, and before the time by which the arm has to be at rest. Where a wanted state breaks this, the joint takes the
  next state of its present stop instead, which by induction always fits. (Ruckig's free edition does not look at
  position limits itself.)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import ruckig

from genima_core.arm import JointLimits

Reference = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Seconds from now (n,) to wanted positions, velocities, accelerations (n, 7)."""

CHASE_PERIODS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
"""When the wanted state cannot be reached in one period: after how many periods to look for it."""

PREVIEW = 3
"""Periods of tracking at the front of the horizon; the rest of it is a stop."""

TAIL_S = 0.04
"""Between the points of that stop, if the period is short."""

APPROACH_ACCELERATION, APPROACH_JERK = 1.0, 8.0
"""rad/s², rad/s³: gentle enough to be watched."""
BRAKE_ACCELERATION, BRAKE_JERK = 5.0, 150.0
"""Of coming to rest: from 1 rad/s within a quarter of a second."""
GLIDE_PERIOD_S = 0.01
"""Of its steps; the streamer interpolates."""

SLOWING_SHARE = 0.9
"""Of the lower velocity limits near position limits: what is wanted. The rest is for braking as they fall."""
LEAST_RAD_S = 1e-3
"""Ruckig needs a velocity limit above 0."""
STOP_SHARES = 1 - np.linspace(1.0, 0.0, 21) ** 2
"""Of a stop's time: when its velocity is looked at; more often at its end, where the limit may be nearly 0."""
SLOWING_SLACK_RAD_S = 0.02
"""Distance from those lower limits, for between these moments."""
CREEP_RAD_S = 0.05

_TINY_RAD = 1e-9
_SUCCESS = (ruckig.Result.Working, ruckig.Result.Finished)
_FAILURES = (ruckig.RuckigError, ValueError, RuntimeError, ArithmeticError)
"""What Ruckig raises where it finds nothing: its own error, or another for a result that its Python side lacks."""


class Motion(NamedTuple):
    """State of the seven joints: q (7,) rad, dq (7,) rad/s, ddq (7,) rad/s²."""

    q: np.ndarray
    dq: np.ndarray
    ddq: np.ndarray

    @property
    def at_rest(self) -> bool:
        return not (self.dq.any() or self.ddq.any())


class Profile:
    """The commanded motion, advanced by one period of nominal length, whatever the clock says."""

    def __init__(self, limits: JointLimits, period_s: float, start: np.ndarray):
        self.period_s = period_s
        # A start within the margin (or on the limit itself) is where the arm is: it must not be a reason to step.
        lower, upper = np.minimum(limits.lower, start), np.maximum(limits.upper, start)
        self._limits = self._led = limits = replace(limits, lower=lower, upper=upper)
        self._nearest = lower, upper
        """How far a motion is led; where it would have to creep, not quite to the position limits."""
        if limits.slowing is not None:
            offset, deceleration, lowest, highest = limits.slowing
            slowing = np.array([offset + SLOWING_SLACK_RAD_S, deceleration, lowest, highest])
            self._limits = limits = replace(limits, slowing=slowing)
            self._led = replace(limits, slowing=(slowing.T * (SLOWING_SHARE, SLOWING_SHARE**2, 1.0, 1.0)).T)
            """What is wanted lies within these."""
            way = (slowing[0] + CREEP_RAD_S) ** 2 / (2 * deceleration)
            nearest = np.maximum(lower, lowest + way), np.minimum(upper, highest - way)
            self._nearest = np.minimum(nearest[0], start), np.maximum(nearest[1], start)
        self._reacher, self._stopper = ruckig.Ruckig(1), ruckig.Ruckig(7)
        self._reaches = [_joint_input(limits, i) for i in range(7)]
        self._stop_input = _stop_input(limits)
        self._times = np.arange(1, PREVIEW + 1 + CHASE_PERIODS[-1]) * period_s
        rest = Motion(np.array(start, dtype=np.float64), np.zeros(7), np.zeros(7))
        if (stop := self._find_stop(rest)) is None:
            raise ruckig.RuckigError("no stop from rest")
        self.course: Course = [_Plan(rest, stop)] * (1 + PREVIEW)
        """The motion now, and what follows it by plan. May be set back to what it was before."""

    @property
    def motion(self) -> Motion:
        return self.course[0].motion

    @property
    def stop_way(self) -> np.ndarray:
        """Positions (n, 7) from the motion to rest, of a stop begun now."""
        return self._way(self.course[:1])

    @property
    def course_way(self) -> np.ndarray:
        """Positions (n, 7) from the motion to rest, along the horizon."""
        return self._way(self.course)

    def limit_velocity(self, velocity: np.ndarray) -> None:
        """Another limit (7,) rad/s from now on; a joint that is faster slows down within its other limits."""
        self._limits, self._led = (replace(limits, velocity=velocity) for limits in (self._limits, self._led))
        self._limit_reaches(-velocity, velocity)
        self._stop_input.max_velocity = velocity

    def _limit_reaches(self, lowest: np.ndarray, highest: np.ndarray) -> None:
        for request, low, high in zip(self._reaches, lowest.tolist(), highest.tolist(), strict=True):
            request.min_velocity, request.max_velocity = [min(low, -LEAST_RAD_S)], [max(high, LEAST_RAD_S)]

    def track(self, reference: Reference, rest_within_s: float = np.inf) -> Motion:
        """Advance one period towards the reference, able to be at rest rest_within_s from now."""
        wanted = self._clamp(*reference(self._times))
        plans = [self.course[0]]
        for k in range(1 + PREVIEW):
            plans.append(self._toward(plans[-1], wanted[k:], rest_within_s - k * self.period_s))
        self.course = plans[1:]
        return self.motion

    def stop(self) -> Motion:
        """Advance one period of the shortest stop; each joint stops on its own."""
        self.course = [self.course[0].later(k * self.period_s) for k in range(1, 2 + PREVIEW)]
        return self.motion

    def coast(self) -> Motion:
        """Advance one period along the horizon, unchanged."""
        self.course = [*self.course[1:], self.course[-1].later(self.period_s)]
        return self.motion

    def horizon(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What comes if no input comes any more: times (h,), q, dq, ddq (h, 7), from one period ahead on. PREVIEW
        points are what the next calls give if the reference stays; then follows a stop, so the last point is at rest.
        """
        last = self.course[-1]
        tail = int(np.ceil(round(last.stop_s / self.period_s, 6)))
        # A point every now and then is enough where a quintic connects them; the last one is at rest.
        every = max(2, round(TAIL_S / self.period_s))
        steps = [*range(every, tail, every), tail] if tail else []
        points = [*(plan.motion for plan in self.course[1:]), *(last.states(k * self.period_s) for k in steps)]
        q, dq, ddq = np.array(points).transpose(1, 0, 2)
        if steps:
            dq[-1] = ddq[-1] = 0.0
        return np.array([*range(1, PREVIEW + 1), *(PREVIEW + k for k in steps)]) * self.period_s, q, dq, ddq

    def _way(self, plans: "Course") -> np.ndarray:
        """Positions (n, 7) of plans and of the stop from the last one."""
        last = plans[-1]
        count = int(np.ceil(last.stop_s / max(TAIL_S, self.period_s)))
        times_s = last.stop_s * np.arange(1, count + 1) / max(count, 1)
        return np.array([*(plan.motion.q for plan in plans), *(last.states(t)[0] for t in times_s)])

    def _toward(self, plan: "_Plan", wanted: list[list[list[float]]], rest_within_s: float) -> "_Plan":
        """One period towards wanted [period][q, dq, ddq][joint]; joints for which Ruckig finds nothing stop."""
        slower = plan.later(self.period_s)
        prepared, now = np.array(slower.motion), np.array(plan.motion).T.tolist()
        states, hints = prepared.copy(), [0] * 7
        if self._limits.slowing is not None:
            self._limit_reaches(*self._led.velocity_at(plan.motion.q + self.period_s * plan.motion.dq))
        for i in range(7):
            if not self._reach(i, now[i], wanted[0], 1, states):
                hints[i] = self._chase(i, now[i], wanted, plan.hints[i], states)
        candidate = _snap(states)
        if (stop := self._find_stop(candidate)) is None:
            return slower
        lowest, highest = self._reach_of_stop(candidate, stop)
        wrong = ~(
            (lowest >= self._limits.lower - _TINY_RAD)
            & (highest <= self._limits.upper + _TINY_RAD)
            & (np.array(stop.independent_min_durations) <= rest_within_s - self.period_s + _TINY_RAD)
            & self._slow_enough(candidate, stop, lowest, highest)
        )
        if wrong.all():
            return slower
        if wrong.any():
            candidate = _snap(np.where(wrong, prepared, states))
            if (stop := self._find_stop(candidate)) is None:
                return slower
        return _Plan(candidate, stop, hints=tuple(hints))

    def _reach(self, joint: int, now: list[float], wanted: list[list[float]], periods: int, states: np.ndarray) -> bool:
        """Write the joint's state one period on into states (3, 7); False if it will not be as wanted on time."""
        request, trajectory, duration_s = self._reaches[joint], ruckig.Trajectory(1), periods * self.period_s
        request.current_position, request.current_velocity, request.current_acceleration = now[:1], now[1:2], now[2:]
        low, high = request.min_velocity[0], request.max_velocity[0]
        dq, ddq = min(max(wanted[1][joint], low), high), wanted[2][joint]
        if ddq * ddq > 2 * request.max_jerk[0] * (high - dq if ddq > 0 else dq - low):
            ddq = 0.0  # with it the velocity limit would be broken just before or after
        request.target_position, request.target_velocity = [wanted[0][joint]], [dq]
        request.target_acceleration, request.minimum_duration = [ddq], duration_s
        try:
            if self._reacher.calculate(request, trajectory) not in _SUCCESS:
                return False
            (q,), (dq,), (ddq,) = trajectory.at_time(self.period_s)
        except _FAILURES:
            return False
        states[:, joint] = q, dq, ddq
        return trajectory.duration <= duration_s + 1e-6

    def _chase(
        self, joint: int, now: list[float], wanted: list[list[list[float]]], hint: int, states: np.ndarray
    ) -> int:
        """Head for the earliest reference that is met on time, from the hint on, else for the last; which it was."""
        for k in range(max(hint - 2, 0), len(CHASE_PERIODS)):
            if self._reach(joint, now, wanted[CHASE_PERIODS[k] - 1], CHASE_PERIODS[k], states):
                return k
        return len(CHASE_PERIODS) - 1

    def _clamp(self, q: np.ndarray, dq: np.ndarray, ddq: np.ndarray) -> list[list[list[float]]]:
        """Wanted states that a motion within the limits can pass through: [period][q, dq, ddq][joint]."""
        limits = self._limits
        inside = np.clip(q, *self._nearest)
        free = inside == q
        dq = np.clip(dq, *limits.velocity_at(inside)) * free
        # With more acceleration than this the velocity limit would be broken just before or after.
        most = np.sqrt(2 * limits.jerk * (limits.velocity - np.abs(dq)))
        most = np.minimum(limits.acceleration, most * (1 - 1e-9))
        return np.stack([inside, dq, np.clip(ddq, -most, most) * free], axis=1).tolist()

    def _reach_of_stop(self, motion: Motion, stop: ruckig.Trajectory) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest position (7,) on the way to rest. (Ruckig's extrema are wrong for velocity targets.)"""
        q, dq, ddq, jerk = *motion, self._limits.jerk
        end = np.array(stop.at_time(stop.duration)[0])
        lowest, highest = np.minimum(q, end), np.maximum(q, end)
        # A joint that brakes harder than its speed needs comes to a halt and turns back before it is at rest.
        turns = (dq * ddq < 0) & (ddq**2 > 2 * jerk * np.abs(dq))
        if turns.any():
            t = (np.abs(ddq) - np.sqrt(np.maximum(ddq**2 - 2 * jerk * np.abs(dq), 0.0))) / jerk
            turn = np.where(turns, q + t * (dq + t * (ddq / 2 - t * np.sign(ddq) * jerk / 6)), q)
            lowest, highest = np.minimum(lowest, turn), np.maximum(highest, turn)
        return lowest, highest

    def _slow_enough(
        self, motion: Motion, stop: ruckig.Trajectory, lowest: np.ndarray, highest: np.ndarray
    ) -> np.ndarray:
        """Whether each joint (7,) keeps the velocity limits of where it is, on a stop between two positions (7,)."""
        limits, (_, dq, ddq) = self._limits, motion
        if limits.slowing is None:
            return np.ones(7, bool)
        gain = ddq * np.abs(ddq) / (2 * limits.jerk)  # until the acceleration is 0
        least, most = dq + np.minimum(gain, 0.0), dq + np.maximum(gain, 0.0)
        fine = (least >= limits.velocity_at(lowest)[0]) & (most <= limits.velocity_at(highest)[1])
        for i in np.flatnonzero(~fine):
            times_s = stop.independent_min_durations[i] * STOP_SHARES
            q, dq, _ = np.array([stop.at_time(time_s) for time_s in times_s]).transpose(1, 0, 2)
            low, high = limits.velocity_at(q)
            fine[i] = ((dq >= low - _TINY_RAD) & (dq <= high + _TINY_RAD))[:, i].all()
        return fine

    def _find_stop(self, motion: Motion) -> ruckig.Trajectory | None:
        request, trajectory = self._stop_input, ruckig.Trajectory(7)
        request.current_position, request.current_velocity, request.current_acceleration = motion
        try:
            return trajectory if self._stopper.calculate(request, trajectory) in _SUCCESS else None
        except _FAILURES:
            return None


@dataclass(frozen=True)
class _Plan:
    """A state and the stop that fits from there: a trajectory, of which some time is past."""

    motion: Motion
    stop: ruckig.Trajectory
    elapsed_s: float = 0.0
    hints: tuple[int, ...] = (0,) * 7
    """Where each joint's chase found the reference, as an index of CHASE_PERIODS."""

    @property
    def stop_s(self) -> float:
        return max(self.stop.duration - self.elapsed_s, 0.0)

    def states(self, time_s: float) -> tuple[list[float], list[float], list[float]]:
        """q, dq, ddq of the joints time_s after its begin."""
        return self.stop.at_time(self.elapsed_s + time_s)

    def later(self, time_s: float) -> "_Plan":
        return _Plan(_snap(np.array(self.states(time_s))), self.stop, self.elapsed_s + time_s)


Course = list[_Plan]
"""A planned state and those that follow it."""


def _snap(states: np.ndarray) -> Motion:
    """Motion from states (3, 7); what is at rest but for rounding is exactly at rest."""
    still = (np.abs(states[1]) < 1e-9) & (np.abs(states[2]) < 1e-6)
    states[1:, still] = 0.0
    return Motion(*states)


def _joint_input(limits: JointLimits, joint: int) -> ruckig.InputParameter:
    request = ruckig.InputParameter(1)
    request.min_velocity, request.max_velocity = [-limits.velocity[joint]], [limits.velocity[joint]]
    request.max_acceleration = [limits.acceleration[joint]]
    request.max_jerk = [limits.jerk[joint]]
    return request


def _stop_input(limits: JointLimits) -> ruckig.InputParameter:
    request = ruckig.InputParameter(7)
    request.control_interface = ruckig.ControlInterface.Velocity
    # Each joint in its own shortest time: only then is a stop that is planned again on the way the same stop.
    request.synchronization = ruckig.Synchronization.No
    request.max_velocity, request.max_acceleration, request.max_jerk = limits.velocity, limits.acceleration, limits.jerk
    request.target_velocity = np.zeros(7)
    return request


class Glide:
    """Slow motion to where something else is, and to rest, for the time that has passed: joints arrive together."""

    def __init__(self, q: np.ndarray, dq: np.ndarray, now_s: float, limits: JointLimits):
        self.q, self.dq = np.clip(q, limits.lower, limits.upper), np.array(dq, dtype=np.float64)
        self.time_s = now_s
        """When it was there; `toward` and `brake` advance it in steps of GLIDE_PERIOD_S."""
        self._limits, self._ddq = limits, np.zeros(7)
        self._ruckig, self._state = ruckig.Ruckig(7, GLIDE_PERIOD_S), ruckig.OutputParameter(7)

    @property
    def at_rest(self) -> bool:
        return not (self.dq.any() or self._ddq.any())

    def toward(self, goal: np.ndarray, speed: float, now_s: float) -> bool:
        """On towards a goal (7,) that may move, no joint faster than speed (rad/s); whether it moved on."""
        request = ruckig.InputParameter(7)
        request.synchronization = ruckig.Synchronization.Phase  # a straight line where one is possible
        request.target_position = np.clip(goal, self._limits.lower, self._limits.upper)
        request.max_velocity = np.full(7, speed)
        return self._advance(request, APPROACH_ACCELERATION, APPROACH_JERK, now_s)

    def brake(self, now_s: float) -> bool:
        """On towards rest; whether it moved on."""
        request = ruckig.InputParameter(7)
        request.control_interface = ruckig.ControlInterface.Velocity
        return self._advance(request, BRAKE_ACCELERATION, BRAKE_JERK, now_s)

    def _advance(self, request: ruckig.InputParameter, acceleration: float, jerk: float, now_s: float) -> bool:
        request.max_acceleration, request.max_jerk = np.full(7, acceleration), np.full(7, jerk)
        # After a pause it goes on from where it is, late; it does not make up for lost time.
        self.time_s = max(self.time_s, now_s - 5 * GLIDE_PERIOD_S)
        moved = False
        while self.time_s + GLIDE_PERIOD_S <= now_s + 1e-9:
            request.current_position, request.current_velocity = self.q, self.dq
            request.current_acceleration = self._ddq
            try:
                found = self._ruckig.update(request, self._state) in _SUCCESS
            except _FAILURES:
                found = False
            if not found:
                self.dq, self._ddq = np.zeros(7), np.zeros(7)
                return moved
            q, dq, ddq = self._state.new_position, self._state.new_velocity, self._state.new_acceleration
            self.q, self.dq, self._ddq = np.array(q), np.array(dq), np.array(ddq)
            still = (np.abs(self.dq) < 1e-6) & (np.abs(self._ddq) < 1e-4)
            self.dq[still] = self._ddq[still] = 0.0
            self.time_s += GLIDE_PERIOD_S
            moved = True
        return moved
