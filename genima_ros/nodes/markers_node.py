"""Shows in RViz where the arm is about to be, and where the cameras are."""

import textwrap
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import ColorRGBA, String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker

from genima_core.arm import Arm
from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.checkpoint import Checkpoint
from genima_core.geometry import transform_points
from genima_core.pixels import untile
from genima_core.streaming.states import Refusal, Status
from genima_core.targets.gate import GateState
from genima_core.targets.locate import Drawn, locate
from genima_core.targets.look import OURS, TARGET_NAMES, Look
from genima_core.targets.triangulation import camera_poses
from genima_core.types import ActionChunk
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_status
from genima_ros.nodes.base import ArmParameters, GraphNode
from genima_ros.nodes.markers import AXES, Colour, MarkerBuilder, to_colour

HISTORY = 500
"""Joint states that are kept for the capture times of drawings."""
STATE_STEP_S = 0.005
"""Between those: they reach back 2.5 s also where an arm tells its state at 1 kHz."""
GATE_LETTERS, GATE_COLUMNS = 240, 36
"""Of the gate's reasons, and of a line: RViz breaks none by itself, and cuts off at both ends what is too wide."""
FAINTEST = 0.15
DRAWN_ALPHA = 0.35
AXIS_RADII = 2.5
FRESH: Colour = (1.0, 1.0, 1.0)
OLD: Colour = (1.0, 0.55, 0.1)
TEXT_M = 0.04
ABOVE_M = {"planned": 0.34, "drawn": 0.42}
"""Of the gripper's target, where its age stands: above the hand and the flange."""
FRUSTUM_M = 0.12
AXIS_M = 0.06
GREY = (0.75, 0.75, 0.8)
EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))


@dataclass(frozen=True)
class MarkersParameters(ArmParameters):
    radius_m: float = 0.065
    """Of the drawn targets; the planned ones are half as large."""
    rate_hz: float = 10.0
    """Rate of the markers."""
    fade_s: float = 4.0
    """Targets fade out until the pictures they come from are this old."""
    checkpoint: str = ""
    """Folder of the trained models, whose targets these are; "" for ours."""


class MarkersNode(GraphNode[MarkersParameters]):
    """Shows targets and cameras in RViz: all in the base frame, so no TF is needed, and only while somebody looks.

    Publishes: targets/markers (drawn targets translucent, planned ones solid with their joints' axes and the gripper's
    way, the age of each, and why the target gate is closed), cameras/markers, diagnostics.
    Subscribes: action_chunk, proposal (shown likewise), targets/image, joint_states, camera_rig, gate.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("markers", MarkersParameters, **options)
        self._arm = self.parameters.setup.arm
        checkpoint = self.parameters.checkpoint
        self._look = Checkpoint.open(Path(checkpoint)).look if checkpoint else OURS
        self._chunk: ActionChunk | None = None
        self._drawn: Drawn | None = None
        self._rig: CameraRig | None = None
        self._states: deque[tuple[float, np.ndarray]] = deque(maxlen=HISTORY)
        self._gate: Status | None = None
        self.announce(interfaces.TARGET_MARKERS, interfaces.CAMERA_MARKERS)
        self.diagnostics.expect("action_chunk", "drawing")
        self.subscribe(interfaces.ACTION_CHUNK, self._on_chunk)
        self.subscribe(interfaces.PROPOSAL, self._on_proposal)
        self.subscribe(interfaces.TARGETS, self._on_drawing)
        self.subscribe(interfaces.JOINT_STATES, self._on_joint_state)
        self.subscribe(interfaces.CAMERA_RIG, self._on_rig)
        self.subscribe(interfaces.GATE, lambda message: setattr(self, "_gate", read_status(message, GateState)))
        self.every(1 / self.parameters.rate_hz, self._show)

    def _on_chunk(self, message: JointTrajectory) -> None:
        chunk = conversions.read_chunk(message, self._arm)
        if isinstance(chunk, Refusal):
            self.diagnostics.warn(f"action_chunk not shown: {chunk.text}", "action_chunk")
            return
        self._chunk = chunk
        self.diagnostics.received("action_chunk", chunk.stamp_s)

    def _on_proposal(self, message: JointTrajectory) -> None:
        if message.points:
            self._on_chunk(message)

    def _on_drawing(self, message: Image) -> None:
        if self._rig is None or not self._states or not self.is_heard(interfaces.TARGET_MARKERS):
            return
        stamp_s = conversions.seconds(message.header.stamp)
        _, q = min(self._states, key=lambda state: abs(state[0] - stamp_s))
        with self.using("drawing"):
            drawing = untile(conversions.image_to_rgb(message), len(self._rig.cameras))
            self._drawn = locate(drawing, self._rig, q, stamp_s, self._look)
            self.diagnostics.received("drawing", stamp_s)

    def _on_joint_state(self, message: JointState) -> None:
        stamp_s = conversions.seconds(message.header.stamp)
        if not self._states or not 0.0 <= stamp_s - self._states[-1][0] < STATE_STEP_S:
            with self.using("joint_states"):
                self._states.append((stamp_s, conversions.positions_by_name(message, self._arm.joint_names)))

    def _on_rig(self, message: String) -> None:
        with self.using("rig"):
            self._rig = conversions.read_rig(message)

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
            how = radius_m / 2, fade_s, max(age_s, 0.0), self._look
            yield from planned_markers(builder, self._arm, self._chunk, *how)
        if self._drawn is not None and (age_s := now_s - self._drawn.stamp_s) < fade_s:
            yield from drawn_markers(builder, self._drawn, radius_m, fade_s, max(age_s, 0.0), self._look)
        if self._gate is not None and self._gate.state is GateState.CLOSED:
            yield builder.text("gate", 0, np.array([0.0, 0.0, 1.1]), gate_words(self._gate), 0.04, to_colour(OLD))


def gate_words(status: Status) -> str:
    """The gate's state in lines that fit into the picture."""
    return textwrap.fill(textwrap.shorten(f"gate {status}", GATE_LETTERS, placeholder=" ..."), GATE_COLUMNS)


def planned_markers(
    builder: MarkerBuilder,
    arm: Arm,
    chunk: ActionChunk,
    radius_m: float,
    fade_s: float,
    age_s: float,
    look: Look = OURS,
) -> Iterator[Marker]:
    """Four solid spheres where the chunk ends, an arrow along each joint's axis, and the gripper's way there."""
    opening = 1.0 if chunk.gripper is None else float(chunk.gripper[-1])
    colours = _colours(look, opening, _strength(age_s, fade_s))
    poses = arm.target_poses(chunk.positions)
    for i, (name, T_base_target, colour) in enumerate(zip(TARGET_NAMES, poses[-1], colours, strict=True)):
        position = T_base_target[:3, 3]
        yield builder.sphere(name, i, position, radius_m, colour)
        ends = np.stack([position, position + AXIS_RADII * radius_m * T_base_target[:3, 2]])
        yield builder.arrow("axis", i, ends, radius_m / 4, colour)
    way = poses[:, 3, :3, 3]
    if len(way) > 1:
        yield builder.line("way", 0, way, radius_m / 5, colours[3])
    yield _age(builder, "planned", way[-1], age_s, fade_s)


def drawn_markers(
    builder: MarkerBuilder, drawn: Drawn, radius_m: float, fade_s: float, age_s: float, look: Look = OURS
) -> Iterator[Marker]:
    """Translucent spheres where the drawing's are; those that cannot be located are left out."""
    colours = _colours(look, drawn.opening, DRAWN_ALPHA * _strength(age_s, fade_s))
    located = np.flatnonzero(np.isfinite(drawn.points).all(axis=1))
    for i in located:
        yield builder.sphere("drawn", int(i), drawn.points[i], radius_m, colours[i])
    if len(located):
        yield _age(builder, "drawn", drawn.points[located[-1]], age_s, fade_s)


def _strength(age_s: float, fade_s: float) -> float:
    return max(FAINTEST, 1.0 - age_s / fade_s)


def _colours(look: Look, opening: float, alpha: float) -> list[ColorRGBA]:
    """Of the four targets."""
    return [to_colour(tuple(np.array(colour.light) / 255), alpha) for colour in look.colours(opening)]


def _age(builder: MarkerBuilder, what: str, position: np.ndarray, age_s: float, fade_s: float) -> Marker:
    place, colour = position + [0.0, 0.0, ABOVE_M[what]], OLD if age_s > fade_s / 2 else FRESH
    return builder.text("age", list(ABOVE_M).index(what), place, f"{what} {age_s:.1f} s", TEXT_M, to_colour(colour))


def camera_markers(builder: MarkerBuilder, rig: CameraRig, q: np.ndarray) -> Iterator[Marker]:
    """All cameras while the arm is at q (7,) rad."""
    axes = AXIS_M * np.insert(np.eye(3), [0, 1, 2], 0.0, axis=0)
    for i, (camera, T_base_cam) in enumerate(zip(rig.cameras, camera_poses(rig, q), strict=True)):
        colours = [to_colour(colour) for colour in AXES]
        yield builder.segments("axes", i, transform_points(T_base_cam, axes), 0.006, colours)
        corners = transform_points(T_base_cam, frustum(camera.intrinsics, FRUSTUM_M))
        yield builder.segments("frustum", i, corners[np.ravel(EDGES)], 0.003, [to_colour(GREY, 0.9)])
        yield builder.text("name", i, T_base_cam[:3, 3] + [0.0, 0.0, 0.05], camera.name, 0.04, to_colour(GREY))


def frustum(camera: PinholeCamera, depth_m: float) -> np.ndarray:
    """The camera and the four corners of its picture (5, 3) m at a depth, in the camera frame."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * camera.size - 0.5
    return np.vstack([np.zeros(3), depth_m * camera.rays(corners)])
