"""What a gripper is, and what its goals are."""

from dataclasses import dataclass
from typing import Literal

from genima_core.gripper.config import GripperConfig


@dataclass(frozen=True)
class GripperParameters(GripperConfig):
    kind: Literal["franka_hand", "gripper_command", "parallel_gripper_command"] = "franka_hand"
    action: str = "franka_gripper"
    """Name of the action; of the Franka hand, of the node that serves move and grasp."""
    gripper_joints: tuple[str, ...] = ("panda_finger_joint1", "panda_finger_joint2")
    """In the gripper's joint states; their positions are added up."""
    open_position: float = 0.08
    closed_position: float = 0.0
    """Of the joints together, in their own unit, at max_width_m and at 0 m; between them in proportion."""
    speed_m_s: float = 0.1
    """Of the Franka hand."""
    force_n: float = 20.0
    period_s: float = 0.02
    state_timeout_s: float = 1.0
    """Without a joint state of the gripper for this long it is called silent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("speed_m_s", "force_n", "period_s", "state_timeout_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        if not self.action or not self.gripper_joints:
            raise ValueError(
                f"action is {self.action!r}, gripper_joints {list(self.gripper_joints)}; name the "
                "gripper's action and its joints"
            )
        if self.kind != "franka_hand" and len(self.gripper_joints) != 1:
            raise ValueError(
                f"gripper_joints are {', '.join(self.gripper_joints)}; a gripper of kind {self.kind} "
                "is moved by one joint"
            )
        if self.open_position == self.closed_position:
            raise ValueError(f"open_position and closed_position are both {self.open_position:g}; they must differ")

    def to_position(self, width_m: float) -> float:
        """Of the joints together, at a width."""
        return self.closed_position + (self.open_position - self.closed_position) * width_m / self.max_width_m

    def to_width_m(self, position: float) -> float:
        """The width that the joints together tell."""
        return self.max_width_m * (position - self.closed_position) / (self.open_position - self.closed_position)
