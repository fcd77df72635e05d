"""Shows in RViz where the arm is about to be, and where the cameras are."""

import textwrap
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker

from genima_core.cameras import CameraRig
from genima_core.streaming.states import Refusal, Status
from genima_core.targets.gate import GateState
from genima_core.tiling import untile
from genima_core.types import ActionChunk
from genima_ros.arms import find_arm
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_status
from genima_ros.nodes.base import GraphNode
from genima_ros.nodes.cameras.rig_watch import read_rig
from genima_ros.nodes.markers.cameras import camera_markers
from genima_ros.nodes.markers.shapes import MarkerBuilder, to_colour
from genima_ros.nodes.markers.targets import OLD, Drawn, drawn_markers, locate, planned_markers
from genima_ros.nodes.run import run

HISTORY = 500
"""Joint states that are kept for the capture times of drawings."""
STATE_STEP_S = 0.005
"""Between those: they reach back 2.5 s also where an arm tells its state at 1 kHz."""
GATE_LETTERS, GATE_COLUMNS = 240, 36
"""Of the gate's reasons, and of a line: RViz breaks none by itself, and cuts off at both ends what is too wide."""


@dataclass(frozen=True)
class MarkersParameters:
    arm: str = "sim"
    """Name in config/arms, or a file like those."""
    radius_m: float = 0.065
    """Of the drawn targets; the planned ones are half as large."""
    rate_hz: float = 10.0
    fade_s: float = 4.0
    """Targets grow fainter over this age, that of the pictures they come from, and then disappear."""


class MarkersNode(GraphNode[MarkersParameters]):
    """Everything is in the base frame, so no TF is needed; what is not looked at is not made.

    Publishes: targets/markers (drawn targets translucent, planned ones solid with their joints' axes and the gripper's
    way, the age of each, and why the target gate is closed), cameras/markers, diagnostics.
    Subscribes: action_chunk, targets/image, joint_states, camera_rig, gate.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("markers", MarkersParameters, **options)
        self._arm = find_arm(self.parameters.arm).arm
        self._chunk: ActionChunk | None = None
        self._drawn: Drawn | None = None
        self._rig: CameraRig | None = None
        self._states: deque[tuple[float, np.ndarray]] = deque(maxlen=HISTORY)
        self._gate: Status | None = None
        self.announce(interfaces.TARGET_MARKERS, interfaces.CAMERA_MARKERS)
        self.diagnostics.expect("action_chunk", "drawing")
        self.subscribe(interfaces.ACTION_CHUNK, self._on_chunk)
        self.subscribe(interfaces.TARGETS, self._on_drawing)
        self.subscribe(interfaces.JOINT_STATES, self._on_joint_state)
        self.subscribe(interfaces.CAMERA_RIG, self._on_rig)
        self.subscribe(interfaces.GATE, self._on_gate)
        self._timer = self.every(1 / self.parameters.rate_hz, self._show)

    def _on_chunk(self, message: JointTrajectory) -> None:
        chunk = conversions.read_chunk(message, self._arm)
        if isinstance(chunk, Refusal):
            self.diagnostics.warn(f"action_chunk not shown: {chunk.text}", "action_chunk")
            return
        self._chunk = chunk
        self.diagnostics.received("action_chunk", chunk.stamp_s)

    def _on_drawing(self, message: Image) -> None:
        if self._rig is None or not self._states or not self.is_heard(interfaces.TARGET_MARKERS):
            return
        stamp_s = conversions.seconds(message.header.stamp)
        _, q = min(self._states, key=lambda state: abs(state[0] - stamp_s))
        with self.using("drawing"):
            self._drawn = locate(untile(conversions.image_to_rgb(message)), self._rig, q, stamp_s)
            self.diagnostics.received("drawing", stamp_s)

    def _on_joint_state(self, message: JointState) -> None:
        stamp_s = conversions.seconds(message.header.stamp)
        if not self._states or not 0.0 <= stamp_s - self._states[-1][0] < STATE_STEP_S:
            with self.using("joint_states"):
                self._states.append((stamp_s, conversions.positions_by_name(message, self._arm.joint_names)))

    def _on_rig(self, message: String) -> None:
        with self.using("rig"):
            self._rig = read_rig(message)

    def _on_gate(self, message: DiagnosticStatus) -> None:
        self._gate = read_status(message, GateState)

    def _show(self) -> None:
        began_s, now = self.clock_s(), self.get_clock().now()
        lifetime = conversions.to_duration(3 / self.parameters.rate_hz)
        builder = MarkerBuilder(self._arm.base_frame, now.to_msg(), lifetime)
        if self.is_heard(interfaces.TARGET_MARKERS) and (markers := [*self._target_markers(builder, self.ros_now_s())]):
            self.say(interfaces.TARGET_MARKERS, markers=markers)
            self.diagnostics.worked(self.clock_s() - began_s)
        if self.is_heard(interfaces.CAMERA_MARKERS) and self._rig is not None and self._states:
            markers = list(camera_markers(builder, self._rig, self._states[-1][1]))
            self.say(interfaces.CAMERA_MARKERS, markers=markers)

    def _target_markers(self, builder: MarkerBuilder, now_s: float) -> Iterator[Marker]:
        radius_m, fade_s = self.parameters.radius_m, self.parameters.fade_s
        if self._chunk is not None and (age_s := now_s - self._chunk.stamp_s) < fade_s:
            yield from planned_markers(builder, self._arm, self._chunk, radius_m / 2, fade_s, max(age_s, 0.0))
        if self._drawn is not None and (age_s := now_s - self._drawn.stamp_s) < fade_s:
            yield from drawn_markers(builder, self._drawn, radius_m, fade_s, max(age_s, 0.0))
        if self._gate is not None and self._gate.state is GateState.CLOSED:
            yield builder.text("gate", 0, np.array([0.0, 0.0, 1.1]), gate_words(self._gate), 0.04, to_colour(OLD))


def gate_words(status: Status) -> str:
    """The gate's state in lines that fit into the picture."""
    return textwrap.fill(textwrap.shorten(f"gate {status}", GATE_LETTERS, placeholder=" ..."), GATE_COLUMNS)


if __name__ == "__main__":
    run(MarkersNode)
