"""Where a leader is and how it moves, as far as its joint states can be believed."""

from dataclasses import dataclass

import numpy as np

from genima_core.arm import Arm
from genima_core.streaming.inputs import POSITION_NOISE_RAD, VelocityEstimate
from genima_core.streaming.states import Reason, Refusal
from genima_core.streaming.watchdogs import STAMP_SLACK_S
from genima_core.timing import stamp_problem
from genima_core.types import JointState


@dataclass(frozen=True, eq=False)
class LeaderState:
    """q (7,) rad, dq (7,) rad/s, opening of the gripper in [0, 1] or None without fingers."""

    q: np.ndarray
    dq: np.ndarray
    opening: float | None
    stamp_s: float
    received_s: float


class Leader:
    """Takes the joint states of a leader; nothing here raises."""

    def __init__(self, arm: Arm, timeout_s: float, max_speed_ratio: float):
        """`max_speed_ratio`: of the arm's velocity limits; what seems faster is a jump."""
        self._arm, self._timeout_s = arm, timeout_s
        self._fastest = max_speed_ratio * arm.limits.velocity
        self._estimate = VelocityEstimate()
        self._own_width_m: float | None = None
        self.last: LeaderState | None = None
        self.last_refusal = ""
        """Of what came last, "" if it was usable."""

    def take(self, state: JointState | Refusal, now_s: float) -> Refusal | None:
        """None, or why a joint state breaks off what it is used for; late or repeated ones are passed over."""
        self.last_refusal = ""
        text = f"Leader: {state.text}" if isinstance(state, Refusal) else self._find_fault(state, now_s)
        if text is None:
            return None
        self.last_refusal = text
        return Refusal(Reason.LEADER, text)

    def take_width(self, width_m: float) -> None:
        """Of a gripper that speaks for itself; it holds until the next."""
        self._own_width_m = width_m

    def silent_s(self, now_s: float) -> float:
        """Since the last usable joint state."""
        return np.inf if self.last is None else now_s - self.last.received_s

    def forget(self) -> None:
        """Its clock or ours was set back, or it is another one: begin again."""
        self.last = None
        self._estimate.forget()

    def _find_fault(self, seen: JointState, now_s: float) -> str | None:
        names = self._arm.joint_names
        age = now_s - seen.stamp_s
        if not abs(age) <= self._timeout_s:  # counts as silence, which the mirror's watchdog notices
            what = "The leader's joint state"
            self.last_refusal = stamp_problem(what, seen.stamp_s, now_s, self._timeout_s, "its driver")
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
        width_m = self._own_width_m if seen.width_m is None else seen.width_m
        opening = None if width_m is None else self._arm.gripper.to_opening(width_m)
        dt_s = np.inf if before is None else seen.stamp_s - before.stamp_s
        if dt_s > self._timeout_s:
            self._estimate.forget()
        estimated = self._estimate.add(seen.stamp_s, seen.q)
        dq = estimated if seen.dq is None else seen.dq
        self.last = LeaderState(seen.q, dq, opening, seen.stamp_s, now_s)
        if before is None or dt_s > self._timeout_s:
            return None
        excess = np.abs(seen.q - before.q) - self._fastest * dt_s - POSITION_NOISE_RAD
        i = int(np.argmax(excess))
        if excess[i] > 0:
            self._estimate.forget()
            return (
                f"{names[i]} of the leader jumped by {abs(seen.q[i] - before.q[i]):.3f} rad in "
                f"{1e3 * dt_s:.0f} ms; look at its driver."
            )
        faster = np.abs(dq) / self._fastest
        i = int(np.argmax(faster))
        if faster[i] > 1:
            return (
                f"{names[i]} of the leader moves at {dq[i]:.2f} rad/s; valid is up to "
                f"{self._fastest[i]:.2f} rad/s: look at its driver."
            )
        return None
