"""What the recorder records, and how; the defaults of its parameters stand here."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from genima_core.data.bags.recording import RecordingConfig
from genima_core.files import check_name
from genima_ros.arms import ArmSetup, find_arm
from genima_ros.messages import interfaces
from genima_ros.messages.interfaces import Topic
from genima_ros.nodes.base import ArmParameters

LATCHED = {
    "instruction": interfaces.INSTRUCTION,
    "success": interfaces.SUCCESS,
    "scene": interfaces.SCENE,
    "camera_rig": interfaces.CAMERA_RIG,
}
MOTION = {
    "joint_states": interfaces.JOINT_STATES,
    "leader_joint_states": interfaces.LEADER_JOINT_STATES,
    "gripper_state": interfaces.GRIPPER_STATE,
    "joint_commands": interfaces.JOINT_COMMANDS,
    "gripper_command": interfaces.GRIPPER_COMMAND,
}
JOINTS = ("joint_states", "leader_joint_states")


@dataclass(frozen=True)
class RecorderParameters(RecordingConfig, ArmParameters):
    out: Path = Path("recordings")
    """Folder of the episodes; numbering continues after existing ones."""
    task: str = ""
    instruction: str = ""
    """Until one arrives on the topic."""
    cameras: tuple[str, ...] = ("wrist", "front", "right_shoulder", "left_shoulder")
    rig: Path | None = None
    """rig.json; by default the rig on camera_rig."""
    leader_arm: str = ""
    """The same for the leader; by default the same arm."""
    leader: bool = True
    """Whether a leader arm is expected; where it is not, it is recorded if it is there."""
    stale_s: float = 1.0
    """With a stream that is silent or old for longer, recording does not start."""
    rerecord_s: float = 5.0
    """From ~/rerecord until it starts again, time to lay out the scene; ~/start starts at once."""
    warn_minutes: float = 10.0
    """Warns when the space lasts for less."""

    def __post_init__(self) -> None:
        self.setup, self.leader_setup  # noqa: B018 (refuses arms that are not there)
        for name in self.cameras:
            check_name(name, "a camera")
        if self.task:
            check_name(self.task, "the task")
        if not self.cameras or self.fps <= 0 or not 1 <= self.jpeg_quality <= 100:
            raise ValueError(
                f"a recorder needs cameras, a positive fps and a jpeg_quality from 1 to 100, not "
                f"{list(self.cameras)}, {self.fps} and {self.jpeg_quality}"
            )

    @cached_property
    def leader_setup(self) -> ArmSetup:
        return find_arm(self.leader_arm or self.arm)

    @property
    def camera_roles(self) -> tuple[str, ...]:
        return tuple(f"camera/{name}" for name in self.cameras)

    @property
    def expected(self) -> tuple[str, ...]:
        """Roles of the streams that must be there for an episode to start."""
        gripper = ("gripper_state",) if self.setup.gripper_has_node else ()
        return (*self.camera_roles, *(JOINTS if self.leader else JOINTS[:1]), *gripper)

    @property
    def streams(self) -> dict[str, Topic]:
        """Role to what is recorded."""
        images = {f"camera/{name}": interfaces.camera_image(name) for name in self.cameras}
        infos = {f"camera_info/{name}": interfaces.camera_info(name) for name in self.cameras}
        return {**LATCHED, **MOTION, **infos, **images}


def name_of(role: str) -> str:
    """For the operator: a camera's own name, or the role."""
    return role.removeprefix("camera/")
