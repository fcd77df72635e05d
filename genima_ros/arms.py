"""An arm with its driver: what config/arms/<name>.yaml says of topics, actions and recovery."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from genima_core.arm import Arm, Gripper
from genima_core.arm_description import arm_from
from genima_core.config import from_overrides
from genima_core.files import read_yaml
from genima_ros.share import share_folder

COMMAND_TOPICS = {
    "joint_trajectory": "arm_controller/joint_trajectory",
    "joint_state": "arm_controller/joint_commands",
    "float64_array": "arm_controller/commands",
}
"""What the streamer can speak to the arm controller, and what it calls the topics."""


@dataclass(frozen=True)
class Recovery:
    """The steps out of a reflex stop, in their order; a name that is "" leaves its step out."""

    kind: Literal["action", "service", "trigger", ""] = ""
    """franka_msgs/action/ErrorRecovery, franka_msgs/srv/ErrorRecovery or std_srvs/srv/Trigger."""
    name: str = ""
    controller_manager: str = ""
    hardware: str = ""
    """Component of ros2_control that a reflex deactivates."""
    controllers: tuple[str, ...] = ()
    """To be activated again, in this order."""

    def __post_init__(self) -> None:
        if bool(self.kind) != bool(self.name):
            raise ValueError(f"recovery has kind {self.kind!r} and name {self.name!r}; give both, or none")
        if (self.hardware or self.controllers) and not self.controller_manager:
            given = "recovery names hardware or controllers"
            raise ValueError(f"{given}, but no controller_manager, such as /controller_manager")


@dataclass(frozen=True)
class ArmDriver:
    """What the driver of an arm is called and understands. Names are relative to the namespace of the driver."""

    node: Literal["franka", ""] = ""
    """Our own node that drives the arm; "" where somebody else's driver does."""
    joint_states: str = "joint_states"
    command: Literal["joint_trajectory", "joint_state", "float64_array"] = "joint_trajectory"
    command_topic: str = "arm_controller/joint_trajectory"
    receiver_follows_horizon: bool = True
    """Whether it moves on along a trajectory when no command comes."""
    robot_state: str = ""
    """Topic with the arm's mode and errors; "" where the driver itself publishes arm_status, as ours do."""
    robot_state_type: str = "franka_msgs/msg/FrankaRobotState"
    lower_position_limits: tuple[float, ...] = ()
    upper_position_limits: tuple[float, ...] = ()
    velocity_limits: tuple[float, ...] = ()
    """Narrower than the arm's, rad and rad/s of joints 1 to 7; none for the arm's own."""
    recovery: Recovery = field(default_factory=Recovery)

    def __post_init__(self) -> None:
        for name in ("joint_states", "command_topic"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; name the topic of the arm's driver")
        if self.receiver_follows_horizon and self.command != "joint_trajectory":
            remedy = "set receiver_follows_horizon to false, or command to 'joint_trajectory'"
            raise ValueError(f"command is {self.command!r}, which carries no horizon: {remedy}")


@dataclass(frozen=True)
class GripperDriver:
    """What the driver of a gripper is called; what the gripper is, the arm knows."""

    action: str = ""
    """Name of the action; of the Franka hand, of the node that serves move and grasp."""
    joint_states: str = ""
    """Topic with the gripper's own joints; "" where they come with the arm's."""


@dataclass(frozen=True)
class ArmSetup:
    """One arm as a cell has it."""

    arm: Arm
    """With the limits and the gripper that its file gives it."""
    driver: ArmDriver = field(default_factory=ArmDriver)
    gripper_driver: GripperDriver = field(default_factory=GripperDriver)

    def __post_init__(self) -> None:
        if self.arm.gripper.kind not in ("topic", "none") and not self.gripper_driver.action:
            raise ValueError(f"gripper of kind {self.arm.gripper.kind} has no action; name it")

    @property
    def gripper_has_node(self) -> bool:
        """Whether our gripper node tells its width (`gripper/state`); else it is among the arm's joint states."""
        return self.arm.gripper.kind != "topic"

    def remappings(self, namespace: str, prefix: str = "") -> dict[str, str]:
        """Our names of topics to those of the drivers; `prefix` is "leader/" for an arm that takes no commands."""
        driver, gripper_joints = self.driver, self.gripper_driver.joint_states or self.driver.joint_states
        topics = {"joint_states": driver.joint_states, "gripper/joint_states": gripper_joints}
        if not prefix:
            topics |= {COMMAND_TOPICS[driver.command]: driver.command_topic, "robot_state": driver.robot_state}
        return {prefix + ours: absolute(namespace, theirs) for ours, theirs in topics.items() if theirs}


def find_arm(name: str) -> ArmSetup:
    """The arm of this name in config/arms, or of the file with this path; FileNotFoundError, ValueError where there is
    none, or something in it is wrong.
    """
    path = arm_file(name)
    data = read_yaml(path)
    if "arm" not in data:
        raise ValueError(f"{path} must hold names with values, `arm` among them, as config/arms/fr3.yaml does")
    try:
        return _read_setup(data, path.parent)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{path}: {error}") from error


def arm_file(name: str) -> Path:
    """The file that a name in config/arms, or a path, means; FileNotFoundError where there is none."""
    folder = share_folder() / "config" / "arms"
    for path in (folder / f"{name}.yaml", Path(name)):
        if path.is_file():
            return path
    valid = f"{', '.join(sorted(p.stem for p in folder.glob('*.yaml')))}, or the path of a file like those in {folder}"
    raise FileNotFoundError(f"there is no arm {name!r}; valid are {valid}")


def arm_argument(name: str) -> str:
    """The same arm as a parameter of a node, which may run in another folder."""
    path = arm_file(name)
    return str(path.absolute()) if path == Path(name) else name


def _read_setup(data: Mapping[str, Any], folder: Path) -> ArmSetup:
    """From a file's contents: `arm`, `gripper` and the fields of `ArmDriver`; ValueError for what is wrong."""
    driver = from_overrides(ArmDriver, {k: v for k, v in data.items() if k not in ("arm", "gripper")}, "the arm")
    arm = arm_from(data["arm"], folder).narrowed(
        driver.lower_position_limits, driver.upper_position_limits, driver.velocity_limits
    )
    given = data.get("gripper") or {}
    gripper_driver = from_overrides(GripperDriver, given, "the gripper", strict=False)
    own = {name: value for name, value in given.items() if name not in asdict(gripper_driver)}
    if own:
        arm = replace(arm, gripper=from_overrides(Gripper, asdict(arm.gripper) | own, "the gripper"))
    return ArmSetup(arm, driver, gripper_driver)


def absolute(namespace: str, name: str) -> str:
    """A full name; one that is full already stays as it is."""
    return name if name.startswith("/") else "/" + "/".join(filter(None, (namespace.strip("/"), name)))
