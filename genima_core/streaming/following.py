"""Targets that are followed at once, as they come: which of them may be, and what has come of it."""

import math
from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.inspection import Refusal, Target, read_target
from genima_core.streaming.profile import Motion
from genima_core.streaming.reference import Blend, TargetPath

POSITION_NOISE_RAD = 0.005
"""A step up to this is no jump, however close the stamps are."""
REST_SPEED = 0.02
"""rad/s; a sender that falls silent while no joint was faster has come to its end."""
LATENCIES = 6000
"""Kept: a minute at 100 Hz."""


class VelocityEstimate:
    """The slope of the last positions, for senders that measure no velocity."""

    def __init__(self, window_s: float = 0.04):
        self._window_s = window_s
        self._seen: deque[tuple[float, np.ndarray]] = deque(maxlen=64)

    def add(self, stamp_s: float, q: np.ndarray) -> np.ndarray:
        """Velocity (7,) at the newest position; zero after the first. Stamps must increase."""
        while self._seen and stamp_s - self._seen[0][0] > 1.5 * self._window_s:
            self._seen.popleft()
        self._seen.append((stamp_s, q))
        if len(self._seen) < 2:
            return np.zeros(7)
        times_s = np.array([seen[0] for seen in self._seen])
        times_s -= times_s.mean()
        return times_s @ np.array([seen[1] for seen in self._seen]) / (times_s @ times_s)

    def forget(self) -> None:
        self._seen.clear()


class Following:
    """The sender of targets: it is followed while `active`, and locked out by its first mistake until it pauses."""

    def __init__(self, config: StreamerConfig):
        self._config = config
        self.blend = Blend(config.follow_acceleration, config.follow_blend_s, config.max_blend_s)
        self.active = False
        self.accepted, self.rejected, self.last_rejection = 0, Counter(), ""
        self.accepted_at_s = -math.inf
        self.latencies_s: deque[float] = deque(maxlen=LATENCIES)
        """From the stamp of a target to the first command that used it."""
        self._locked, self._heard_s = False, -math.inf
        self._last: Target | None = None
        self._path: TargetPath | None = None
        self._estimate = VelocityEstimate()

    def inspect(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
        stamp_s: float,
        now_s: float,
        motion: Motion,
        step_s: float,
    ) -> Target | Refusal:
        """A target that may be followed from the motion commanded at step_s, or why not."""
        config = self._config
        target = read_target(
            config.joint_names,
            config.gripper_joint,
            config.gripper_max_width_m,
            config.limits,
            names,
            positions,
            velocities,
            stamp_s,
        )
        if isinstance(target, Refusal):
            return target
        age = now_s - target.stamp_s
        if not abs(age) <= config.target_timeout_s:
            # A late one is passed over: whether it is the last one, or one of many, the watchdog finds out.
            when = f"{abs(age):.3f} s {'ago' if age > 0 else 'ahead'}"
            return Refusal(
                "late" if self.active and age > 0 else "stale",
                f"The target is stamped {when}; valid is within {config.target_timeout_s:g} s: look at its "
                "sender and synchronise the clocks.",
            )
        if self._last is not None and target.stamp_s <= self._last.stamp_s:
            return Refusal(
                "older",
                f"The target's stamp {target.stamp_s:.3f} s is not after the one before "
                f"({self._last.stamp_s:.3f} s); only newer ones are used.",
            )
        # After a late step the command is older than the target, and the arm further on.
        since_s = min(max(target.stamp_s - step_s, 0.0), config.max_gap_s)
        return self._jump(target, motion.q + since_s * motion.dq) or target

    def _jump(self, target: Target, here: np.ndarray) -> Refusal | None:
        config = self._config
        fastest = config.max_speed_ratio * config.limits.velocity
        if target.dq is not None and (np.abs(target.dq) > fastest).any():
            i = int(np.argmax(np.abs(target.dq) / fastest))
            return Refusal(
                "jump",
                f"The target moves {config.joint_names[i]} at {target.dq[i]:.2f} rad/s; valid is up "
                f"to {fastest[i]:.2f} rad/s: look at its sender.",
            )
        if not self.active and target.dq is not None and (np.abs(target.dq) > REST_SPEED).any():
            i = int(np.argmax(np.abs(target.dq)))
            return Refusal(
                "jump",
                f"The first target moves {config.joint_names[i]} at {target.dq[i]:.2f} rad/s; valid "
                f"is up to {REST_SPEED:g} rad/s: begin at rest, where the arm is.",
            )
        if self._last is not None:
            step, dt_s = np.abs(target.q - self._last.q), target.stamp_s - self._last.stamp_s
            i = int(np.argmax(step - fastest * dt_s))
            if step[i] > fastest[i] * dt_s + POSITION_NOISE_RAD:
                return Refusal(
                    "jump",
                    f"The target of {config.joint_names[i]} jumped by {step[i]:.3f} rad in "
                    f"{1e3 * dt_s:.0f} ms; valid is up to {fastest[i]:.2f} rad/s: look at its "
                    "sender.",
                )
        away = np.abs(target.q - here)
        i, limit = int(np.argmax(away)), config.max_lag_rad if self.active else config.max_start_rad
        if away[i] <= limit:
            return None
        if self.active:
            return Refusal(
                "jump",
                f"The target of {config.joint_names[i]} is {away[i]:.3f} rad from the command; "
                f"valid is up to {limit:g} rad: its sender is faster than the arm may move.",
            )
        return Refusal(
            "jump",
            f"The first target wants {config.joint_names[i]} at {target.q[i]:.3f} rad, "
            f"{away[i]:.3f} rad from where it is; valid is up to {limit:g} rad: begin where the arm "
            "is.",
        )

    def knock(self, now_s: float) -> Refusal | None:
        """A target came, whatever it is; the refusal of a sender that has to pause first."""
        quiet_s, self._heard_s = now_s - self._heard_s, now_s
        if self._locked and not quiet_s >= self._config.target_pause_s:
            return Refusal(
                "locked",
                f"Targets are refused since one was ({self.last_rejection or 'the arm stopped'}); "
                f"send none for {self._config.target_pause_s:g} s, then begin where the arm is.",
            )
        self._locked = False
        return None

    def accept(self, target: Target, now_s: float) -> None:
        estimated = self._estimate.add(target.stamp_s, target.q)
        dq = estimated if target.dq is None else target.dq
        self._last = Target(target.q, dq, target.width_m, target.stamp_s)
        self._path = TargetPath(target.q, dq, target.stamp_s, self._config.target_timeout_s)
        self.accepted += 1
        self.active, self.accepted_at_s = True, now_s

    def refuse(self, refusal: Refusal) -> None:
        """Counts it; from now on the sender has to pause, unless it only repeated itself."""
        self.rejected[refusal.kind] += 1
        if refusal.kind not in ("older", "late", "locked"):
            self._locked, self.last_rejection = True, refusal.reason

    def take(self, now_s: float) -> TargetPath | None:
        """The path to follow from now on, if a target came since it was last asked for."""
        path, self._path = self._path, None
        if path is not None:
            self.latencies_s.append(now_s - path.stamp_s)
        return path

    @property
    def width_m(self) -> float | None:
        return None if self._last is None else self._last.width_m

    @property
    def at_rest(self) -> bool:
        """Of the last target."""
        return self._last is not None and bool((np.abs(self._last.dq) <= REST_SPEED).all())

    def find_silence(self, now_s: float) -> str | None:
        """What is wrong with a sender that says no more; "" if it came to rest before, None while it goes on."""
        config, limit_s = self._config, self._config.target_timeout_s
        if self.at_rest:  # nothing goes astray meanwhile
            limit_s = max(limit_s, config.target_pause_s)
        if not self.active or now_s - self._last.stamp_s <= limit_s:
            return None
        return "" if self.at_rest else f"The newest target is more than {1e3 * limit_s:.0f} ms old; look at its sender."

    def end(self, reason: str = "") -> None:
        """Follow no more; with a reason, the sender has to pause before it may begin again."""
        if self.active and reason:
            self._locked, self.last_rejection = True, reason
        self.active, self._last, self._path = False, None, None
        self._estimate.forget()

    def forget_times(self, now_s: float) -> None:
        """The clock was set back."""
        self._heard_s, self.accepted_at_s = min(self._heard_s, now_s), min(self.accepted_at_s, now_s)

    def latency_s(self) -> tuple[float, float, float]:
        """p50, p99 and largest of the last latencies; NaN before any."""
        if not self.latencies_s:
            return (math.nan,) * 3
        return tuple(float(value) for value in np.percentile(self.latencies_s, [50, 99, 100]))
