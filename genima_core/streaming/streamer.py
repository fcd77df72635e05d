"""The only thing that commands the arm: a state machine that turns chunks or targets into commands, one a period."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from genima_core.streaming.arm_status import ArmWatch, Level
from genima_core.streaming.chunks import find_jump, plan_chunk
from genima_core.streaming.clearance import Clearance, say
from genima_core.streaming.clock import StepClock
from genima_core.streaming.command import Command, State, Statistics
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.following import Following
from genima_core.streaming.inspection import Actions, Refusal, read_actions
from genima_core.streaming.measuring import Measuring
from genima_core.streaming.playback import Playback
from genima_core.streaming.reasons import DISABLED, EMERGENCY, HARMLESS, WAITING
from genima_core.streaming.reference import Blend, ChunkPath, RepacedPath
from genima_core.streaming.watchdogs import find_arm_trouble, find_trouble

__all__ = ["Command", "State", "Statistics", "Streamer", "StreamerConfig"]

BLEND_SHORTEST_S = 0.2
"""Of the way into a chunk."""


class Streamer:
    """Feed inputs as they come and call `step` once per period; nothing here raises on bad input.

    Starts disabled. All times are seconds of one clock and given by the caller. One thread calls everything.

    HOLDING: at rest. TRACKING: a chunk is executed, or targets are followed; whichever moves the arm keeps it until
    it rests. STOPPING: on the way to rest, because a chunk ran out (a new one is still joined smoothly) or because
    something is wrong, such as a contact ahead. FAULT: something that a person should look at; after the stop nothing
    is commanded until `reset_fault`, and then the stream starts anew from the measured position.
    """

    def __init__(self, config: StreamerConfig = StreamerConfig(), clearance: Clearance | None = None):  # noqa: B008
        self.config = config
        self._clearance = clearance
        self._enabled = False
        self._ending: State | None = None
        self._state, self._reason = State.HOLDING, DISABLED
        self._fault = self._reason_kind = ""
        self._playback: Playback | None = None
        self._measuring, self._arm = Measuring(config), ArmWatch(config)
        self._relieved = False
        self._actions: Actions | None = None
        self._pending: tuple[Actions, ChunkPath | RepacedPath] | None = None
        self._targets = Following(config)
        self._blend = Blend(config.blend_acceleration, BLEND_SHORTEST_S, config.max_blend_s)
        self._width_m: float | None = None
        self._clock = StepClock(config.period_s, config.max_gap_s, config.receiver_follows_horizon)
        self._rest_since_s = -math.inf
        self._accepted_stamp_s = self._accepted_at_s = -math.inf
        self._accepted = self._violations = 0
        self._rejected, self._stops, self._last_rejection = Counter(), Counter(), ""

    def enable(self) -> str | None:
        """Command the arm from the next `step` on, from the measured position; None, or why not."""
        if self._fault == EMERGENCY:
            return EMERGENCY
        if (trouble := find_arm_trouble(self._arm, self._clock)) is not None and trouble.ends_in != "hold":
            return trouble.reason
        self._enabled = True
        return None

    def disable(self) -> None:
        """Stop smoothly, then publish nothing."""
        self._enabled = False

    def emergency_stop(self) -> None:
        """Stop each joint in the shortest time that the limits allow, then FAULT; the command never moves back."""
        self._enabled, self._relieved = False, True
        self._begin_fault("emergency", EMERGENCY)
        self._fault = self._reason = EMERGENCY
        if self._playback is None:
            self._state = State.FAULT
        else:
            self._playback.abandon()

    def set_velocity_scale(self, scale: float) -> str | None:
        """From now on, without a step; a chunk under way is slowed, but not sped up. None, or why not."""
        if not 0 < scale <= 1:
            return f"velocity_scale is {scale}; it must be in (0, 1]"
        rate, self.config = scale / self.config.velocity_scale, replace(self.config, velocity_scale=float(scale))
        if self._playback is not None:
            self._playback.rescale(self.config)
        if self._pending is not None and rate < 1:
            actions, path = self._pending
            self._pending = actions, RepacedPath(path, path.start_s, rate)
        return None

    def reset_fault(self) -> bool:
        """Leave FAULT; False, and nothing changed, without a fault or while the arm still moves or reports an error."""
        if self._state is not State.FAULT or self._playback is not None or self._arm.level is Level.ERROR:
            return False
        self._state, self._fault, self._reason = State.HOLDING, "", ""
        return True

    def on_joint_state(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
        stamp_s: float,
        now_s: float,
    ) -> str | None:
        """Take a measurement: names in any order, other joints are ignored; None, or why it is not used.

        A joint state stamped more than joint_state_timeout_s away from now, or not after the one before, is not used,
        so a driver that repeats its last values counts as silent.
        """
        return self._measuring.take(names, positions, velocities, stamp_s, now_s)

    def on_arm_status(self, name: str, level: int, message: str, now_s: float) -> str | None:
        """Take what the arm says of itself, as in `arm_status.Level`; None, or why it is not used."""
        return self._arm.take(name, level, message, now_s)

    def on_chunk(
        self,
        names: Sequence[str],
        times_s: Sequence[float],
        positions: Sequence[Sequence[float]],
        stamp_s: float,
        now_s: float,
    ) -> str | None:
        """Take a chunk: names (m,), times (n,), positions (n, m); None if it will be executed, else why not.

        The columns, in any order: the seven joints in rad and, if wanted, the gripper's width in m. Action k is due at
        stamp_s + times_s[k] (times divided by velocity_scale), stamp_s being the observation's capture time. In sync
        mode the due times only space the actions: the arm waited at rest, so the chunk starts when it comes.
        """
        config = self.config
        chunk = read_actions(
            config.joint_names,
            config.gripper_joint,
            config.gripper_max_width_m,
            config.limits,
            names,
            times_s,
            positions,
            stamp_s,
        )
        if self._targets.active:
            chunk = Refusal("busy", "The arm follows targets; send chunks when it holds.")
        path = self._plan(chunk, now_s) if isinstance(chunk, Actions) else chunk
        if isinstance(path, Refusal):
            self._rejected[path.kind] += 1
            self._last_rejection = path.reason
            if path.kind not in HARMLESS:
                self._pending = None
                self._begin_stop(path.kind, path.reason)
            return path.reason
        self._pending = (chunk, path)
        self._accepted += 1
        self._accepted_at_s, self._accepted_stamp_s = now_s, chunk.stamp_s
        return None

    def on_target(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
        stamp_s: float,
        now_s: float,
    ) -> str | None:
        """Take what to follow at once: seven joints in rad and, if wanted, the gripper's width in m, in any order.

        stamp_s is when the positions are due, or were measured; velocities may be empty. None if it is followed, else
        why not. The first one begins at the command, and only while it holds. A bad one stops the arm, and so does
        silence; then the sender has to pause for target_pause_s. A sender that ends at rest ends without reproach.
        """
        target = self._targets.knock(now_s) or self._unwelcome_target()
        if target is None:
            target = self._targets.inspect(
                names, positions, velocities, stamp_s, now_s, self._playback.motion, self._clock.now_s
            )
        if isinstance(target, Refusal):
            self._targets.refuse(target)
            if target.kind not in HARMLESS:
                self._begin_stop(target.kind, target.reason)
            return target.reason
        self._targets.accept(target, now_s)
        return None

    def step(self, now_s: float) -> Command:
        """Evaluate every watchdog and advance the command by one period, however late the step comes."""
        missed, interruption = self._clock.observe(now_s)
        if interruption is not None and interruption.kind == "clock":
            self._forget_times()
        if self._playback is not None:
            self._playback.catch_up(missed, self._clock.now_s)
        if interruption is not None:
            self._begin_stop(interruption.kind, interruption.reason)
        restarted = self._start_stream()
        self._watch()
        if self._playback is not None and not restarted:
            self._advance()
        command = self._command(restarted)
        if self._ending is not None:  # only now: receivers that do not interpolate need the command at rest as well
            self._end_stream(self._ending)
        return command

    def statistics(self, now_s: float) -> Statistics:
        """Counters since the start, ages at now_s."""
        violations = self._violations + (0 if self._playback is None else self._playback.violations)
        return Statistics(
            accepted=self._accepted,
            rejected=dict(self._rejected),
            stops=dict(self._stops),
            joint_states_rejected=dict(self._measuring.rejected),
            last_rejection=self._last_rejection,
            limit_violations=violations,
            gaps=self._clock.gaps,
            longest_gap_s=self._clock.longest_gap_s,
            late_steps=self._clock.late,
            joint_state_age_s=now_s - self._measuring.received_s,
            chunk_age_s=now_s - self._accepted_at_s,
            observation_age_s=now_s - self._accepted_stamp_s,
            targets_accepted=self._targets.accepted,
            targets_rejected=dict(self._targets.rejected),
            target_age_s=now_s - self._targets.accepted_at_s,
            follow_latency_s=self._targets.latency_s(),
        )

    # ---- inputs

    def _plan(self, chunk: Actions, now_s: float) -> ChunkPath | Refusal:
        """The path of a well-formed chunk, if it fits the moment."""
        path = plan_chunk(self.config, chunk, self._clock.now_s, now_s)
        if isinstance(path, Refusal):
            return path
        return self._unwelcome(chunk) or find_jump(self.config, path, self._playback, now_s) or path

    def _unwelcome(self, chunk: Actions) -> Refusal | None:
        """Why a chunk with which nothing is wrong is not for now."""
        if (refusal := self._not_ready("chunk")) is not None:
            return refusal
        if chunk.stamp_s < self._accepted_stamp_s:
            return Refusal(
                "older",
                f"The chunk's observation ({chunk.stamp_s:.3f} s) is older than the one in use "
                f"({self._accepted_stamp_s:.3f} s); only newer ones are used.",
            )
        if self.config.execution == "sync" and (self._state is not State.HOLDING or chunk.stamp_s < self._rest_since_s):
            return Refusal(
                "busy",
                "The chunk was observed before the arm came to rest; in sync mode, observe again "
                "when the arm has come to rest.",
            )
        return None

    def _unwelcome_target(self) -> Refusal | None:
        """Why no target is for now."""
        if (refusal := self._not_ready("target")) is not None or self._targets.active:
            return refusal
        if self._state is not State.HOLDING or self._pending is not None:
            return Refusal("busy", "The arm executes a chunk or comes to rest; send targets when it holds.")
        return None

    def _not_ready(self, what: str) -> Refusal | None:
        if self._fault:
            return Refusal("fault", f"The streamer is in FAULT ({self._fault}); reset it before sending {what}s.")
        if not self._enabled:
            return Refusal("disabled", f"The streamer is disabled; enable it before sending {what}s.")
        if (trouble := find_arm_trouble(self._arm, self._clock)) is not None:
            return Refusal("waiting", trouble.reason)
        if self._playback is None or not self._fresh():
            return Refusal(
                "waiting",
                f"The streamer has no fresh joint state, so it takes no {what}; start the arm's driver first.",
            )
        return None

    # ---- watchdogs

    def _forget_times(self) -> None:
        now_s = self._clock.now_s
        self._pending = None
        self._rest_since_s = self._accepted_stamp_s = -math.inf
        self._accepted_at_s = min(self._accepted_at_s, now_s)
        for part in (self._targets, self._measuring, self._arm):
            part.forget_times(now_s)

    def _fresh(self) -> bool:
        return self._measuring.fresh(self._clock.now_s)

    def _start_stream(self) -> bool:
        """Begin at the measured position where commands are wanted and none flow; True if that happened."""
        if self._playback is not None or self._fault:
            return False
        trouble = find_arm_trouble(self._arm, self._clock)
        if trouble is not None and trouble.ends_in != "hold":
            self._enabled, self._reason = False, trouble.reason
            return False
        if not self._enabled:
            self._reason = DISABLED
            return False
        if trouble is not None:
            self._reason = trouble.reason
            return False
        if not self._fresh():
            hint = self._measuring.last_refusal or "Start the arm's driver and check the topic's name."
            self._reason = f"Waiting for joint states. {hint}"
            return False
        start = self._measuring.start()
        if isinstance(start, str):
            self._reason = start
            return False
        self._playback = Playback(self.config, start, self._clock.now_s, self._clearance)
        self._state, self._reason, self._reason_kind, self._relieved = State.HOLDING, WAITING, "", False
        self._actions, self._pending, self._rest_since_s = None, None, -math.inf
        return True

    def _watch(self) -> None:
        """Evaluate what only time can tell."""
        if self._playback is None or self._fault:
            return
        if not self._enabled:
            self._retire("disabled", DISABLED)
            return
        trouble = find_trouble(self._arm, self._measuring, self._clock, self._playback)
        if trouble is not None:
            end = {"hold": self._begin_stop, "disabled": self._retire, "fault": self._begin_fault}[trouble.ends_in]
            end(trouble.kind, trouble.reason)
            return
        if self._measuring.received_s < self._clock.awake_since_s:
            return
        if self._reason_kind in ("joint_states", "arm") and self._state is State.HOLDING:
            self._reason_kind, self._reason = "", WAITING
        self._watch_targets()

    def _watch_targets(self) -> None:
        silence = self._targets.find_silence(self._clock.heard_until_s)
        if silence:
            self._begin_stop("targets", silence)
        elif silence is not None:
            self._targets.end()
            if self._state is State.TRACKING:
                self._playback.abandon()
                self._state, self._reason = State.STOPPING, ""

    def _begin_stop(self, kind: str, reason: str) -> None:
        """Give up the chunk and stop; while at rest, only say why nothing moves."""
        if self._playback is None or self._fault:
            return
        self._reason, self._reason_kind = reason, kind
        self._targets.end(reason)
        if self._state is State.HOLDING:
            self._pending = None
            return
        if self._playback.path is not None:
            self._stops[kind] += 1
        self._playback.abandon()
        self._actions = self._pending = None
        self._state = State.STOPPING

    def _begin_fault(self, kind: str, reason: str) -> None:
        self._begin_stop(kind, reason)
        self._enabled = self._enabled and kind != "arm"
        self._fault = self._reason = reason
        self._stops["fault"] += 1
        self._state = State.STOPPING

    def _retire(self, kind: str, reason: str) -> None:
        """Stop, then command nothing until enabled: meanwhile somebody else may move the arm."""
        self._enabled, self._pending = False, None
        self._begin_stop(kind, reason)
        self._state = State.STOPPING

    # ---- motion

    def _advance(self) -> None:
        """One command further, and whatever state that leads to."""
        playback = self._playback
        if self._state is not State.STOPPING or playback.path is not None:
            self._enter_pending()
        if (path := self._targets.take(self._clock.now_s)) is not None:
            playback.join(path, self._targets.blend)
            self._state, self._reason = State.TRACKING, ""
            self._width_m = self._width_m if self._targets.width_m is None else self._targets.width_m
        playback.advance(self._clock.now_s)
        if playback.contact is not None:
            self._begin_stop("collision", say(playback.contact))
            playback.abandon()
        if playback.ended:
            self._state = State.STOPPING
            if not self._fault:
                waits = self.config.execution == "async" and self._pending is None
                self._reason = "The chunk has ended and no new one has come." if waits else ""
        if playback.finished and self._state is not State.HOLDING:
            self._come_to_rest()

    def _enter_pending(self) -> None:
        """Join the waiting chunk when its first action is due."""
        if self._pending is None or self._playback.time_s < self._pending[1].start_s - 1e-9:
            return
        self._actions, path = self._pending
        self._pending = None
        if path.end_s <= self._playback.time_s:
            self._reason = "The chunk waited until all its actions were past; waiting for another."
            return
        self._playback.join(path, self._blend)
        self._state, self._reason = State.TRACKING, ""

    def _come_to_rest(self) -> None:
        self._playback.abandon()
        self._actions = None
        self._rest_since_s = self._clock.now_s
        if self._fault:
            if not self._relieve():
                self._state = self._ending = State.FAULT
            return
        self._state = State.HOLDING
        if not self._enabled:
            self._ending = State.HOLDING
        elif not self._reason or self._reason_kind == "disabled":  # enabled again on the way to rest
            self._reason, self._reason_kind = WAITING, ""

    def _end_stream(self, state: State) -> None:
        self._violations += self._playback.violations
        self._state, self._playback, self._ending = state, None, None
        self._width_m = None

    def _relieve(self) -> bool:
        """Lead the command gently to where the arm surely is, once: it neither presses on nor jumps at the reset."""
        if self._relieved or not self._fresh() or self._measuring.doubt or self._arm.level is Level.ERROR:
            return False
        self._relieved = True
        self._playback.lead_to(self._measuring.last.q)
        return True

    def _command(self, restarted: bool) -> Command:
        if self._playback is None:
            return Command.none(self._state, self._reason)
        playback, actions = self._playback, self._actions
        if actions is not None and actions.widths_m is not None and playback.path is not None:
            self._width_m = float(actions.widths_m[playback.action])
        wants = (
            self._not_ready("chunk") is None
            and self._pending is None
            and not self._targets.active
            and (self.config.execution == "async" or self._state is State.HOLDING)
        )
        motion = playback.motion
        return Command(
            self._state,
            self._reason,
            wants,
            motion.q,
            motion.dq,
            motion.ddq,
            *playback.horizon(),
            self._width_m,
            restarted,
        )
