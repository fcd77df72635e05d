"""Where a leader is and how it moves, as far as its joint states can be believed."""

from dataclasses import replace

import numpy as np

from genima_core.arm import Arm
from genima_core.streaming.inputs import POSITION_NOISE_RAD, VelocityEstimate, worst
from genima_core.streaming.states import Reason, Refusal
from genima_core.streaming.watchdogs import STAMP_SLACK_S
from genima_core.timing import stamp_problem
from genima_core.types import JointState


class Leader:
    """Takes the joint states of a leader; nothing here raises."""

    def __init__(self, arm: Arm, timeout_s: float, max_speed_ratio: float):
        """`max_speed_ratio`: of the arm's velocity limits; what seems faster is a jump."""
        self._arm, self._timeout_s = arm, timeout_s
        self._fastest = max_speed_ratio * arm.limits.velocity
        self._estimate = VelocityEstimate()
        self.own_width_m: float | None = None
        """Of a gripper that speaks for itself; it holds until the next."""
        self.last: JointState | None = None
        """Where nobody measures its velocity, that is estimated."""
        self.dq = np.zeros(7)
        """(7,) rad/s, of the last joint state."""
        self.received_s = -np.inf
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

    @property
    def opening(self) -> float | None:
        width_m = None if self.last is None else self.last.width_m
        return None if width_m is None else self._arm.gripper.to_opening(width_m)

    def forget(self) -> None:
        """Its clock or ours was set back, or it is another one: begin again."""
        self.last, self.received_s = None, -np.inf
        self._estimate.forget()

    def _find_fault(self, seen: JointState, now_s: float) -> str | None:
        names, before = self._arm.joint_names, self.last
        if not abs(now_s - seen.stamp_s) <= self._timeout_s:  # counts as silence, which the mirror's watchdog notices
            what = "The leader's joint state"
            self.last_refusal = stamp_problem(what, seen.stamp_s, now_s, self._timeout_s, "its driver")
            return None
        dt_s = np.inf if before is None else seen.stamp_s - before.stamp_s
        if abs(dt_s) < STAMP_SLACK_S:
            return None
        if dt_s < 0:
            self.forget()
            return f"The leader's clock jumped back by {-dt_s:.3f} s, or there are two leaders; look at its driver."
        if dt_s > self._timeout_s:
            self._estimate.forget()
        estimated = self._estimate.add(seen.stamp_s, seen.q)
        self.dq = estimated if seen.dq is None else seen.dq
        self.last = seen if seen.width_m is not None else replace(seen, width_m=self.own_width_m)
        self.received_s = now_s
        if before is None or dt_s > self._timeout_s:
            return None
        jump = np.abs(seen.q - before.q)
        if (i := worst(jump - self._fastest * dt_s - POSITION_NOISE_RAD)) is not None:
            self._estimate.forget()
            return f"{names[i]} of the leader jumped by {jump[i]:.3f} rad in {1e3 * dt_s:.0f} ms; look at its driver."
        if (i := worst(np.abs(self.dq) / self._fastest - 1)) is not None:
            valid = f"valid is up to {self._fastest[i]:.2f} rad/s: look at its driver."
            return f"{names[i]} of the leader moves at {self.dq[i]:.2f} rad/s; {valid}"
        return None
