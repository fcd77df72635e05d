"""What speaks against moving the arm now: the clock, its own status, its joint states, another commander."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from genima_core.arm import Arm
from genima_core.arm_status import ArmStatus, Level
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.playback import Playback
from genima_core.streaming.states import Event, Reason, Refusal, Trouble, first_refusal
from genima_core.timing import stamp_problem
from genima_core.types import JointState

MISSED_SHARE = 0.25
"""A command is counted as missed this share of a period before the next one is due."""
MOST_MISSED = 1000
STAMP_SLACK_S = 1e-4
"""Stamps that differ by less are the same, converted between clocks."""
JUMP_RATIO, JUMP_SLACK_RAD = 2.0, 0.05
"""An arm that seems to have turned further between two joint states than this times its greatest velocity, has not."""
SILENCE_S = 0.1
"""Joint states further apart than this say nothing about whether the arm jumped between them."""
REMEMBERED_S = 1.0
"""What is measured so soon after such a pause is not believed to be where the arm moved to."""
BLOCKED = "free the arm or recover it from its reflex stop"
STUCK_S = 0.1
"""Sensors have noise: seven numbers that stay the same for longer are no measurements."""


class StepClock:
    """Watches the times of the steps; counts pauses."""

    def __init__(self, period_s: float, max_gap_s: float, counts_missed: bool):
        """`counts_missed`: periods without a step moved the receiver on (see `Streamer`)."""
        self._period_s, self._max_gap_s, self._counts_missed = period_s, max_gap_s, counts_missed
        self.now_s = self.previous_s = math.nan
        """Times of the last step and of the one before."""
        self.awake_since_s = -math.inf
        """End of the last pause: what did not come before says nothing about those who send it."""
        self._commanded_s = math.nan  # until when commands have moved the receiver
        self.gaps = 0

    def observe(self, now_s: float) -> tuple[int, Refusal | None]:
        """A step at now_s: periods that the receiver moved on without us since the last, what is wrong with the time.

        A step without a time comes one period after the last. CLOCK: time went back. GAP: a pause.
        """
        if not math.isfinite(now_s):
            now_s = self.now_s + self._period_s if math.isfinite(self.now_s) else 0.0
        self.previous_s, self.now_s = self.now_s, now_s
        if not math.isfinite(self.previous_s):
            self._commanded_s = now_s
            return 0, None
        gap_s, interruption = now_s - self.previous_s, None
        if gap_s < -self._period_s:
            self._commanded_s = now_s - self._period_s
            text = f"The clock jumped back by {-gap_s:.3f} s; from now on inputs are timed by the new clock."
            interruption = Refusal(Reason.CLOCK, text)
        elif gap_s > self._max_gap_s:
            text = f"No step came for {gap_s:.3f} s (limit {self._max_gap_s:g} s); free a processor for this process"
            interruption = Refusal(Reason.GAP, f"{text}, or find out what paused it.")
        if interruption is not None:
            self.gaps += 1
            self.awake_since_s = now_s
        return self._count_missed() if self._counts_missed else 0, interruption

    def _count_missed(self) -> int:
        """By all steps so far: a timer that is late once is early the next time, and has missed nothing."""
        period = self._period_s
        self._commanded_s = min(self._commanded_s + period, self.now_s + period)
        periods = (self.now_s - self._commanded_s) / period + MISSED_SHARE
        missed = math.floor(min(max(0.0, periods), MOST_MISSED))
        self._commanded_s = self.now_s if missed == MOST_MISSED else self._commanded_s + missed * period
        return missed

    def silent_s(self, heard_s: float) -> float:
        """For how long somebody says nothing: while this process was paused nothing could come, and does not count."""
        return self.now_s - max(heard_s, self.awake_since_s)

    @property
    def heard_until_s(self) -> float:
        """Until when messages were surely handled: after a late step some may still wait for their turn."""
        if not math.isfinite(self.previous_s):
            return self.now_s
        return min(self.now_s, self.previous_s + 2 * self._period_s)


class ArmWatch:
    """Keeps what the arm said last; nothing is found unless `watch_arm_status` is set."""

    def __init__(self, config: StreamerConfig, clock: StepClock) -> None:
        self._on, self._timeout_s, self._clock = config.watch_arm_status, config.arm_status_timeout_s, clock
        self._last: ArmStatus | None = None
        self._refusal = ""
        self._heard_s = -math.inf

    def take(self, status: ArmStatus | Refusal, now_s: float) -> bool:
        """Whether a simulated arm says that it was put somewhere else since it spoke last."""
        if isinstance(status, Refusal):
            self._refusal = status.text
            return False
        placed = self._on and self._last is not None and status.placed != self._last.placed
        self._last, self._refusal, self._heard_s = status, "", now_s
        return placed

    def find_trouble(self) -> Trouble | None:
        """Why the arm must not be moved now; an error stays until it says otherwise."""
        if not self._on:
            return None
        if self._last is None:
            hint = self._refusal or "Start the arm monitor, or the simulated cell, and check the topic arm_status."
            return Trouble(Reason.ARM, f"Waiting for the arm's status. {hint}", Event.STOP)
        level, said = self._last.level, self._last.message
        if level is Level.ERROR:
            text = f"The arm reports {said or 'an error; look at its driver'}; then: genima recover."
            return Trouble(Reason.ARM, text, Event.FAIL)
        if (silent_s := self._clock.silent_s(self._heard_s)) > self._timeout_s:
            text = f"No status of the arm for {silent_s:.2f} s (limit {self._timeout_s:g} s)."
            event = Event.STOP if level is Level.OK else Event.RETIRE
            return Trouble(Reason.ARM, f"{text} {self._refusal or 'Look at the arm monitor.'}", event)
        if level is Level.WARN:
            text = f"The arm must not be moved: {said or 'it does not say why'}; then enable the streamer."
            return Trouble(Reason.ARM, text, Event.RETIRE)
        return None

    def forget_times(self, now_s: float) -> None:
        self._heard_s = min(self._heard_s, now_s)


class MeasurementWatch:
    """Keeps the newest usable joint state, and what speaks against believing it."""

    def __init__(self, arm: Arm, config: StreamerConfig, clock: StepClock):
        self._arm, self._config, self._clock = arm, config, clock
        self.last: JointState | None = None
        self.received_s = -math.inf
        self.rejected: Counter[Reason] = Counter()
        self.last_refusal = ""
        """Of a joint state, "" if the newest one is used."""
        self._jumped = False
        self._same_since_s, self._silent_until_s = math.inf, -math.inf
        self._forgotten_s = -math.inf

    def take(self, state: JointState | Refusal, now_s: float) -> Refusal | None:
        """None, or why a joint state is not used: see `Streamer.on_joint_state`."""
        refusal = state if isinstance(state, Refusal) else first_refusal(self._untimely(state, now_s))
        if refusal is not None:
            self.rejected[refusal.kind] += 1
            self.last_refusal = refusal.text
        elif isinstance(state, JointState):
            self._compare(state)
            self.last, self.received_s, self.last_refusal = state, now_s, ""
        return refusal

    def _untimely(self, state: JointState, now_s: float) -> Iterator[tuple[Reason, str]]:
        limit_s, stamp_s = self._config.joint_state_timeout_s, state.stamp_s
        if not abs(now_s - stamp_s) <= limit_s:
            yield Reason.STALE, stamp_problem("The joint state", stamp_s, now_s, limit_s, "the driver")
        if stamp_s < self._forgotten_s:
            yield Reason.OLDER, "The joint state is from before the arm was put somewhere else."
        if self.last is not None and stamp_s < self.last.stamp_s + STAMP_SLACK_S:
            before = f"after the one before ({self.last.stamp_s:.3f} s); look at the driver of the arm."
            yield Reason.OLDER, f"The joint state's stamp {stamp_s:.3f} s is not {before}"

    def _compare(self, state: JointState) -> None:
        """Remembers what no arm does: to be elsewhere at once, or to give the same numbers again and again."""
        since_s = math.inf if self.last is None else state.stamp_s - self.last.stamp_s
        if self.last is None or since_s > SILENCE_S:
            self._silent_until_s = self._same_since_s = state.stamp_s
            return
        turned = np.abs(state.q - self.last.q)
        within = JUMP_RATIO * self._arm.limits.velocity * since_s + JUMP_SLACK_RAD
        self._jumped = self._jumped or not (turned <= within).all()
        if turned.any():
            self._same_since_s = state.stamp_s

    @property
    def doubt(self) -> str:
        """What speaks against the measured position since the stream began; "" if nothing does."""
        if self._jumped:
            return "the joint states jump"
        stamp_s = -math.inf if self.last is None else self.last.stamp_s
        if stamp_s - self._same_since_s > STUCK_S:
            return "the joint states repeat the same numbers"
        return "the joint states paused" if stamp_s - self._silent_until_s < REMEMBERED_S else ""

    @property
    def fresh(self) -> bool:
        return self.last is not None and self._clock.now_s - self.received_s <= self._config.joint_state_timeout_s

    @property
    def awake(self) -> bool:
        """One came since the last pause of this process."""
        return self.received_s >= self._clock.awake_since_s

    def start(self) -> np.ndarray | Refusal:
        """Where commands may begin (7,), or why they may not."""
        if self.last is None or not self.fresh:
            hint = self.last_refusal or "Start the arm's driver and check the topic's name."
            return Refusal(Reason.WAITING, f"Waiting for joint states. {hint}")
        limits, q = self._arm.limits, self.last.q
        self._jumped, self._silent_until_s = False, -math.inf
        outside = np.maximum(limits.lower - q, q - limits.upper) - self._config.start_tolerance_rad
        if outside[i := int(np.argmax(outside))] > 0:
            name, low, high = self._arm.joint_names[i], limits.lower[i], limits.upper[i]
            text = f"{name} is measured at {q[i]:.3f} rad, outside [{low:.4f}, {high:.4f}]; move the arm back by hand."
            return Refusal(Reason.LIMITS, text)
        return np.clip(q, limits.lower, limits.upper)

    def find_silence(self) -> Trouble | None:
        silent_s, config = self._clock.silent_s(self.received_s), self._config
        if silent_s <= config.joint_state_timeout_s:
            return None
        hint = self.last_refusal or "Look at the arm's driver and the network."
        if silent_s > config.joint_state_fault_s:
            text = f"No usable joint state for more than {config.joint_state_fault_s:g} s. {hint}"
            return Trouble(Reason.JOINT_STATES, text, Event.FAIL)
        text = f"No usable joint state for {silent_s:.2f} s (limit {config.joint_state_timeout_s:g} s). {hint}"
        return Trouble(Reason.JOINT_STATES, text, Event.STOP)

    def find_deviation(self, playback: Playback) -> Trouble | None:
        if self.last is None:
            return None
        deviation, limit = playback.deviation(self.last.q), self._config.max_deviation_rad
        if deviation[i := int(np.argmax(deviation))] <= limit:
            return None
        remedy = f"{self.doubt}: look at the arm's driver" if self.doubt else BLOCKED
        away = f"{deviation[i]:.3f} rad from its command (limit {limit:g} rad)"
        given = f"{self._arm.joint_names[i]} is measured at {self.last.q[i]:.3f} rad, {away}"
        return Trouble(Reason.DEVIATION, f"{given}; {remedy}, then: genima reset.", Event.FAIL)

    def forget(self, now_s: float) -> None:
        """What was measured before is no longer so, even if it arrives later."""
        self.last, self.received_s, self._forgotten_s = None, -math.inf, now_s

    def forget_times(self, now_s: float) -> None:
        self._forgotten_s = -math.inf
        if self.last is not None:
            self.last, self.received_s = replace(self.last, stamp_s=-math.inf), min(self.received_s, now_s)


class Watchdogs:
    def __init__(self, arm: Arm, config: StreamerConfig, receiver_follows_horizon: bool):
        self.clock = StepClock(config.period_s, config.max_gap_s, receiver_follows_horizon)
        self.status, self.measured = ArmWatch(config, self.clock), MeasurementWatch(arm, config, self.clock)
        self.commanders: tuple[str, ...] = ()
        """Who else commands the arm, or has the streamer's name."""

    def find_hindrance(self) -> Trouble | None:
        """Why the arm must not be moved, whoever wants it."""
        if (trouble := self.status.find_trouble()) is not None or not self.commanders:
            return trouble
        who, verb = ", ".join(dict.fromkeys(self.commanders)), "commands" if len(self.commanders) == 1 else "command"
        text = f"{who} {verb} the arm as well: end all but one (what was killed is forgotten after 20 s)"
        return Trouble(Reason.COMMANDERS, f"{text}, then enable the streamer.", Event.RETIRE)

    def find_trouble(self, playback: Playback, relieves: Refusal | None) -> Trouble | None:
        """The first thing wrong while commands flow; `relieves`: a fault after which the command goes to the arm."""
        trouble = self.find_hindrance() or self.measured.find_silence()
        if trouble is not None or self.measured.last is None:
            return trouble
        if relieves is not None:
            return Trouble(relieves.kind, relieves.text, Event.FAIL) if self.measured.doubt else None
        return self.measured.find_deviation(playback) if self.measured.awake else None

    def forget_times(self) -> None:
        self.measured.forget_times(self.clock.now_s)
        self.status.forget_times(self.clock.now_s)
