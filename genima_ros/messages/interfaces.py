"""Every topic and service of the graph: name, type and QoS. Names are relative; launch only remaps."""

from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from diagnostic_msgs.srv import AddDiagnostics
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, Float64, Float64MultiArray, Int64, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from genima_ros.arms import COMMAND_TOPICS

_LAST = HistoryPolicy.KEEP_LAST
NEWEST = QoSProfile(history=_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Sensor data: a slow reader sees the newest message and never a queue."""
RELIABLE = QoSProfile(history=_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    history=_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
"""State: a node that starts later still gets the last message."""
EVENTS = QoSProfile(history=_LAST, depth=20, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class Topic:
    name: str
    type: Any
    qos: QoSProfile


@dataclass(frozen=True)
class Service:
    name: str
    type: Any


JOINT_STATES = Topic("joint_states", JointState, NEWEST)
"""Of the arm, as its driver sends them."""
INSTRUCTION = Topic("instruction", String, LATCHED)
"""What to do, in one sentence."""
TARGETS = Topic("targets/image", Image, RELIABLE)
"""The drawing: all views, tiled, with the capture time as stamp."""
OBSERVATION = Topic("targets/observation", Image, RELIABLE)
"""The images that a drawing was drawn over, tiled and stamped like it; for the target gate."""
GATE = Topic("gate", DiagnosticStatus, LATCHED)
"""The target gate, see `status.read_status`: a `GateState`, and why it is closed or refused the last drawing."""
TARGET_MARKERS = Topic("targets/markers", MarkerArray, RELIABLE)
"""Drawn and planned targets."""
CAMERA_MARKERS = Topic("cameras/markers", MarkerArray, RELIABLE)
"""The rig's cameras, in the arm's base frame."""
ROBOT_MARKERS = Topic("robot/markers", MarkerArray, RELIABLE)
"""The simulated arm; a real one has a robot_description and TF."""
ACTION_CHUNK = Topic("action_chunk", JointTrajectory, RELIABLE)
"""Joint positions and the gripper's width in m, with the times at which they are due."""
PROPOSAL = Topic("proposal", JointTrajectory, LATCHED)
"""The chunk that waits for a person's yes, in the form of an action chunk; without points: none does."""
APPROVAL = Topic("approval", DiagnosticStatus, EVENTS)
"""What a person decided of a proposal, and who that was, see `status.approval_to_message`; for recorders."""
GRIPPER_COMMAND = Topic("gripper/command", Float64, RELIABLE)
"""Width in m."""
GRIPPER_STATE = Topic("gripper/state", JointState, NEWEST)
"""Width in m of a gripper with its own driver, as the position of `gripper`."""
GRIPPER_JOINT_STATES = Topic("gripper/joint_states", JointState, NEWEST)
"""Of a gripper with its own driver, as this driver sends them."""
DIAGNOSTICS = Topic("diagnostics", DiagnosticArray, EVENTS)
"""How each node is doing, once a second."""
SUCCESS = Topic("success", Bool, LATCHED)
"""Whether the simulated task is solved."""
CHUNK_WANTED = Topic("chunk_wanted", Bool, LATCHED)
"""The streamer's side of the sync hand-shake, see `controller_node`."""
JOINT_COMMANDS = Topic("joint_commands", JointState, EVENTS)
"""Every set point with the time it is meant for, whatever the arm controller speaks; for recorders."""

ARM_TRAJECTORY = Topic(COMMAND_TOPICS["joint_trajectory"], JointTrajectory, RELIABLE)
ARM_JOINT_STATE = Topic(COMMAND_TOPICS["joint_state"], JointState, RELIABLE)
ARM_POSITIONS = Topic(COMMAND_TOPICS["float64_array"], Float64MultiArray, RELIABLE)
ARM_COMMANDS = dict(zip(COMMAND_TOPICS, (ARM_TRAJECTORY, ARM_JOINT_STATE, ARM_POSITIONS), strict=True))

ARM_STATUS = Topic("arm_status", DiagnosticStatus, RELIABLE)
"""Whether the arm may be moved (level OK), is in another mode (WARN) or in an error (ERROR); twenty times a second."""

LEADER_JOINT_STATES = Topic("leader/joint_states", JointState, NEWEST)
LEADER_GRIPPER_JOINT_STATES = Topic("leader/gripper/joint_states", JointState, NEWEST)
LEADER_COMMAND = Topic("leader/joint_command", JointState, RELIABLE)
"""Where the simulated leader should go, as if a hand moved it."""
JOINT_TARGET = Topic("joint_target", JointState, NEWEST)
"""What the streamer follows at once, as it comes: seven joints with velocities, and the gripper's width in m."""
STREAMER_STATE = Topic("streamer_state", DiagnosticStatus, LATCHED)
"""The streamer's `State` and its reason, see `status.read_status`, and who commands, see `status.control_of`; on every
change, and twice a second."""
TELEOP_STATE = Topic("teleop_state", DiagnosticStatus, LATCHED)
"""The same for joint `Mirroring`."""
RECORDING = Topic("recording", Bool, LATCHED)
"""Whether an episode is being recorded."""
SCENE = Topic("scene", Int64, LATCHED)
"""Seed of the simulated scene."""
CAMERA_RIG = Topic("camera_rig", String, LATCHED)
"""The rig that the images are taken with, as JSON (`CameraRig.to_dict`)."""

TRIGGERS = (
    "reset stop emergency_stop reset_fault engage pause start discard rerecord perform resume reflex error_recovery "
    "homing disengage"
)
SERVICES = {name: Service(f"~/{name}", Trigger) for name in TRIGGERS.split()} | {
    name: Service(f"~/{name}", SetBool) for name in ("enable", "label")
}
"""By their names; each belongs to one node or to several, such as ~/stop."""
BY = "load_namespace"
"""Field of an approval's request: the person's name. Of the common service types only that of diagnostics answers as
Trigger does and takes a text; so the name cannot be lost on the way, or be another's."""
SERVICES |= {name: Service(f"~/{name}", AddDiagnostics) for name in ("approve", "reject")}


def robot_state(kind: type) -> Topic:
    """The mode and errors that the arm's driver reports, in its own message type."""
    return Topic("robot_state", kind, NEWEST)


def camera_image(camera: str) -> Topic:
    return Topic(f"{camera}/color/image_raw", Image, NEWEST)


def camera_info(camera: str) -> Topic:
    return Topic(f"{camera}/color/camera_info", CameraInfo, NEWEST)


def target_image(camera: str) -> Topic:
    return Topic(f"targets/{camera}/image", Image, RELIABLE)


def publish(node, topic: Topic):
    return node.create_publisher(topic.type, topic.name, topic.qos)


def publishers_of(node, topic: Topic) -> list[str]:
    """Full names of the nodes that publish it; one for each publisher."""
    infos = node.get_publishers_info_by_topic(node.resolve_topic_name(topic.name))
    return [f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos]


def subscribe(node, topic: Topic, callback):
    return node.create_subscription(topic.type, topic.name, callback, topic.qos)
