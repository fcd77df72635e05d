"""What is asked of a gripper, what comes back, and who carries it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Goal:
    """One motion of the fingers."""

    number: int
    """Of this process; answers are told apart by it."""
    width_m: float
    closing: bool
    """Whether an object may stop the fingers."""


@dataclass(frozen=True)
class Answer:
    """How a goal ended."""

    succeeded: bool
    stalled: bool = False
    """Whether the fingers stopped at something."""
    message: str = ""


class Driver(Protocol):
    """Carries goals to a gripper; nothing waits, answers come to the state machine's `on_...`."""

    def ready(self) -> bool:
        """Whether somebody is there to take a goal."""

    def send(self, goal: Goal) -> None:
        """Begin a motion."""

    def cancel(self, number: int) -> None:
        """End it where the fingers are, as soon as the gripper has taken it on."""
