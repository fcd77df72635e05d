"""What the graph must know of an arm and its gripper: names, topics, limits, recovery; read from config/arms/."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from genima_core.config import from_overrides
from genima_core.panda import FINGER_NAMES, JOINT_NAMES, narrow_limits

SUFFIX = ".yaml"
COMMAND_TOPICS = {
    "joint_trajectory": "arm_controller/joint_trajectory",
    "joint_state": "arm_controller/joint_commands",
    "float64_array": "arm_controller/commands",
}
"""What the streamer calls them; `interfaces.ARM_COMMANDS` has their types."""


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
            raise ValueError(
                "recovery names hardware or controllers, but no controller_manager, such as /controller_manager"
            )


@dataclass(frozen=True)
class GripperSetup:
    kind: Literal["franka_hand", "gripper_command", "parallel_gripper_command", "topic", "none"] = "topic"
    """topic: something else takes the width in m from gripper/command, as the simulated cell does; none: a fixed tool,
    which counts as a closed gripper."""
    action: str = ""
    """Name of the action; of the Franka hand, of the node that serves move and grasp."""
    joint_states: str = ""
    """Topic with the gripper's own joints; "" where they come with the arm's."""
    joints: tuple[str, ...] = ()
    """In these joint states: of the Franka hand both fingers, of gripper actions the joint that they move."""
    open_position: float = 0.08
    closed_position: float = 0.0
    """Of the joints together, in their own unit, at max_width_m and 0 m."""
    max_width_m: float = 0.08

    def __post_init__(self) -> None:
        has_action = self.kind not in ("topic", "none")
        if has_action and not self.action:
            raise ValueError(f"gripper of kind {self.kind} has no action; name it")
        if has_action and not self.joints:
            raise ValueError(f"gripper of kind {self.kind} has no joints; name those that tell its width")
        if not self.max_width_m > 0 or self.open_position == self.closed_position:
            raise ValueError(
                f"gripper opens to {self.max_width_m:g} m, from {self.closed_position:g} to "
                f"{self.open_position:g}; a positive width and two different positions are needed"
            )


@dataclass(frozen=True)
class ArmSetup:
    """One arm with its driver. Names of topics, actions and services are relative to the namespace of the driver."""

    model: Literal["panda", "fr3"]
    joint_names: tuple[str, ...] = JOINT_NAMES
    finger_names: tuple[str, ...] = FINGER_NAMES
    """Joints in m that add up to the gripper's width, where they come with the arm's; none else."""
    base_frame: str = "panda_link0"
    hand_frame: str = "panda_hand"
    joint_states: str = "joint_states"
    command: Literal["joint_trajectory", "joint_state", "float64_array"] = "joint_trajectory"
    """What the arm controller understands."""
    command_topic: str = "arm_controller/joint_trajectory"
    receiver_follows_horizon: bool = True
    """Whether it moves on along a trajectory when no command comes."""
    robot_state: str = ""
    """Topic with the arm's mode and errors; "" where the driver itself publishes arm_status, as the simulated cell."""
    robot_state_type: str = "franka_msgs/msg/FrankaRobotState"
    lower_position_limits: tuple[float, ...] = ()
    upper_position_limits: tuple[float, ...] = ()
    velocity_limits: tuple[float, ...] = ()
    """Narrower than the arm's, rad and rad/s of joints 1 to 7; none for the arm's own."""
    recovery: Recovery = field(default_factory=Recovery)
    gripper: GripperSetup = field(default_factory=GripperSetup)

    def __post_init__(self) -> None:
        if len(self.joint_names) != 7 or len({*self.joint_names, *self.finger_names}) != 7 + len(self.finger_names):
            raise ValueError(
                f"joint_names are {', '.join(self.joint_names) or 'none'} and finger_names "
                f"{', '.join(self.finger_names) or 'none'}; seven joints are needed, and no name twice"
            )
        if self.gripper.kind == "none" and self.finger_names:
            raise ValueError(
                f"gripper is of kind none, but finger_names are {', '.join(self.finger_names)}; give "
                "finger_names: [] to an arm with a fixed tool, or the kind of its gripper"
            )
        for name in ("joint_states", "command_topic"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; name the topic of the arm's driver")
        if self.receiver_follows_horizon and self.command != "joint_trajectory":
            raise ValueError(
                f"command is {self.command!r}, which carries no horizon: set receiver_follows_horizon to "
                "false, or command to 'joint_trajectory'"
            )
        narrow_limits(self.model, self.lower_position_limits, self.upper_position_limits, self.velocity_limits)


def load_arm(name: str, folder: Path) -> ArmSetup:
    """The arm of a file in `folder`, by its name without the ending, or of any other file, by its path.

    Raises:
        FileNotFoundError, ValueError: there is none; what in it is wrong, and what is valid.
    """
    known = folder / f"{name}{SUFFIX}"
    path = known if known.is_file() else Path(name)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in folder.glob(f"*{SUFFIX}")))
        raise FileNotFoundError(
            f"there is no arm {name!r}; valid are {names}, or the path of a file like those in {folder}"
        )
    try:
        data = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, Mapping):
        raise ValueError(f"{path} must hold names with values, as config/arms/fr3.yaml does")
    try:
        return from_overrides(ArmSetup, data, "the arm")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def parameters_of(arm: ArmSetup) -> dict[str, object]:
    """Parameters of the nodes that work with an arm, by their names; limits that are not given are left out."""
    names = (
        "joint_names",
        "finger_names",
        "base_frame",
        "hand_frame",
        "command",
        "receiver_follows_horizon",
        "robot_state_type",
    )
    limits = {
        name: list(values)
        for name in ("lower_position_limits", "upper_position_limits", "velocity_limits")
        if (values := getattr(arm, name))
    }
    hand = arm.gripper
    gripper = {
        "kind": hand.kind,
        "gripper_joints": _to_ros(hand.joints),
        "open_position": hand.open_position,
        "closed_position": hand.closed_position,
        "max_width_m": hand.max_width_m,
        "gripper_max_width_m": hand.max_width_m,
    }
    return {"arm": arm.model, **{name: _to_ros(getattr(arm, name)) for name in names}, **limits, **gripper}


def parameters_of_leader(arm: ArmSetup) -> dict[str, object]:
    """Likewise, of the arm that leads another."""
    return {
        "leader_arm": arm.model,
        "leader_joint_names": _to_ros(arm.joint_names),
        "leader_finger_names": _to_ros(arm.finger_names or arm.gripper.joints),
        "leader_gripper_max_width_m": arm.gripper.max_width_m,
    }


def _to_ros(value: object) -> object:
    """A list has at least one item there, so none is one empty name."""
    return list(value) or [""] if isinstance(value, tuple) else value


def remappings_of(arm: ArmSetup, namespace: str, prefix: str = "") -> dict[str, str]:
    """Our names of topics to those of an arm's driver; `prefix` is "leader/" for that one, which takes no commands."""
    topics = {"joint_states": arm.joint_states, "gripper/joint_states": arm.gripper.joint_states or arm.joint_states}
    if not prefix:
        topics |= {COMMAND_TOPICS[arm.command]: arm.command_topic, "robot_state": arm.robot_state}
    return {prefix + ours: absolute(namespace, theirs) for ours, theirs in topics.items() if theirs}


def absolute(namespace: str, name: str) -> str:
    """A full name; one that is full already stays as it is."""
    return name if name.startswith("/") else "/" + "/".join(filter(None, (namespace.strip("/"), name)))
