"""Joint mirroring: when the follower goes where the leader is, and when it must not."""

from collections.abc import Sequence

import numpy as np

from genima_core.panda import ARM_LIMITS
from genima_core.streaming.command import State
from genima_core.streaming.glide import Glide
from genima_core.streaming.inspection import Measurement, Refusal, Target, read_joint_state
from genima_core.streaming.leader import Leader
from genima_core.streaming.mirroring import MirrorConfig, Mirroring, MirrorOutput
from genima_core.streaming.reasons import ARM_ELSEWHERE, ARM_REPORTS, ARM_SILENT, ARM_UNKNOWN, DISABLED

SENDER_PAUSE_S = 0.6
"""Before the first target: after a stop the streamer wants to hear none for a while (`target_pause_s`)."""
ANSWER_S = 1.0
"""Within this time the streamer must begin to follow."""
READY_S = 3.0
"""Within this time after `engage` it must hold."""
STREAMER_SILENT_S = 3.0
WAKE_S = 0.03
"""Steps further apart than this were late."""
HAND_OVER_S = 0.5
"""In which the last bit of the way to the leader is made up while it is mirrored already."""

__all__ = ["Mirror", "MirrorConfig", "MirrorOutput", "Mirroring"]


class Mirror:
    """Feed inputs as they come and call `step` after each leader state, and by a timer; nothing raises on bad input.

    Only `engage` begins motion. Whatever goes wrong ends in "stopped" with one message, and stays there: the target
    comes to rest by itself if the streamer still follows, and then none is sent. All times are seconds of one clock.
    """

    def __init__(self, config: MirrorConfig = MirrorConfig()):  # noqa: B008 (frozen)
        self.config = config
        self._limits = ARM_LIMITS[config.arm]
        self._leader = Leader(
            config.leader_joint_names,
            config.leader_finger_names,
            config.leader_gripper_max_width_m,
            ARM_LIMITS[config.leader_arm],
            config.leader_timeout_s,
            config.max_speed_ratio,
        )
        self._leaders = 1
        self._follower: Measurement | None = None
        self._follower_refusal = ""
        self._streamer, self._streamer_reason, self._streamer_heard_s = "", "", -np.inf
        self._state, self._message = Mirroring.IDLE, "Engage to begin."
        self._glide: Glide | None = None
        self._target: Target | None = None
        self._offset = np.zeros(7)
        self._now_s = self._engaged_s = self._first_s = self._sent_s = self._aligned_s = -np.inf
        self._far_since_s = np.inf
        self._way_rad, self._progress = 0.0, 0.0
        self._followed = False

    # ---- inputs

    def on_leader(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
        stamp_s: float,
        now_s: float,
    ) -> str | None:
        """Take a joint state of the leader; None, or what is wrong with it, which stops the follower."""
        problem = self._leader.take(names, positions, velocities, stamp_s, now_s)
        if problem is not None and self._engaged:
            self._end(now_s, Mirroring.STOPPED, problem)
        return problem

    def on_leader_fingers(self, names: Sequence[str], positions: Sequence[float]) -> None:
        """Take a joint state of the leader's gripper, where that does not come with the arm's."""
        self._leader.take_fingers(names, positions)

    def on_leaders(self, count: int) -> None:
        """How many publish the leader's joint states."""
        self._leaders = count
        if count > 1 and self._engaged:
            self._end(self._now_s, Mirroring.STOPPED, self._two_leaders)

    def on_follower(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
        stamp_s: float,
        now_s: float,
    ) -> str | None:
        """Take a joint state of the follower; None, or why it is not used."""
        seen = read_joint_state(self.config.joint_names, names, positions, velocities, stamp_s, now_s)
        if isinstance(seen, Refusal):
            self._follower_refusal = f"Follower: {seen.reason}"
            return self._follower_refusal
        self._follower, self._follower_refusal = seen, ""
        return None

    def on_streamer(self, state: str, reason: str, now_s: float) -> None:
        """What the streamer says about itself."""
        self._streamer, self._streamer_reason, self._streamer_heard_s = state, reason, now_s

    # ---- the operator

    def engage(self, now_s: float) -> str | None:
        """Begin, or after a pause go on: approach the leader, then mirror it. None, or why not."""
        if self._engaged:
            return f"The follower is {self._state} already."
        if self._glide is not None:
            return "The follower still comes to rest; engage it again."
        problem = self._obstacle(now_s) or self._busy_streamer(now_s)
        if problem is not None:
            return problem
        self._way_rad, self._progress = self._distance(), 0.0
        self._target, self._followed = None, False
        self._engaged_s, self._first_s, self._far_since_s = now_s, -np.inf, np.inf
        self._state, self._message = Mirroring.APPROACHING, ""
        return None

    def pause(self, now_s: float) -> str | None:
        """Let go of the leader and come to rest; None, or why that changes nothing."""
        if not self._engaged:
            return f"Nothing to pause: the follower is {self._state}."
        self._end(now_s, Mirroring.PAUSED, "Engage to go on.")
        return None

    def stop(self, now_s: float) -> None:
        """The same, whatever the state."""
        self._end(now_s, Mirroring.STOPPED, "Stopped by the operator; engage to begin again.")

    def step(self, now_s: float) -> MirrorOutput:
        """Evaluate every watchdog, and say what to send now."""
        if now_s < self._now_s - 0.1:
            self._leader.forget()
            self._sent_s = min(self._sent_s, now_s)
            if self._engaged:
                self._end(now_s, Mirroring.STOPPED, f"The clock jumped back by {self._now_s - now_s:.3f} s.")
        if self._engaged and self.config.leader_timeout_s < now_s - self._now_s < np.inf:
            self._end(
                now_s,
                Mirroring.STOPPED,
                f"Mirroring itself paused for {now_s - self._now_s:.2f} s; give this "
                "process a processor, and engage again.",
            )
        # After a pause of this process messages may still wait for their turn.
        heard_until_s, self._now_s = min(now_s, self._now_s + WAKE_S), now_s
        if self._engaged and (problem := self._obstacle(heard_until_s) or self._unfollowed(now_s)) is not None:
            self._end(now_s, Mirroring.STOPPED, problem)
        target = self._next(now_s)
        if target is not None:
            self._target, self._sent_s = target, now_s
        message, distance = self._message, self._distance()
        if self._state is Mirroring.APPROACHING:
            message = f"{100 * self._progress:.0f} %, {distance:.2f} rad from the leader"
            if np.abs(self._leader.last.dq).max() > self.config.approach_speed:
                message += "; hold the leader still"
        return MirrorOutput(self._state, message, self._progress, distance, target)

    # ---- what to send

    def _next(self, now_s: float) -> Target | None:
        if self._state is Mirroring.APPROACHING:
            return self._approach(now_s)
        if self._state is Mirroring.MIRRORING:
            return self._mirrored(now_s)
        if self._glide is None:
            return None
        glide = self._glide
        moved = glide.brake(now_s)
        if glide.at_rest:
            self._glide = None
        return self._to_target(glide) if moved else None

    def _approach(self, now_s: float) -> Target | None:
        """Nearer to the leader, once the streamer is ready for it; mirroring where that is done."""
        if self._glide is None:
            if self._streamer != State.HOLDING or now_s < self._sent_s + SENDER_PAUSE_S:
                return None
            self._glide = Glide(self._follower.q, np.zeros(7), now_s, self._limits)
            self._first_s = now_s
            return self._to_target(self._glide)
        goal = self._leader.last.q
        if not self._glide.toward(goal, self.config.approach_speed, now_s):
            return None
        left_rad = max(float(np.abs(self._glide.q - goal).max()), self._distance())
        self._progress = max(self._progress, min(1.0, 1.0 - left_rad / max(self._way_rad, 1e-6)))
        led = np.abs(self._leader.last.dq).max() > self.config.approach_speed
        if left_rad <= self.config.align_tolerance_rad and self._followed and not led:
            self._offset, self._aligned_s = self._glide.q - goal, now_s
            self._state, self._message, self._progress, self._glide = Mirroring.MIRRORING, "", 1.0, None
            return self._mirrored(now_s)
        return self._to_target(self._glide)

    def _mirrored(self, now_s: float) -> Target | None:
        """The leader's newest state, unless it was sent or comes too soon after the one before."""
        leader = self._leader.last
        if self._target is not None and leader.stamp_s < self._target.stamp_s + 0.9 / self.config.max_rate_hz:
            return None
        width_m = None if leader.opening is None else leader.opening * self.config.gripper_max_width_m
        q, dq, left_s = leader.q, leader.dq, self._aligned_s + HAND_OVER_S - now_s
        if left_s > 0:
            rate = self._offset / HAND_OVER_S
            q, dq = np.clip(q + left_s * rate, self._limits.lower, self._limits.upper), dq - rate
        return Target(q, dq, width_m, leader.stamp_s)

    def _to_target(self, glide: Glide) -> Target:
        return Target(glide.q, glide.dq, None, glide.time_s)

    # ---- what is wrong

    @property
    def _engaged(self) -> bool:
        return self._state in (Mirroring.APPROACHING, Mirroring.MIRRORING)

    @property
    def _two_leaders(self) -> str:
        return f"{self._leaders} publish the leader's joint states; end all but one."

    def _obstacle(self, now_s: float) -> str | None:
        """What forbids to follow the leader, begun or not."""
        config, leader = self.config, self._leader
        if self._leaders > 1:
            return self._two_leaders
        if leader.silent_s(now_s) > config.leader_timeout_s:
            hint = leader.last_refusal or "Look at its driver, the stamps of its joint states and the topic's name."
            return f"No usable joint state of the leader for {1e3 * config.leader_timeout_s:.0f} ms. {hint}"
        if self._follower is None or now_s - self._follower.received_s > config.follower_timeout_s:
            hint = self._follower_refusal or "Look at its driver and the topic's name."
            return f"No usable joint state of the follower for {1e3 * config.follower_timeout_s:.0f} ms. {hint}"
        if (problem := self._out_of_range()) is not None:
            return problem
        if now_s - self._streamer_heard_s > STREAMER_SILENT_S:
            return "The streamer is silent; start it."
        if self._streamer_reason == DISABLED:
            return "The streamer is disabled; when nobody is near the arm: genima enable"
        if self._streamer_reason.startswith((ARM_UNKNOWN, ARM_SILENT, ARM_REPORTS, ARM_ELSEWHERE)):
            return self._streamer_reason
        if self._streamer == State.FAULT:
            return f"The streamer is in FAULT ({self._streamer_reason}); mend that, then: genima reset"
        return None

    def _out_of_range(self) -> str | None:
        config, q = self.config, self._leader.last.q
        i = self._leader.near_limit(config.leader_margin_rad)
        if i is not None:
            return (
                f"{config.leader_joint_names[i]} of the leader is at its limit ({q[i]:.3f} rad); move it away from "
                "there and engage again."
            )
        out = (q < self._limits.lower) | (q > self._limits.upper)
        if out.any():
            i = int(np.argmax(out))
            return (
                f"The leader is at {q[i]:.3f} rad where {config.joint_names[i]} of the follower may be at "
                f"{self._limits.lower[i]:.4f} to {self._limits.upper[i]:.4f}; move it back and engage again."
            )
        return None

    def _busy_streamer(self, now_s: float) -> str | None:
        """Why not to begin just now."""
        ours = now_s - self._sent_s < ANSWER_S
        if self._streamer == State.HOLDING or ours:
            return None
        return f"The streamer is {self._streamer}; wait until it holds."

    def _unfollowed(self, now_s: float) -> str | None:
        """Whether streamer and arm do as they are told."""
        config = self.config
        if not np.isfinite(self._first_s):
            late = now_s - self._engaged_s > READY_S
            return f"The streamer is still {self._streamer}; engage again when it holds." if late else None
        if self._streamer == State.TRACKING:
            self._followed = True
        elif self._followed or now_s - self._first_s > ANSWER_S:
            return f"The streamer does not follow ({self._streamer}: {self._streamer_reason or 'no reason given'})."
        lag_rad = 0.0 if self._target is None else float(np.abs(self._follower.q - self._target.q).max())
        self._far_since_s = min(self._far_since_s, now_s) if lag_rad > config.max_lag_rad else np.inf
        if now_s - self._far_since_s > config.max_lag_s:
            return (
                f"The follower is {lag_rad:.2f} rad from its target for more than {config.max_lag_s:g} s (limit "
                f"{config.max_lag_rad:g} rad); free it, or move the leader more slowly."
            )
        return None

    def _distance(self) -> float:
        if self._leader.last is None or self._follower is None:
            return float("nan")
        return float(np.abs(self._leader.last.q - self._follower.q).max())

    def _end(self, now_s: float, state: Mirroring, message: str) -> None:
        """Come to rest from where the target is now, if it is followed."""
        if self._engaged:
            target, self._glide = self._target, None
            if target is not None and self._followed and self._streamer == State.TRACKING:
                age_s = min(max(now_s - target.stamp_s, 0.0), self.config.leader_timeout_s)
                self._glide = Glide(target.q + age_s * target.dq, target.dq, target.stamp_s + age_s, self._limits)
        self._state, self._message, self._progress = state, message, 0.0
