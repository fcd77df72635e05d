"""Follows one path after another, on a time of its own that only approaches the clock."""

from collections import deque

import numpy as np

from genima_core.panda import JointLimits
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.profile import PREVIEW, Motion, Profile, scale_limits
from genima_core.streaming.reference import Blend, ChunkPath, Splice, TargetPath, splice


def shaping_limits(config: StreamerConfig) -> JointLimits:
    """The part of the arm's limits that commands use."""
    return scale_limits(config.limits, config.velocity_factor * config.velocity_scale, config.acceleration_factor,
                        config.jerk_factor, config.position_margin_rad)


class Playback:
    """One stream of commands, from the position where it begins; `advance` gives one more."""

    def __init__(self, config: StreamerConfig, start: np.ndarray, now_s: float):
        self._config, self._limits = config, config.limits
        self._profile = Profile(shaping_limits(config), config.period_s, start)
        self._splice: Splice | None = None
        self._rate = 1.0
        self.time_s = now_s
        """Time of the last command on the clock of the path; follows the real clock gently."""
        self.violations = 0
        """Commands whose finite differences broke a limit of the arm; 0 unless there is a bug."""
        self._recent = deque(maxlen=max(4, round(config.deviation_window_s / config.period_s)))
        self._record(self.motion.q)

    @property
    def motion(self) -> Motion:
        return self._profile.motion

    @property
    def path(self) -> ChunkPath | TargetPath | None:
        """What is followed; None while at rest or stopping."""
        return None if self._splice is None else self._splice.path

    def join(self, path: ChunkPath | TargetPath, blend: Blend) -> None:
        """Follow a path from here on, smoothly, wherever it is now."""
        self._splice = splice(path, self.motion, self.time_s, blend)

    def abandon(self) -> None:
        """Follow nothing: `advance` stops the arm."""
        self._splice = None

    def position_at(self, time_s: float) -> np.ndarray:
        """Where the command will be, (7,), as far as it is known."""
        return self.motion.q if self._splice is None else self._splice.at(np.array([time_s]))[0][0]

    def deviation(self, q: np.ndarray) -> np.ndarray:
        """Distance (7,) of a measured position from all recent commands: what a lag alone does not explain."""
        recent = np.array(self._recent)
        return np.maximum(recent.min(axis=0) - q, q - recent.max(axis=0))

    def advance(self, now_s: float) -> None:
        """One period on: along the path, or on the way to rest where there is none."""
        if self._splice is None:
            self.time_s, self._rate = now_s, 1.0
            self._profile.stop()
        else:
            self._tick(now_s)
            rest_within_s = self._splice.path.end_s + self._config.rest_after_s - max(self.time_s, now_s)
            self._profile.track(self._reference, rest_within_s + self._config.period_s)
        self._record(self.motion.q)

    def catch_up(self, missed: int, now_s: float) -> None:
        """Move along what the last horizon promised, as the arm did in `missed` periods without command."""
        for k in range(missed):
            then_s = now_s - (missed - k) * self._config.period_s
            if k < PREVIEW:
                self.advance(then_s)
                continue
            if self._splice is not None:
                self._tick(then_s)
            self._profile.stop()
            self._record(self.motion.q)
        if missed > PREVIEW and self._splice is not None:
            self.join(self._splice.path, self._splice.blend)

    def horizon(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Times (h,) s from the last command and q, dq, ddq (h, 7) of what follows without further input."""
        return self._profile.horizon()

    def _tick(self, now_s: float) -> None:
        """Advance the path's time by about one period: it approaches the clock, and so keeps its jitter out.

        A chunk is played up to 3 % faster or slower until a delay is made up, and its speed changes gently.
        """
        late = now_s - self.time_s - self._config.period_s
        self._rate += min(max(1.0 + min(max(late, -0.03), 0.03) - self._rate, -0.001), 0.001)
        self.time_s += self._config.period_s * self._rate

    def _reference(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The path at times after the last command; time_s is already that of the next one."""
        rate = self._rate
        q, dq, ddq = self._splice.at(self.time_s + rate * (times_s - self._config.period_s))
        return q, dq * rate, ddq * rate**2

    def _record(self, q: np.ndarray) -> None:
        self._recent.append(q)
        last = np.array([self._recent[-k] for k in range(min(4, len(self._recent)), 0, -1)])
        limits, broken = self._limits, False
        if ((q < limits.lower) | (q > limits.upper)).any():
            broken = True
        for order, most in enumerate((limits.velocity, limits.acceleration, limits.jerk)[:len(last) - 1], start=1):
            rates = np.diff(last[-order - 1:], order, axis=0)[0] / self._config.period_s**order
            broken = broken or bool((np.abs(rates) > most * (1 + 1e-6)).any())
        self.violations += broken

    @property
    def ended(self) -> bool:
        """The path's last action is past."""
        return self._splice is not None and self.time_s > self._splice.path.end_s

    @property
    def finished(self) -> bool:
        """Nothing left to do: at rest, and at the end of the path if there is one."""
        past = self._splice is None or self.time_s >= self._splice.path.rest_s
        return past and self.motion.at_rest

    @property
    def action(self) -> int | None:
        """Index of the action that is due now."""
        return None if self._splice is None else self._splice.path.action_at(self.time_s)


