"""Looks at a running cell for a few seconds, and says what it saw; sends nothing."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState

from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.preflight import ArmSeen, CameraSeen, CellSeen, Stream
from genima_core.streaming.states import State, Status
from genima_core.targets.gate import GateState
from genima_ros.clients.observer import Observer
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_status
from genima_ros.nodes.cameras.rig_watch import read_rig

SETTINGS = ("checkpoint", "execution", "arm", "velocity_scale", "slack_s")
"""Parameters that nodes must share, or that tell what is allowed."""
ASKED = ("streamer", "diffusion", "controller", "teleop")
FOUND_S = 10.0
"""Nodes that run are known within this time."""
PATIENCE_S = 20.0
"""What was not seen on busy cores is waited for so long."""
SEVERAL = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Of sensor data: here all messages count, not only the newest."""
CAMERA_TOPIC = re.compile(r"/(\w+)/color/image_raw")


@dataclass
class _Heard:
    stamps_s: list[float] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)


@dataclass
class _Camera:
    newest: Image | None = None
    repeated: int = 0
    camera: PinholeCamera | None = None
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphFound:
    """What runs in a domain."""

    nodes: tuple[str, ...]
    """Of those that a graph cannot do without."""
    cameras: tuple[str, ...]
    arm: str
    checkpoint: str


def find_graph(domain: int) -> GraphFound:
    """Asks the nodes that run for the arm and the checkpoint that they were started with.

    Raises:
        RuntimeError: there is no streamer, or a node does not answer.
    """
    with Observer(domain, "preflight_look") as observer:

        def running() -> set[str]:
            return set(observer.node.get_node_names()) & set(ASKED)

        if not observer.spin_until(lambda: "streamer" in running(), FOUND_S):
            raise RuntimeError(f"no streamer is running in ROS domain {domain}: start a graph, genima up ...")
        if not observer.spin_until(lambda: len(running()) > 1, FOUND_S):
            raise RuntimeError(f"only a streamer is running in ROS domain {domain}: start a whole graph, genima up ...")
        nodes = ("streamer", "teleop") if "teleop" in running() else ("streamer", "diffusion", "controller")
        arm = observer.parameters("streamer", ["arm"], PATIENCE_S)["arm"]
        learned = {} if "teleop" in nodes else observer.parameters("diffusion", ["checkpoint"], PATIENCE_S)
        topics = [CAMERA_TOPIC.fullmatch(name) for name, _ in observer.node.get_topic_names_and_types()]
        cameras = tuple(sorted(found[1] for found in topics if found and observer.node.count_publishers(found[0])))
        return GraphFound(nodes, cameras, arm, learned.get("checkpoint", ""))


class PreflightObserver(Observer):
    """Keeps what comes; `report` says it."""

    def __init__(self, domain: int, cameras: Sequence[str], joint_names: Sequence[str], remappings=()) -> None:
        super().__init__(domain, "preflight", remappings)
        self._joint_names = tuple(joint_names)
        self._heard: dict[str, _Heard] = defaultdict(_Heard)
        self._cameras = {name: _Camera() for name in cameras}
        self._names: tuple[str, ...] = ()
        self._q: list[np.ndarray] = []
        self._status: tuple[int, str] | None = None
        self._rig: CameraRig | None = None
        self._streamer: Status | None = None
        self._gate: Status | None = None
        self._instruction = ""
        self._drawings = 0
        for name in cameras:
            picture = replace(interfaces.camera_image(name), qos=SEVERAL)
            interfaces.subscribe(self.node, picture, lambda m, n=name: self._on_image(n, m))
            interfaces.subscribe(self.node, interfaces.camera_info(name), lambda m, n=name: self._on_info(n, m))
        interfaces.subscribe(self.node, replace(interfaces.JOINT_STATES, qos=SEVERAL), self._on_joints)
        interfaces.subscribe(
            self.node, interfaces.ARM_STATUS, lambda m: setattr(self, "_status", (m.level[0], m.message))
        )
        interfaces.subscribe(self.node, interfaces.CAMERA_RIG, lambda m: setattr(self, "_rig", read_rig(m)))
        interfaces.subscribe(self.node, interfaces.TARGETS, self._on_drawing)
        interfaces.subscribe(
            self.node, interfaces.STREAMER_STATE, lambda m: setattr(self, "_streamer", read_status(m, State))
        )
        interfaces.subscribe(self.node, interfaces.GATE, lambda m: setattr(self, "_gate", read_status(m, GateState)))
        interfaces.subscribe(self.node, interfaces.INSTRUCTION, lambda m: setattr(self, "_instruction", m.data))

    def wait_complete(self, nodes: Sequence[str], drawings: bool) -> None:
        """Returns when everything was seen, and these nodes and a drawing; or when patience is at its end."""

        def complete() -> bool:
            topics = [interfaces.JOINT_STATES, *map(interfaces.camera_image, self._cameras)]
            return (
                all(len(self._heard[topic.name].stamps_s) > 1 for topic in topics)
                and set(nodes) <= set(self.diagnostics)
                and self._streamer is not None
                and self._status is not None
                and (not drawings or self._drawings > 0)
            )

        self.spin_until(complete, PATIENCE_S)

    def report(self) -> CellSeen:
        """What was seen until now; asks the nodes for their settings."""
        cameras = {
            name: CameraSeen(
                self._stream(interfaces.camera_image(name)),
                None if c.newest is None else (c.newest.width, c.newest.height),
                c.repeated,
                c.camera,
                "; ".join(c.problems.values()),
            )
            for name, c in self._cameras.items()
        }
        arm = ArmSeen(
            self._stream(interfaces.JOINT_STATES), self._names, np.array(self._q) if self._q else None, self._status
        )
        problems = {
            name: str(values["message"]) if values["level"] else "" for name, values in self.diagnostics.items()
        }
        return CellSeen(
            cameras,
            arm,
            self._rig,
            self._streamer,
            self._gate,
            self._instruction,
            self._drawings,
            problems,
            {node: self.parameters(node, SETTINGS, PATIENCE_S) for node in ASKED if node in self.diagnostics},
            self._commanders(),
        )

    def _commanders(self) -> tuple[str, ...]:
        """Nodes that publish commands for the arm, by their full names."""
        return tuple(
            sorted(
                f"{info.node_namespace.rstrip('/')}/{info.node_name}"
                for topic in interfaces.ARM_COMMANDS.values()
                for info in self.node.get_publishers_info_by_topic(self.node.resolve_topic_name(topic.name))
            )
        )

    def _stream(self, topic: interfaces.Topic) -> Stream:
        heard = self._heard[topic.name]
        publishers = self.node.count_publishers(self.node.resolve_topic_name(topic.name))
        return Stream(tuple(heard.stamps_s), tuple(heard.ages_s), publishers)

    def _hear(self, topic: interfaces.Topic, stamp_s: float) -> None:
        heard = self._heard[topic.name]
        heard.stamps_s.append(stamp_s)
        heard.ages_s.append(self.node.get_clock().now().nanoseconds * 1e-9 - stamp_s)

    def _on_image(self, name: str, message: Image) -> None:
        self._hear(interfaces.camera_image(name), conversions.seconds(message.header.stamp))
        camera = self._cameras[name]
        try:
            conversions.image_to_rgb(message)
        except ValueError as error:
            camera.problems["image"] = str(error)
            return
        camera.problems.pop("image", None)
        camera.repeated += camera.newest is not None and message.data == camera.newest.data
        camera.newest = message

    def _on_info(self, name: str, message: CameraInfo) -> None:
        camera = self._cameras[name]
        try:
            camera.camera = conversions.camera_info_to_camera(message)
            camera.problems.pop("camera_info", None)
        except ValueError as error:
            camera.problems["camera_info"] = str(error)

    def _on_joints(self, message: JointState) -> None:
        self._hear(interfaces.JOINT_STATES, conversions.seconds(message.header.stamp))
        self._names = tuple(message.name)
        try:
            self._q.append(conversions.positions_by_name(message, self._joint_names))
        except ValueError:  # the names tell
            self._q.clear()

    def _on_drawing(self, _: Image) -> None:
        self._drawings += 1
