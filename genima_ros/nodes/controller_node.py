"""Turns each drawing into a chunk of joint positions, if the target gate lets it through."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String

from genima_core.arm_status import Level
from genima_core.checkpoint import Checkpoint
from genima_core.device import choose_device
from genima_core.loop import ControlLoop
from genima_core.pixels import untile
from genima_core.streaming.states import Reason, Refusal
from genima_core.targets.gate import GateConfig
from genima_core.timing import Synchroniser
from genima_core.types import ActionChunk
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import approval_to_message, is_taken_over, read_execution, status_to_message
from genima_ros.nodes.base import ArmParameters, GraphNode

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
NO_STATE = "no joint state on {}: is the robot's joint_state_broadcaster running?"
NO_DRAWING = "no drawing on {}: is the diffusion node running and are its cameras?"
NO_OBSERVATION = (
    "no {}, which the target gate compares drawings with: the diffusion node sends it; gate:=false does without"
)
NO_STREAMER = "no {}: is the streamer node running?"


@dataclass(frozen=True)
class ControllerParameters(GateConfig, ArmParameters):
    """With the limits of the target gate; the arm is the one that moves."""

    checkpoint: Path = Path("checkpoints/demo")
    """Folder with the trained models."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto is cuda where there is one."""
    confirm_timeout_s: float = 60.0
    """A chunk that nobody approves of within this time is forgotten, and another one is drawn."""
    instruction: str = ""
    """What to do, until one arrives on the topic."""
    gate: bool = True
    """Whether drawings are checked; may change at any time. One that fails is refused; three in a row pause the policy
    until ~/resume. Simulation does without."""


def load_controller(parameters: ControllerParameters) -> tuple["Controller", Checkpoint]:
    """The controller of a checkpoint, for the arm that moves."""
    checkpoint = Checkpoint.open(parameters.checkpoint)
    from genima_core.controller.policy import Controller  # torch takes seconds: tests and bad checkpoints need none

    controller = Controller.load(checkpoint.path / "controller", choose_device(parameters.device))
    return replace(controller, cell_arm=parameters.setup.arm), checkpoint


class ControllerNode(GraphNode[ControllerParameters]):
    """Turns drawings into chunks by a `ControlLoop`, which decides which drawing is acted upon, and when.

    Whether chunks wait for a yes or follow each other without a pause is told by the streamer, which never starts again
    by itself: so no restart of this node takes back what an operator chose.

    With `gate`, drawings wait for what they were drawn over. The loop refuses bad ones, and pauses until ~/resume if
    they go on.

    Publishes: action_chunk (7 joints and `gripper` width in m), proposal (the same, while it waits for a yes), approval
    (what came of it), gate (latched), diagnostics.
    Subscribes: targets/image, targets/observation and camera_rig (with `gate`), joint_states, gripper/state (of a
    gripper with a node), instruction, chunk_wanted, streamer_state (how chunks are executed, and whether the operator
    has taken over).
    Services: ~/resume (of what the gate paused); ~/approve, ~/reject (of what is proposed in confirm mode, by whom).
    Changes while running: the parameter gate.
    """

    def __init__(
        self, load: Callable[[ControllerParameters], tuple["Controller", Checkpoint]] = load_controller, **options: Any
    ) -> None:
        super().__init__("controller", ControllerParameters, changeable=("gate",), **options)
        p, self.setup = self.parameters, self.parameters.setup
        controller, self.checkpoint = load(p)
        self.loop = ControlLoop(controller)
        self.loop.instruction = p.instruction
        self._arrived_s = dict.fromkeys(("joint_states", "drawing", "observation"), self.clock_s())
        self._opening: float | None = None
        self._wanted_heard = False
        self._gated: list[Subscription] = []
        self._pictures: Synchroniser[Image] = Synchroniser(("drawing",), SAME_STAMP_S)
        self.announce(interfaces.ACTION_CHUNK, interfaces.PROPOSAL, interfaces.APPROVAL, interfaces.GATE)
        self.diagnostics.expect("drawing", "joint_states")
        self.subscribe(interfaces.INSTRUCTION, lambda message: setattr(self.loop, "instruction", message.data))
        self.subscribe(interfaces.JOINT_STATES, self._on_joint_state)
        if self.setup.gripper_has_node:
            self.subscribe(interfaces.GRIPPER_STATE, self._on_gripper_state)
        self.subscribe(interfaces.CHUNK_WANTED, self._on_wanted)
        self.subscribe(interfaces.STREAMER_STATE, self._on_streamer_state)
        self.subscribe(interfaces.TARGETS, partial(self._on_picture, "drawing"))
        self.serve("approve", self._approve)
        self.serve("reject", self._reject)
        self.serve("resume", self._resume)
        if p.gate:
            self._use_gate(True)
        self.take_changes(self._change)
        self.every(WATCH_S, self._watch_inputs)

    def _change(self, changed: ControllerParameters) -> None:
        if changed.gate != self.parameters.gate:
            self._use_gate(changed.gate)

    def _use_gate(self, wanted: bool) -> None:
        """ValueError where the checkpoint's cameras cannot have one; then nothing changes."""
        gate = self.checkpoint.gate(self.parameters, self.setup.arm) if wanted else None
        self.loop.set_gate(gate, self.ros_now_s())
        for subscription in self._gated:
            self.destroy_subscription(subscription)
        self._gated, names = [], ("drawing", "observation") if wanted else ("drawing",)
        self._pictures = Synchroniser(names, SAME_STAMP_S)
        if wanted:
            self._arrived_s["observation"] = self.clock_s()
            on_observation = partial(self._on_picture, "observation")
            self._gated.append(self.subscribe(interfaces.OBSERVATION, on_observation))
            self._gated.append(self.subscribe(interfaces.CAMERA_RIG, self._on_rig))
        self._show_proposal()
        self._publish_gate()

    def values(self) -> dict[str, object]:
        return {"gate": str(self.parameters.gate).lower()}

    def _on_wanted(self, message: Bool) -> None:
        self._wanted_heard = True
        self.loop.on_wanted(message.data, self.ros_now_s())

    def _on_streamer_state(self, message: DiagnosticStatus) -> None:
        self.loop.on_operator(is_taken_over(message), self.ros_now_s())
        execution, before = read_execution(message), self.loop.proposal
        if execution is not None:
            self.loop.on_execution(execution, self.ros_now_s())
        if before is not self.loop.proposal:
            self._show_proposal()

    def _on_joint_state(self, message: JointState) -> None:
        self._note_arrival("joint_states")
        with self.using("joint_states"):
            q = conversions.positions_by_name(message, self.setup.arm.joint_names)
            if not self.setup.gripper_has_node:
                self._opening = conversions.gripper_opening(message, self.setup.arm.gripper)
            if self._opening is None:
                topic = self.full_name(interfaces.GRIPPER_STATE)
                self.diagnostics.warn(f"no gripper state on {topic}: is its driver running?", "no gripper")
                return
            stamp_s = conversions.seconds(message.header.stamp)
            self.loop.on_joint_state(q, self._opening, stamp_s)
            self.diagnostics.received("joint_states", stamp_s)

    def _on_gripper_state(self, message: JointState) -> None:
        with self.using("gripper/state", "gripper"):
            width_m = conversions.positions_by_name(message, (conversions.GRIPPER_JOINT,))[0]
            self._opening = self.setup.arm.gripper.to_opening(float(width_m))

    def _on_rig(self, message: String) -> None:
        try:
            self.loop.on_rig(conversions.read_rig(message))
        except ValueError as error:
            self.loop.pause(Reason.RIG, str(error))
        if self.loop.paused:
            self._publish_gate()

    def _on_picture(self, name: str, message: Image) -> None:
        self._note_arrival(name)
        pictures = None
        with self.using(name):
            pictures = self._pictures.add(name, conversions.seconds(message.header.stamp), message)
        if pictures is not None and self.loop.is_due(pictures[0].stamp_s):
            self._act(pictures[0].stamp_s, [picture.item for picture in pictures])

    def _act(self, stamp_s: float, pictures: list[Image]) -> None:
        begin_s = self.clock_s()
        try:
            views = len(self.checkpoint.rig.cameras)
            drawing, *observed = (untile(conversions.image_to_rgb(picture), views) for picture in pictures)
            before = self.loop.status
            chunk = self.loop.act(drawing, stamp_s, *observed)
        except (ValueError, RuntimeError) as error:
            self.diagnostics.warn(f"drawing not followed: {error}", "drawing")
            return
        if self.loop.status != before:
            self._publish_gate()
        if chunk is None:
            return
        self.diagnostics.worked(self.clock_s() - begin_s)
        self.diagnostics.received("drawing", stamp_s)
        if self.loop.execution == "confirm":
            self.loop.propose(chunk, self.ros_now_s())
            self._show_proposal()
            self.get_logger().info(f"proposed: {self._proposed()}; genima approve, or genima reject")
            return
        self._send(self.loop.start(chunk, self.ros_now_s()))

    def _send(self, chunk: ActionChunk) -> None:
        self.say(interfaces.ACTION_CHUNK, conversions.chunk_to_trajectory(chunk, self.setup.arm))

    def _proposed(self) -> str:
        """What waits, in words."""
        proposal = self.loop.proposal
        if proposal is None:
            return "nothing"
        x, y, z = self.setup.arm.frame_pose(proposal.chunk.positions[-1], "tcp")[:3, 3]
        return f"{self.loop.instruction!r}, the gripper to ({x:.2f}, {y:.2f}, {z:.2f}) m"

    def _show_proposal(self) -> None:
        """What waits, as of now, or that nothing does."""
        if self.loop.proposal is None:
            self.say(interfaces.PROPOSAL)
        else:
            shown = replace(self.loop.proposal.chunk, stamp_s=self.ros_now_s())
            self.say(interfaces.PROPOSAL, conversions.chunk_to_trajectory(shown, self.setup.arm))

    def _approve(self, by: str) -> str | Refusal:
        proposed, answer = self._proposed(), self.loop.approve(self.ros_now_s())
        self._show_proposal()
        if isinstance(answer, Refusal):
            return answer
        self._send(answer)
        self._keep("approved", by, proposed)
        return f"approved: {proposed}"

    def _reject(self, by: str) -> str | Refusal:
        proposed, answer = self._proposed(), self.loop.reject(self.ros_now_s())
        self._show_proposal()
        if not isinstance(answer, Refusal):
            self._keep("rejected", by, proposed)
        return answer

    def _keep(self, decision: str, by: str, proposed: str) -> None:
        """What was decided, by whom and when, in the log and in recordings."""
        message = approval_to_message(decision, by, proposed)
        self.say(interfaces.APPROVAL, message)
        self.get_logger().info(message.message)

    def _watch_proposal(self) -> None:
        """Shows it again, and gives it up when it has waited too long."""
        waiting, limit_s = self.loop.proposal, self.parameters.confirm_timeout_s
        if waiting is not None and self.ros_now_s() - waiting.since_s > limit_s:
            self.get_logger().info(f"not approved within {limit_s:g} s: {self._proposed()}")
            self.loop.reject(self.ros_now_s())
        self._show_proposal()

    def _note_arrival(self, name: str) -> None:
        """Of an input; and looks whether the wall clock was set meanwhile."""
        self._arrived_s[name] = steady_s = self.clock_s()
        ros_s = self.ros_now_s()
        if self.clock_s() - steady_s > READING_S:
            return  # interrupted in between, so the two readings say nothing about the clocks
        if set_by_s := self.loop.on_clock(ros_s, steady_s):
            text = f"the wall clock was set by {set_by_s:+.1f} s: let a time server slew it, not set it"
            self.diagnostics.warn(text, "clock")

    def _resume(self) -> str:
        reason = self.loop.status.text
        self.loop.resume(self.ros_now_s())
        self._publish_gate()
        return f"the gate is open again; it was closed because: {reason}" if reason else "the gate is open already"

    def _publish_gate(self) -> None:
        level = Level.WARN if self.loop.status.text else Level.OK
        self.say(interfaces.GATE, status_to_message("gate", self.loop.status, level))
        self._warn_of_gate()

    def _warn_of_gate(self) -> None:
        if self.loop.paused:
            remedy = f"Look at {self.full_name(interfaces.TARGETS)}; to continue: genima resume"
            text = f"the target gate is closed, the policy pauses: {self.loop.status.text}. {remedy}"
            self.diagnostics.warn(text, "gate")
        elif self.loop.status.text:
            self.diagnostics.warn(f"drawing refused, the next one is waited for: {self.loop.status.text}", "gate")

    def _watch_inputs(self) -> None:
        self._warn_of_gate()
        if self.loop.execution == "confirm":
            self._watch_proposal()
        if unknown_instruction := self.checkpoint.unknown_instruction(self.loop.instruction):
            self.diagnostics.warn(unknown_instruction, "instruction")
        now_s, state_s, drawn_s, observed_s = self.clock_s(), *self._arrived_s.values()
        unobserved = self.loop.gate is not None and drawn_s - observed_s > SILENT_DRAWING_S
        for topic, is_missing, text, key in (
            (interfaces.JOINT_STATES, now_s - state_s > SILENT_S, NO_STATE, "no joint_states"),
            (interfaces.TARGETS, now_s - drawn_s > SILENT_DRAWING_S, NO_DRAWING, "no drawing"),
            (interfaces.OBSERVATION, unobserved, NO_OBSERVATION, "no observation"),
            (interfaces.CHUNK_WANTED, not self._wanted_heard, NO_STREAMER, "no streamer"),
        ):
            if is_missing:
                self.diagnostics.warn(text.format(self.full_name(topic)), key)
                return
