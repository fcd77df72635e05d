"""When a gripper's goal is sent, given up and tried again."""

from dataclasses import dataclass

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
        if not self.retry_s <= self.retry_longest_s < float("inf"):
            raise ValueError(f"retry_longest_s is {self.retry_longest_s}; it must be at least retry_s, {self.retry_s}")
