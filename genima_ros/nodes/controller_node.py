"""Turns each drawing into a chunk of joint positions, if the target gate lets it through.

The gate sits here because here a drawing, the joints at its capture and the rig come together, and because only a
drawing that is about to become motion needs to be checked. A node of its own would send every drawing on once more,
and would have to repeat the hand-shake with the streamer to know which one counts. The streamer's process, beside the
robot, stays without OpenCV. What was drawn over comes from the diffusion node with the drawing: the cameras' topics do
not say which of their images that was.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String

from genima_core.checkpoint import Checkpoint
from genima_core.synchroniser import Synchroniser
from genima_core.targets.gate import Gate, GateConfig
from genima_core.tiling import untile
from genima_core.types import ActionChunk
from genima_ros.arms import find_arm
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.nodes.gate.gatekeeper import Gatekeeper
from genima_ros.nodes.run import NODE_OPTIONS, run

if TYPE_CHECKING:
    from genima_core.controller.policy import Controller

HISTORY = 2000
"""Joint states kept, so that the one at an image's capture time is still there when its drawing is finished."""
STATE_SLACK_S = 0.1
STILL_RAD = 0.02
"""An arm whose joints have turned less than this since the capture has not moved."""
WATCH_S = 1.0
SILENT_S = 2.0
SILENT_DRAWING_S = 8.0
"""Loading and drawing take their time on a laptop."""
CLOCK_SET_S = 0.5
"""The wall clock has been set if it has moved against the steady one by more than this."""
READING_S = 0.01
SAME_STAMP_S = 1e-6
"""A drawing and what it was drawn over carry the same stamp."""


@dataclass(frozen=True)
class ControllerParameters(GateConfig):
    """With the limits of the target gate."""

    checkpoint: Path = Path("checkpoints/demo")
    device: str = "cpu"
    execution: Literal["sync", "async"] = "sync"
    arm: str = "sim"
    """The arm that moves: a name in config/arms, or a file like those."""
    instruction: str = ""
    """Used until one arrives on the topic."""
    gate: bool = True
    """Whether drawings are checked; one that fails pauses the policy until ~/resume. Simulation does without."""


def load_controller(parameters: ControllerParameters) -> "Controller":
    """The controller of a checkpoint."""
    checkpoint = Checkpoint.open(parameters.checkpoint)
    from genima_core.controller.policy import Controller  # torch takes seconds: tests and bad checkpoints need none

    controller = Controller.load(checkpoint.path / "controller", parameters.device)
    return replace(controller, cell_arm=find_arm(parameters.arm).arm)


def load_gate(parameters: ControllerParameters) -> Gate:
    """The gate for drawings of a checkpoint."""
    checkpoint = Checkpoint.open(parameters.checkpoint)
    rig = replace(checkpoint.rig, arm=find_arm(parameters.arm).arm)
    return Gate(rig, checkpoint.info.chunk_size * checkpoint.info.dt_s, parameters)


@dataclass(frozen=True)
class _State:
    stamp_s: float
    q: np.ndarray
    opening: float


class ControllerNode(Node):
    """Acts on drawings with the joint state of their capture time: what the controller was trained on.

    The chunk is stamped with that capture time. In **async** mode action 0 is due one step after the capture, so that
    actions whose time has passed are skipped where the chunk is spliced in; but if the arm still is where it was
    captured, none has passed, and action 0 is due one step from now. In **sync** mode the arm waits: the streamer says
    on chunk_wanted when it is at rest, only a drawing captured after that is acted upon, and action 0 is due one step
    from now. If the chunk is refused, chunk_wanted stays true and the next drawing is acted upon; nothing can lock up
    when either side is restarted.

    With `gate` on, a drawing is checked before it is acted upon; one that fails pauses the policy (see `Gatekeeper`):
    no chunk follows, so the streamer brings the arm to rest, until ~/resume, and then only what is captured afterwards
    counts.

    Publishes: action_chunk (7 joints and `gripper` width in m), gate (latched), diagnostics.
    Subscribes: targets/image, targets/observation and camera_rig (with `gate`), joint_states, gripper/state (of a
    gripper with a node), instruction, chunk_wanted.
    Services: ~/resume (with `gate`).
    """

    def __init__(
        self,
        load: Callable[[ControllerParameters], "Controller"] = load_controller,
        clock_s: Callable[[], float] = time.monotonic,
        gate: Callable[[ControllerParameters], Gate] = load_gate,
        **options,
    ) -> None:
        super().__init__("controller", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, ControllerParameters)
        self.setup = find_arm(self.parameters.arm)
        self.controller = load(self.parameters)
        self._clock_s = clock_s
        self._instruction = self.parameters.instruction
        self._states: deque[_State] = deque(maxlen=HISTORY)
        self._state_arrived_s = self._drawing_arrived_s = clock_s()
        self._opening: float | None = None
        self._wanted_since_s: float | None = None
        self._wanted_heard = False
        self._last_stamp_s = 0.0
        self._ros_minus_steady_s = self._ros_now_s() - clock_s()
        self._chunks = interfaces.publish(self, interfaces.ACTION_CHUNK)
        self._diagnostics = Diagnostics(self, ("drawing", "joint_states"))
        interfaces.subscribe(self, interfaces.INSTRUCTION, self._on_instruction)
        interfaces.subscribe(self, interfaces.JOINT_STATES, self._on_joint_state)
        if self.setup.gripper_has_node:
            interfaces.subscribe(self, interfaces.GRIPPER_STATE, self._on_gripper_state)
        interfaces.subscribe(self, interfaces.CHUNK_WANTED, self._on_wanted)
        interfaces.subscribe(self, interfaces.TARGETS, self._on_drawing)
        self._gatekeeper: Gatekeeper | None = None
        if self.parameters.gate:
            self._pairs: Synchroniser[Image] = Synchroniser(("drawing", "observation"), SAME_STAMP_S)
            self._observation_arrived_s = clock_s()
            self._gatekeeper = Gatekeeper(self, gate(self.parameters), self._diagnostics, self._forget_drawings)
            interfaces.subscribe(self, interfaces.OBSERVATION, self._on_observation)
        self._watch = self.create_timer(WATCH_S, self._watch_inputs, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_instruction(self, message: String) -> None:
        self._instruction = message.data

    def _on_wanted(self, message: Bool) -> None:
        self._wanted_heard = True
        if not message.data:
            self._wanted_since_s = None
        elif self._wanted_since_s is None:
            self._wanted_since_s = self._ros_now_s()

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
        stamp_s = conversions.seconds(message.header.stamp)
        if self._opening is None:
            self._diagnostics.warn(
                f"no gripper state on {self.resolve_topic_name(interfaces.GRIPPER_STATE.name)}: is its driver running?",
                "no gripper",
            )
            return
        self._states.append(_State(stamp_s, q, self._opening))
        self._diagnostics.received("joint_states", stamp_s)

    def _on_gripper_state(self, message: JointState) -> None:
        try:
            width_m = conversions.positions_by_name(message, (conversions.GRIPPER_JOINT,))[0]
        except ValueError as error:
            self._diagnostics.warn(f"gripper/state not used: {error}", "gripper")
            return
        self._opening = self.setup.arm.gripper.to_opening(float(width_m))

    def _on_drawing(self, message: Image) -> None:
        self._drawing_arrived_s = self._clock_s()
        if self._gatekeeper is None:
            self._follow(message)
        else:
            self._pair("drawing", message)

    def _on_observation(self, message: Image) -> None:
        self._observation_arrived_s = self._clock_s()
        self._pair("observation", message)

    def _pair(self, name: str, message: Image) -> None:
        try:
            pair = self._pairs.add(name, conversions.seconds(message.header.stamp), message)
        except ValueError as error:
            self._diagnostics.warn(f"{name} not used: {error}", name)
            return
        if pair is not None:
            self._follow(*(part.item for part in pair))

    def _follow(self, message: Image, observation: Image | None = None) -> None:
        stamp_s = conversions.seconds(message.header.stamp)
        if not self._is_due(stamp_s):
            return
        try:
            views = untile(conversions.image_to_rgb(message))
            state = self._state_at(stamp_s)
            if self._gatekeeper is not None and not self._gatekeeper.admits(
                views, state.q, untile(conversions.image_to_rgb(observation))
            ):
                return
            chunk = self._act(views, state, stamp_s)
        except (ValueError, RuntimeError) as error:
            self._diagnostics.warn(f"drawing not followed: {error}", "drawing")
            return
        self._last_stamp_s = stamp_s
        self._diagnostics.received("drawing", stamp_s)
        self._chunks.publish(conversions.chunk_to_trajectory(chunk, self.setup.arm))
        if self._wanted_since_s is not None and self.parameters.execution == "sync":
            # The streamer's answer is on its way; until then only a drawing of what comes after this chunk will do.
            self._wanted_since_s = self._ros_now_s()

    def _forget_drawings(self) -> None:
        """What was captured before the operator looked does not count."""
        self._last_stamp_s = self._ros_now_s()

    def _follow_clock(self) -> None:
        """Where the wall clock was set, what is remembered moves with it: else old stamps are newer than new ones."""
        steady_s, ros_s = self._clock_s(), self._ros_now_s()
        if self._clock_s() - steady_s > READING_S:
            return  # interrupted in between, so the two readings say nothing about the clocks
        before_s, self._ros_minus_steady_s = self._ros_minus_steady_s, ros_s - steady_s
        set_by_s = self._ros_minus_steady_s - before_s
        if abs(set_by_s) < CLOCK_SET_S:
            return
        self._diagnostics.warn(
            f"the wall clock was set by {set_by_s:+.1f} s: let a time server slew it, not set it", "clock"
        )
        self._states.clear()
        self._last_stamp_s += set_by_s
        if self._wanted_since_s is not None:
            self._wanted_since_s += set_by_s

    def _is_due(self, stamp_s: float) -> bool:
        self._follow_clock()
        if self._wanted_since_s is None or stamp_s <= self._last_stamp_s:
            return False
        return self.parameters.execution == "async" or stamp_s >= self._wanted_since_s

    def _state_at(self, stamp_s: float) -> _State:
        if not self._states:
            raise ValueError("no joint state yet; is the robot's joint_state_broadcaster running?")
        state = min(self._states, key=lambda state: abs(state.stamp_s - stamp_s))
        if abs(state.stamp_s - stamp_s) > STATE_SLACK_S:
            raise ValueError(
                f"the joint state nearest to the images is {abs(state.stamp_s - stamp_s):.3f} s away "
                f"(allowed {STATE_SLACK_S} s): are cameras and robot on one clock?"
            )
        return state

    def _act(self, views: np.ndarray, state: _State, stamp_s: float) -> ActionChunk:
        if not self._instruction:
            raise ValueError(
                "no instruction yet: publish one (std_msgs/String) on "
                f"{self.resolve_topic_name(interfaces.INSTRUCTION.name)}"
            )
        begin_s = self._clock_s()
        positions, gripper = self.controller.act(views, state.q, state.opening, self._instruction)
        if not (np.isfinite(positions).all() and np.isfinite(gripper).all()):
            raise ValueError("the controller's actions are not finite; is the checkpoint damaged?")
        self._diagnostics.worked(self._clock_s() - begin_s)
        dt_s = self.controller.dt_s
        moved = np.abs(self._states[-1].q - state.q).max() > STILL_RAD
        start_s = (stamp_s if self.parameters.execution == "async" and moved else self._ros_now_s()) + dt_s
        return ActionChunk(np.asarray(positions, np.float64), np.asarray(gripper, np.float64), dt_s, start_s, stamp_s)

    def _watch_inputs(self) -> None:
        now_s = self._clock_s()
        if self._gatekeeper is not None:
            self._gatekeeper.remind()
        if now_s - self._state_arrived_s > SILENT_S:
            self._diagnostics.warn(
                "no joint state on "
                f"{self.resolve_topic_name(interfaces.JOINT_STATES.name)}: is the robot's "
                "joint_state_broadcaster running?",
                "no joint_states",
            )
        elif now_s - self._drawing_arrived_s > SILENT_DRAWING_S:
            self._diagnostics.warn(
                f"no drawing on {self.resolve_topic_name(interfaces.TARGETS.name)}: "
                "is the diffusion node running and are its cameras?",
                "no drawing",
            )
        elif self._gatekeeper is not None and self._drawing_arrived_s - self._observation_arrived_s > SILENT_DRAWING_S:
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
