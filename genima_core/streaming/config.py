"""Every number the streamer depends on."""

from dataclasses import dataclass
from typing import get_args

from genima_core.config import check_positive, check_within
from genima_core.types import Execution

SLOWEST_SCALE = 0.01
"""Least velocity_scale: slower than this nobody tells motion from rest, and numbers lose their meaning."""


@dataclass(frozen=True)
class StreamerConfig:
    """Defaults suit a chunk of 20 actions at 20 Hz and a policy that may take a second or two on a laptop."""

    execution: Execution = "sync"
    execution_horizon: int = 0
    """Actions of a chunk to execute before the next one; 0 means all. In sync mode the arm rests then; in async mode
    the next one is wanted so early that it comes about then, and the rest is executed where it does not come."""

    period_s: float = 0.02
    velocity_scale: float = 1.0
    """In [0.01, 1]: plays chunks slower by this factor, and lowers the velocity limit by it; may change at any time."""
    velocity_factor: float = 0.9
    acceleration_factor: float = 0.8
    jerk_factor: float = 0.1
    """Share of the arm's limits that is used. Jerk: the arm's limit lets acceleration jump to its maximum within 2 ms,
    which is a step at 50 Hz; a tenth of it spreads the change over about a period."""
    position_margin_rad: float = 0.005
    smoothing: int = 1
    """Passes of a (1, 2, 1) / 4 filter over a chunk's actions; each costs 0.6 mrad per rad/s² (dt 0.05 s)."""
    settle_s: float = 0.15
    """How long before and after its last action a chunk slows down, if no other follows."""
    rest_after_s: float = 0.25
    """By when after its last action the command is at rest, whatever the chunk says; the arm itself lags a little."""
    blend_acceleration: float = 4.0
    """rad/s² with which the difference to a new chunk is made up, and the longest time for it."""
    max_blend_s: float = 1.0

    max_jump_rad: float = 0.4
    """Largest distance of a chunk's first due action from where the command will be then."""
    max_speed_ratio: float = 2.0
    """A chunk faster than the limits is played slower, up to this factor; a faster one is refused."""
    max_observation_age_s: float = 3.0
    max_lead_s: float = 1.0
    """How far in the future a chunk may begin, or be stamped."""

    target_timeout_s: float = 0.1
    """Without a newer target for this long the arm stops."""
    target_pause_s: float = 0.5
    """For so long the sender of a bad target has to send none before others are followed; silence of one that came to
    rest ends the following after this."""
    max_start_rad: float = 0.05
    """Largest distance of the first target from the command."""
    max_lag_rad: float = 0.2
    """Largest distance of a later target from the command."""
    follow_blend_s: float = 0.06
    """Time in which what a new target says otherwise than the one before is made up."""
    follow_acceleration: float = 8.0
    """rad/s²; a larger difference takes longer, for about this acceleration."""

    joint_state_timeout_s: float = 0.2
    """Without a joint state for this long the arm stops; it continues with a new chunk when they are back."""
    joint_state_fault_s: float = 1.0
    """Without a joint state for this long: FAULT."""
    watch_arm_status: bool = False
    """Whether to move only an arm whose status allows it."""
    arm_status_timeout_s: float = 0.5
    """Without a status for this long the arm stops; it arrives twenty times a second."""
    max_deviation_rad: float = 0.15
    """Largest distance of the measured position from all commands of the last deviation_window_s."""
    deviation_window_s: float = 0.3
    start_tolerance_rad: float = 0.02
    """How far outside its position limits an arm may be measured and still be started (from the limit)."""
    max_gap_s: float = 0.2
    """A pause between two steps longer than this ends in a stop."""

    def __post_init__(self) -> None:
        if self.execution not in get_args(Execution):
            raise ValueError(f"execution is {self.execution!r}; valid are {', '.join(get_args(Execution))}")
        shares = "velocity_factor acceleration_factor jerk_factor"
        check_positive(
            self,
            "period_s settle_s blend_acceleration max_blend_s max_jump_rad max_deviation_rad "
            "max_observation_age_s joint_state_timeout_s joint_state_fault_s arm_status_timeout_s "
            f"target_timeout_s target_pause_s max_start_rad max_lag_rad follow_blend_s follow_acceleration {shares}",
        )
        check_within(self, 0.0, 1.0, shares)
        check_within(self, SLOWEST_SCALE, 1.0, "velocity_scale")
        check_within(self, 0.0, 0.1, "position_margin_rad")
        if self.rest_after_s < self.settle_s:
            raise ValueError(f"rest_after_s is {self.rest_after_s}; it must be at least settle_s ({self.settle_s})")
        if self.execution_horizon < 0 or self.execution_horizon == 1 or self.smoothing < 0:
            valid = "valid are an execution_horizon of 0 (all) or at least 2, and smoothing of at least 0"
            raise ValueError(f"execution_horizon is {self.execution_horizon}, smoothing {self.smoothing}; {valid}")
