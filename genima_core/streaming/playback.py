"""Follows one path after another, on a time of its own that only approaches the clock, and keeps out of contact."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from genima_core.arm import Arm, JointLimits
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.profile import PREVIEW, Motion, Profile
from genima_core.streaming.reference import Blend, ChunkPath, Path, Splice, splice
from genima_core.types import Contact

SCALING_RATE = 1.0
"""1/s, of the change of the velocity limit to another velocity_scale."""
GENTLY = Blend(acceleration=0.3, shortest_s=0.5, longest_s=2.0)
TOLERANCE_M = 5e-4
"""A body with facets that turns in its place is nearer and further by this much."""
ROUNDING_RAD = 1e-9


def shaping_limits(limits: JointLimits, config: StreamerConfig) -> JointLimits:
    """The part of an arm's limits that commands use."""
    margin_rad = config.position_margin_rad
    shares = limits.scaled(config.velocity_factor, config.acceleration_factor, config.jerk_factor)
    velocity = shares.velocity * config.velocity_scale  # `slowing` is no matter of pace
    return replace(shares, lower=limits.lower + margin_rad, upper=limits.upper - margin_rad, velocity=velocity)


class Clearance(Protocol):
    """Knows where the arm is too near to something; `sim.collision.ClearanceModel` does."""

    def find(self, path: np.ndarray, allowed: Mapping[tuple[str, str], float]) -> Contact | None:
        """The first contact on a path (n, 7) rad; two bodies in `allowed` may be as near as that, in m, at most 0."""

    def contacts(self, q: np.ndarray) -> tuple[Contact, ...]:
        """All pairs of bodies that are too near to each other at q (7,)."""


class Guard:
    """Looks at the way to rest from each command, before it is given.

    What was looked at stays allowed: where a command is refused, the stop from the one before it is free. Bodies that
    are too near to each other at the start may stay so or part, but not come nearer. Without a clearance all is free.
    """

    def __init__(self, clearance: Clearance | None, start: np.ndarray):
        self._clearance = clearance
        self._allowed = self._clearances(start)

    def look(self, *ways: np.ndarray) -> Contact | None:
        """The first contact on paths (n, 7), or None."""
        if self._clearance is None:
            return None
        found = (self._clearance.find(way, self._allowed) for way in ways)
        return next((contact for contact in found if contact is not None), None)

    def leave(self, q: np.ndarray) -> None:
        """The command is at q (7,): what clearance was gained must not be lost."""
        if self._allowed:
            now = self._clearances(q)
            self._allowed = {pair: max(least_m, now[pair]) for pair, least_m in self._allowed.items() if pair in now}

    def _clearances(self, q: np.ndarray) -> dict[tuple[str, str], float]:
        contacts = () if self._clearance is None else self._clearance.contacts(q)
        return {contact.bodies: contact.clearance_m - TOLERANCE_M for contact in contacts}


def describe(contact: Contact) -> str:
    one, other = contact.bodies
    return (
        f"Going on would bring {one} and {other} to {1e3 * contact.distance_m:.0f} mm of each other (limit "
        f"{1e3 * contact.least_m:.0f} mm); the arm stops before: send it elsewhere, or change the margins."
    )


class Playback:
    """One stream of commands, from the position where it begins; `advance` gives one more."""

    def __init__(
        self, arm: Arm, config: StreamerConfig, start: np.ndarray, now_s: float, clearance: Clearance | None = None
    ):
        self._config, self._limits = config, arm.limits
        self.profile = Profile(shaping_limits(arm.limits, config), config.period_s, start)
        self._guard = Guard(clearance, start)
        self._velocity_scale = self._pace = config.velocity_scale
        self._splice: Splice | None = None
        self._replayed = False
        """Whether the motion was reached along the horizon: then a stop from here was never looked at."""
        self.contact: Contact | None = None
        """Why the path is not followed any more, until it is abandoned or another is joined."""
        self._rate = 1.0
        self.time_s = now_s
        """Time of the last command on the clock of the path; follows the real clock gently."""
        self.violations = 0
        """Commands whose finite differences broke a limit of the arm; 0 unless there is a bug."""
        self._recent: deque[np.ndarray] = deque(maxlen=max(4, round(config.deviation_window_s / config.period_s)))
        self._record()
        self._before_stop = tuple(self._recent)

    @property
    def motion(self) -> Motion:
        return self.profile.motion

    @property
    def path(self) -> Path | None:
        """What is followed; None while at rest or stopping."""
        return None if self._splice is None else self._splice.path

    def join(self, path: Path, blend: Blend) -> None:
        """Follow a path from here on, smoothly, wherever it is now."""
        self.contact, self._pace = None, self._config.velocity_scale
        self._splice = splice(path, self.motion, self.time_s, blend)

    def relieve(self, q: np.ndarray, most_rad: float) -> None:
        """Go gently to q (7,), but not further than most_rad beyond the commands since shortly before the stop."""
        recent = np.array([*self._before_stop, *self._recent])
        q = np.clip(q, recent.min(axis=0) - most_rad, recent.max(axis=0) + most_rad)
        q = np.clip(q, self._limits.lower, self._limits.upper)
        self.join(ChunkPath(np.stack([q, q]), GENTLY.longest_s, self.time_s, self._config.settle_s), GENTLY)

    def abandon(self) -> None:
        """Follow nothing: `advance` stops the arm."""
        self._splice = self.contact = None
        self._before_stop = tuple(self._recent)

    def rescale(self, config: StreamerConfig) -> None:
        """On with another velocity_scale: a chunk is slowed, never sped up, and the limit changes little by little."""
        self._config, rate = config, config.velocity_scale / self._pace
        if rate < 1 and self.contact is None and self._splice is not None and isinstance(self.path, ChunkPath):
            self.join(self.path.repaced(self.time_s, rate), self._splice.blend)

    def position_at(self, time_s: float) -> np.ndarray:
        """Where the command will be, (7,), as far as it is known."""
        return self.motion.q if self._splice is None else self._splice.at(np.array([time_s]))[0][0]

    def deviation(self, q: np.ndarray) -> np.ndarray:
        """Distance (7,) of a measured position from all recent commands: what a lag alone does not explain."""
        recent = np.array(self._recent)
        return np.maximum(recent.min(axis=0) - q, q - recent.max(axis=0))

    def advance(self, now_s: float) -> None:
        """One period on: along the path, or on the way to rest where there is none."""
        self._approach_velocity_scale()
        if self._splice is None or self.contact is not None:
            self.time_s, self._rate = now_s, 1.0
            self._stop()
        else:
            self._tick(now_s)
            self._follow(self._splice, now_s)
        self._record()

    def _follow(self, splice: Splice, now_s: float) -> None:
        """Along the path; what would end in a contact is taken back: to the course before, and a stop."""
        config, path, rate = self._config, splice.path, self._rate

        def reference(times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            q, dq, ddq = splice.at(self.time_s + rate * (times_s - config.period_s))
            return q, dq * rate, ddq * rate**2

        rest_s = max(path.end_s + config.rest_after_s, path.rest_s + config.rest_after_s - config.settle_s)
        course = self.profile.course
        self.profile.track(reference, rest_s - max(self.time_s, now_s) + config.period_s)
        self.contact = self._guard.look(self.profile.stop_way, self.profile.course_way)
        if self.contact is None:
            self._replayed = False
            self._guard.leave(self.motion.q)
        else:
            self.profile.course = course
            self._stop()

    def _stop(self) -> None:
        """On the shortest way to rest, but along the horizon while only that is known to be free of contact."""
        if self._replayed and self._guard.look(self.profile.stop_way) is not None:
            self.profile.coast()
        else:
            self.profile.stop()
            self._replayed = False

    def _approach_velocity_scale(self) -> None:
        step, most = self._config.velocity_scale - self._velocity_scale, SCALING_RATE * self._config.period_s
        if step:
            reached = abs(step) <= most
            self._velocity_scale += min(max(step, -most), most)
            self._velocity_scale = self._config.velocity_scale if reached else self._velocity_scale
            self.profile.limit_velocity(self._limits.velocity * self._config.velocity_factor * self._velocity_scale)

    def catch_up(self, missed: int, now_s: float) -> None:
        """Move along the last horizon, unchanged, as the arm did in `missed` periods without command."""
        for k in range(missed):
            if self._splice is not None:
                self._tick(now_s - (missed - k) * self._config.period_s)
            self.profile.coast()
            self._record()
        self._replayed = self._replayed or missed > 0
        if missed > PREVIEW and self._splice is not None:
            self.join(self._splice.path, self._splice.blend)

    def _tick(self, now_s: float) -> None:
        """Advance the path's time by about one period: it approaches the clock, and so keeps its jitter out.

        A chunk is played up to 3 % faster or slower until a delay is made up, and its speed changes gently.
        """
        late = now_s - self.time_s - self._config.period_s
        self._rate += min(max(1.0 + min(max(late, -0.03), 0.03) - self._rate, -0.001), 0.001)
        self.time_s += self._config.period_s * self._rate

    def _record(self) -> None:
        limits, q = self._limits, self.motion.q
        self._recent.append(q)
        last = np.array([self._recent[-k] for k in range(min(4, len(self._recent)), 0, -1)])
        broken = ((q < limits.lower - ROUNDING_RAD) | (q > limits.upper + ROUNDING_RAD)).any()
        for order, most in enumerate((None, limits.acceleration, limits.jerk)[: len(last) - 1], start=1):
            rates = np.diff(last[-order - 1 :], order, axis=0)[0] / self._config.period_s**order
            broken |= (limits.too_fast(last[-2], rates) if most is None else np.abs(rates) > most * (1 + 1e-6)).any()
        self.violations += bool(broken)

    @property
    def ended(self) -> bool:
        return self.path is not None and self.time_s > self.path.end_s

    @property
    def finished(self) -> bool:
        """Nothing left to do: at rest, and at the end of the path if there is one."""
        return (self.path is None or self.time_s >= self.path.rest_s) and self.motion.at_rest

    @property
    def width_m(self) -> float | None:
        """Of the gripper, by the action that is executed; None where that says nothing about it."""
        return None if self.path is None else self.path.width_at(self.time_s)
