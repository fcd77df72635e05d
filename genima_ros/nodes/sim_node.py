"""The simulated cell in real time, speaking what real cameras and a real arm controller speak."""

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from genima_core.arm_status import MODES, ArmStatus, read_status
from genima_core.cameras import CameraRig
from genima_core.config import check_positive
from genima_core.sim.task import DEFAULT_TASK, make_task
from genima_core.timing import PeriodMeter
from genima_core.trajectory_follower import TrajectoryFollower
from genima_ros.arms import find_arm
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.commands import COMMANDS, Points
from genima_ros.messages.status import StatusTeller
from genima_ros.nodes.base import GraphNode
from genima_ros.nodes.markers import robot_markers
from genima_ros.nodes.rig_node import publish_frames

if TYPE_CHECKING:
    from genima_core.sim.cell import Cell

PHYSICS_S = 0.002
SLICE_S = 0.01
"""Physics steps between two samples of the commanded trajectory."""
RENDER_UNTIL_S = 0.006
"""A step that has taken this long leaves the other cameras to the next one, so that physics waits for one view at
most; small views are drawn all in one step."""
CATCH_UP_S = 0.1
"""Simulated time that lags further behind than this is given up, and counted as slip."""
SCENES_TRIED = 100
"""Where the arm stays, scenes with an object where the arm is are passed over."""
FAR_RAD = 0.1
"""An arm that was just put somewhere else takes no command that begins further away: it was for where it was before."""
MOVE, REFLEX = read_status(MODES.index("move"), ()), read_status(MODES.index("reflex"), ("cartesian_reflex",))


@dataclass(frozen=True)
class SimParameters:
    task: str = DEFAULT_TASK
    """Name of the task; `genima tasks` lists them."""
    perturb: str = ""
    """What looks different from what a policy was trained on: names with commas, or all; docs/tasks.md lists them."""
    seed: int = 20000
    """Scene to start with; each reset goes to the next one."""
    reset_arm: bool = True
    """Whether a reset puts the arm back to its start. Otherwise it stays and follows its commands, and scenes with an
    object where it is are skipped."""
    rig: Path | None = None
    """rig.json of a checkpoint; the default cameras if there is none."""
    size: int = 64
    """Width and height of the default cameras' images, px."""
    rate_hz: float = 100.0
    """Rate of physics and joint states."""
    fps: float = 10.0
    """Images per second of each camera."""
    arm: str = "sim"
    """Name in config/arms, or a file like those; of an arm that is elsewhere."""
    arm_is_elsewhere: bool = False
    """Whether the arm has a driver of its own, as in a rehearsal: it is where joint_states says, and this node shows it
    in the cell."""
    board: Literal["", "table", "hand"] = ""
    """Where a ChArUco board is, to practise calibration with: on the table, or in the hand."""

    def __post_init__(self) -> None:
        check_positive(self, "rate_hz fps")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; scenes count from 0")
        if self.size < 16:
            raise ValueError(f"size is {self.size}; it must be at least 16")


def check_scene(parameters: SimParameters) -> None:
    """ValueError: an unknown task or perturbation."""
    make_task(parameters.task)
    if parameters.perturb:
        from genima_core.sim.perturbations import choose  # not at the top: tests and an unknown task need no MuJoCo

        choose(parameters.perturb)


def make_cell(parameters: SimParameters) -> "Cell":
    task = make_task(parameters.task)
    from genima_core.calibration.practice import place_board  # not at the top: tests and an unknown task need no MuJoCo
    from genima_core.sim.cell import Cell
    from genima_core.sim.scene import default_rig

    size = parameters.size
    rig = default_rig(size, size) if parameters.rig is None else CameraRig.load(parameters.rig)
    if parameters.arm_is_elsewhere:
        rig = replace(rig, arm=find_arm(parameters.arm).arm)
    return Cell(task, rig, partial(place_board, place=parameters.board), parameters.perturb)


class SimNode(GraphNode[SimParameters]):
    """Steps a `Cell` against the wall clock, and renders between the steps.

    Publishes: <camera>/color/image_raw, <camera>/color/camera_info (stamped with the time of the rendered state),
    joint_states (arm and fingers), robot/markers (if anybody looks), instruction, scene (its seed), camera_rig,
    success (on change), arm_status, diagnostics, and where tf2_msgs is installed /tf_static (the cameras).
    Subscribes: arm_controller/joint_trajectory, arm_controller/joint_commands, arm_controller/commands,
    gripper/command (width in m).
    With arm_is_elsewhere it publishes no joint_states and no arm_status, and takes no commands: it subscribes to
    joint_states.
    Changes while running: the parameters task and perturb, which count from the next reset on.
    Services: ~/reset places the next scene. The arm is back at its start, which arm_status tells the streamer, so it
    begins again there; with reset_arm false it stays. ~/reflex stops the arm as a collision would: it holds still and
    ignores commands until ~/error_recovery.
    """

    sends_images = True

    def __init__(
        self,
        make: Callable[[SimParameters], "Cell"] = make_cell,
        clock_s: Callable[[], float] = time.monotonic,
        **options,
    ) -> None:
        super().__init__("sim", SimParameters, clock_s, changeable=("task", "perturb"), **options)
        self._make = make
        self.cell = self._load()
        self.take_changes(check_scene)
        self._seed = self.parameters.seed
        self._slip_s = 0.0
        self._periods = PeriodMeter(1 / self.parameters.rate_hz)
        names = self.cell.rig.names
        self.announce(*map(interfaces.camera_image, names), *map(interfaces.camera_info, names))
        self.announce(interfaces.INSTRUCTION, interfaces.SUCCESS, interfaces.SCENE)
        self.announce(interfaces.CAMERA_RIG, interfaces.ROBOT_MARKERS)
        self.say(interfaces.CAMERA_RIG, data=json.dumps(self.cell.rig.to_dict()))
        self._frames = publish_frames(self, self.cell.rig, self.cell.arm)
        self._status, self._placed = MOVE, 0
        self._teller: StatusTeller | None = None
        self._strange = False
        """Whether the arm was put here and no command has begun here since."""
        self.serve("reset", self._on_reset)
        if self.parameters.arm_is_elsewhere:
            self.subscribe(interfaces.JOINT_STATES, self._on_joint_state)
            self.diagnostics.expect("joint_states")
        else:
            self._drive_arm()
        self._place_arm()
        self._timer = self.every(1 / self.parameters.rate_hz, self._tick)

    def _drive_arm(self) -> None:
        """Speaks as an arm's driver."""
        self._teller = StatusTeller(self)
        self.announce(interfaces.JOINT_STATES)
        for kind, (what, read) in COMMANDS.items():
            self.subscribe(interfaces.ARM_COMMANDS[kind], partial(self._on_command, what, read))
        self.subscribe(interfaces.GRIPPER_COMMAND, self._on_gripper)
        self.serve("reflex", partial(self._enter, REFLEX, "the arm is in reflex"))
        self.serve("error_recovery", partial(self._enter, MOVE, "recovered"))
        self.diagnostics.expect("command")

    def close(self) -> None:
        self.cell.close()

    def _load(self) -> "Cell":
        cell = self._make(self.parameters)
        self._of = self.parameters.task, self.parameters.perturb
        cell.render(cell.rig.names[0])  # the first picture loads the scene into GL, which takes a while
        return cell

    def _place_arm(self) -> None:
        """A scene from its beginning, whatever moved before."""
        self._change_task()
        self.cell.reset(self._seed)
        self._arm = TrajectoryFollower(self.cell.q)
        self._opening = self.cell.gripper
        self._simulated_s = self.clock_s()
        self._waiting: deque[str] = deque()
        self._next_frame_s = self._simulated_s
        self._announce_scene()

    def _place_objects(self) -> None:
        """A scene around the arm, which notices nothing.

        Raises:
            RuntimeError: the arm stands in the way of every scene's objects.
        """
        self._change_task()
        for _ in range(SCENES_TRIED):
            self.cell.reset(self._seed, "here")
            if self.cell.arm_is_free:
                self._announce_scene()
                return
            self._seed += 1
        self._announce_scene()
        raise RuntimeError(f"the arm is in the way of the objects of {SCENES_TRIED} scenes; lift it and reset again")

    def _change_task(self) -> None:
        """Another cell where another task or perturbation was set; its arm is where the old one's was."""
        if self._of == (self.parameters.task, self.parameters.perturb):
            return
        old, self.cell = self.cell, self._load()
        self.cell.place_arm(old.q, old.gripper)
        old.close()

    def _announce_scene(self) -> None:
        self._succeeded = False
        self.say(interfaces.SUCCESS, data=False)
        self.say(interfaces.INSTRUCTION, data=self.cell.instruction)
        self.say(interfaces.SCENE, data=self._seed)

    def _tick(self) -> None:
        begin_s = self.clock_s()
        self._periods.tick(begin_s)
        self._tell(begin_s)
        if self._step_physics(begin_s):
            self._publish_state(begin_s)
        self.diagnostics.worked(self.clock_s() - begin_s)

    def _publish_state(self, begin_s: float) -> None:
        stamp_s = self.clocks.to_ros(self._simulated_s)
        if self._teller is not None:
            names, fingers = self.cell.arm.all_joints, self.cell.arm.gripper.joint_positions(self.cell.gripper)
            q, dq = np.concatenate([self.cell.q, fingers]), np.concatenate([self.cell.dq, np.zeros_like(fingers)])
            self.say(interfaces.JOINT_STATES, conversions.to_joint_state(names, q, stamp_s, dq))
        if self.cell.success() and not self._succeeded:
            self._succeeded = True
            self.say(interfaces.SUCCESS, data=True)
        self._render_next(begin_s, stamp_s)

    def _step_physics(self, now_s: float) -> bool:
        """Simulates until now; False if that is less than one physics step away."""
        before_s = self._simulated_s
        slip_s = max(0.0, now_s - self._simulated_s - CATCH_UP_S)
        self._slip_s += slip_s
        self._simulated_s += slip_s
        while (steps := int((now_s - self._simulated_s) / PHYSICS_S + 1e-6)) > 0:
            duration_s = min(steps * PHYSICS_S, SLICE_S)
            self._simulated_s += duration_s
            self.cell.step(self._arm.sample(self._simulated_s)[0], self._opening, duration_s)
        return self._simulated_s > before_s

    def _render_next(self, now_s: float, stamp_s: float) -> None:
        if not self._waiting and now_s >= self._next_frame_s:
            period_s = 1 / self.parameters.fps
            self._next_frame_s = max(self._next_frame_s + period_s, now_s)
            self._waiting.extend(self.cell.rig.names)
            if self.is_heard(interfaces.ROBOT_MARKERS):
                stamp = conversions.to_time(stamp_s)
                self.say(interfaces.ROBOT_MARKERS, robot_markers(self.cell.arm, self.cell.q, self.cell.gripper, stamp))
        while self._waiting and self.clock_s() - now_s < RENDER_UNTIL_S:
            name = self._waiting.popleft()
            frame_id, camera = f"{name}_color_optical_frame", self.cell.rig[name].intrinsics
            self.say(interfaces.camera_image(name), conversions.rgb_to_image(self.cell.render(name), stamp_s, frame_id))
            self.say(interfaces.camera_info(name), conversions.camera_to_camera_info(camera, stamp_s, frame_id))

    def _on_command(self, what: str, read: Callable, message: JointTrajectory | JointState | Float64MultiArray) -> None:
        try:
            points: Points = read(message, self.cell.arm.joint_names)
            if self._ignores_commands(points.q[0]):
                return
            now_s = self.clock_s()
            start_s = now_s if points.stamp_s == 0 else self.clocks.to_steady(points.stamp_s)
            self._arm.replace(now_s, start_s, points.times_s, points.q, points.dq)
        except (ValueError, IndexError) as error:
            self.diagnostics.warn(f"arm controller refuses a {what}: {error}", what)
        else:
            self.diagnostics.received("command", self.ros_now_s())

    def _ignores_commands(self, first: np.ndarray) -> bool:
        """Of commands that begin at `first` (7,)."""
        if self._status is MOVE:
            self._strange = self._strange and float(np.abs(first - self.cell.q).max()) > FAR_RAD
            return self._strange
        text = f"the arm ignores commands: {self._status.message}; then: genima recover"
        self.diagnostics.warn(text, "reflex")
        return True

    def _on_joint_state(self, message: JointState) -> None:
        """Of an arm that is elsewhere."""
        arm = self.cell.arm
        with self.using("joint_states"):
            q = arm.clip(conversions.positions_by_name(message, arm.joint_names))
            if set(arm.gripper.joints) <= set(message.name):
                self._opening = conversions.gripper_opening(message, arm.gripper)
            if np.abs(q - self.cell.q).max() > FAR_RAD:  # the first time
                self.cell.place_arm(q, self._opening)
            self._arm.hold(q)
            self.diagnostics.received("joint_states", conversions.seconds(message.header.stamp))

    def _on_gripper(self, message: Float64) -> None:
        most_m = self.cell.arm.gripper.max_width_m
        if not 0.0 <= message.data <= most_m:
            self.diagnostics.warn(f"gripper width {message.data} m refused; valid is 0 to {most_m} m", "gripper")
            return
        self._opening = message.data / most_m

    def _on_reset(self) -> str:
        self._seed += 1
        if self.parameters.reset_arm and not self.parameters.arm_is_elsewhere:
            self._place_arm()
            self._placed, self._strange = self._placed + 1, True
            self._tell(self.clock_s())
        else:
            self._place_objects()
        return f"scene {self._seed}"

    def _enter(self, status: ArmStatus, said: str) -> str:
        """Another status of the arm, which stays where it is: the next command begins there."""
        if status is self._status:
            return "there was no error" if status is MOVE else said
        self._status = status
        self._arm.hold(self.cell.q)
        self._tell(self.clock_s())
        return said

    def _tell(self, now_s: float) -> None:
        if self._teller is not None:
            self._teller.tell(replace(self._status, placed=self._placed), now_s)

    def values(self) -> dict[str, object]:
        return {
            "task": self._of[0],
            "perturb": self._of[1],
            "scene": self._seed,
            "success": self._succeeded,
            "sim_time_s": self.cell.time_s,
            "slip_s": self._slip_s,
            **self._periods.summary(),
        }
