"""Every topic and service of the graph: name, type and QoS. Names are relative; launch only remaps."""

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, Float64, Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

_LAST = HistoryPolicy.KEEP_LAST
NEWEST = QoSProfile(history=_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Sensor data: a slow reader sees the newest message and never a queue."""
RELIABLE = QoSProfile(history=_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(history=_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""State: a node that starts later still gets the last message."""
EVENTS = QoSProfile(history=_LAST, depth=20, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class Topic:
    name: str
    type: type
    qos: QoSProfile


@dataclass(frozen=True)
class Service:
    name: str
    type: type


JOINT_STATES = Topic("joint_states", JointState, NEWEST)
INSTRUCTION = Topic("instruction", String, LATCHED)
TARGETS = Topic("targets/image", Image, RELIABLE)
TARGET_MARKERS = Topic("targets/markers", MarkerArray, RELIABLE)
ROBOT_MARKERS = Topic("robot/markers", MarkerArray, RELIABLE)
"""The simulated arm; a real one has a robot_description and TF."""
ACTION_CHUNK = Topic("action_chunk", JointTrajectory, RELIABLE)
GRIPPER_COMMAND = Topic("gripper/command", Float64, RELIABLE)
DIAGNOSTICS = Topic("diagnostics", DiagnosticArray, EVENTS)
SUCCESS = Topic("success", Bool, LATCHED)
CHUNK_WANTED = Topic("chunk_wanted", Bool, LATCHED)
"""The streamer's side of the sync hand-shake, see `controller_node`."""
JOINT_COMMANDS = Topic("joint_commands", JointState, EVENTS)
"""Every set point with the time it is meant for, whatever the arm controller speaks; for recorders."""

ARM_TRAJECTORY = Topic("arm_controller/joint_trajectory", JointTrajectory, RELIABLE)
ARM_JOINT_STATE = Topic("arm_controller/joint_commands", JointState, RELIABLE)
ARM_POSITIONS = Topic("arm_controller/commands", Float64MultiArray, RELIABLE)
ARM_COMMANDS = {"joint_trajectory": ARM_TRAJECTORY, "joint_state": ARM_JOINT_STATE, "float64_array": ARM_POSITIONS}
"""What the streamer can speak to the arm controller, by the value of its parameter `command`."""

RESET = Service("~/reset", Trigger)
ENABLE = Service("~/enable", SetBool)
STOP = Service("~/stop", Trigger)
RESET_FAULT = Service("~/reset_fault", Trigger)
SERVICES = {service.name.removeprefix("~/"): service for service in (RESET, ENABLE, STOP, RESET_FAULT)}


def camera_image(camera: str) -> Topic:
    return Topic(f"{camera}/color/image_raw", Image, NEWEST)


def camera_info(camera: str) -> Topic:
    return Topic(f"{camera}/color/camera_info", CameraInfo, NEWEST)


def target_image(camera: str) -> Topic:
    return Topic(f"targets/{camera}/image", Image, RELIABLE)


def publish(node, topic: Topic):
    """A publisher of `topic` on an rclpy node."""
    return node.create_publisher(topic.type, topic.name, topic.qos)


def subscribe(node, topic: Topic, callback):
    """A subscription to `topic` on an rclpy node."""
    return node.create_subscription(topic.type, topic.name, callback, topic.qos)
