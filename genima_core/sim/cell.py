"""The simulated cell: an arm on a table, four cameras and a task."""

from typing import Literal

import cv2
import numpy as np

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.cameras import CameraRig
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

START_X_M = (0.30, 0.68)
START_Y_M = (-0.30, 0.30)
START_Z_M = (0.06, 0.45)
START_TILT_RAD = np.deg2rad(20.0)
START_YAW_RAD = 0.4
START_ATTEMPTS = 200

Start = Literal["home", "anywhere", "here"]


class Cell:
    """Steps the physics under position commands, and renders what the cameras see.

    Rendering uses a GL context: create, use and close a cell in one thread.
    """

    def __init__(self, task: Task, rig: CameraRig) -> None:
        self.task = task
        self.rig, self.arm = rig, rig.arm
        self.rng = np.random.default_rng(0)
        width, height = rig.size
        self._supersample = 2 if max(rig.size) <= SMALL_VIEW_PX else 1
        spec = build_scene(
            rig, (width * self._supersample, height * self._supersample), detailed=self._supersample == 1
        )
        task.build(spec)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._arm_q = [self.model.joint(name).qposadr[0] for name in self.arm.joint_names]
        self._arm_dq = [self.model.joint(name).dofadr[0] for name in self.arm.joint_names]
        self._finger_q = [self.model.joint(name).qposadr[0] for name in self.arm.gripper.joints]
        self._finger_dq = [self.model.joint(name).dofadr[0] for name in self.arm.gripper.joints]
        self._arm_ctrl = np.array([self.model.actuator(name).id for name in self.arm.joint_names])
        self._finger_ctrl = [self.model.actuator(name).id for name in self.arm.gripper.joints]
        self._finger_open_m = self.arm.gripper.max_width_m / len(self._finger_q)
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
        return self.data.qpos[self._arm_q].copy()

    @property
    def dq(self) -> np.ndarray:
        """(7,) rad/s."""
        return self.data.qvel[self._arm_dq].copy()

    @property
    def gripper(self) -> float:
        """Opening, 0 closed to 1 open."""
        return float(np.clip(self.data.qpos[self._finger_q].sum() / self.arm.gripper.max_width_m, 0.0, 1.0))

    @property
    def arm_is_free(self) -> bool:
        """Whether the arm touches nothing."""
        root = self.model.body_rootid[self.model.geom_bodyid[self.data.contact.geom]]
        return not (root == self.model.body(HAND_BODY).rootid).any()

    def place_arm(self, q: np.ndarray, opening: float) -> None:
        """Puts the arm, at rest, to `q` (7,) rad and an opening from 0 to 1, without regard to what is there."""
        self.data.qvel[[*self._arm_dq, *self._finger_dq]] = 0.0
        self._place_arm(q, opening)

    def reset(self, seed: int, start: Start = "home") -> None:
        """Places objects and arm; the same seed gives the same cell, the same objects for every start.

        ``home`` is the ready configuration with a little noise and an open gripper; ``anywhere`` is a random
        pose over the table, as after a miss, with the gripper open or closed; ``here`` leaves the arm alone: it keeps
        its position, velocity and commands, even where an object now is (see `arm_is_free`).
        """
        if start not in ("home", "anywhere", "here"):
            raise ValueError(f"unknown start {start!r}; valid are 'home', 'anywhere' and 'here'")
        task_rng, start_rng, self.rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
        arm = self._arm_state()
        mujoco.mj_resetData(self.model, self.data)
        self.task.reset(self, task_rng)
        if start == "here":
            self._restore_arm(*arm)
        elif start == "home":
            self._place_arm(self.arm.home + start_rng.normal(0.0, HOME_NOISE_RAD, 7), 1.0)
        else:
            self._place_arm_anywhere(start_rng)

    def step(self, q_command: np.ndarray, gripper_command: float, duration_s: float) -> None:
        """Moves for `duration_s` with the servos at `q_command` (7,) rad and an opening from 0 to 1.

        Commands beyond the limits are held at the limits.

        Raises:
            ValueError: a command of the wrong shape or not finite, or a negative duration; nothing moves then.
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
        q_before = self.data.ctrl[self._arm_ctrl].copy()
        q_command = self.arm.clip(q_command)
        self.data.ctrl[self._finger_ctrl] = np.clip(gripper_command, 0.0, 1.0) * self._finger_open_m
        glide = q_before + (q_command - q_before) * (np.arange(1, ramp + 1) / ramp)[:, None]
        for i in range(steps):
            if i < ramp:
                self.data.ctrl[self._arm_ctrl] = glide[i]
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
        """(H, W, 3) uint8 RGB of one of the rig's cameras.

        Raises:
            ValueError: the rig has no such camera.
        """
        if name not in self.rig.names:
            raise ValueError(f"unknown camera {name!r}; the rig has {', '.join(self.rig.names)}")
        width, height = self.rig.size
        if self._renderer is None:
            self._renderer = self._make_renderer()
        self._renderer.update_scene(self.data, camera=name, scene_option=self._option)
        image = self._renderer.render()
        if self._supersample > 1:
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return image

    def T_base_hand(self) -> np.ndarray:
        return self.body_pose(HAND_BODY)

    def T_base_tcp(self) -> np.ndarray:
        return self.site_pose(TCP_SITE)

    def body_pose(self, name: str) -> np.ndarray:
        """T_base_body (4, 4)."""
        body = self.data.body(name)
        return _pose(body.xmat, body.xpos)

    def site_pose(self, name: str) -> np.ndarray:
        """T_base_site (4, 4)."""
        site = self.data.site(name)
        return _pose(site.xmat, site.xpos)

    def joint_position(self, name: str) -> float:
        """Position of a task's hinge (rad) or slide (m)."""
        return float(self.data.joint(name).qpos[0])

    def close(self) -> None:
        """Frees the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _make_renderer(self) -> mujoco.Renderer:
        width, height = self.rig.size
        try:
            renderer = mujoco.Renderer(self.model, height * self._supersample, width * self._supersample)
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
            position = np.array([rng.uniform(*START_X_M), rng.uniform(*START_Y_M), rng.uniform(*START_Z_M)])
            tilt = rng.uniform(-1, 1, 2)
            tilt *= START_TILT_RAD / max(1.0, np.linalg.norm(tilt))
            yaw = rng.uniform(-START_YAW_RAD, START_YAW_RAD)
            opening = float(rng.integers(2))
            try:
                q = self.inverse_kinematics.solve(point_down(position, yaw, *tilt))
            except ValueError:
                continue
            self._place_arm(q, opening)
            if self.data.ncon == 0:
                return
        raise RuntimeError(f"no free pose for the arm found in {START_ATTEMPTS} attempts; the task fills the table")

    def _arm_state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities and commands (9,) of the arm's and the fingers' joints."""
        return (
            self.data.qpos[[*self._arm_q, *self._finger_q]],
            self.data.qvel[[*self._arm_dq, *self._finger_dq]],
            self.data.ctrl[[*self._arm_ctrl, *self._finger_ctrl]],
        )

    def _restore_arm(self, q: np.ndarray, dq: np.ndarray, command: np.ndarray) -> None:
        self.data.qpos[[*self._arm_q, *self._finger_q]] = q
        self.data.qvel[[*self._arm_dq, *self._finger_dq]] = dq
        self.data.ctrl[[*self._arm_ctrl, *self._finger_ctrl]] = command
        mujoco.mj_forward(self.model, self.data)

    def _place_arm(self, q: np.ndarray, opening: float) -> None:
        self.data.qpos[self._arm_q] = self.data.ctrl[self._arm_ctrl] = q
        self.data.qpos[self._finger_q] = self.data.ctrl[self._finger_ctrl] = opening * self._finger_open_m
        mujoco.mj_forward(self.model, self.data)


def _pose(rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = rotation.reshape(3, 3)
    T[:3, 3] = position
    return T
