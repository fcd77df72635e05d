"""How a gripper is driven; what it is, its arm knows."""

from dataclasses import dataclass

from genima_core.config import check_positive
from genima_core.gripper.config import GripperConfig


@dataclass(frozen=True)
class GripperParameters(GripperConfig):
    arm: str = "sim"
    """Name in config/arms, or a file like those."""
    action: str = ""
    """Full name of the gripper's action; by default what the arm's file says."""
    speed_m_s: float = 0.1
    """Of the Franka hand."""
    force_n: float = 20.0
    period_s: float = 0.02
    state_timeout_s: float = 1.0
    """Without a joint state for this long the gripper counts as silent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "speed_m_s force_n period_s state_timeout_s")
