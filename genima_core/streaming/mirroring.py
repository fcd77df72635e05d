"""What joint mirroring depends on, and what it says."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from genima_core.panda import ARM_LIMITS, FINGER_NAMES, GRIPPER_WIDTH_M, JOINT_NAMES
from genima_core.streaming.inspection import Target


class Mirroring(StrEnum):
    IDLE = "idle"
    APPROACHING = "approaching"
    MIRRORING = "mirroring"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True)
class MirrorConfig:
    joint_names: tuple[str, ...] = JOINT_NAMES
    """The follower's."""
    arm: Literal["panda", "fr3"] = "panda"
    leader_joint_names: tuple[str, ...] = JOINT_NAMES
    leader_arm: Literal["panda", "fr3"] = "panda"
    leader_finger_names: tuple[str, ...] = FINGER_NAMES
    """Their positions add up to the gripper's width; a leader without them moves no gripper."""
    leader_gripper_max_width_m: float = GRIPPER_WIDTH_M
    gripper_max_width_m: float = GRIPPER_WIDTH_M
    """The follower's; it opens in proportion."""
    approach_speed: float = 0.3
    """rad/s, of the joint that has the longest way to the leader."""
    align_tolerance_rad: float = 0.03
    """Mirroring begins when command and measured follower are this near to the leader."""
    leader_margin_rad: float = 0.02
    """A leader nearer to one of its limits no longer says where its operator wants it."""
    leader_timeout_s: float = 0.1
    follower_timeout_s: float = 0.2
    max_lag_rad: float = 0.15
    """A follower further from its target than this, for max_lag_s, does not follow."""
    max_lag_s: float = 0.5
    max_speed_ratio: float = 1.5
    """Of the leader's velocity limits; what is faster is a jump."""
    max_rate_hz: float = 250.0
    """A leader that speaks more often is not listened to each time."""

    def __post_init__(self) -> None:
        for name in ("arm", "leader_arm"):
            if getattr(self, name) not in ARM_LIMITS:
                raise ValueError(f"{name} is {getattr(self, name)!r}; valid are {', '.join(ARM_LIMITS)}")
        for name in ("joint_names", "leader_joint_names"):
            if len(set(getattr(self, name))) != 7 or len(getattr(self, name)) != 7:
                raise ValueError(f"{name} are {', '.join(getattr(self, name))}; seven different names are needed")
        for name in (
            "leader_gripper_max_width_m",
            "gripper_max_width_m",
            "approach_speed",
            "align_tolerance_rad",
            "leader_timeout_s",
            "follower_timeout_s",
            "max_lag_rad",
            "max_lag_s",
            "max_speed_ratio",
            "max_rate_hz",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        if not 0 <= self.leader_margin_rad <= 0.5:
            raise ValueError(f"leader_margin_rad is {self.leader_margin_rad}; it must be in [0, 0.5]")


@dataclass(frozen=True)
class MirrorOutput:
    state: Mirroring
    message: str
    """One sentence, or "" when there is nothing to say."""
    progress: float
    """Of the approach, 0 to 1."""
    distance_rad: float
    """Of the measured follower from the leader, largest joint; NaN while one of them is unknown."""
    target: Target | None
    """To be sent now, in the follower's order."""
