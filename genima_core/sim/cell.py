"""The simulated cell: an arm on a table, four cameras and a task."""

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.cameras import CameraRig
from genima_core.geometry import make_transform
from genima_core.sim.arm import HAND_BODY, TCP_SITE
from genima_core.sim.inverse_kinematics import InverseKinematics, point_down
from genima_core.sim.scene import PHYSICS_STEP_S, build_scene, default_rig
from genima_core.sim.task import Task
from genima_core.types import Observation

import mujoco  # isort: skip

__all__ = ["Cell", "default_rig"]

SMALL_VIEW_PX = 128
"""Views up to this size are drawn with light meshes, twice as large, and averaged down: smooth edges, and fast."""
COMMAND_RAMP_S = 0.05
"""The servos glide to a new command within this time at most, as a joint trajectory controller does."""
HOME_NOISE_RAD = 0.02

START_LOWER_M, START_UPPER_M = (0.30, -0.30, 0.06), (0.68, 0.30, 0.45)
START_TILT_RAD, START_YAW_RAD = np.deg2rad(20.0), 0.4
START_ATTEMPTS = 200

Start = Literal["home", "anywhere", "here"]


class Cell:
    """Steps the physics under position commands, and renders what the cameras see.

    Rendering uses a GL context: create, use and close a cell in one thread.
    """

    def __init__(self, task: Task, rig: CameraRig, add: Callable[[mujoco.MjSpec], object] | None = None) -> None:
        """`add` puts into the scene what belongs to no task."""
        self.task = task
        self.rig, self.arm = rig, rig.arm
        width, height = rig.size
        self._supersample = 2 if max(rig.size) <= SMALL_VIEW_PX else 1
        self._buffer_size = width * self._supersample, height * self._supersample
        spec = build_scene(rig, self._buffer_size, detailed=self._supersample == 1)
        task.build(spec)
        if add is not None:
            add(spec)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        joints = (*self.arm.joint_names, *self.arm.gripper.joints)
        self._q = np.array([self.model.joint(name).qposadr[0] for name in joints])
        self._dq = np.array([self.model.joint(name).dofadr[0] for name in joints])
        self._ctrl = np.array([self.model.actuator(name).id for name in joints])
        self.inverse_kinematics = InverseKinematics(self.arm)
        self._renderer: mujoco.Renderer | None = None
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = [1, 1, 1, 0, 0, 0]
        self.reset(seed=0)

    @property
    def instruction(self) -> str:
        return self.task.instruction

    @property
    def time_s(self) -> float:
        return float(self.data.time)

    @property
    def q(self) -> np.ndarray:
        """(7,) rad."""
        return self.data.qpos[self._q[:7]]

    @property
    def dq(self) -> np.ndarray:
        """(7,) rad/s."""
        return self.data.qvel[self._dq[:7]]

    @property
    def gripper(self) -> float:
        """Opening, 0 closed to 1 open."""
        return float(np.clip(self.data.qpos[self._q[7:]].sum() / self.arm.gripper.max_width_m, 0.0, 1.0))

    @property
    def arm_is_free(self) -> bool:
        """Whether the arm touches nothing."""
        root = self.model.body_rootid[self.model.geom_bodyid[self.data.contact.geom]]
        return not (root == self.model.body(HAND_BODY).rootid).any()

    def place_arm(self, q: np.ndarray, opening: float) -> None:
        """Puts the arm, at rest, to `q` (7,) rad and an opening from 0 to 1, without regard to what is there."""
        position = np.append(q, self._finger_positions(opening))
        self._set_arm(position, np.zeros_like(position), position)

    def reset(self, seed: int, start: Start = "home") -> None:
        """Places objects and arm; the same seed gives the same cell, the same objects for every start.

        ``home`` is the ready configuration with a little noise and an open gripper; ``anywhere`` is a random
        pose over the table, as after a miss, with the gripper open or closed; ``here`` leaves the arm alone: it keeps
        its position, velocity and commands, even where an object now is (see `arm_is_free`).
        """
        if start not in ("home", "anywhere", "here"):
            raise ValueError(f"unknown start {start!r}; valid are 'home', 'anywhere' and 'here'")
        task_rng, start_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        before = self.data.qpos[self._q], self.data.qvel[self._dq], self.data.ctrl[self._ctrl]
        mujoco.mj_resetData(self.model, self.data)
        self.task.reset(self, task_rng)
        if start == "here":
            self._set_arm(*before)
        elif start == "home":
            self.place_arm(self.arm.home + start_rng.normal(0.0, HOME_NOISE_RAD, 7), 1.0)
        else:
            self._place_arm_anywhere(start_rng)

    def step(self, q_command: np.ndarray, gripper_command: float, duration_s: float) -> None:
        """Moves for `duration_s` with the servos at `q_command` (7,) rad and an opening from 0 to 1.

        Commands beyond the limits are held at the limits. ValueError, and nothing moves, for a command of the wrong
        shape or not finite and for a negative duration.
        """
        q_command = np.asarray(q_command, dtype=np.float64)
        if q_command.shape != (7,) or not np.all(np.isfinite(q_command)):
            raise ValueError(f"q_command is {q_command.tolist()}; the arm needs 7 finite joint positions in rad")
        if not np.isfinite(gripper_command):
            raise ValueError(f"gripper_command is {gripper_command}; valid is 0 (closed) to 1 (open)")
        if not (np.isfinite(duration_s) and duration_s >= 0):
            raise ValueError(f"duration_s is {duration_s}; it must be finite and not negative")
        steps = round(duration_s / PHYSICS_STEP_S)
        ramp = max(1, min(steps, round(COMMAND_RAMP_S / PHYSICS_STEP_S)))
        arm, fingers = self._ctrl[:7], self._ctrl[7:]
        q_before = self.data.ctrl[arm]
        self.data.ctrl[fingers] = self._finger_positions(float(np.clip(gripper_command, 0.0, 1.0)))
        glide = q_before + (self.arm.clip(q_command) - q_before) * (np.arange(1, ramp + 1) / ramp)[:, None]
        for i in range(steps):
            if i < ramp:
                self.data.ctrl[arm] = glide[i]
            mujoco.mj_step(self.model, self.data)
            self.task.update(self)
        mujoco.mj_forward(self.model, self.data)

    def success(self) -> bool:
        return self.task.success(self)

    def observe(self) -> Observation:
        """What all cameras see and the joints feel now; the stamp is simulated time."""
        return Observation(
            stamp_s=self.time_s,
            images={name: self.render(name) for name in self.rig.names},
            q=self.q,
            gripper=self.gripper,
            instruction=self.instruction,
        )

    def render(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB of one of the rig's cameras; ValueError where it has no such camera."""
        if name not in self.rig.names:
            raise ValueError(f"unknown camera {name!r}; the rig has {', '.join(self.rig.names)}")
        if self._renderer is None:
            self._renderer = self._make_renderer()
        self._renderer.update_scene(self.data, camera=name, scene_option=self._option)
        image = self._renderer.render()
        return image if self._supersample == 1 else cv2.resize(image, self.rig.size, interpolation=cv2.INTER_AREA)

    def T_base_tcp(self) -> np.ndarray:
        return self.site_pose(TCP_SITE)

    def body_pose(self, name: str) -> np.ndarray:
        """T_base_body (4, 4)."""
        body = self.data.body(name)
        return make_transform(body.xmat.reshape(3, 3), body.xpos)

    def site_pose(self, name: str) -> np.ndarray:
        """T_base_site (4, 4)."""
        site = self.data.site(name)
        return make_transform(site.xmat.reshape(3, 3), site.xpos)

    def joint_position(self, name: str) -> float:
        """Position of a task's hinge (rad) or slide (m)."""
        return float(self.data.joint(name).qpos[0])

    def close(self) -> None:
        """Frees the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _make_renderer(self) -> mujoco.Renderer:
        width, height = self._buffer_size
        try:
            renderer = mujoco.Renderer(self.model, height, width)
        except (mujoco.FatalError, RuntimeError, ImportError, AttributeError) as error:
            raise RuntimeError(
                f"no OpenGL context for the cell's cameras ({error}); import genima_core.gl before "
                "mujoco, or set MUJOCO_GL=egl, and install EGL: "
                "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
            ) from error
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_HAZE):
            renderer.scene.flags[flag] = False
        return renderer

    def _place_arm_anywhere(self, rng: np.random.Generator) -> None:
        for _ in range(START_ATTEMPTS):
            position = rng.uniform(START_LOWER_M, START_UPPER_M)
            tilt = rng.uniform(-1, 1, 2)
            tilt *= START_TILT_RAD / max(1.0, np.linalg.norm(tilt))
            yaw = rng.uniform(-START_YAW_RAD, START_YAW_RAD)
            opening = float(rng.integers(2))
            try:
                q = self.inverse_kinematics.solve(point_down(position, yaw, *tilt))
            except ValueError:
                continue
            self.place_arm(q, opening)
            if self.data.ncon == 0:
                return
        raise RuntimeError(f"no free pose for the arm found in {START_ATTEMPTS} attempts; the task fills the table")

    def _finger_positions(self, opening: float) -> np.ndarray:
        return np.full(len(self._q) - 7, opening * (self.arm.gripper.max_width_m / (len(self._q) - 7)))

    def _set_arm(self, q: np.ndarray, dq: np.ndarray, command: np.ndarray) -> None:
        """Positions, velocities and commands (9,) of the arm's and the fingers' joints."""
        self.data.qpos[self._q], self.data.qvel[self._dq], self.data.ctrl[self._ctrl] = q, dq, command
        mujoco.mj_forward(self.model, self.data)
