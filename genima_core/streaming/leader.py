"""Where a leader is and how it moves, as far as its joint states can be believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genima_core.panda import JointLimits
from genima_core.streaming.following import POSITION_NOISE_RAD, VelocityEstimate
from genima_core.streaming.inspection import Refusal, read_joint_state
from genima_core.streaming.measuring import STAMP_SLACK_S


@dataclass(frozen=True)
class LeaderState:
    """q (7,) rad, dq (7,) rad/s, opening of the gripper in [0, 1] or None without fingers."""

    q: np.ndarray
    dq: np.ndarray
    opening: float | None
    stamp_s: float
    received_s: float


class Leader:
    """Reads joint states of a leader; nothing here raises."""

    def __init__(
        self,
        joint_names: Sequence[str],
        finger_names: Sequence[str],
        gripper_max_width_m: float,
        limits: JointLimits,
        timeout_s: float,
        max_speed_ratio: float,
    ):
        """`max_speed_ratio`: of the arm's velocity limits; what seems faster is a jump."""
        self._names, self._fingers, self._width_m = tuple(joint_names), tuple(finger_names), gripper_max_width_m
        self._limits, self._timeout_s = limits, timeout_s
        self._fastest = max_speed_ratio * limits.velocity
        self._estimate = VelocityEstimate()
        self._own_width_m: float | None = None
        self.last: LeaderState | None = None
        self.last_refusal = ""
        """Of what came last, "" if it was usable."""

    def take(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
        stamp_s: float,
        now_s: float,
    ) -> str | None:
        """None, or why a joint state breaks off what it is used for; late or repeated ones are passed over."""
        self.last_refusal = ""
        reason = self._read(names, positions, velocities, stamp_s, now_s)
        self.last_refusal = reason or self.last_refusal
        return reason

    def take_fingers(self, names: Sequence[str], positions: Sequence[float]) -> None:
        """Of a gripper that speaks for itself; its width holds until the next."""
        if len(names) == len(positions) and (width_m := self._width(names, positions)) is not None:
            self._own_width_m = width_m

    def silent_s(self, now_s: float) -> float:
        """Since the last usable joint state."""
        return np.inf if self.last is None else now_s - self.last.received_s

    def forget(self) -> None:
        """Its clock or ours was set back, or it is another one: begin anew."""
        self.last = None
        self._estimate.forget()

    def near_limit(self, margin_rad: float) -> int | None:
        """Index of a joint that is at its position limit."""
        q = self.last.q
        near = (q < self._limits.lower + margin_rad) | (q > self._limits.upper - margin_rad)
        return int(np.argmax(near)) if near.any() else None

    def _read(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
        stamp_s: float,
        now_s: float,
    ) -> str | None:
        seen = read_joint_state(self._names, names, positions, velocities, stamp_s, now_s)
        if isinstance(seen, Refusal):
            return f"Leader: {seen.reason}"
        age = now_s - seen.stamp_s
        if not abs(age) <= self._timeout_s:  # counts as silence, which the mirror's watchdog notices
            when = f"{abs(age):.3f} s {'ago' if age > 0 else 'ahead'}"
            self.last_refusal = (
                f"The leader's joint states are stamped {when}; valid is within {self._timeout_s:g} "
                "s: look at its driver and synchronise the clocks."
            )
            return None
        before = self.last
        if before is not None and abs(seen.stamp_s - before.stamp_s) < STAMP_SLACK_S:
            return None
        if before is not None and seen.stamp_s < before.stamp_s:
            self.forget()
            return (
                f"The leader's clock jumped back by {before.stamp_s - seen.stamp_s:.3f} s, or there are two "
                "leaders; look at its driver."
            )
        width_m = self._width(names, positions)
        width_m = self._own_width_m if width_m is None else width_m
        if width_m is not None and not -0.1 <= width_m / self._width_m <= 1.25:
            return (
                f"Leader: {', '.join(self._fingers)} add up to a width of {width_m:.3f} m; valid is 0 to "
                f"{self._width_m:g} m: look at its driver, or at leader_gripper_max_width_m."
            )
        opening = None if width_m is None else float(np.clip(width_m / self._width_m, 0.0, 1.0))
        dt_s = np.inf if before is None else seen.stamp_s - before.stamp_s
        if dt_s > self._timeout_s:
            self._estimate.forget()
        estimated = self._estimate.add(seen.stamp_s, seen.q)
        self.last = LeaderState(seen.q, seen.dq if len(velocities) else estimated, opening, seen.stamp_s, now_s)
        if before is None or dt_s > self._timeout_s:
            return None
        excess = np.abs(seen.q - before.q) - self._fastest * dt_s - POSITION_NOISE_RAD
        i = int(np.argmax(excess))
        if excess[i] > 0:
            self._estimate.forget()
            return (
                f"{self._names[i]} of the leader jumped by {abs(seen.q[i] - before.q[i]):.3f} rad in "
                f"{1e3 * dt_s:.0f} ms; look at its driver."
            )
        faster = np.abs(self.last.dq) / self._fastest
        i = int(np.argmax(faster))
        if faster[i] > 1:
            return (
                f"{self._names[i]} of the leader moves at {self.last.dq[i]:.2f} rad/s; valid is up to "
                f"{self._fastest[i]:.2f} rad/s: look at its driver."
            )
        return None

    def _width(self, names: Sequence[str], positions: Sequence[float]) -> float | None:
        values = dict(zip(names, positions, strict=True))
        if not self._fingers or any(name not in values for name in self._fingers):
            return None
        return float(sum(values[name] for name in self._fingers))
