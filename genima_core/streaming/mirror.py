"""Joint mirroring: when the follower goes where the leader is, and when it must not."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from genima_core.arm import Arm
from genima_core.config import check_positive, check_within
from genima_core.streaming.leader import Leader
from genima_core.streaming.profile import Glide
from genima_core.streaming.states import Reason, Refusal, State, Status, first_refusal
from genima_core.types import JointState, Target

SENDER_PAUSE_S = 0.6
"""Before the first target: after a stop the streamer wants to hear none for a while (`target_pause_s`)."""
ANSWER_S = 1.0
"""Within this time the streamer must begin to follow."""
READY_S = 3.0
"""Within this time after `engage` it must hold."""
STREAMER_SILENT_S = 3.0
SET_BACK_S = 0.1
"""A clock that goes back by more was set."""
WAKE_S = 0.03
"""Steps further apart than this were late."""
HAND_OVER_S = 0.5
"""In which the last bit of the way to the leader is made up while it is mirrored already."""


class Mirroring(StrEnum):
    IDLE = "idle"
    APPROACHING = "approaching"
    MIRRORING = "mirroring"
    PAUSED = "paused"
    STOPPED = "stopped"


ENGAGED = (Mirroring.APPROACHING, Mirroring.MIRRORING)


@dataclass(frozen=True)
class MirrorConfig:
    approach_speed: float = 0.3
    """rad/s, of the joint that is furthest from the leader."""
    align_tolerance_rad: float = 0.03
    """Mirroring begins when command and measured follower are this close to the leader."""
    leader_margin_rad: float = 0.02
    """A leader nearer to one of its limits no longer says where its operator wants it."""
    leader_timeout_s: float = 0.1
    follower_timeout_s: float = 0.2
    max_lag_rad: float = 0.15
    """A follower further from its target than this, for max_lag_s, does not follow."""
    max_lag_s: float = 0.5
    max_speed_ratio: float = 1.5
    """Of the leader's velocity limits; what is faster is a jump."""
    max_rate_hz: float = 250.0
    """A leader that sends more often is not followed each time."""

    def __post_init__(self) -> None:
        check_positive(
            self,
            "approach_speed align_tolerance_rad leader_timeout_s follower_timeout_s max_lag_rad max_lag_s "
            "max_speed_ratio max_rate_hz",
        )
        check_within(self, 0.0, 0.5, "leader_margin_rad")


@dataclass(frozen=True, eq=False)
class MirrorOutput:
    status: Status
    progress: float
    distance_rad: float
    """Of the measured follower from the leader, largest joint; NaN while one of them is unknown."""
    target: Target | None
    """To be sent now, in the follower's order."""


class Mirror:
    """Feed inputs as they come and call `step` after each leader state, and by a timer; nothing raises on bad input.

    Only `engage` begins motion. Whatever goes wrong ends in "stopped" with one message, and stays there: the target
    comes to rest by itself if the streamer still follows, and then none is sent. All times are seconds of one clock.
    """

    def __init__(self, arm: Arm, leader_arm: Arm, config: MirrorConfig = MirrorConfig()):
        self.arm, self.leader_arm, self.config = arm, leader_arm, config
        self._limits = arm.limits
        self._leader = Leader(leader_arm, config.leader_timeout_s, config.max_speed_ratio)
        self._leaders = 1
        self._follower: JointState | None = None
        self._follower_heard_s, self._follower_refusal = -np.inf, ""
        self._streamer: Status | None = None
        self._streamer_heard_s, self._yields = -np.inf, True
        self._status = Status(Mirroring.IDLE, Reason.WAITING, "Engage to begin.")
        self._glide: Glide | None = None
        self._target: Target | None = None
        self._offset = np.zeros(7)
        self._now_s = self._engaged_s = self._first_s = self._sent_s = self._aligned_s = -np.inf
        self._far_since_s = np.inf
        self._way_rad, self._progress = 0.0, 0.0
        self._followed = False

    # ---- inputs

    def on_leader(self, state: JointState | Refusal, now_s: float) -> Refusal | None:
        """Take a joint state of the leader; None, or what is wrong with it, which stops the follower."""
        refusal = self._leader.take(state, now_s)
        if refusal is not None and self._engaged:
            self._end(now_s, Mirroring.STOPPED, refusal)
        return refusal

    def on_leader_width(self, width_m: float) -> None:
        """Take the width of the leader's gripper, where that does not come with the arm's joint states."""
        self._leader.own_width_m = width_m

    def on_leaders(self, count: int) -> None:
        self._leaders = count
        if count > 1 and self._engaged and (problem := first_refusal(self._obstacles(self._now_s))) is not None:
            self._end(self._now_s, Mirroring.STOPPED, problem)

    def on_follower(self, state: JointState | Refusal, now_s: float) -> Refusal | None:
        """Take a joint state of the follower; None, or why it is not used."""
        if isinstance(state, Refusal):
            self._follower_refusal = f"Follower: {state.text}"
            return Refusal(state.kind, self._follower_refusal)
        self._follower, self._follower_heard_s, self._follower_refusal = state, now_s, ""
        return None

    def on_streamer(self, status: Status, now_s: float, yields: bool = True) -> None:
        """`yields`: it knows that the operator has taken over, so no policy comes in between."""
        self._streamer, self._streamer_heard_s, self._yields = status, now_s, yields

    # ---- the operator

    def engage(self, now_s: float) -> Refusal | None:
        """Take over from a policy, or after a pause go on: approach the leader, then mirror it. None, or why not."""
        if self._engaged:
            return Refusal(Reason.BUSY, f"The follower is {self._status.state} already.")
        if self._glide is not None:
            return Refusal(Reason.BUSY, "The follower is still coming to rest; engage it again.")
        if (problem := first_refusal(self._obstacles(now_s))) is not None:
            return problem
        self._way_rad, self._progress = self._distance(), 0.0
        self._target, self._followed = None, False
        self._engaged_s, self._first_s, self._far_since_s = now_s, -np.inf, np.inf
        self._status = Status(Mirroring.APPROACHING)
        return None

    def pause(self, now_s: float) -> Refusal | None:
        """Let go of the leader and come to rest; None, or why that changes nothing."""
        if not self._engaged:
            return Refusal(Reason.BUSY, f"Nothing to pause: the follower is {self._status.state}.")
        self._end(now_s, Mirroring.PAUSED, Refusal(Reason.OPERATOR, "Engage to continue."))
        return None

    def stop(self, now_s: float) -> None:
        """The same, whatever the state."""
        why = Refusal(Reason.OPERATOR, "Stopped by the operator; engage to begin again.")
        self._end(now_s, Mirroring.STOPPED, why)

    def disengage(self, now_s: float) -> Refusal | None:
        """Come to rest, and give the arm back to a policy; None, or why that changes nothing."""
        if (self._status.state, self._status.reason) == (Mirroring.IDLE, Reason.OPERATOR):
            return Refusal(Reason.BUSY, "The arm is given back already.")
        self._end(now_s, Mirroring.IDLE, Refusal(Reason.OPERATOR, "The arm is given back; engage to take over."))
        return None

    def step(self, now_s: float) -> MirrorOutput:
        """Evaluate every watchdog, and say what to send now."""
        before_s, self._now_s = self._now_s, now_s
        problem = first_refusal(self._problems(before_s, now_s)) if self._engaged else None
        if problem is not None:
            self._end(now_s, Mirroring.STOPPED, problem)
        if now_s - before_s < -SET_BACK_S:
            self._leader.forget()
            self._sent_s = min(self._sent_s, now_s)
        if not -SET_BACK_S <= now_s - before_s <= self.config.leader_timeout_s:
            self._glide = None  # it would go on after a while; the streamer stops by itself
        target = self._next(now_s)
        if target is not None:
            self._target, self._sent_s = target, now_s
        status, distance = self._status, self._distance()
        if status.state is Mirroring.APPROACHING:
            text = f"{100 * self._progress:.0f} %, {distance:.2f} rad from the leader"
            status = Status(status.state, status.reason, f"{text}; hold the leader still" if self._led else text)
        return MirrorOutput(status, self._progress, distance, target)

    # ---- what to send

    def _next(self, now_s: float) -> Target | None:
        leader, follower, glide = self._leader.last, self._follower, self._glide
        if self._engaged and leader is not None and follower is not None:
            if self._status.state is Mirroring.APPROACHING:
                return self._approach(leader, follower, now_s)
            return self._mirrored(leader, now_s)
        if glide is None:
            return None
        moved = glide.brake(now_s)
        if glide.at_rest:
            self._glide = None
        return Target(glide.q, glide.dq, glide.time_s) if moved else None

    def _approach(self, leader: JointState, follower: JointState, now_s: float) -> Target | None:
        """Nearer to the leader, once the streamer is ready for it; mirroring where that is done."""
        if self._glide is None:
            holds = self._streamer_state is State.HOLDING and self._yields
            if not holds or now_s < self._sent_s + SENDER_PAUSE_S:
                return None
            self._glide, self._first_s = Glide(follower.q, np.zeros(7), now_s, self._limits), now_s
        elif not self._glide.toward(leader.q, self.config.approach_speed, now_s):
            return None
        else:
            left_rad = max(float(np.abs(self._glide.q - leader.q).max()), self._distance())
            self._progress = max(self._progress, min(1.0, 1.0 - left_rad / max(self._way_rad, 1e-6)))
            if left_rad <= self.config.align_tolerance_rad and self._followed and not self._led:
                self._offset, self._aligned_s = self._glide.q - leader.q, now_s
                self._status, self._progress, self._glide = Status(Mirroring.MIRRORING), 1.0, None
                return self._mirrored(leader, now_s)
        return Target(self._glide.q, self._glide.dq, self._glide.time_s)

    def _mirrored(self, leader: JointState, now_s: float) -> Target | None:
        """The leader's newest state, unless it was sent or comes too soon after the one before."""
        if self._target is not None and leader.stamp_s < self._target.stamp_s + 0.9 / self.config.max_rate_hz:
            return None
        opening = self._leader.opening
        width_m = None if opening is None else opening * self.arm.gripper.max_width_m
        q, dq, left_s = leader.q, self._leader.dq, self._aligned_s + HAND_OVER_S - now_s
        if left_s > 0:
            rate = self._offset / HAND_OVER_S
            q, dq = self.arm.clip(q + left_s * rate), dq - rate
        return Target(q, dq, leader.stamp_s, width_m)

    # ---- what is wrong

    @property
    def _engaged(self) -> bool:
        return self._status.state in ENGAGED

    @property
    def _led(self) -> bool:
        """Whether the leader moves too fast to be approached."""
        return self._leader.last is not None and bool(np.abs(self._leader.dq).max() > self.config.approach_speed)

    @property
    def _streamer_state(self) -> StrEnum | None:
        return None if self._streamer is None else self._streamer.state

    def _problems(self, before_s: float, now_s: float) -> Iterator[tuple[Reason, str]]:
        """What ends it at a step after the one at before_s."""
        paused_s = now_s - before_s
        if paused_s < -SET_BACK_S:
            yield Reason.CLOCK, f"The clock jumped back by {-paused_s:.3f} s."
        elif self.config.leader_timeout_s < paused_s < np.inf:
            remedy = "free a processor for this process, and engage again."
            yield Reason.GAP, f"Mirroring itself paused for {paused_s:.2f} s; {remedy}"
        # After a pause of this process messages may still wait for their turn.
        yield from self._obstacles(min(now_s, before_s + WAKE_S))
        yield from self._unfollowed(now_s)

    def _obstacles(self, now_s: float) -> Iterator[tuple[Reason, str]]:
        """What forbids to follow the leader, begun or not."""
        config, leader, streamer = self.config, self._leader, self._streamer
        if self._leaders > 1:
            yield Reason.LEADER, f"{self._leaders} publish the leader's joint states; end all but one."
        if leader.last is None or now_s - leader.received_s > config.leader_timeout_s:
            hint = leader.last_refusal or "Look at its driver, the stamps of its joint states and the topic's name."
            timeout_ms = 1e3 * config.leader_timeout_s
            yield Reason.LEADER, f"No usable joint state of the leader for {timeout_ms:.0f} ms. {hint}"
        if self._follower is None or now_s - self._follower_heard_s > config.follower_timeout_s:
            hint = self._follower_refusal or "Look at its driver and the topic's name."
            timeout_ms = 1e3 * config.follower_timeout_s
            yield Reason.FOLLOWER, f"No usable joint state of the follower for {timeout_ms:.0f} ms. {hint}"
        if leader.last is not None:
            yield from self._out_of_range(leader.last.q)
        if streamer is None or now_s - self._streamer_heard_s > STREAMER_SILENT_S:
            yield Reason.STREAMER, "The streamer is silent; start it."
        elif streamer.reason is Reason.DISABLED:
            text = "The streamer is disabled; when nobody is near the arm, enable it: genima enable."
            yield Reason.DISABLED, text
        elif streamer.reason in (Reason.ARM, Reason.COMMANDERS):
            yield streamer.reason, streamer.text
        elif streamer.state is State.FAULT:
            yield Reason.FAULT, f"The streamer is in FAULT ({streamer.text}); mend that, then: genima reset."

    def _out_of_range(self, q: np.ndarray) -> Iterator[tuple[Reason, str]]:
        own, of_follower, margin = self.leader_arm.limits, self._limits, self.config.leader_margin_rad
        for i in np.flatnonzero((q < own.lower + margin) | (q > own.upper - margin)):
            name = self.leader_arm.joint_names[i]
            text = f"{name} of the leader is at its limit ({q[i]:.3f} rad); move it away from there and engage again."
            yield Reason.LIMITS, text
        for i in np.flatnonzero((q < of_follower.lower) | (q > of_follower.upper)):
            valid = f"may be at {of_follower.lower[i]:.4f} to {of_follower.upper[i]:.4f}"
            given = f"The leader is at {q[i]:.3f} rad where {self.arm.joint_names[i]} of the follower {valid}"
            yield Reason.LIMITS, f"{given}; move it back and engage again."

    def _unfollowed(self, now_s: float) -> Iterator[tuple[Reason, str]]:
        """Whether streamer and arm do as they are told."""
        config, state = self.config, self._streamer_state
        if not np.isfinite(self._first_s):
            if now_s - self._engaged_s > READY_S:
                yield Reason.STREAMER, f"The streamer is still {state}; engage again when it holds."
            return
        if state is State.TRACKING:
            self._followed = True
        elif self._followed or now_s - self._first_s > ANSWER_S:
            yield Reason.STREAMER, f"The streamer does not follow ({self._streamer})."
        if self._target is None or self._follower is None:
            return
        lag_rad = float(np.abs(self._follower.q - self._target.q).max())
        self._far_since_s = min(self._far_since_s, now_s) if lag_rad > config.max_lag_rad else np.inf
        if now_s - self._far_since_s > config.max_lag_s:
            given = f"The follower is {lag_rad:.2f} rad from its target for more than {config.max_lag_s:g} s (limit"
            yield Reason.FOLLOWER, f"{given} {config.max_lag_rad:g} rad); free it, or move the leader more slowly."

    def _distance(self) -> float:
        if self._leader.last is None or self._follower is None:
            return float("nan")
        return float(np.abs(self._leader.last.q - self._follower.q).max())

    def _end(self, now_s: float, state: Mirroring, why: Refusal) -> None:
        """Come to rest from where the target is now, if it is followed."""
        if self._engaged:
            target, self._glide = self._target, None
            follows = self._followed and self._streamer_state is State.TRACKING
            if target is not None and target.dq is not None and follows:
                age_s = min(max(now_s - target.stamp_s, 0.0), self.config.leader_timeout_s)
                self._glide = Glide(target.q + age_s * target.dq, target.dq, target.stamp_s + age_s, self._limits)
        self._status, self._progress = Status(state, why.kind, why.text), 0.0
