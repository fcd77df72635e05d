"""The only thing that commands the arm: it turns chunks or targets into commands, one a period, as `states` says."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from genima_core.arm import Arm
from genima_core.arm_status import ArmStatus
from genima_core.streaming import states
from genima_core.streaming.config import SLOWEST_SCALE, StreamerConfig
from genima_core.streaming.control import Control
from genima_core.streaming.inputs import TargetInput, find_jump, plan_chunk
from genima_core.streaming.playback import Clearance, Playback, describe
from genima_core.streaming.reference import Blend, ChunkPath, TargetPath
from genima_core.streaming.states import (
    FAULTS,
    HARMLESS,
    SILENT,
    STATES,
    TRANSITIONS,
    Command,
    Commander,
    Event,
    Mode,
    Reason,
    Refusal,
    Statistics,
    Status,
)
from genima_core.streaming.watchdogs import Watchdogs
from genima_core.types import ActionChunk, Execution, JointState, Target

BLEND_SHORTEST_S = 0.2
"""Of the way into a chunk."""


class Streamer:
    """Feed inputs as they come and call `step` once per period; nothing here raises on bad input.

    Inputs are checked for names, shapes and finite numbers before; one that failed comes as the refusal, because it
    stops the arm. Starts disabled. All times are seconds of one clock and given by the caller. One thread calls
    everything.
    """

    def __init__(
        self,
        arm: Arm,
        config: StreamerConfig = StreamerConfig(),  # noqa: B008 (frozen)
        clearance: Clearance | None = None,
        receiver_follows_horizon: bool = False,
    ):
        """`receiver_follows_horizon`: it moves along the published horizon when no command comes (a joint trajectory
        controller), so missed periods advance the command as they did the arm. Else it holds the last position, and
        every step advances by one period, however late it comes.
        """
        self.arm, self.config = arm, config
        self._clearance = clearance
        self._mode, self._enabled = Mode.OFF, False
        self._why: Refusal = states.DISABLED
        self._playback: Playback | None = None
        self._watchdogs = Watchdogs(arm, config, receiver_follows_horizon)
        self._clock, self._measured = self._watchdogs.clock, self._watchdogs.measured
        self._targets, self._control = TargetInput(arm, config), Control()
        self._relieved = False
        self._pending: ChunkPath | None = None
        self._blend = Blend(config.blend_acceleration, BLEND_SHORTEST_S, config.max_blend_s)
        self._width_m: float | None = None
        self._rest_since_s = self._accepted_stamp_s = self._accepted_at_s = -math.inf
        self._latency_s = 0.0
        """From the capture to the chunk, of the last one."""
        self._accepted = self._violations = 0
        self._rejected: Counter[Reason] = Counter()
        self._stops: Counter[Reason] = Counter()

    # ---- the operator

    def enable(self) -> Refusal | None:
        """Command the arm from the next `step` on, from the measured position; None, or why not."""
        if self._mode in FAULTS and self._why.kind is Reason.EMERGENCY:
            return self._why
        if (trouble := self._watchdogs.find_hindrance()) is not None and trouble.event is not Event.STOP:
            return trouble
        self._enabled = True
        self._go(Event.ENABLE)
        return None

    def disable(self) -> None:
        """Stop smoothly, then publish nothing."""
        self._enabled = False

    def emergency_stop(self) -> None:
        """Stop each joint in the shortest time that the limits allow, then FAULT; the command never moves back."""
        self._enabled, self._relieved = False, True
        self._interrupt(Event.EMERGENCY, states.EMERGENCY)
        self._why = states.EMERGENCY

    def reset_fault(self) -> Refusal | None:
        """Leave FAULT. None, or why nothing changed: no fault, the arm still moves, or it reports an error."""
        if self._mode is not Mode.FAULT:
            text = f"There is nothing to reset: the state is {STATES[self._mode]}. {self._why.text}".strip()
            return Refusal(Reason.BUSY, text)
        if (trouble := self._watchdogs.find_hindrance()) is not None and trouble.event is Event.FAIL:
            return trouble
        self._go(Event.RESET)
        return None

    def set_velocity_scale(self, scale: float) -> Refusal | None:
        """From now on, without a step; a chunk under way is slowed, but not sped up. None, or why not."""
        if not SLOWEST_SCALE <= scale <= 1:
            return Refusal(Reason.LIMITS, f"velocity_scale is {scale}; it must be in [{SLOWEST_SCALE:g}, 1]")
        rate, self.config = scale / self.config.velocity_scale, replace(self.config, velocity_scale=float(scale))
        if self._playback is not None:
            self._playback.rescale(self.config)
        if self._pending is not None and rate < 1:
            self._pending = self._pending.repaced(self._pending.start_s, rate)
        return None

    def set_execution(self, execution: Execution, now_s: float) -> Refusal | None:
        """From now on, without a step; a chunk under way ends as it would have, but stops where each one is to be
        confirmed. What waits for its time is dropped, and what was observed before moves nothing. None, or why not.
        """
        if execution not in get_args(Execution):
            return Refusal(Reason.NAMES, f"execution is {execution!r}; valid are {', '.join(get_args(Execution))}")
        if execution == self.config.execution:
            return None
        self.config, self._pending = replace(self.config, execution=execution), None
        self._look_anew(now_s)
        if execution == "confirm" and self._control.commander is Commander.POLICY:
            self._interrupt(Event.STOP, states.CONFIRMS)
        return None

    # ---- inputs

    def on_joint_state(self, state: JointState | Refusal, now_s: float) -> Refusal | None:
        """Take a measurement; None, or why it is not used. One that is stamped more than joint_state_timeout_s from
        now, or not after the one before, is not, so a driver that repeats its last values counts as silent.
        """
        return self._measured.take(state, now_s)

    def on_arm_status(self, status: ArmStatus | Refusal, now_s: float) -> None:
        if self._watchdogs.status.take(status, now_s):
            self._interrupt(Event.PLACE, states.PLACED)
            self._end_stream()
            self._measured.forget(now_s)
            self._look_anew(now_s)

    def on_commanders(self, names: Sequence[str]) -> None:
        """Take the names of all other nodes that command this arm, or are called like this one."""
        self._watchdogs.commanders = tuple(names)

    def on_teleop(self, status: Status, now_s: float) -> None:
        """Take what teleoperation says of itself. Who engages takes over: the arm comes to rest, and chunks are refused
        until it is given back; what was observed before that moves nothing.
        """
        before = self._control.taken_over
        self._control.hear(status)
        if before:
            self._look_anew(now_s)
        elif self._control.taken_over and self._mode not in FAULTS:
            self._interrupt(Event.STOP, states.TAKEN_OVER)

    def on_chunk(self, chunk: ActionChunk | Refusal, now_s: float) -> Refusal | None:
        """Take a chunk; None if it will be executed, else why not. In sync mode the due times only space the actions:
        the arm waited at rest, so it starts when it comes. velocity_scale divides the times from the stamp on.
        """
        path = self._plan(chunk, now_s)
        if isinstance(path, Refusal):
            self._rejected[path.kind] += 1
            if path.kind not in HARMLESS:
                self._pending = None
                self._interrupt(Event.STOP, path)
            return path
        self._pending = path
        self._accepted += 1
        self._accepted_at_s = now_s
        if isinstance(chunk, ActionChunk):
            self._accepted_stamp_s, self._latency_s = chunk.stamp_s, max(0.0, now_s - chunk.stamp_s)
        return None

    def on_target(self, target: Target | Refusal, now_s: float) -> Refusal | None:
        """Take what to follow at once; None if it is followed, else why not. The first one begins at the command, and
        only while it holds. A bad one and silence stop the arm; then the sender has to pause. One that ends at rest is
        let go.
        """
        unwelcome = self._unwelcome_target()
        refusal = self._targets.take(target, unwelcome, self._playback, self._clock.now_s, now_s)
        if refusal is not None and refusal.kind not in HARMLESS:
            self._interrupt(Event.STOP, refusal)
        return refusal

    def step(self, now_s: float) -> Command:
        """Evaluate every watchdog and advance the command by one period, however late the step comes."""
        missed, interruption = self._clock.observe(now_s)
        if interruption is not None and interruption.kind is Reason.CLOCK:
            self._forget_times()
        if self._playback is not None:
            self._playback.catch_up(missed, self._clock.now_s)
        if interruption is not None:
            self._interrupt(Event.STOP, interruption)
        if self._control.taken_over or self._targets.active:
            self._look_anew(self._clock.now_s)
        restarted = self._start_stream()
        self._watch()
        if self._playback is not None and not restarted:
            self._advance(self._playback)
        command = self._command(restarted)
        if self._mode in SILENT:  # only now: receivers that do not interpolate need the command at rest as well
            self._end_stream()
        return command

    def statistics(self, now_s: float) -> Statistics:
        """Counters since the start, ages at now_s."""
        return Statistics(
            accepted=self._accepted,
            rejected=dict(self._rejected),
            stops=dict(self._stops),
            joint_states_rejected=dict(self._measured.rejected),
            limit_violations=self._violations + (0 if self._playback is None else self._playback.violations),
            gaps=self._clock.gaps,
            joint_state_age_s=now_s - self._measured.received_s,
            chunk_age_s=now_s - self._accepted_at_s,
            observation_age_s=now_s - self._accepted_stamp_s,
            targets_accepted=self._targets.accepted,
            targets_rejected=dict(self._targets.rejected),
            target_age_s=now_s - self._targets.accepted_at_s,
            follow_latency_s=self._targets.latency_s(),
        )

    # ---- modes

    def _go(self, event: Event, why: Refusal | None = None) -> bool:
        """Where the table leads, with the reason for it; False, and nothing changed, where it leads nowhere."""
        after = TRANSITIONS[event].get(self._mode)
        if after is None:
            return False
        self._mode, self._why = after, self._why if why is None else why
        return True

    def _interrupt(self, event: Event, why: Refusal) -> None:
        """Follow nothing more and go where the table leads; in a fault only the mode changes, at rest the reason."""
        if self._mode in SILENT and event is not Event.EMERGENCY:
            return
        was_fault, gave_up = self._mode in FAULTS, self._playback is not None and self._playback.path is not None
        changed = self._go(event)
        if was_fault and not changed:
            return
        self._control.follow(None)
        if not was_fault:
            self._why = why
            self._targets.end(why.text)
            self._pending = None
            kinds = ((why.kind, gave_up and why is not states.NOTHING), (Reason.FAULT, self._mode in FAULTS))
            self._stops.update(kind for kind, counts in kinds if counts)
        if self._playback is not None:
            self._playback.abandon()

    def _start_stream(self) -> bool:
        """Begin at the measured position where commands are wanted and none flow; True if that happened."""
        if self._mode is not Mode.OFF:
            return False
        trouble = self._watchdogs.find_hindrance()
        if trouble is not None and trouble.kind is Reason.ARM and trouble.event is not Event.STOP:
            self._enabled = False
        if not self._enabled and (trouble is None or trouble.event is Event.STOP):
            trouble = states.DISABLED
        start = trouble or self._measured.start()
        if isinstance(start, Refusal):
            self._why = start
            return False
        self._playback = Playback(self.arm, self.config, start, self._clock.now_s, self._clearance)
        self._relieved, self._pending, self._width_m = False, None, None
        return self._go(Event.START, states.WAITING)

    def _end_stream(self) -> None:
        if self._playback is not None:
            self._violations += self._playback.violations
        self._playback, self._width_m = None, None

    def _look_anew(self, now_s: float) -> None:
        """What a policy has observed so far shows another scene than it will find."""
        self._rest_since_s = self._accepted_stamp_s = now_s

    def _forget_times(self) -> None:
        self._pending = None
        self._rest_since_s = self._accepted_stamp_s = -math.inf
        self._accepted_at_s = min(self._accepted_at_s, self._clock.now_s)
        self._targets.forget_times(self._clock.now_s)
        self._watchdogs.forget_times()

    # ---- watchdogs

    def _watch(self) -> None:
        if self._playback is None or self._mode in (Mode.RETIRING, Mode.FAULTING):
            return
        relieves = self._why if self._mode is Mode.RELIEVING else None
        trouble = self._watchdogs.find_trouble(self._playback, relieves) if self._enabled else states.DISABLED
        if trouble is not None:
            if trouble.event is Event.RETIRE or (trouble.kind is Reason.ARM and trouble.event is Event.FAIL):
                self._enabled = False
            self._interrupt(trouble.event, trouble)
        elif self._measured.awake:
            if self._why.kind in (Reason.JOINT_STATES, Reason.ARM) and self._mode is Mode.HOLDING:
                self._why = states.WAITING
            silence = self._targets.find_silence(self._clock.heard_until_s)
            if silence is not None:
                self._interrupt(Event.STOP, Refusal(Reason.TARGETS, silence) if silence else states.NOTHING)

    def _not_ready(self, what: str) -> Refusal | None:
        if self._mode in FAULTS:
            text = f"The streamer is in FAULT ({self._why.text}); before sending {what}s: genima reset."
            return Refusal(Reason.FAULT, text)
        if not self._enabled:
            return Refusal(Reason.DISABLED, f"The streamer is disabled; before sending {what}s: genima enable.")
        if (trouble := self._watchdogs.find_hindrance()) is not None:
            return trouble
        if self._playback is None or not self._measured.fresh:
            text = f"The streamer has no fresh joint state, so it takes no {what}; start the arm's driver first."
            return Refusal(Reason.WAITING, text)
        return None

    def _plan(self, chunk: ActionChunk | Refusal, now_s: float) -> ChunkPath | Refusal:
        if self._control.taken_over:
            return states.TAKEN_OVER
        if self._targets.active:
            return Refusal(Reason.BUSY, "The arm follows targets; send chunks when it holds.")
        if isinstance(chunk, Refusal):
            return chunk
        path = plan_chunk(self.arm, self.config, chunk, self._clock.now_s, now_s)
        if isinstance(path, Refusal):
            return path
        if (refusal := self._not_ready("chunk") or self._unwelcome(chunk)) is not None or self._playback is None:
            return refusal or states.NOTHING
        return find_jump(self.arm, self.config, path, self._playback, now_s) or path

    def _unwelcome(self, chunk: ActionChunk) -> Refusal | None:
        """Why a chunk with which nothing is wrong is not for now."""
        if self.config.execution == "confirm" and not chunk.approved:
            return states.UNAPPROVED
        if chunk.stamp_s < self._accepted_stamp_s:
            given = f"({chunk.stamp_s:.3f} s) is older than what moved the arm last ({self._accepted_stamp_s:.3f} s)"
            return Refusal(Reason.OLDER, f"The chunk's observation {given}; only newer ones are used.")
        if self.config.execution != "async" and (self._mode is not Mode.HOLDING or chunk.stamp_s < self._rest_since_s):
            remedy = "in sync mode, observe again when the arm has come to rest."
            return Refusal(Reason.BUSY, f"The chunk was observed before the arm came to rest; {remedy}")
        return None

    def _unwelcome_target(self) -> Refusal | None:
        if (refusal := self._not_ready("target")) is not None or self._targets.active:
            return refusal
        if self._mode is not Mode.HOLDING or self._pending is not None:
            return Refusal(Reason.BUSY, "The arm executes a chunk or comes to rest; send targets when it holds.")
        return None

    # ---- motion

    def _advance(self, playback: Playback) -> None:
        now_s = self._clock.now_s
        if self._mode in (Mode.HOLDING, Mode.TRACKING, Mode.ENDING):
            self._enter_pending(playback)
        if (target_path := self._targets.take_path(now_s)) is not None:
            self._join(playback, target_path, self._targets.blend)
        playback.advance(now_s)
        if playback.contact is not None:
            self._interrupt(Event.STOP, Refusal(Reason.COLLISION, describe(playback.contact)))
        elif playback.ended:
            waits = self.config.execution == "async" and self._pending is None
            self._go(Event.END, states.ENDED if waits else states.NOTHING)
        if (width_m := playback.width_m) is not None:
            self._width_m = width_m
        if playback.finished and self._mode is not Mode.HOLDING:
            self._come_to_rest(playback)

    def _enter_pending(self, playback: Playback) -> None:
        path = self._pending
        if path is None or playback.time_s < path.start_s - 1e-9:
            return
        self._pending = None
        if path.end_s <= playback.time_s:
            self._why = states.WAITED
        else:
            self._join(playback, path, self._blend)

    def _join(self, playback: Playback, path: ChunkPath | TargetPath, blend: Blend) -> None:
        playback.join(path, blend)
        self._control.follow(path)
        self._go(Event.JOIN)
        self._why = states.NOTHING

    def _come_to_rest(self, playback: Playback) -> None:
        self._rest_since_s = self._clock.now_s
        if self._mode is Mode.FAULTING and self._may_relieve() and self._measured.last is not None:
            self._relieved = True
            playback.relieve(self._measured.last.q, self.config.max_deviation_rad)
            self._go(Event.RELIEVE)
            return
        playback.abandon()
        self._go(Event.REST)
        if self._mode is Mode.HOLDING and self._why.kind in (Reason.NONE, Reason.DISABLED):
            self._why = states.WAITING

    def _may_relieve(self) -> bool:
        """Whether to lead the command to where the arm surely is, once: so it does not press on after a fault."""
        return (
            self._why.kind is Reason.DEVIATION
            and self._enabled
            and not self._relieved
            and self._measured.fresh
            and not self._measured.doubt
            and self._watchdogs.find_hindrance() is None
        )

    def _wants_next(self, playback: Playback) -> bool:
        """Whether what is captured now will be a chunk just when it is to take over, in async mode.

        A drawing is always under way when it is wanted, so that its chunk comes within one to two latencies.
        """
        if self.config.execution != "async":
            return False
        if not isinstance(path := playback.path, ChunkPath):
            return True
        until_s = path.executed_s(self.config.execution_horizon)
        return playback.time_s >= until_s - min(2 * self._latency_s, (until_s - path.start_s) / 2)

    def _command(self, restarted: bool) -> Command:
        state, why, playback, control = STATES[self._mode], self._why, self._playback, self._control
        if playback is None:
            return Command(state, why.kind, why.text, taken_over=control.taken_over)
        free = self._pending is None and not self._targets.active and not control.taken_over
        wants_chunk = free and (self._mode is Mode.HOLDING or self._wants_next(playback))
        return Command(
            state,
            why.kind,
            why.text,
            wants_chunk and self._not_ready("chunk") is None,
            *playback.motion,
            *playback.profile.horizon(),
            self._width_m,
            restarted,
            control.taken_over,
            control.commander,
        )
