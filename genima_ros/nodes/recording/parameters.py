"""What the recorder records, and how; the defaults of its parameters stand here."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from genima_core.data.bags.quality import QualityBounds
from genima_core.data.bags.recording import RecordingConfig
from genima_core.files import check_name
from genima_ros.arms import ArmSetup, find_arm
from genima_ros.messages import interfaces
from genima_ros.nodes.recording.inputs import Input

LATCHED = {
    "instruction": interfaces.INSTRUCTION,
    "success": interfaces.SUCCESS,
    "scene": interfaces.SCENE,
    "camera_rig": interfaces.CAMERA_RIG,
}
JOINTS = ("joint_states", "leader_joint_states")


@dataclass(frozen=True)
class RecorderParameters(QualityBounds):
    out: Path = Path("recordings")
    """Folder of the episodes; numbering continues after existing ones."""
    task: str = ""
    instruction: str = ""
    """Until one arrives on the topic."""
    cameras: tuple[str, ...] = ("wrist", "front", "right_shoulder", "left_shoulder")
    fps: float = 30.0
    """Rate that the cameras are set to; gaps are judged by it. Every message is recorded."""
    images: Literal["jpeg", "raw"] = "jpeg"
    jpeg_quality: int = 95
    compression: Literal["zstd", "lz4", "none"] = "zstd"
    rig: Path | None = None
    """rig.json; by default the rig on camera_rig."""
    arm: str = "sim"
    """Name in config/arms, or a file like those."""
    leader_arm: str = ""
    """The same for the leader; by default the same arm."""
    leader: bool = True
    """Whether a leader arm is expected; where it is not, it is recorded if it is there."""
    stale_s: float = 1.0
    """With a stream that is silent or old for longer, recording does not start."""
    rerecord_s: float = 5.0
    """From ~/rerecord until it starts again, time to lay out the scene; ~/start starts at once."""
    reserve_mb: float = 500.0
    """The recording stops when no more space is left."""
    warn_minutes: float = 10.0
    """Warns when the space lasts for less."""
    queue_mb: float = 256.0
    """Of messages that wait for the disk."""

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
    def setup(self) -> ArmSetup:
        """The arm that is recorded."""
        return find_arm(self.arm)

    @cached_property
    def leader_setup(self) -> ArmSetup:
        return find_arm(self.leader_arm or self.arm)

    @property
    def expected(self) -> tuple[str, ...]:
        """Roles of the streams that must be there for an episode to start."""
        return (*(f"camera/{name}" for name in self.cameras), *(JOINTS if self.leader else JOINTS[:1]), *self.gripper)

    @property
    def gripper(self) -> tuple[str, ...]:
        """Role of a gripper that speaks for itself."""
        return ("gripper_state",) if self.setup.gripper_has_node else ()

    def recording(self, streams: Mapping[str, str]) -> RecordingConfig:
        """How to write an episode; `streams` are roles with their topics."""
        return RecordingConfig(
            streams,
            (*self.expected, "joint_commands"),
            self.fps,
            self.images,
            self.jpeg_quality,
            self.compression,
            queue_mb=self.queue_mb,
            reserve_mb=self.reserve_mb,
            bounds=self,
        )


def inputs(parameters: RecorderParameters) -> dict[str, Input]:
    """Role to what is recorded."""
    cameras = {f"camera/{name}": Input(interfaces.camera_image(name), parameters.fps) for name in parameters.cameras}
    infos = {f"camera_info/{name}": Input(interfaces.camera_info(name), parameters.fps) for name in parameters.cameras}
    arms = {
        "joint_states": Input(interfaces.JOINT_STATES, 1000.0),
        "leader_joint_states": Input(interfaces.LEADER_JOINT_STATES, 1000.0),
        "gripper_state": Input(interfaces.GRIPPER_STATE, 1000.0),
        "joint_commands": Input(interfaces.JOINT_COMMANDS, 1000.0),
        "gripper_command": Input(interfaces.GRIPPER_COMMAND, 100.0),
    }
    return {**{role: Input(topic, 1.0) for role, topic in LATCHED.items()}, **arms, **infos, **cameras}


def name_of(role: str) -> str:
    """For the operator: a camera's own name, or the role."""
    return role.removeprefix("camera/")
