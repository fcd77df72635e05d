"""The only thing that commands the arm: a state machine that turns chunks and joint states into 50 Hz commands."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from genima_core.streaming.command import Command, State, Statistics
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.inspection import Actions, Measurement, Refusal, read_actions, read_joint_state
from genima_core.streaming.playback import Playback, shaping_limits
from genima_core.streaming.reference import ChunkPath

__all__ = ["Command", "State", "Statistics", "Streamer", "StreamerConfig"]

WAITING = "Waiting for a chunk."
DISABLED = "The streamer is disabled; enable it to move the arm."
HARMLESS = ("busy", "older", "disabled", "fault", "waiting")
"""Kinds of refusal that say nothing against what the arm is doing now, so they stop nothing."""
STAMP_SLACK_S = 1e-4
"""Stamps that differ by less are the same, converted between clocks."""
STRETCHED_SHARE = 0.9
"""Of the velocity limit, used by a chunk that was too fast; the rest is left for catching up."""


class Streamer:
    """Feed inputs as they come and call `step` once per period; nothing here raises on bad input.

    Starts disabled. All times are seconds of one clock and given by the caller. One thread calls everything.

    HOLDING: at rest. TRACKING: a chunk is executed. STOPPING: on the way to rest, because a chunk ran out (a new one
    is still joined smoothly) or because something is wrong. FAULT: something that a person should look at; after the
    stop nothing is commanded until `reset_fault`, and then the stream starts anew from the measured position.
    """

    def __init__(self, config: StreamerConfig = StreamerConfig()):  # noqa: B008 (frozen)
        self.config = config
        self._enabled = False
        self._ending: State | None = None
        self._state, self._reason = State.HOLDING, DISABLED
        self._fault = self._reason_kind = ""
        self._playback: Playback | None = None
        self._measured: Measurement | None = None
        self._relieved = False
        self._actions: Actions | None = None
        self._pending: tuple[Actions, ChunkPath] | None = None
        self._width_m: float | None = None
        self._now_s = math.nan
        self._awake_since_s = -math.inf
        self._rest_since_s = -math.inf
        self._accepted_stamp_s = self._accepted_at_s = -math.inf
        self._accepted = self._violations = self._gaps = self._late = 0
        self._longest_gap_s = 0.0
        self._rejected, self._states_rejected, self._stops = Counter(), Counter(), Counter()
        self._last_rejection = self._last_state_refusal = ""

    def enable(self) -> None:
        """Command the arm from the next `step` on, from the measured position."""
        self._enabled = True

    def disable(self) -> None:
        """Stop smoothly, then publish nothing."""
        self._enabled = False

    def reset_fault(self) -> bool:
        """Leave FAULT; False, and nothing changed, without a fault or while the arm is still moving."""
        if self._state is not State.FAULT or self._playback is not None:
            return False
        self._state, self._fault, self._reason = State.HOLDING, "", ""
        return True

    def on_joint_state(self, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float],
                       stamp_s: float, now_s: float) -> str | None:
        """Take a measurement: names in any order, other joints are ignored; None, or why it is not used.

        A joint state stamped more than joint_state_timeout_s away from now, or not after the one before, is not used,
        so a driver that repeats its last values counts as silent.
        """
        seen = read_joint_state(self.config.joint_names, names, positions, velocities, stamp_s, now_s)
        if isinstance(seen, Measurement):
            age, limit = now_s - seen.stamp_s, self.config.joint_state_timeout_s
            if not abs(age) <= limit:
                seen = Refusal("stale", f"The joint state is stamped {abs(age):.3f} s {'ago' if age > 0 else 'ahead'}; "
                                        f"valid is within {limit:g} s: look at the driver and synchronise the clocks.")
            elif self._measured is not None and seen.stamp_s < self._measured.stamp_s + STAMP_SLACK_S:
                seen = Refusal("frozen", f"The joint state's stamp {seen.stamp_s:.3f} s is not after the one before "
                                         f"({self._measured.stamp_s:.3f} s); look at the driver of the arm.")
        if isinstance(seen, Refusal):
            self._states_rejected[seen.kind] += 1
            self._last_state_refusal = seen.reason
            return seen.reason
        self._measured, self._last_state_refusal = seen, ""
        return None

    def on_chunk(self, names: Sequence[str], times_s: Sequence[float], positions: Sequence[Sequence[float]],
                 stamp_s: float, now_s: float) -> str | None:
        """Take a chunk: names (m,), times (n,), positions (n, m); None if it will be executed, else why not.

        The columns, in any order: the seven joints in rad and, if wanted, the gripper's width in m. Action k is due at
        stamp_s + times_s[k] (times divided by velocity_scale), stamp_s being the observation's capture time. In sync
        mode the due times only space the actions: the arm waited at rest, so the chunk starts when it comes.
        """
        config = self.config
        chunk = read_actions(config.joint_names, config.gripper_joint, config.gripper_max_width_m, config.limits,
                             names, times_s, positions, stamp_s)
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

    def step(self, now_s: float) -> Command:
        """Evaluate every watchdog and advance the command by one period, however late the step comes."""
        missed, interruption = self._observe_clock(now_s)
        if self._playback is not None:
            self._playback.catch_up(missed, self._now_s)
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
        seen = -math.inf if self._measured is None else self._measured.received_s
        violations = self._violations + (0 if self._playback is None else self._playback.violations)
        return Statistics(
            accepted=self._accepted, rejected=dict(self._rejected), stops=dict(self._stops),
            joint_states_rejected=dict(self._states_rejected), last_rejection=self._last_rejection,
            limit_violations=violations, gaps=self._gaps, longest_gap_s=self._longest_gap_s,
            late_steps=self._late, joint_state_age_s=now_s - seen, chunk_age_s=now_s - self._accepted_at_s,
            observation_age_s=now_s - self._accepted_stamp_s)

    # ---- chunks

    def _plan(self, chunk: Actions, now_s: float) -> ChunkPath | Refusal:
        """The path of a well-formed chunk, if it fits the moment."""
        config = self.config
        age = now_s - chunk.stamp_s
        if not age <= config.max_observation_age_s:
            return Refusal("stale", f"The chunk's observation is {age:.2f} s old; valid is up to "
                                    f"{config.max_observation_age_s:g} s: the policy or a camera is too slow.")
        start_s = self._now_s if config.mode == "sync" else chunk.stamp_s + chunk.first_s / config.velocity_scale
        if max(-age, start_s - now_s) > config.max_lead_s:
            return Refusal("future", f"The chunk is stamped {-age:.2f} s from now and begins {start_s - now_s:.2f} s "
                                     f"from now; valid is up to {config.max_lead_s:g} s: synchronise the clocks.")
        positions, dt_s = chunk.positions, chunk.dt_s / config.velocity_scale
        if config.mode == "sync" and config.execution_horizon:
            positions = positions[:max(config.execution_horizon, 2)]
        speed = np.abs(np.diff(positions, axis=0)) / dt_s / shaping_limits(config).velocity
        if speed.max() > config.max_speed_ratio:
            k, i = np.unravel_index(np.argmax(speed), speed.shape)
            return Refusal("jump", f"The chunk moves {config.joint_names[i]} by "
                                   f"{abs(positions[k + 1, i] - positions[k, i]):.3f} rad between actions {k} and "
                                   f"{k + 1}, {speed.max():.1f} times the velocity limit; valid is up to "
                                   f"{config.max_speed_ratio:g} times: look at the controller's output.")
        stretch = max(1.0, float(speed.max()) / STRETCHED_SHARE)
        path = ChunkPath(positions, dt_s * stretch, start_s, config.settle_s, config.smoothing,
                         from_rest=config.mode == "sync")
        if config.mode == "async" and path.end_s < now_s:
            return Refusal("past", f"The chunk's last action was due {now_s - path.end_s:.2f} s ago; at least one has "
                                   "to be due in the future: lengthen the chunk, or use sync mode.")
        if (refusal := self._unwelcome(chunk)) is not None:
            return refusal
        return self._jumping(path, now_s) or path

    def _unwelcome(self, chunk: Actions) -> Refusal | None:
        """Why a chunk with which nothing is wrong is not for now."""
        if self._fault:
            return Refusal("fault", f"The streamer is in FAULT ({self._fault}); reset it before sending chunks.")
        if not self._enabled:
            return Refusal("disabled", "The streamer is disabled; enable it before sending chunks.")
        if self._playback is None or not self._fresh():
            return Refusal("waiting", "The streamer has no fresh joint state, so it takes no chunk; start the arm's "
                                      "driver first.")
        if chunk.stamp_s < self._accepted_stamp_s:
            return Refusal("older", f"The chunk's observation ({chunk.stamp_s:.3f} s) is older than the one in use "
                                    f"({self._accepted_stamp_s:.3f} s); only newer ones are used.")
        if self.config.mode == "sync" and (self._state is not State.HOLDING or chunk.stamp_s < self._rest_since_s):
            return Refusal("busy", "The chunk was observed before the arm came to rest; in sync mode, observe again "
                                   "when the arm has come to rest.")
        return None

    def _jumping(self, path: ChunkPath, now_s: float) -> Refusal | None:
        time_s = max(path.start_s, now_s)
        first = path.at(np.array([time_s]))[0][0]
        here = self._playback.position_at(time_s)
        i = int(np.argmax(np.abs(first - here)))
        jump, limit = abs(first[i] - here[i]), self.config.max_jump_rad
        if jump <= limit:
            return None
        return Refusal("jump", f"The chunk's first due action wants {self.config.joint_names[i]} at {first[i]:.3f} "
                               f"rad, {jump:.3f} rad from the command then; valid is up to {limit:g} rad: check the "
                               "controller, its joint order and the clocks.")

    # ---- watchdogs

    def _observe_clock(self, now_s: float) -> tuple[int, Refusal | None]:
        """Note the time of a step: missed periods that the arm moved on without us, and what is wrong with the time."""
        period, last_s = self.config.period_s, self._now_s
        if not math.isfinite(now_s):
            now_s = last_s + period if math.isfinite(last_s) else 0.0
        self._now_s = now_s
        if not math.isfinite(last_s):
            return 0, None
        gap, interruption = now_s - last_s, None
        self._longest_gap_s = max(self._longest_gap_s, gap)
        self._late += gap >= 1.5 * period
        if gap < -period:
            self._forget_times(now_s)
            interruption = Refusal("clock", f"The clock jumped back by {-gap:.3f} s, and chunks are timed by it; the "
                                            "next chunk is taken by the new time.")
        elif gap > self.config.max_gap_s:
            interruption = Refusal("gap", f"No step came for {gap:.3f} s (limit {self.config.max_gap_s:g} s); give "
                                          "this process a processor, or find out what paused it.")
        if interruption is not None:
            self._gaps += 1
            self._awake_since_s = now_s
        missed = max(0, round(gap / period) - 1) if self.config.receiver_follows_horizon else 0
        return min(missed, 1000), interruption

    def _forget_times(self, now_s: float) -> None:
        self._pending = None
        self._rest_since_s = self._accepted_stamp_s = -math.inf
        self._accepted_at_s = min(self._accepted_at_s, now_s)
        if self._measured is not None:
            received_s = min(self._measured.received_s, now_s)
            self._measured = replace(self._measured, stamp_s=-math.inf, received_s=received_s)

    def _fresh(self) -> bool:
        """A joint state came lately."""
        return (self._measured is not None
                and self._now_s - self._measured.received_s <= self.config.joint_state_timeout_s)

    def _start_stream(self) -> bool:
        """Begin at the measured position where commands are wanted and none flow; True if that happened."""
        if self._playback is not None or self._fault:
            return False
        if not self._enabled:
            self._reason = DISABLED
            return False
        if not self._fresh():
            hint = self._last_state_refusal or "Start the arm's driver and check the topic's name."
            self._reason = f"Waiting for joint states. {hint}"
            return False
        limits, q = self.config.limits, self._measured.q
        outside = np.maximum(limits.lower - q, q - limits.upper)
        i = int(np.argmax(outside))
        if outside[i] > self.config.start_tolerance_rad:
            self._reason = (f"{self.config.joint_names[i]} is measured at {q[i]:.3f} rad, outside "
                            f"[{limits.lower[i]:.4f}, {limits.upper[i]:.4f}]; move the arm back by hand.")
            return False
        self._playback = Playback(self.config, np.clip(q, limits.lower, limits.upper), self._now_s)
        self._state, self._reason, self._reason_kind, self._relieved = State.HOLDING, WAITING, "", False
        self._actions, self._pending, self._rest_since_s = None, None, -math.inf
        return True

    def _watch(self) -> None:
        """Evaluate what only time can tell."""
        if self._playback is None or self._fault:
            return
        if not self._enabled:
            self._pending = None
            self._begin_stop("disabled", DISABLED)
            self._state = State.STOPPING
            return
        config = self.config
        # While this process was paused nothing could come: only the time since then counts against the driver.
        silent_s = self._now_s - max(self._measured.received_s, self._awake_since_s)
        if silent_s > config.joint_state_timeout_s:
            hint = self._last_state_refusal or "Look at the arm's driver and the network."
            if silent_s > config.joint_state_fault_s:
                self._begin_fault("joint_states", "No usable joint state for more than "
                                                  f"{config.joint_state_fault_s:g} s. {hint}")
            else:
                self._begin_stop("joint_states", f"No usable joint state for {silent_s:.2f} s (limit "
                                                 f"{config.joint_state_timeout_s:g} s). {hint}")
            return
        if self._measured.received_s < self._awake_since_s:
            return
        if self._reason_kind == "joint_states" and self._state is State.HOLDING:
            self._reason_kind, self._reason = "", WAITING
        deviation = self._playback.deviation(self._measured.q)
        i = int(np.argmax(deviation))
        if deviation[i] > config.max_deviation_rad:
            self._begin_fault("deviation", f"{config.joint_names[i]} is measured at {self._measured.q[i]:.3f} rad, "
                                           f"{deviation[i]:.3f} rad from its command (limit "
                                           f"{config.max_deviation_rad:g} rad); free the arm or recover it from "
                                           "its reflex stop, then reset the fault.")

    def _begin_stop(self, kind: str, reason: str) -> None:
        """Give up the chunk and stop; while at rest, only say why nothing moves."""
        if self._playback is None or self._fault:
            return
        self._reason, self._reason_kind = reason, kind
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
        self._fault = self._reason = reason
        self._stops["fault"] += 1
        self._state = State.STOPPING

    # ---- motion

    def _advance(self) -> None:
        """One command further, and whatever state that leads to."""
        playback = self._playback
        if self._state is not State.STOPPING or playback.path is not None:
            self._enter_pending()
        playback.advance(self._now_s)
        if playback.ended:
            self._state = State.STOPPING
            if not self._fault:
                waits = self.config.mode == "async" and self._pending is None
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
        self._playback.join(path, self.config.blend_acceleration, self.config.max_blend_s)
        self._state, self._reason = State.TRACKING, ""

    def _come_to_rest(self) -> None:
        self._playback.abandon()
        self._actions = None
        self._rest_since_s = self._now_s
        if self._fault:
            if not self._relieve():
                self._state = self._ending = State.FAULT
            return
        self._state = State.HOLDING
        if not self._enabled:
            self._ending = State.HOLDING
        elif not self._reason:
            self._reason = WAITING

    def _end_stream(self, state: State) -> None:
        self._violations += self._playback.violations
        self._state, self._playback, self._ending = state, None, None

    def _relieve(self) -> bool:
        """Lead the command gently back to where the arm is, once: it then neither presses on nor jumps at the reset."""
        if self._relieved or not self._fresh():
            return False
        self._relieved = True
        q = np.clip(self._measured.q, self.config.limits.lower, self.config.limits.upper)
        path = ChunkPath(np.stack([q, q]), 1.0, self._playback.time_s, self.config.settle_s)
        self._playback.join(path, acceleration=1.0, longest_s=1.0)
        return True

    def _command(self, restarted: bool) -> Command:
        if self._playback is None:
            none = np.empty((0, 7))
            return Command(self._state, self._reason, False, None, None, None, np.empty(0), none, none, none,
                           self._width_m, False)
        playback, actions = self._playback, self._actions
        if actions is not None and actions.widths_m is not None and playback.path is not None:
            self._width_m = float(actions.widths_m[playback.action])
        wants = (self._enabled and not self._fault and self._pending is None and self._fresh()
                 and (self.config.mode == "async" or self._state is State.HOLDING))
        motion = playback.motion
        return Command(self._state, self._reason, wants, motion.q, motion.dq, motion.ddq, *playback.horizon(),
                       self._width_m, restarted)
