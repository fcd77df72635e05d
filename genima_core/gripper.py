"""Moves a gripper to the newest width that was asked for: a state machine, stepped with the time as an argument."""

from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite
from typing import Protocol

from genima_core.config import check_positive


@dataclass(frozen=True)
class GripperConfig:
    slack_m: float = 0.002
    """A width outside of 0 to the gripper's own by no more is taken as the nearest valid one; others are refused."""
    tolerance_m: float = 0.001
    """Widths nearer to each other are the same."""
    preempt_m: float = 0.005
    """A motion is cancelled for a width further from its own than this; a nearer one waits for its end, because a
    gripper that is stopped every 0.1 s never arrives."""
    accept_s: float = 1.0
    """Within this time the gripper accepts a goal, or refuses it."""
    finish_s: float = 5.0
    """Within this time it has moved."""
    cancel_s: float = 1.0
    """Within this time it has stopped."""
    retry_s: float = 0.5
    """After a failure; doubles with each that follows, up to retry_longest_s."""
    retry_longest_s: float = 8.0

    def __post_init__(self) -> None:
        check_positive(self, "slack_m tolerance_m preempt_m accept_s finish_s cancel_s retry_s")
        if self.preempt_m < self.tolerance_m:
            raise ValueError(f"preempt_m is {self.preempt_m}; it must be at least tolerance_m, {self.tolerance_m}")
        if not self.retry_s <= self.retry_longest_s < inf:
            raise ValueError(f"retry_longest_s is {self.retry_longest_s}; it must be at least retry_s, {self.retry_s}")


@dataclass(frozen=True)
class Goal:
    number: int
    """Of this process; answers are told apart by it."""
    width_m: float
    closing: bool
    """Whether an object may stop the fingers."""


@dataclass(frozen=True)
class Answer:
    succeeded: bool
    stalled: bool = False
    message: str = ""


class Driver(Protocol):
    """Carries goals to a gripper; nothing waits, answers come to the state machine's `on_...`."""

    def ready(self) -> bool:
        """Whether somebody is there to take a goal."""

    def send(self, goal: Goal) -> None:
        """Begin a motion."""

    def cancel(self, number: int) -> None:
        """End it where the fingers are, as soon as the gripper has taken it on."""


class State(StrEnum):
    IDLE = "idle"
    """Nothing was asked for, or it is done."""
    ASKED = "asked"
    """A goal was sent; nobody has taken it on yet."""
    MOVING = "moving"
    STOPPING = "stopping"
    """Its end is awaited: a newer width is there, or it took too long."""
    WAITING = "waiting"
    """For a gripper that is not there, or for the time to try again."""


class GripperControl:
    """Newest width wins; at most one goal is under way; nothing here waits or raises.

    A goal without an answer in time is cancelled; one that does not even end then is given up and its gripper is called
    hanging. Failures are tried again after a growing pause; another width than the one that failed, after the shortest.
    """

    def __init__(self, config: GripperConfig, max_width_m: float, driver: Driver) -> None:
        self.config, self._max_width_m, self._driver = config, max_width_m, driver
        self.state = State.IDLE
        self.wanted_m: float | None = None
        self.goals = 0
        self.problem = ""
        """What is wrong now, in one sentence; "" for nothing."""
        self.hanging = False
        self._reached_m: float | None = None
        """Width of the last goal that succeeded, if nothing has moved the fingers since."""
        self._held_m: float | None = None
        """Width at which an object stopped the closing fingers."""
        self._measured_m: float | None = None
        self._goal: Goal | None = None
        self._until_s = 0.0
        self._failures = 0
        self._failed_m: float | None = None
        self._failed_s = -inf

    @property
    def holding(self) -> bool:
        """Whether an object is between the fingers."""
        return self._held_m is not None

    def command(self, width_m: float) -> str | None:
        """Ask for a width; None, or why it is refused and changes nothing."""
        limit_m, slack_m = self._max_width_m, self.config.slack_m
        if not isfinite(width_m) or not -slack_m <= width_m <= limit_m + slack_m:
            return f"a width of {width_m:g} m was asked for; valid is 0 to {limit_m:g} m"
        self.wanted_m = min(max(width_m, 0.0), limit_m)
        return None

    def measured(self, width_m: float) -> None:
        """Where the fingers are; a width that is no number is passed over."""
        if not isfinite(width_m):
            return
        self._measured_m = width_m
        if self._held_m is not None and width_m < self._held_m - self.config.preempt_m:
            self._held_m = self._reached_m = None  # what was held is gone: close on

    def step(self, now_s: float) -> None:
        if (goal := self._goal) is not None:
            self._watch(goal, now_s)
        if self._goal is None:
            self._begin(now_s)

    def _watch(self, goal: Goal, now_s: float) -> None:
        """What is too late, or no longer wanted, of the goal under way."""
        late, wanted_m = now_s >= self._until_s, goal.width_m if self.wanted_m is None else self.wanted_m
        if not self._driver.ready():
            self._give_up("the gripper has gone while it moved; look at its driver", now_s)
        elif self.state is State.ASKED and late:
            self._driver.cancel(goal.number)
            self._hang(f"the gripper has not accepted a goal for {self.config.accept_s:g} s", now_s)
        elif self.state is State.MOVING and late:
            self.problem = f"the gripper has not arrived within {self.config.finish_s:g} s; it is stopped"
            self._stop(goal, now_s)
        elif self.state is State.MOVING and abs(wanted_m - goal.width_m) > self.config.preempt_m:
            self._stop(goal, now_s)
        elif self.state is State.STOPPING and late:
            self._hang(f"the gripper has not stopped within {self.config.cancel_s:g} s", now_s)

    def on_accepted(self, number: int, now_s: float) -> None:
        if self._is_current(number) and self.state is State.ASKED:
            self.state, self._until_s = State.MOVING, now_s + self.config.finish_s

    def on_rejected(self, number: int, now_s: float) -> None:
        if self._is_current(number):
            self._give_up("the gripper has refused the goal; look at its driver", now_s)

    def on_answer(self, number: int, answer: Answer, now_s: float) -> None:
        """A goal has ended; one that was given up says at least that the gripper does not hang any more."""
        goal, stopping = self._goal, self.state is State.STOPPING
        if goal is None or goal.number != number:
            if self.hanging:
                self.hanging, self._failed_s = False, -inf
            return
        if answer.succeeded or (goal.closing and answer.stalled):
            self._goal, self._reached_m = None, goal.width_m
            self._failures, self._failed_m, self.hanging, self.problem = 0, None, False, ""
            self._held_m = self._stopped_at(goal, answer)
        elif stopping and not self.problem:
            self._goal, self._reached_m, self.hanging = None, None, False
        else:
            self._give_up(self.problem or f"the gripper has failed: {answer.message or 'no reason given'}", now_s)
            self.hanging = False

    def _is_current(self, number: int) -> bool:
        return self._goal is not None and self._goal.number == number

    def _stopped_at(self, goal: Goal, answer: Answer) -> float | None:
        """Width of what the closing fingers hold."""
        if not goal.closing or self._measured_m is None:
            return None
        met = answer.stalled or self._measured_m > goal.width_m + self.config.preempt_m
        return self._measured_m if met else None

    def _begin(self, now_s: float) -> None:
        if self.wanted_m is None or self._is_done(self.wanted_m):
            self.state = State.IDLE
            return
        if not self._driver.ready():
            self.state, self.problem = State.WAITING, "there is no gripper; start its driver"
            return
        if now_s < self._failed_s + self._pause_s(self.wanted_m):
            self.state = State.WAITING
            return
        self.goals += 1
        self._goal, self._held_m = Goal(self.goals, self.wanted_m, self._is_closing(self.wanted_m)), None
        self.state, self._until_s = State.ASKED, now_s + self.config.accept_s
        if self._failed_m is None:
            self.problem = ""
        self._driver.send(self._goal)

    def _is_done(self, width_m: float) -> bool:
        if self._held_m is not None and width_m <= self._held_m + self.config.tolerance_m:
            return True  # closed as far as what is held allows
        return self._reached_m is not None and abs(width_m - self._reached_m) <= self.config.tolerance_m

    def _is_closing(self, width_m: float) -> bool:
        if self._measured_m is not None:
            return width_m < self._measured_m
        return width_m < self._max_width_m / 2

    def _pause_s(self, width_m: float) -> float:
        if self._failed_m is not None and abs(width_m - self._failed_m) > self.config.preempt_m:
            return self.config.retry_s
        return min(self.config.retry_s * 2.0 ** (self._failures - 1), self.config.retry_longest_s)

    def _stop(self, goal: Goal, now_s: float) -> None:
        self.state, self._until_s = State.STOPPING, now_s + self.config.cancel_s
        self._driver.cancel(goal.number)

    def _hang(self, message: str, now_s: float) -> None:
        self._give_up(f"{message}: it hangs; free it, or restart its driver", now_s)
        self.hanging = True

    def _give_up(self, message: str, now_s: float) -> None:
        self._failed_m, self._failed_s = self._goal.width_m if self._goal else None, now_s
        self._failures = min(self._failures + 1, 32)
        self._goal, self._reached_m, self._held_m = None, None, None
        self.state, self.problem = State.WAITING, message
