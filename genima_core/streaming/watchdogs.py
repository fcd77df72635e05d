"""What speaks against moving the arm now: its own status, its joint states, and that it is not where it was sent."""

from dataclasses import dataclass
from typing import Literal

from genima_core.streaming.arm_status import ArmWatch, Level
from genima_core.streaming.clock import StepClock
from genima_core.streaming.measuring import Measuring
from genima_core.streaming.playback import Playback

Ending = Literal["hold", "disabled", "fault"]
ENDINGS: dict[Level, Ending] = {Level.OK: "hold", Level.WARN: "disabled", Level.ERROR: "fault"}
"""Of a stop, by what the arm said last; after OK it fell silent."""


@dataclass(frozen=True)
class Trouble:
    kind: Literal["arm", "joint_states", "deviation"]
    reason: str
    """One sentence for the operator."""
    ends_in: Ending
    """What the stop ends in; from a hold it goes on when the trouble is over."""


def find_arm_trouble(arm: ArmWatch, clock: StepClock) -> Trouble | None:
    """Why the arm must not be moved; what left its move mode is moved again only when somebody enables it."""
    reason = arm.find_trouble(clock.now_s, clock.awake_since_s)
    if reason is None:
        return None
    return Trouble("arm", reason, ENDINGS[arm.level])


def find_trouble(arm: ArmWatch, measuring: Measuring, clock: StepClock, playback: Playback) -> Trouble | None:
    """The first thing that is wrong while commands flow."""
    if (trouble := find_arm_trouble(arm, clock)) is not None:
        return trouble
    if (silence := measuring.find_silence(clock.now_s, clock.awake_since_s)) is not None:
        reason, is_fault = silence
        return Trouble("joint_states", reason, "fault" if is_fault else "hold")
    if measuring.received_s >= clock.awake_since_s:
        reason = measuring.find_deviation(playback.deviation(measuring.last.q))
        return None if reason is None else Trouble("deviation", reason, "fault")
    return None
