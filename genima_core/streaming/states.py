"""The streamer's states, events and transitions as one table, the kinds of reason, and what the streamer says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np


class State(StrEnum):
    """What others see of a `Mode`."""

    HOLDING = "holding"
    TRACKING = "tracking"
    STOPPING = "stopping"
    FAULT = "fault"


class Mode(StrEnum):
    OFF = "off"
    """Nothing is commanded: disabled, or something is missing."""
    HOLDING = "holding"
    """Commanded, and at rest."""
    TRACKING = "tracking"
    """A chunk is executed, or targets are followed."""
    ENDING = "ending"
    """The chunk ran out: on the way to rest on its last action; a new chunk is still joined."""
    STOPPING = "stopping"
    """On the shortest way to rest; then it continues."""
    RETIRING = "retiring"
    """Likewise; then nothing is commanded, because meanwhile somebody else may move the arm."""
    FAULTING = "faulting"
    """Likewise; then FAULT."""
    RELIEVING = "relieving"
    """A blocked arm's command goes back to where the arm is; then FAULT."""
    FAULT = "fault"
    """Nothing is commanded until somebody resets it."""


class Event(StrEnum):
    START = "start"
    """Enabled, and everything that is needed is there."""
    JOIN = "join"
    """A chunk's first action is due, or a target came."""
    END = "end"
    """The last action of a chunk is past."""
    STOP = "stop"
    """Something is wrong; the stream continues when it is over."""
    RETIRE = "retire"
    """Disabled, or the arm left its move mode."""
    FAIL = "fail"
    """Something is wrong that a person should look at."""
    EMERGENCY = "emergency"
    RELIEVE = "relieve"
    """At rest after a fault, and the command may go back to where the arm is."""
    REST = "rest"
    """The command is at rest, and at the end of its path."""
    ENABLE = "enable"
    PLACE = "place"
    """A simulated arm was put somewhere else."""
    RESET = "reset"


_M = Mode
_STREAMING = (_M.HOLDING, _M.TRACKING, _M.ENDING, _M.STOPPING)
TRANSITIONS: Mapping[Event, Mapping[Mode, Mode]] = {
    Event.START: {_M.OFF: _M.HOLDING},
    Event.JOIN: {_M.HOLDING: _M.TRACKING, _M.ENDING: _M.TRACKING},
    Event.END: {_M.TRACKING: _M.ENDING},
    Event.STOP: {_M.TRACKING: _M.STOPPING, _M.ENDING: _M.STOPPING, _M.RELIEVING: _M.FAULTING},
    Event.RETIRE: {**dict.fromkeys(_STREAMING, _M.RETIRING), _M.RELIEVING: _M.FAULTING},
    Event.FAIL: {**dict.fromkeys(_STREAMING, _M.FAULTING), _M.RELIEVING: _M.FAULTING},
    Event.EMERGENCY: {_M.OFF: _M.FAULT, **dict.fromkeys((*_STREAMING, _M.RETIRING, _M.RELIEVING), _M.FAULTING)},
    Event.RELIEVE: {_M.FAULTING: _M.RELIEVING},
    Event.REST: {
        **dict.fromkeys((_M.TRACKING, _M.ENDING, _M.STOPPING), _M.HOLDING),
        _M.RETIRING: _M.OFF,
        **dict.fromkeys((_M.FAULTING, _M.RELIEVING), _M.FAULT),
    },
    Event.ENABLE: {_M.RETIRING: _M.STOPPING},
    Event.PLACE: {
        **dict.fromkeys((*_STREAMING, _M.RETIRING), _M.OFF),
        **dict.fromkeys((_M.FAULTING, _M.RELIEVING), _M.FAULT),
    },
    Event.RESET: {_M.FAULT: _M.OFF},
}
"""Where an event leads from each mode; what is not named leaves the mode as it is."""

SILENT = (Mode.OFF, Mode.FAULT)
"""Nothing is commanded."""
FAULTS = (Mode.FAULTING, Mode.RELIEVING, Mode.FAULT)
STATES: Mapping[Mode, State] = {
    Mode.OFF: State.HOLDING,
    Mode.HOLDING: State.HOLDING,
    Mode.TRACKING: State.TRACKING,
    Mode.FAULT: State.FAULT,
    **dict.fromkeys((Mode.ENDING, Mode.STOPPING, Mode.RETIRING, Mode.FAULTING, Mode.RELIEVING), State.STOPPING),
}


class Reason(StrEnum):
    """Kinds of reasons: of a state, of a stop, and of an input that is not used."""

    NONE = ""
    # of a state
    WAITING = "waiting"
    """Nothing is wrong; something has to come first."""
    ENDED = "ended"
    DISABLED = "disabled"
    EMERGENCY = "emergency"
    FAULT = "fault"
    # of an input, whenever it comes
    SIZE = "size"
    NAMES = "names"
    SHAPE = "shape"
    NAN = "nan"
    TIMES = "times"
    LIMITS = "limits"
    GRIPPER = "gripper"
    # of an input at this moment
    STALE = "stale"
    FUTURE = "future"
    PAST = "past"
    JUMP = "jump"
    BUSY = "busy"
    OLDER = "older"
    LATE = "late"
    LOCKED = "locked"
    # of a watchdog
    JOINT_STATES = "joint_states"
    DEVIATION = "deviation"
    ARM = "arm"
    COMMANDERS = "commanders"
    TARGETS = "targets"
    COLLISION = "collision"
    CLOCK = "clock"
    GAP = "gap"
    PLACED = "placed"
    OPERATOR = "operator"
    LEADER = "leader"
    FOLLOWER = "follower"
    STREAMER = "streamer"
    DRAWING = "drawing"
    RIG = "rig"


class Commander(StrEnum):
    """Who commands the arm; data sets hold its place in this order."""

    NONE = "none"
    """Nobody yet, or neither: a stop, the approach to the leader, targets of another sender than the leader."""
    POLICY = "policy"
    """Its chunk is executed, or was, and the arm waits for the next one."""
    HUMAN = "human"
    """The follower mirrors the leader."""


_R = Reason
HARMLESS = frozenset(
    (_R.BUSY, _R.OLDER, _R.DISABLED, _R.EMERGENCY, _R.FAULT, _R.WAITING, _R.ARM, _R.COMMANDERS, _R.LATE, _R.LOCKED)
) | {_R.OPERATOR}
"""Refusals that say nothing against what the arm is doing now, so they stop nothing."""


@dataclass(frozen=True)
class Refusal:
    """Why an input is not used, or why nothing moves."""

    kind: Reason
    text: str
    """One sentence for people: what was given, what is valid, the remedy; "" when there is nothing to say."""


@dataclass(frozen=True)
class Trouble(Refusal):
    """Why the arm must not be moved, and what follows."""

    event: Event
    """STOP: it continues when the trouble is over. RETIRE: when somebody enables it. FAIL: when somebody resets it."""


NOTHING = Refusal(Reason.NONE, "")
WAITING = Refusal(Reason.WAITING, "Waiting for a chunk.")
ENDED = Refusal(Reason.ENDED, "The chunk has ended and no new one has come.")
WAITED = Refusal(Reason.PAST, "The chunk waited until all its actions were past; waiting for another.")
DISABLED = Trouble(Reason.DISABLED, "The streamer is disabled; to move the arm: genima enable.", Event.RETIRE)
EMERGENCY = Refusal(
    Reason.EMERGENCY, "The emergency stop was called. When nobody is in danger: genima reset, then genima enable."
)
TAKEN_OVER = Refusal(
    Reason.OPERATOR, "The operator has taken over; chunks are welcome when the arm is given back: genima disengage."
)
UNAPPROVED = Refusal(
    Reason.WAITING, "Nobody has approved of the chunk; in confirm mode each one needs that: genima approve."
)
CONFIRMS = Refusal(Reason.WAITING, "From now on each chunk waits for a person's yes: genima approve.")
PLACED = Refusal(Reason.PLACED, "The simulated arm was put somewhere else; continuing from there.")


def first_refusal(problems: Iterator[tuple[Reason, str]]) -> Refusal | None:
    """The first of some problems; what follows it is not looked for."""
    return next((Refusal(kind, text) for kind, text in problems), None)


@dataclass(frozen=True)
class Status:
    """What a state machine reports."""

    state: StrEnum
    reason: Reason = Reason.NONE
    text: str = ""
    """One sentence: why it is so, or what is odd; "" when there is nothing to say."""

    def __str__(self) -> str:
        return f"{self.state}: {self.text}" if self.text else str(self.state)


def _no_points() -> np.ndarray:
    return np.empty((0, 7))


@dataclass(frozen=True, eq=False)
class Command(Status):
    """What one period asks of the arm, and the streamer's `State` with its reason."""

    wants_chunk: bool = False
    """Sync mode: the arm is at rest and the next chunk may come. Async mode: chunks are welcome."""
    q: np.ndarray | None = None
    """(7,) rad, set point for now; None means: publish nothing (no joint state yet, disabled, at rest in FAULT)."""
    dq: np.ndarray | None = None
    ddq: np.ndarray | None = None
    horizon_times_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    """(H,) s from now, strictly increasing, H >= 2, the first one period ahead; empty when q is None."""
    horizon_q: np.ndarray = field(default_factory=_no_points)
    """(H, 7) rad, for receivers that interpolate: ends at rest, so that a dead streamer means a smooth stop."""
    horizon_dq: np.ndarray = field(default_factory=_no_points)
    horizon_ddq: np.ndarray = field(default_factory=_no_points)
    gripper_width_m: float | None = None
    """None until a chunk or a target has said something about the gripper."""
    restarted: bool = False
    """True for the first command of a stream, which equals the measured position."""
    taken_over: bool = False
    """By the operator, who has not given the arm back."""
    commander: Commander = Commander.NONE

    @property
    def status(self) -> Status:
        return Status(self.state, self.reason, self.text)


@dataclass(frozen=True)
class Statistics:
    """Counters since the start; ages now, inf before the first. `Reason`s are those of refusals, or of stops."""

    accepted: int
    """Chunks."""
    rejected: Mapping[Reason, int]
    joint_states_rejected: Mapping[Reason, int]
    stops: Mapping[Reason, int]
    """Before the end of a chunk."""
    limit_violations: int
    """Commands whose finite differences exceeded a limit of the arm: 0 unless there is a bug."""
    gaps: int
    """Steps more than max_gap_s after the one before, or before it."""
    joint_state_age_s: float
    chunk_age_s: float
    observation_age_s: float
    targets_accepted: int
    targets_rejected: Mapping[Reason, int]
    target_age_s: float
    follow_latency_s: tuple[float, float, float]
    """p50, p99 and largest of the last times from a target's stamp to the first command that used it; NaN before."""
