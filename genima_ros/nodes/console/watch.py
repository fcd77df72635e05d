"""What the graph says, as the console knows it: the newest of everything, and how old that is."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory

from genima_core.arm import Arm
from genima_core.arm_status import ArmStatus
from genima_core.cameras import CameraRig
from genima_core.pixels import untile
from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.states import Reason, Refusal, State, Status
from genima_core.targets.gate import GateState
from genima_core.targets.locate import Drawn, locate
from genima_core.targets.look import Look
from genima_core.types import ActionChunk
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.checks import find_instruction_fault
from genima_ros.messages.interfaces import Topic
from genima_ros.messages.status import read_arm_status, read_diagnostics, read_status, values_of
from genima_ros.nodes.base import GraphNode, unspun_node

T = TypeVar("T")
SILENT_S = 2.0
"""A state that is repeated twice a second, and the diagnostics, are old after this time."""
GONE_S = 3.5
FORGOTTEN_S = 60.0
"""A node that has been gone for so long is not listed any more."""
HISTORY_S, STEP_S = 30.0, 0.1
"""Of the plots."""
KEPT_STATES = 100
"""Of as many looks: those of some seconds, as drawings take that long."""
NOTES = 40


@dataclass(frozen=True)
class Note:
    """Something that happened."""

    at_s: float
    """Wall clock."""
    text: str
    bad: bool = False


class Heard(Generic[T]):
    """The newest value of a topic, and since when it is the newest."""

    def __init__(self, value: T) -> None:
        self.value, self._at_s = value, -np.inf

    def set(self, value: T) -> None:
        self.value, self._at_s = value, time.monotonic()

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._at_s

    @property
    def fresh(self) -> bool:
        return self.age_s < SILENT_S


class Watch:
    """Subscribes to the graph: to states always, to pictures and joints only while somebody looks (`look`).

    Of the latter only the newest message is taken, by `fetch`: unpacking all of them would be most of the node's work.
    """

    def __init__(self, node: GraphNode[Any], arm: Arm, look: Look, rig: CameraRig | None) -> None:
        self._node, self.arm, self.drawn_as = node, arm, look
        self.rig = rig
        self.streamer: Heard[Status | None] = Heard(None)
        self.commander = ""
        """Who moves the arm, as the streamer says."""
        self.teleop: Heard[Status | None] = Heard(None)
        self.arm_status: Heard[ArmStatus | None] = Heard(None)
        self.gate: Status | None = None
        self.refused: np.ndarray | None = None
        """The drawing that the gate refused last, tiled."""
        self.instruction = ""
        self.instructed = 0
        """How many instructions came."""
        self.scene: int | None = None
        self.success = self.recording = False
        self.proposal: ActionChunk | None = None
        self.proposed_s = 0.0
        """Since when it waits; steady time."""
        self.chunk: ActionChunk | None = None
        """What the arm is told, or what is proposed."""
        self.nodes: dict[str, Heard[dict[str, float | str]]] = {}
        self.notes: deque[Note] = deque(maxlen=NOTES)
        self.images: dict[str, Image] = {}
        """The newest of each camera."""
        self.drawing: Image | None = None
        self.q: np.ndarray | None = None
        self.opening = 1.0
        self.leader_q: np.ndarray | None = None
        self.command: Heard[np.ndarray | None] = Heard(None)
        self._states: deque[tuple[float, np.ndarray]] = deque(maxlen=KEPT_STATES)
        self._inputs = unspun_node(f"{node.get_name()}_inputs", node.context, namespace=node.get_namespace())
        self._looked: list[tuple[Subscription, Callable[[Any], object]]] = []
        for topic, take in (
            (interfaces.STREAMER_STATE, partial(self._on_status, self.streamer, State, "arm")),
            (interfaces.TELEOP_STATE, partial(self._on_status, self.teleop, Mirroring, "teleop")),
            (interfaces.ARM_STATUS, self._on_arm_status),
            (interfaces.GATE, self._on_gate),
            (interfaces.INSTRUCTION, self._on_instruction),
            (interfaces.SCENE, self._on_scene),
            (interfaces.SUCCESS, self._on_success),
            (interfaces.RECORDING, self._on_recording),
            (interfaces.PROPOSAL, self._on_proposal),
            (interfaces.CAMERA_RIG, self._on_rig),
            (interfaces.DIAGNOSTICS, self._on_diagnostics),
        ):
            node.subscribe(topic, take)

    def close(self) -> None:
        self._inputs.destroy_node()

    # ---- what follows from it

    @property
    def now_s(self) -> float:
        return self._node.ros_now_s()

    def here(self, name: str) -> bool:
        """Whether a node runs."""
        return name in self.nodes and self.nodes[name].age_s < GONE_S

    def says(self, node: str, key: str) -> float | str | None:
        """What a node's diagnostics say, if it runs."""
        return self.nodes[node].value.get(key) if self.here(node) else None

    @property
    def proposed(self) -> ActionChunk | None:
        """What waits for a person's yes; what a policy proposed that has gone waits no more."""
        return self.proposal if self.here("controller") else None

    def drawn(self) -> Drawn | None:
        """The targets of the newest drawing in space, if the cameras and the arm's pose of that time are known."""
        if self.drawing is None or self.rig is None or not self._states:
            return None
        stamp_s = conversions.seconds(self.drawing.header.stamp)
        stamps_s, states = zip(*self._states, strict=True)
        q = np.array([np.interp(stamp_s, stamps_s, joint) for joint in np.transpose(states)])
        with self._node.using("drawing"):
            views = untile(conversions.image_to_rgb(self.drawing), len(self.rig.cameras))
            return locate(views, self.rig, q, stamp_s, self.drawn_as)
        return None

    def following_error(self) -> float:
        """rad, of the joint that is furthest from what is commanded; NaN while nothing is."""
        if self.q is None or self.command.value is None or self.command.age_s > 0.3:
            return float("nan")
        return float(np.abs(self.command.value - self.q).max())

    def note(self, text: str, bad: bool = False) -> None:
        self.notes.append(Note(time.time(), text, bad))

    # ---- only while somebody looks

    def look(self, wanted: bool) -> None:
        """Begins or ends to receive what is large or frequent."""
        if wanted == bool(self._looked):
            return
        if not wanted:
            for subscription, _ in self._looked:
                self._inputs.destroy_subscription(subscription)
            self._looked.clear()
            self._states.clear()
            self.images.clear()
            self.drawing = self.leader_q = None
            return
        cameras = [] if self.rig is None else list(self.rig.names)
        topics: list[tuple[Topic, Callable[[Any], object]]] = [
            (interfaces.JOINT_STATES, self._on_joint_state),
            (interfaces.GRIPPER_STATE, self._on_gripper),
            (interfaces.LEADER_JOINT_STATES, self._on_leader),
            (interfaces.JOINT_COMMANDS, self._on_command),
            (interfaces.ACTION_CHUNK, self._on_chunk),
            (interfaces.TARGETS, lambda message: setattr(self, "drawing", message)),
            *((interfaces.camera_image(name), partial(self._on_image, name)) for name in cameras),
        ]
        self._looked = [(interfaces.subscribe(self._inputs, topic, take), take) for topic, take in topics]

    def fetch(self) -> None:
        """Takes what is new since the last time, of each topic the newest."""
        for subscription, take in self._looked:
            with subscription.handle:
                taken = subscription.handle.take_message(subscription.msg_type, False)
            if taken is not None:
                take(taken[0])

    def _on_image(self, camera: str, message: Image) -> None:
        self.images[camera] = message

    def _on_joint_state(self, message: JointState) -> None:
        with self._node.using("joint_states"):
            self.q = conversions.positions_by_name(message, self.arm.joint_names)
            self._states.append((conversions.seconds(message.header.stamp), self.q))
            if set(self.arm.gripper.joints) <= set(message.name):
                self.opening = conversions.gripper_opening(message, self.arm.gripper)

    def _on_gripper(self, message: JointState) -> None:
        with self._node.using("gripper/state"):
            (width_m,) = conversions.positions_by_name(message, (conversions.GRIPPER_JOINT,))
            self.opening = self.arm.gripper.to_opening(float(width_m))

    def _on_leader(self, message: JointState) -> None:
        with self._node.using("leader/joint_states"):
            self.leader_q = conversions.positions_by_name(message, self.arm.joint_names)

    def _on_command(self, message: JointState) -> None:
        with self._node.using("joint_commands"):
            self.command.set(conversions.positions_by_name(message, self.arm.joint_names))

    def _on_chunk(self, message: JointTrajectory) -> None:
        chunk = conversions.read_chunk(message, self.arm)
        if not isinstance(chunk, Refusal):
            self.chunk = chunk

    # ---- always

    def _on_status(self, heard: Heard[Status | None], states: Any, what: str, message: DiagnosticStatus) -> None:
        status, before = read_status(message, states), heard.value
        if status is None:
            return
        if before is None or (status.state, status.reason) != (before.state, before.reason):
            self.note(f"{what} {status}", status.state in (State.FAULT, Mirroring.STOPPED))
        heard.set(status)
        if heard is self.streamer:
            self.commander = values_of(message).get("commander", "")

    def _on_arm_status(self, message: DiagnosticStatus) -> None:
        status = read_arm_status(message)
        if not isinstance(status, Refusal):
            self.arm_status.set(status)

    def _on_gate(self, message: DiagnosticStatus) -> None:
        status = read_status(message, GateState)
        if status is None:
            return
        self.fetch()
        if status.reason is Reason.DRAWING and self.drawing is not None:
            with self._node.using("drawing"):
                self.refused = conversions.image_to_rgb(self.drawing)
        if status != self.gate and status.text:
            self.note(f"gate {status}", status.state is GateState.CLOSED)
        self.gate = status

    def _on_instruction(self, message: String) -> None:
        fault = find_instruction_fault(message.data)
        self.instruction, self.instructed = fault or message.data, self.instructed + 1
        self.note(f"instruction: {self.instruction}", bool(fault))

    def _on_scene(self, message: Any) -> None:
        self.scene = message.data

    def _on_success(self, message: Bool) -> None:
        if message.data and not self.success:
            self.note("the task is solved")
        self.success = message.data

    def _on_recording(self, message: Bool) -> None:
        self.recording = message.data

    def _on_proposal(self, message: JointTrajectory) -> None:
        chunk = conversions.read_chunk(message, self.arm) if message.points else None
        chunk, before = None if isinstance(chunk, Refusal) else chunk, self.proposal
        if chunk is None or before is None or not np.array_equal(chunk.positions, before.positions):
            self.proposed_s = time.monotonic()  # else it is shown again, stamped anew
        self.proposal = chunk
        if chunk is not None:
            self.chunk = chunk

    def _on_rig(self, message: String) -> None:
        with self._node.using("rig"):
            rig = conversions.read_rig(message)
            if self.rig is None or rig.names != self.rig.names:
                self.rig = rig
                if self._looked:  # its cameras have other names
                    self.look(False)
                    self.look(True)
            self.rig = rig

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        own = self._node.get_name()
        for name, values in read_diagnostics(message).items():
            if name == own or len(self.nodes) > 100:
                continue
            heard = self.nodes.setdefault(name, Heard({}))
            problem = values["message"] if values["level"] else ""
            if problem and problem != heard.value.get("message"):
                self.note(f"{name}: {problem}", True)
            heard.set(values)
        for name in [name for name, heard in self.nodes.items() if heard.age_s > FORGOTTEN_S]:
            del self.nodes[name]
