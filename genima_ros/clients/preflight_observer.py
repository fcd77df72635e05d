"""Looks at a running cell for a few seconds, and says what it saw; sends nothing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.parameter import parameter_value_to_python
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
ASKED = ("streamer", "diffusion", "controller")
ANSWER_S = 2.0


@dataclass
class _Heard:
    stamps_s: list[float] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)


@dataclass
class _Camera:
    size: tuple[int, int] | None = None
    pixels: bytes = b""
    repeated: int = 0
    camera: PinholeCamera | None = None
    problems: dict[str, str] = field(default_factory=dict)


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
            interfaces.subscribe(self.node, interfaces.camera_image(name), lambda m, n=name: self._on_image(n, m))
            interfaces.subscribe(self.node, interfaces.camera_info(name), lambda m, n=name: self._on_info(n, m))
        interfaces.subscribe(self.node, interfaces.JOINT_STATES, self._on_joints)
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

    def report(self) -> CellSeen:
        """What was seen until now; asks the nodes for their settings."""
        cameras = {
            name: CameraSeen(
                self._stream(interfaces.camera_image(name)),
                c.size,
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
            {node: self._settings(node) for node in ASKED if node in self.diagnostics},
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
            pixels = conversions.image_to_rgb(message).tobytes()
        except ValueError as error:
            camera.problems["image"] = str(error)
            return
        camera.problems.pop("image", None)
        camera.repeated += pixels == camera.pixels
        camera.size, camera.pixels = (message.width, message.height), pixels

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

    def _settings(self, node: str) -> dict[str, object]:
        """Those of `SETTINGS` that a node has; empty if it does not answer."""
        listed = self._ask(node, "list_parameters", ListParameters, ListParameters.Request())
        names = [name for name in SETTINGS if listed is not None and name in listed.result.names]
        answer = self._ask(node, "get_parameters", GetParameters, GetParameters.Request(names=names)) if names else None
        return (
            {}
            if answer is None
            else {name: parameter_value_to_python(value) for name, value in zip(names, answer.values, strict=True)}
        )

    def _ask(self, node: str, service: str, kind: type, request: object):
        client = self.node.create_client(kind, f"{node}/{service}")
        try:
            if not self.spin_until(client.service_is_ready, ANSWER_S):
                return None
            future = client.call_async(request)
            return future.result() if self.spin_until(future.done, ANSWER_S) else None
        finally:
            self.node.destroy_client(client)
