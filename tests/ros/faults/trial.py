"""One fault while the arm moves: how long until it is still, what is shown, and what it takes to go on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from std_srvs.srv import Trigger

from genima_core.streaming.states import State
from genima_core.targets.gate import GateState

from .faulty_cell import FaultyCell

AFTER_LIMIT_S = 0.3
"""The arm must be still so long after the watchdog's limit."""
WATCHED_S = 0.4
"""It must then stay so."""
PATIENCE_S = 30.0
MOVING = {"policy": 0.25, "script": 0.8}
"""rad/s of the fastest joint when a fault strikes."""
ATTEMPTS = 4
LONGEST_PAUSE_S = 0.1
MOST_FALSE_ALARMS = 2
"""Of the target gate, on the way on; what it says of a fault itself is answered before."""
RESTING = 0.1
"""rad/s."""
SCRIPT_TRIED_S = 2.0
"""A script that was refused begins again, from where the arm is then."""


@dataclass(frozen=True)
class Strike:
    """What is known when a fault strikes."""

    at_s: float
    """ROS time."""
    speed: float
    """rad/s of the fastest joint."""


@dataclass(frozen=True)
class Limit:
    """When a watchdog notices, and where that stands in the configuration."""

    source: str
    after_s: Callable[[FaultyCell, Strike], float]
    """Seconds after the strike."""


@dataclass(frozen=True)
class GoOn:
    """What it takes to go on once the cause is gone."""

    words: str
    act: Callable[[FaultyCell], None] | None = None
    """None where it goes on by itself; else it must not before this."""


@dataclass(frozen=True)
class Fault:
    name: str
    motion: Literal["policy", "script"]
    """What moves the arm: the models, or chunks of a known motion where they are not the point."""
    strike: Callable[[FaultyCell], None]
    limit: Limit | None
    """None where the arm should not stop."""
    says: tuple[str, str]
    """Who (a node's diagnostics, or the topic streamer_state or gate), and what as a regular expression."""
    go_on: GoOn
    mend: Callable[[FaultyCell], None] = lambda cell: None
    """Ends what the wire does not."""
    lasts_s: float = 0.0
    """It is not ended sooner."""
    said_after: bool = False
    """Whether the message can only come when it has ended."""
    check: Callable[[FaultyCell, Strike], None] = lambda cell, strike: None
    """What else must hold of the motion since the strike."""
    quick: bool = True
    """Whether the tests run it; `genima bench faults` runs all."""


@dataclass(frozen=True)
class Outcome:
    """What happened."""

    fault: str
    speed: float
    """rad/s when it struck."""
    limit_s: float | None
    """From the strike to the watchdog's limit."""
    still_s: float | None
    """From the strike to the still arm; None of one that should not stop."""
    message: str
    resumed_s: float
    """From the operator's action, or the end of the fault, until the arm moved again."""
    went_on: bool
    """Whether the arm moved again before anybody did what it takes."""
    pause_s: float
    """Longest pause of the simulator, from the strike until then."""

    @property
    def after_limit_s(self) -> float | None:
        return None if self.still_s is None else self.still_s - self.limit_s

    @property
    def passed(self) -> bool:
        """The arm was still in time if it had to be, and stayed so as long as it had to."""
        return self.still_s is None or (self.still_s <= self.limit_s + AFTER_LIMIT_S and not self.went_on)

    @property
    def void(self) -> bool:
        """A busy machine kept the simulator from moving the arm, so how it moved says nothing."""
        return not self.passed and self.pause_s > LONGEST_PAUSE_S


def run_trial(cell: FaultyCell, fault: Fault) -> Outcome:
    """The outcome of the first trial in which the simulator kept up; see `_try` for errors."""
    for _ in range(ATTEMPTS):
        outcome = _try(cell, fault)
        if not outcome.void:
            return outcome
    raise TimeoutError(
        f"the simulator paused for up to {outcome.pause_s:.2f} s in {ATTEMPTS} trials of "
        f"{fault.name!r}: the machine is too busy"
    )


def _try(cell: FaultyCell, fault: Fault) -> Outcome:
    """Moves, strikes, measures, goes on.

    Raises:
        TimeoutError: the arm did not move before, was never still, nothing was said, or it did not go on.
        AssertionError: it moved as it must not.
    """
    move(cell, fault.motion)
    strike = Strike(cell.now_s(), cell.arm.last.speed)
    try:
        fault.strike(cell)
        if fault.limit is None:
            return _go_on_through(cell, fault, strike)
        cell.wait(
            lambda: _is_over(cell, fault, strike),
            f"a still arm after {fault.name!r} and the message {fault.says[1]!r} of {fault.says[0]}",
            PATIENCE_S,
        )
        limit_s = fault.limit.after_s(cell, strike)
        still_s = cell.arm.still_since(strike.at_s) - strike.at_s
    finally:
        cell.wire.mend()
        fault.mend(cell)
    message = _hear(cell, fault, strike)
    fault.check(cell, strike)
    mended_s, went_on = cell.now_s(), False
    if fault.go_on.act is not None:
        if cell.script is not None:
            cell.begin_script()
        cell.wait_for(WATCHED_S)
        went_on = cell.arm.still_since(mended_s) > mended_s
        fault.go_on.act(cell)
    begin_s = cell.now_s()
    pause_s = cell.arm.longest_pause_s(strike.at_s, begin_s)
    go(cell, fault.motion, f"motion after {fault.name!r}")
    return Outcome(fault.name, strike.speed, limit_s, still_s, message, cell.now_s() - begin_s, went_on, pause_s)


def _go_on_through(cell: FaultyCell, fault: Fault, strike: Strike) -> Outcome:
    """Of a fault that must not stop the arm."""
    cell.wait_for(max(fault.lasts_s, WATCHED_S))
    go(cell, fault.motion, f"motion after {fault.name!r}")
    moved_s = cell.now_s() - strike.at_s
    message = _hear(cell, fault, strike)
    fault.check(cell, strike)
    return Outcome(fault.name, strike.speed, None, None, message, moved_s, False, 0.0)


def _hear(cell: FaultyCell, fault: Fault, strike: Strike) -> str:
    cell.wait(lambda: cell.heard(*fault.says, strike.at_s), f"the message {fault.says[1]!r}", PATIENCE_S)
    return cell.heard(*fault.says, strike.at_s)


def move(cell: FaultyCell, motion: str) -> None:
    """Returns while the arm moves by the policy or by a script."""
    if cell.state is State.FAULT:  # of a trial that failed
        cell.do("sim", "error_recovery")
        cell.do("streamer", "reset_fault")
    if motion == "script":
        if cell.state is not State.TRACKING:
            cell.do("streamer", "enable", data=True)
        go(cell, motion, "scripted motion")
        return
    if cell.script is None and cell.state is State.TRACKING and moving(cell, motion):
        return
    for _ in range(ATTEMPTS):
        cell.next_scene()
        cell.do("streamer", "enable", data=True)
        try:
            cell.wait(lambda: moving(cell, motion), "motion by the policy", PATIENCE_S)
            return
        except TimeoutError:
            if cell.gate is not GateState.CLOSED:
                raise  # else a false alarm: another scene
    raise TimeoutError(f"the gate closed in {ATTEMPTS} scenes in a row")


def moving(cell: FaultyCell, motion: str) -> bool:
    """By a joint state that is new: on a busy machine what is heard may be old."""
    return cell.is_up_to_date() and cell.arm.last.speed > MOVING[motion]


def go(cell: FaultyCell, motion: str, what: str) -> None:
    """Returns when the arm moves; nothing is done for that but sending chunks, and looking at false alarms."""
    begun_s, false_alarms = -SCRIPT_TRIED_S, 0

    def moves() -> bool:
        nonlocal begun_s, false_alarms
        if motion == "policy" and cell.gate is GateState.CLOSED and false_alarms < MOST_FALSE_ALARMS:
            false_alarms, cell.gate = false_alarms + 1, None
            cell.service("controller", "resume").call_async(Trigger.Request())
        rests = cell.arm.last.speed < RESTING and cell.now_s() > begun_s + SCRIPT_TRIED_S
        if motion == "script" and (rests or cell.script is None):
            begun_s = cell.now_s()
            cell.begin_script()
        # A policy that has done its task keeps the arm where it is.
        done = motion == "policy" and cell.succeeded and cell.state is State.TRACKING
        return done or moving(cell, motion)

    cell.wait(moves, what, PATIENCE_S)


def _is_over(cell: FaultyCell, fault: Fault, strike: Strike) -> bool:
    """The limit is past, and the arm has been still since."""
    now_s, limit_s = cell.now_s(), fault.limit.after_s(cell, strike)
    watched = now_s > strike.at_s + max(limit_s + AFTER_LIMIT_S + WATCHED_S, fault.lasts_s)
    said = fault.said_after or cell.heard(*fault.says, strike.at_s) is not None
    return watched and said and cell.arm.still_for(WATCHED_S)
