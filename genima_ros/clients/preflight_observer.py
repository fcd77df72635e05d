"""Looks at a running cell for a few seconds, and says what it saw; sends nothing."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState

from genima_core.preflight import CameraSeen, CellSeen
from genima_core.streaming.states import State
from genima_core.targets.gate import GateState
from genima_ros.clients.observer import Observer
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_status

SETTINGS = ("checkpoint", "execution", "arm", "velocity_scale", "slack_s")
"""Parameters that nodes must share, or that tell what is allowed."""
ASKED = ("streamer", "diffusion", "controller", "teleop")
FOUND_S = 10.0
"""Nodes that run are known within this time."""
DISCOVERED_S = 3.0
"""Publishers become known one after the other, not further apart than this."""
PATIENCE_S = 20.0
"""What was not seen on busy cores is waited for so long."""
SEVERAL = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Of sensor data: here all messages count, not only the newest."""
CAMERA_TOPIC = re.compile(r"/(\w+)/color/image_raw")


@dataclass(frozen=True)
class GraphFound:
    """What runs in a domain."""

    nodes: tuple[str, ...]
    """Of those that a graph cannot do without."""
    cameras: tuple[str, ...]
    """Where no checkpoint names them."""
    arm: str
    checkpoint: str


def find_graph(domain: int) -> GraphFound:
    """Asks the nodes that run for their arm and checkpoint; RuntimeError without a streamer, or without an answer."""
    with Observer(domain, "preflight_look") as observer:

        def running() -> set[str]:
            return set(observer.node.get_node_names()) & set(ASKED)

        where = f"is running in ROS domain {domain}: start a"
        observer.wait_until(lambda: "streamer" in running(), FOUND_S, f"no streamer {where} graph, genima up ...")
        observer.wait_until(lambda: len(running()) > 1, FOUND_S, f"only a streamer {where} whole graph, genima up ...")
        arm = observer.parameters("streamer", ["arm"], PATIENCE_S)["arm"]
        led = ("teleop",) if "teleop" in running() else ()
        if not led or observer.spin_until(lambda: "diffusion" in running(), DISCOVERED_S):
            checkpoint = observer.parameters("diffusion", ["checkpoint"], PATIENCE_S)["checkpoint"]
            return GraphFound(("streamer", "diffusion", "controller", *led), (), arm, checkpoint)
        cameras: tuple[str, ...] | None = None
        while cameras != (newer := _cameras(observer.node)):
            cameras = newer
            observer.spin(DISCOVERED_S)
        return GraphFound(("streamer", "teleop"), cameras, arm, "")


def _cameras(node: Node) -> tuple[str, ...]:
    """Those whose pictures somebody is known to publish."""
    topics = [CAMERA_TOPIC.fullmatch(name) for name, _ in node.get_topic_names_and_types()]
    return tuple(sorted(found[1] for found in topics if found and node.count_publishers(found[0])))


class PreflightObserver(Observer):
    """Keeps what comes in `seen`."""

    def __init__(self, domain: int, cameras: Sequence[str], joint_names: Sequence[str], remappings=()) -> None:
        super().__init__(domain, "preflight", remappings)
        self.seen = CellSeen({name: CameraSeen() for name in cameras})
        self._joint_names = tuple(joint_names)
        self._newest: dict[str, Image] = {}
        for name, camera in self.seen.cameras.items():
            picture = replace(interfaces.camera_image(name), qos=SEVERAL)
            self.listen(picture, partial(self._on_image, name, camera))
            self.listen(interfaces.camera_info(name), partial(self._on_info, camera))
        self.listen(replace(interfaces.JOINT_STATES, qos=SEVERAL), self._on_joints)
        self.listen(interfaces.ARM_STATUS, lambda m: setattr(self.seen.arm, "status", (m.level[0], m.message)))
        self._keep(interfaces.CAMERA_RIG, "rig", conversions.read_rig)
        self._keep(interfaces.TARGETS, "drawings", lambda _: self.seen.drawings + 1)
        self._keep(interfaces.STREAMER_STATE, "streamer", lambda message: read_status(message, State))
        self._keep(interfaces.GATE, "gate", lambda message: read_status(message, GateState))
        self._keep(interfaces.INSTRUCTION, "instruction", lambda message: message.data)

    def _keep(self, topic: interfaces.Topic, name: str, read: Callable[[Any], object]) -> None:
        """The newest message's content becomes `seen.<name>`."""
        self.listen(topic, lambda message: setattr(self.seen, name, read(message)))

    def wait_complete(self, nodes: Sequence[str], drawings: bool) -> None:
        """Returns when everything was seen, and these nodes and a drawing; or when patience is at its end."""

        def complete() -> bool:
            seen = self.seen
            streams = [seen.arm.states, *(camera.pictures for camera in seen.cameras.values())]
            return (
                all(len(stream.stamps_s) > 1 for stream in streams)
                and set(nodes) <= set(self.diagnostics)
                and seen.streamer is not None
                and seen.arm.status is not None
                and (not drawings or seen.drawings > 0)
            )

        self.spin_until(complete, PATIENCE_S)

    def report(self) -> CellSeen:
        """What was seen until now; asks the nodes for their settings."""
        seen = self.seen
        seen.arm.states.publishers = len(interfaces.publishers_of(self.node, interfaces.JOINT_STATES))
        for name, camera in seen.cameras.items():
            camera.pictures.publishers = len(interfaces.publishers_of(self.node, interfaces.camera_image(name)))
        problems = {name: values["message"] if values["level"] else "" for name, values in self.diagnostics.items()}
        seen.problems = {name: str(problem) for name, problem in problems.items()}
        seen.settings = {node: self.parameters(node, SETTINGS, PATIENCE_S) for node in ASKED if node in seen.problems}
        commanders = (interfaces.publishers_of(self.node, topic) for topic in interfaces.ARM_COMMANDS.values())
        seen.commanders = sorted(chain.from_iterable(commanders))
        return seen

    def _on_image(self, name: str, camera: CameraSeen, message: Image) -> None:
        camera.pictures.hear(conversions.seconds(message.header.stamp), self.now_s())
        with self._noting(camera, "image"):
            conversions.image_to_rgb(message)
            camera.repeated += name in self._newest and message.data == self._newest[name].data
            camera.size = (message.width, message.height)
            self._newest[name] = message

    def _on_info(self, camera: CameraSeen, message: CameraInfo) -> None:
        with self._noting(camera, "camera_info"):
            camera.camera = conversions.camera_info_to_camera(message)

    @contextmanager
    def _noting(self, camera: CameraSeen, topic: str) -> Iterator[None]:
        """Keeps why a message of this topic cannot be used, until there is one that can."""
        try:
            yield
            camera.problems.pop(topic, None)
        except ValueError as error:
            camera.problems[topic] = str(error)

    def _on_joints(self, message: JointState) -> None:
        arm = self.seen.arm
        arm.states.hear(conversions.seconds(message.header.stamp), self.now_s())
        arm.names = tuple(message.name)
        try:
            arm.q.append(conversions.positions_by_name(message, self._joint_names))
        except ValueError:  # the judgement says what is wrong, by the names
            arm.q.clear()
