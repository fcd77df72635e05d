"""The only thing that commands the arm: a state machine that turns chunks and joint states into 50 Hz commands."""

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.inspection import Actions, Measurement, Refusal, read_actions, read_joint_state
from genima_core.streaming.profile import Profile, Reference, scale_limits
from genima_core.streaming.reference import ChunkPath, Splice, splice

__all__ = ["Command", "State", "Statistics", "Streamer", "StreamerConfig"]

PREVIEW = 2
"""Periods of tracking at the front of the horizon; the rest of it is a stop."""

HARMLESS = ("busy", "older", "disabled", "fault", "waiting")
"""Kinds of refusal that say nothing against what the arm is doing now, so they stop nothing."""


class State(StrEnum):
    HOLDING = "holding"
    TRACKING = "tracking"
    STOPPING = "stopping"
    FAULT = "fault"


@dataclass(frozen=True)
class Command:
    """What one period asks of the arm."""

    state: State
    reason: str
    """One sentence: why the arm is not tracking, or what is odd; "" when there is nothing to say."""
    wants_chunk: bool
    """Sync mode: the arm is at rest and the next chunk may come. Async mode: chunks are welcome."""
    q: np.ndarray | None
    """(7,) rad, set point for now; None means: publish nothing (no joint state yet, disabled, at rest in FAULT)."""
    dq: np.ndarray | None
    ddq: np.ndarray | None
    horizon_times_s: np.ndarray
    """(H,) s from now, strictly increasing, H >= 2, the first one period ahead; empty when q is None."""
    horizon_q: np.ndarray
    """(H, 7) rad, for receivers that interpolate: ends at rest, so that a dead streamer means a smooth stop."""
    horizon_dq: np.ndarray
    horizon_ddq: np.ndarray
    gripper_width_m: float | None
    """None until a chunk has said something about the gripper."""
    restarted: bool
    """True for the first command of a stream, which equals the measured position."""


@dataclass(frozen=True)
class Statistics:
    """Counters since the start, ages now."""

    accepted: int
    rejected: Mapping[str, int]
    """Kind of refusal to number of chunks."""
    joint_states_rejected: Mapping[str, int]
    stops: Mapping[str, int]
    """Kind of reason to number of stops before the end of a chunk."""
    last_rejection: str
    """The last chunk's refusal, "" when there was none."""
    limit_violations: int
    """Commands whose finite differences exceeded a limit of the arm: 0 unless there is a bug."""
    gaps: int
    """Steps more than max_gap_s after the one before, or before it."""
    longest_gap_s: float
    late_steps: int
    """Steps at least half a period late."""
    joint_state_age_s: float
    """inf before the first; likewise below."""
    chunk_age_s: float
    observation_age_s: float


class Streamer:
    """Feed inputs as they come and call `step` once per period; nothing here raises on bad input.

    Starts disabled. All times are seconds of one clock and given by the caller. One thread calls everything.

    HOLDING: at rest. TRACKING: a chunk is executed. STOPPING: on the way to rest, because a chunk ran out (a new one
    is still joined smoothly) or because something is wrong. FAULT: something that a person should look at; after the
    stop nothing is commanded until `reset_fault`, and then the stream starts anew from the measured position.
    """

    def __init__(self, config: StreamerConfig = StreamerConfig()):  # noqa: B008 (frozen)
        self.config = config
        self._limits = config.limits
        self._shaping = scale_limits(config.limits, config.velocity_factor * config.velocity_scale,
                                     config.acceleration_factor, config.jerk_factor, config.position_margin_rad)
        self._enabled = False
        self._state, self._reason = State.HOLDING, "The streamer is disabled; enable it to move the arm."
        self._fault = self._reason_kind = ""
        self._profile: Profile | None = None
        self._measured: Measurement | None = None
        self._relieved = False
        self._splice: Splice | None = None
        self._actions: Actions | None = None
        self._pending: tuple[Actions, ChunkPath] | None = None
        self._stopping_for = ""
        self._width_m: float | None = None
        self._now_s = math.nan
        self._path_s, self._rate = 0.0, 1.0
        self._rest_since_s = -math.inf
        self._accepted_stamp_s = self._accepted_at_s = -math.inf
        self._recent: deque[np.ndarray] = deque(maxlen=max(4, round(config.deviation_window_s / config.period_s)))
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
        if self._state is not State.FAULT or self._profile is not None:
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
            elif self._measured is not None and seen.stamp_s <= self._measured.stamp_s:
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
        chunk = read_actions(config.joint_names, config.gripper_joint, config.gripper_max_width_m, self._limits,
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
        missed = self._observe_clock(now_s)
        restarted = self._start_stream()
        self._watch()
        if not restarted and self._profile is not None:
            self._catch_up(missed)
            if self._profile is not None:
                self._advance()
        return self._command(restarted)

    def statistics(self, now_s: float) -> Statistics:
        """Counters since the start, ages at now_s."""
        seen = -math.inf if self._measured is None else self._measured.received_s
        return Statistics(
            accepted=self._accepted, rejected=dict(self._rejected), stops=dict(self._stops),
            joint_states_rejected=dict(self._states_rejected), last_rejection=self._last_rejection,
            limit_violations=self._violations, gaps=self._gaps, longest_gap_s=self._longest_gap_s,
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
        if age < -config.max_lead_s or chunk.first_s > config.max_lead_s:
            return Refusal("future", f"The chunk is stamped {-age:.2f} s ahead and begins {chunk.first_s:.2f} s after "
                                     f"its stamp; valid is up to {config.max_lead_s:g} s: synchronise the clocks.")
        positions, dt_s = chunk.positions, chunk.dt_s / config.velocity_scale
        if config.mode == "sync" and config.execution_horizon:
            positions = positions[:max(config.execution_horizon, 2)]
        speed = np.abs(np.diff(positions, axis=0)) / dt_s / self._shaping.velocity
        if speed.max() > config.max_speed_ratio:
            k, i = np.unravel_index(np.argmax(speed), speed.shape)
            return Refusal("jump", f"The chunk moves {config.joint_names[i]} by "
                                   f"{abs(positions[k + 1, i] - positions[k, i]):.3f} rad between actions {k} and "
                                   f"{k + 1}, {speed.max():.1f} times the velocity limit; valid is up to "
                                   f"{config.max_speed_ratio:g} times: look at the controller's output.")
        stretch = max(1.0, float(speed.max()))
        start_s = self._now_s if config.mode == "sync" else chunk.stamp_s + chunk.first_s / config.velocity_scale
        path = ChunkPath(positions, dt_s * stretch, start_s, config.settle_s, config.smoothing)
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
        if self._profile is None or self._silent() > 0:
            return Refusal("waiting", "The streamer has no fresh joint state yet, so it takes no chunk; start the arm's "
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
        here = self._profile.motion.q if self._splice is None else self._splice.at(np.array([time_s]))[0][0]
        i = int(np.argmax(np.abs(first - here)))
        jump, limit = abs(first[i] - here[i]), self.config.max_jump_rad
        if jump <= limit:
            return None
        return Refusal("jump", f"The chunk's first due action wants {self.config.joint_names[i]} at {first[i]:.3f} rad, "
                               f"{jump:.3f} rad from the command then; valid is up to {limit:g} rad: check the "
                               "controller, its joint order and the clocks.")

    def _enter_pending(self) -> None:
        """Join the waiting chunk when its first action is due."""
        if self._pending is None or self._path_s < self._pending[1].start_s - 1e-9:
            return
        self._actions, path = self._pending
        self._pending = None
        if path.end_s <= self._path_s:
            self._reason = "The chunk waited until all its actions were past; waiting for another."
            return
        self._splice = splice(path, self._profile.motion, self._path_s, self.config.blend_acceleration,
                              self.config.max_blend_s)
        self._state, self._reason = State.TRACKING, ""

    # ---- watchdogs

    def _observe_clock(self, now_s: float) -> int:
        """Note the time of a step; number of missed periods that the arm moved on without us."""
        period, last_s = self.config.period_s, self._now_s
        if not math.isfinite(now_s):
            now_s = last_s + period if math.isfinite(last_s) else 0.0
        self._now_s = now_s
        if not math.isfinite(last_s):
            self._path_s = now_s
            return 0
        gap = now_s - last_s
        self._longest_gap_s = max(self._longest_gap_s, gap)
        self._late += gap >= 1.5 * period
        if gap < -period:
            self._gaps += 1
            self._forget_times(now_s)
            self._begin_stop("clock", f"The clock jumped back by {-gap:.3f} s; chunks are timed by it, so the arm stops.")
        elif gap > self.config.max_gap_s:
            self._gaps += 1
            self._begin_stop("gap", f"No step came for {gap:.3f} s (limit {self.config.max_gap_s:g} s); the machine is "
                                    "overloaded or the process was paused, so the arm stops.")
        missed = max(0, round(gap / period) - 1) if self.config.receiver_follows_horizon else 0
        return min(missed, 1000)

    def _forget_times(self, now_s: float) -> None:
        self._pending = None
        self._rest_since_s = self._accepted_stamp_s = -math.inf
        self._accepted_at_s = min(self._accepted_at_s, now_s)
        if self._measured is not None:
            self._measured = Measurement(self._measured.q, self._measured.dq, -math.inf,
                                         min(self._measured.received_s, now_s))

    def _silent(self) -> float:
        """For how long the joint states have been too old, s; 0 while they are fresh."""
        if self._measured is None:
            return math.inf
        return max(0.0, self._now_s - self._measured.received_s - self.config.joint_state_timeout_s)

    def _start_stream(self) -> bool:
        """Begin at the measured position where commands are wanted and none flow; True if that happened."""
        if self._profile is not None or not self._enabled or self._fault:
            if self._profile is None and not self._fault:
                self._reason = "The streamer is disabled; enable it to move the arm."
            return False
        if self._silent() > 0:
            hint = self._last_state_refusal or "start the arm's driver and check the topic's name."
            self._reason = f"Waiting for joint states: {hint}"
            return False
        q, slack = self._measured.q, self.config.start_tolerance_rad
        outside = np.maximum(self._limits.lower - q, q - self._limits.upper)
        i = int(np.argmax(outside))
        if outside[i] > slack:
            self._reason = (f"{self.config.joint_names[i]} is measured at {q[i]:.3f} rad, outside "
                            f"[{self._limits.lower[i]:.4f}, {self._limits.upper[i]:.4f}]; move the arm back by hand.")
            return False
        start = np.clip(q, self._limits.lower, self._limits.upper)
        self._profile = Profile(self._shaping, self.config.period_s, start)
        self._state, self._reason, self._relieved = State.HOLDING, "Waiting for a chunk.", False
        self._splice = self._actions = self._pending = None
        self._path_s, self._rate, self._rest_since_s = self._now_s, 1.0, -math.inf
        self._recent.clear()
        self._record(start)
        return True

    def _watch(self) -> None:
        """Evaluate what only time can tell."""
        if self._profile is None or self._fault:
            return
        if not self._enabled:
            self._pending = None
            self._begin_stop("disabled", "The streamer is disabled; enable it to move the arm.")
            self._state = State.STOPPING
            return
        silent, config = self._silent(), self.config
        if silent > 0:
            age = silent + config.joint_state_timeout_s
            hint = self._last_state_refusal or "Look at the arm's driver and the network."
            if age > config.joint_state_fault_s:
                self._begin_fault("joint_states", f"No usable joint state for more than {config.joint_state_fault_s:g} s. "
                                                  f"{hint}")
            else:
                self._pending = None
                self._begin_stop("joint_states", f"No usable joint state for {age:.2f} s (limit "
                                                 f"{config.joint_state_timeout_s:g} s). {hint}")
            return
        if self._reason_kind == "joint_states" and self._state is State.HOLDING:
            self._reason_kind, self._reason = "", "Waiting for a chunk."
        if not self._recent:
            return
        recent = np.array(self._recent)
        q = self._measured.q
        deviation = np.maximum(recent.min(axis=0) - q, q - recent.max(axis=0))
        i = int(np.argmax(deviation))
        if deviation[i] > config.max_deviation_rad:
            self._begin_fault("deviation", f"{config.joint_names[i]} is measured at {q[i]:.3f} rad, "
                                           f"{deviation[i]:.3f} rad from its command (limit "
                                           f"{config.max_deviation_rad:g} rad); is it blocked, or in a reflex stop? Clear "
                                           "that, then reset the fault.")

    def _begin_stop(self, kind: str, reason: str) -> None:
        """Give up the chunk and stop; while at rest, only say why nothing moves."""
        if self._profile is None or self._fault:
            return
        self._reason, self._reason_kind = reason, kind
        if self._state is State.HOLDING:
            self._pending = None
            return
        if self._splice is not None:
            self._stops[kind] += 1
        self._splice = self._actions = self._pending = None
        self._state = State.STOPPING

    def _begin_fault(self, kind: str, reason: str) -> None:
        self._begin_stop(kind, reason)
        self._fault = self._reason = reason
        self._stops["fault"] += 1
        self._state = State.STOPPING

    # ---- motion

    def _catch_up(self, missed: int) -> None:
        """Move along what the last horizon promised, as the arm did while no step came."""
        for k in range(missed):
            if self._profile is not None:
                self._advance(follow=k < PREVIEW)
        if missed > PREVIEW and self._splice is not None:
            self._splice = splice(self._splice.path, self._profile.motion, self._path_s,
                                  self.config.blend_acceleration, self.config.max_blend_s)

    def _advance(self, follow: bool = True) -> None:
        """Advance the command by one period; follow=False: along the stop that ends the horizon."""
        profile = self._profile
        if self._state is not State.STOPPING or self._splice is not None:
            self._enter_pending()
        self._tick()
        if self._splice is None:
            profile.stop()
            if profile.motion.at_rest:
                self._come_to_rest()
        elif follow:
            profile.track(self._reference(-self.config.period_s), self._rest_within() + self.config.period_s)
            self._watch_end()
        else:
            profile.stop()
        if self._profile is not None:
            self._record(profile.motion.q)

    def _tick(self) -> None:
        """Advance the time along the path by about one period: the clock is only approached, so its jitter is kept out.

        A chunk is thus played up to 3 % faster or slower until a delay is made up; its speed changes gently.
        """
        if self._splice is None:
            self._path_s, self._rate = self._now_s, 1.0
            return
        period = self.config.period_s
        late = self._now_s - self._path_s - period
        self._rate += min(max(1.0 + min(max(late, -0.03), 0.03) - self._rate, -0.001), 0.001)
        self._path_s += period * self._rate

    def _reference(self, ahead_s: float = 0.0) -> Reference:
        """The path, seen from ahead_s after the time that it is followed at."""
        motion, start_s, rate = self._splice, self._path_s + ahead_s * self._rate, self._rate

        def at(times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            q, dq, ddq = motion.at(start_s + rate * times_s)
            return q, dq * rate, ddq * rate**2

        return at

    def _rest_within(self) -> float:
        return self._splice.path.end_s + self.config.rest_after_s - max(self._path_s, self._now_s)

    def _watch_end(self) -> None:
        path = self._splice.path
        if self._path_s <= path.end_s:
            return
        self._state = State.STOPPING
        if not self._fault:
            waits = self.config.mode == "async" and self._pending is None
            self._reason = "The chunk has ended and no new one has come." if waits else ""
        if self._profile.motion.at_rest and self._path_s >= path.rest_s:
            self._come_to_rest()

    def _come_to_rest(self) -> None:
        self._splice = self._actions = None
        if self._state is State.HOLDING:
            return
        self._rest_since_s = self._now_s
        if self._fault:
            if not self._relieve():
                self._state, self._profile = State.FAULT, None
            return
        self._state = State.HOLDING
        if not self._enabled:
            self._profile = None
        elif not self._reason:
            self._reason = "Waiting for a chunk."

    def _relieve(self) -> bool:
        """Lead the command gently back to where the arm is, once, so that it neither presses on nor jumps at the reset."""
        if self._relieved or self._silent() > 0:
            return False
        self._relieved = True
        q = np.clip(self._measured.q, self._limits.lower, self._limits.upper)
        path = ChunkPath(np.stack([q, q]), 1.0, self._path_s, self.config.settle_s)
        self._splice = splice(path, self._profile.motion, self._path_s, acceleration=1.0, longest_s=1.0)
        return True

    def _record(self, q: np.ndarray) -> None:
        """Remember a command, and count it if its finite differences break a limit of the arm."""
        self._recent.append(q)
        last = np.array([self._recent[-k] for k in range(min(4, len(self._recent)), 0, -1)])
        limits, period = self._limits, self.config.period_s
        broken = bool(((q < limits.lower) | (q > limits.upper)).any())
        for order, most in enumerate((limits.velocity, limits.acceleration, limits.jerk)[:len(last) - 1], start=1):
            difference = np.diff(last, order, axis=0)[-1] / period**order
            broken |= bool((np.abs(difference) > most * (1 + 1e-6)).any())
        self._violations += broken

    def _command(self, restarted: bool) -> Command:
        if self._profile is None:
            none = np.empty((0, 7))
            return Command(self._state, self._reason, False, None, None, None, np.empty(0), none, none, none,
                           self._width_m, False)
        tracking = self._splice is not None
        if tracking and self._actions is not None and self._actions.widths_m is not None:
            self._width_m = float(self._actions.widths_m[self._splice.path.action_at(self._path_s)])
        horizon = self._profile.horizon(PREVIEW, self._reference() if tracking else None,
                                        self._rest_within() if tracking else math.inf)
        wants = (self._enabled and not self._fault and self._pending is None and self._silent() == 0
                 and (self.config.mode == "async" or self._state is State.HOLDING))
        motion = self._profile.motion
        return Command(self._state, self._reason, wants, motion.q, motion.dq, motion.ddq, *horizon, self._width_m,
                       restarted)
