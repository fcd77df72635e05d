"""Turns each drawing into a chunk of joint positions, if the target gate lets it through.

The gate sits here because here a drawing, the joints at its capture and the rig come together, and because only a
drawing that is about to become motion needs to be checked. A node of its own would send every drawing on once more,
and would have to repeat the hand-shake with the streamer to know which one counts. The streamer's process, beside the
robot, stays without OpenCV. What was drawn over comes from the diffusion node with the drawing: the cameras' topics do
not say which of their images that was.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from genima_core.arm_status import Level
from genima_core.checkpoint import Checkpoint
from genima_core.device import choose_device
from genima_core.loop import ControlLoop
from genima_core.streaming.states import Reason
from genima_core.synchroniser import Synchroniser
from genima_core.targets.gate import GateConfig
from genima_core.tiling import untile
from genima_core.types import Execution
from genima_ros.arms import find_arm
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.messages.status import status_to_message
from genima_ros.nodes.cameras.rig_watch import read_rig
from genima_ros.nodes.run import NODE_OPTIONS, run

if TYPE_CHECKING:
    from genima_core.controller.policy import Controller

WATCH_S = 1.0
SILENT_S = 2.0
SILENT_DRAWING_S = 8.0
"""Loading and drawing take their time on a laptop."""
READING_S = 0.01
"""Two clocks read within this time were read together."""
SAME_STAMP_S = 1e-6
"""A drawing and what it was drawn over carry the same stamp."""


@dataclass(frozen=True)
class ControllerParameters(GateConfig):
    """With the limits of the target gate."""

    checkpoint: Path = Path("checkpoints/demo")
    device: str = "auto"
    execution: Execution = "sync"
    arm: str = "sim"
    """The arm that moves: a name in config/arms, or a file like those."""
    instruction: str = ""
    """Used until one arrives on the topic."""
    gate: bool = True
    """Whether drawings are checked; one that fails pauses the policy until ~/resume. Simulation does without."""


def load_controller(parameters: ControllerParameters) -> tuple["Controller", Checkpoint]:
    """The controller of a checkpoint, for the arm that moves."""
    checkpoint = Checkpoint.open(parameters.checkpoint)
    from genima_core.controller.policy import Controller  # torch takes seconds: tests and bad checkpoints need none

    controller = Controller.load(checkpoint.path / "controller", choose_device(parameters.device))
    return replace(controller, cell_arm=find_arm(parameters.arm).arm), checkpoint


class ControllerNode(Node):
    """Feeds a `ControlLoop`, which decides what is acted upon and when, and sends its chunks.

    With `gate`, drawings wait for what they were drawn over. The loop pauses on a bad one until ~/resume.

    Publishes: action_chunk (7 joints and `gripper` width in m), gate (latched), diagnostics.
    Subscribes: targets/image, targets/observation and camera_rig (with `gate`), joint_states, gripper/state (of a
    gripper with a node), instruction, chunk_wanted.
    Services: ~/resume (with `gate`).
    """

    def __init__(
        self,
        load: Callable[[ControllerParameters], tuple["Controller", Checkpoint]] = load_controller,
        clock_s: Callable[[], float] = time.monotonic,
        **options,
    ) -> None:
        super().__init__("controller", **NODE_OPTIONS, **options)
        self.parameters = p = declare_dataclass(self, ControllerParameters)
        self.setup = find_arm(p.arm)
        controller, self.checkpoint = load(p)
        gate = self.checkpoint.gate(p, self.setup.arm) if p.gate else None
        self.loop = ControlLoop(controller, p.execution, gate)
        self.loop.instruction = p.instruction
        self._clock_s = clock_s
        self._state_arrived_s = self._drawing_arrived_s = self._observation_arrived_s = clock_s()
        self._opening: float | None = None
        self._wanted_heard = False
        self._chunks = interfaces.publish(self, interfaces.ACTION_CHUNK)
        self._diagnostics = Diagnostics(self, ("drawing", "joint_states"))
        interfaces.subscribe(self, interfaces.INSTRUCTION, self._on_instruction)
        interfaces.subscribe(self, interfaces.JOINT_STATES, self._on_joint_state)
        if self.setup.gripper_has_node:
            interfaces.subscribe(self, interfaces.GRIPPER_STATE, self._on_gripper_state)
        interfaces.subscribe(self, interfaces.CHUNK_WANTED, self._on_wanted)
        names = ("drawing", "observation") if p.gate else ("drawing",)
        self._pictures: Synchroniser[Image] = Synchroniser(names, SAME_STAMP_S)
        interfaces.subscribe(self, interfaces.TARGETS, self._on_drawing)
        if p.gate:
            self._gate_state = interfaces.publish(self, interfaces.GATE)
            interfaces.subscribe(self, interfaces.OBSERVATION, self._on_observation)
            interfaces.subscribe(self, interfaces.CAMERA_RIG, self._on_rig)
            self.create_service(interfaces.RESUME.type, interfaces.RESUME.name, self._resume)
            self._publish_gate()
        self._watch = self.create_timer(WATCH_S, self._watch_inputs, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_instruction(self, message: String) -> None:
        self.loop.instruction = message.data

    def _on_wanted(self, message: Bool) -> None:
        self._wanted_heard = True
        self.loop.on_wanted(message.data, self._ros_now_s())

    def _on_joint_state(self, message: JointState) -> None:
        self._state_arrived_s = self._clock_s()
        self._follow_clock()
        try:
            q = conversions.positions_by_name(message, self.setup.arm.joint_names)
            if not self.setup.gripper_has_node:
                self._opening = conversions.gripper_opening(message, self.setup.arm.gripper)
        except ValueError as error:
            self._diagnostics.warn(f"joint_states not used: {error}", "joint_states")
            return
        if self._opening is None:
            self._diagnostics.warn(
                f"no gripper state on {self.resolve_topic_name(interfaces.GRIPPER_STATE.name)}: is its driver running?",
                "no gripper",
            )
            return
        stamp_s = conversions.seconds(message.header.stamp)
        self.loop.on_joint_state(q, self._opening, stamp_s)
        self._diagnostics.received("joint_states", stamp_s)

    def _on_gripper_state(self, message: JointState) -> None:
        try:
            width_m = conversions.positions_by_name(message, (conversions.GRIPPER_JOINT,))[0]
        except ValueError as error:
            self._diagnostics.warn(f"gripper/state not used: {error}", "gripper")
            return
        self._opening = self.setup.arm.gripper.to_opening(float(width_m))

    def _on_rig(self, message: String) -> None:
        try:
            self.loop.on_rig(read_rig(message))
        except ValueError as error:
            self.loop.pause(Reason.RIG, str(error))
        if self.loop.paused:
            self._publish_gate()

    def _on_drawing(self, message: Image) -> None:
        self._drawing_arrived_s = self._clock_s()
        self._on_picture("drawing", message)

    def _on_observation(self, message: Image) -> None:
        self._observation_arrived_s = self._clock_s()
        self._on_picture("observation", message)

    def _on_picture(self, name: str, message: Image) -> None:
        self._follow_clock()
        try:
            pictures = self._pictures.add(name, conversions.seconds(message.header.stamp), message)
        except ValueError as error:
            self._diagnostics.warn(f"{name} not used: {error}", name)
            return
        if pictures is not None and self.loop.is_due(pictures[0].stamp_s):
            self._act(pictures[0].stamp_s, [picture.item for picture in pictures])

    def _act(self, stamp_s: float, pictures: list[Image]) -> None:
        begin_s = self._clock_s()
        try:
            drawing, *observed = (untile(conversions.image_to_rgb(picture)) for picture in pictures)
            chunk = self.loop.act(drawing, stamp_s, *observed)
        except (ValueError, RuntimeError) as error:
            self._diagnostics.warn(f"drawing not followed: {error}", "drawing")
            return
        if chunk is None:
            self._publish_gate()
            return
        self._diagnostics.worked(self._clock_s() - begin_s)
        self._diagnostics.received("drawing", stamp_s)
        chunk = self.loop.start(chunk, self._ros_now_s())
        self._chunks.publish(conversions.chunk_to_trajectory(chunk, self.setup.arm))

    def _follow_clock(self) -> None:
        steady_s, ros_s = self._clock_s(), self._ros_now_s()
        if self._clock_s() - steady_s > READING_S:
            return  # interrupted in between, so the two readings say nothing about the clocks
        if set_by_s := self.loop.on_clock(ros_s, steady_s):
            self._diagnostics.warn(
                f"the wall clock was set by {set_by_s:+.1f} s: let a time server slew it, not set it", "clock"
            )

    def _resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        reason = self.loop.status.text
        self.loop.resume(self._ros_now_s())
        self._publish_gate()
        response.success = True
        response.message = f"opened; it was closed: {reason}" if reason else "the gate is open already"
        return response

    def _publish_gate(self) -> None:
        level = Level.WARN if self.loop.paused else Level.OK
        self._gate_state.publish(status_to_message("gate", self.loop.status, level))
        self._warn_of_pause()

    def _warn_of_pause(self) -> None:
        if self.loop.paused:
            self._diagnostics.warn(
                f"the target gate is closed, the policy pauses: {self.loop.status.text}. Look at "
                f"{self.resolve_topic_name(interfaces.TARGETS.name)}; to continue, call "
                f"{self.resolve_service_name(interfaces.RESUME.name)} (std_srvs/Trigger)",
                "gate",
            )

    def _watch_inputs(self) -> None:
        now_s = self._clock_s()
        self._warn_of_pause()
        if unknown_instruction := self.checkpoint.unknown_instruction(self.loop.instruction):
            self._diagnostics.warn(unknown_instruction, "instruction")
        if now_s - self._state_arrived_s > SILENT_S:
            self._diagnostics.warn(
                f"no joint state on {self.resolve_topic_name(interfaces.JOINT_STATES.name)}: is the robot's "
                "joint_state_broadcaster running?",
                "no joint_states",
            )
        elif now_s - self._drawing_arrived_s > SILENT_DRAWING_S:
            self._diagnostics.warn(
                f"no drawing on {self.resolve_topic_name(interfaces.TARGETS.name)}: "
                "is the diffusion node running and are its cameras?",
                "no drawing",
            )
        elif self.loop.gate is not None and self._drawing_arrived_s - self._observation_arrived_s > SILENT_DRAWING_S:
            self._diagnostics.warn(
                f"no {self.resolve_topic_name(interfaces.OBSERVATION.name)}, which the target gate "
                "compares drawings with: the diffusion node sends it; gate:=false does without",
                "no observation",
            )
        elif not self._wanted_heard:
            self._diagnostics.warn(
                f"nobody listens: no {self.resolve_topic_name(interfaces.CHUNK_WANTED.name)} from a streamer node",
                "no streamer",
            )

    def _ros_now_s(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9


def main() -> None:
    run(ControllerNode)


if __name__ == "__main__":
    main()
