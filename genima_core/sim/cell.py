"""The simulated cell: an arm on a table, cameras and a task."""

from collections.abc import Callable, Iterable
from typing import Literal

import cv2
import numpy as np

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.cameras import CameraRig
from genima_core.environment import DT_S, Environment, Start, Trajectory, Wording, check_command, variation_of
from genima_core.geometry import make_transform, opencv_to_opengl, to_quat_wxyz
from genima_core.sim import experts
from genima_core.sim.arm import HAND_BODY, TCP_SITE
from genima_core.sim.inverse_kinematics import InverseKinematics, point_down
from genima_core.sim.perturbations import PERTURBATIONS, choose
from genima_core.sim.scene import PHYSICS_STEP_S, build_scene
from genima_core.sim.task import Task

import mujoco  # isort: skip

SMALL_VIEW_PX = 128
"""Views up to this size are drawn with light meshes, twice as large, and averaged down: smooth edges, and fast."""
COMMAND_RAMP_S = 0.05
"""The servos glide to a new command within at most this time, as under a joint trajectory controller."""
HOME_NOISE_RAD = 0.02

START_TILT_RAD, START_YAW_RAD = np.deg2rad(20.0), 0.4
START_ATTEMPTS = 200
RESET_ATTEMPTS = 50
OVERLAP_M = 0.003
"""Objects may overlap by this much at the beginning: contacts are soft, and things stand on the table."""
STARTS = ("home", "anywhere", "here")


class Cell(Environment):
    """Steps the physics under position commands, and renders what the cameras see.

    Rendering uses a GL context: create, use and close a cell in one thread.
    """

    def __init__(
        self,
        task: Task,
        rig: CameraRig,
        add: Callable[[mujoco.MjSpec], object] | None = None,
        perturbations: str | Iterable[str] = (),
    ) -> None:
        """`add` adds what belongs to no task; `perturbations` are names in `PERTURBATIONS`, or ``all``.

        ValueError: an unknown perturbation. RuntimeError: the task's ranges leave no room for its objects.
        """
        self.task, self.name, self.rig = task, task.name, rig
        self._perturbations = {name: PERTURBATIONS[name]() for name in choose(perturbations)}
        width, height = rig.size
        self._supersample = 2 if max(rig.size) <= SMALL_VIEW_PX else 1
        self._buffer_size = width * self._supersample, height * self._supersample
        spec = build_scene(rig, self._buffer_size, detailed=self._supersample == 1)
        room = list(spec.geoms)
        task.build(spec)
        objects = [geom for geom in spec.geoms if geom not in room]
        if add is not None:
            add(spec)
        for perturbation in self._perturbations.values():
            perturbation.build(spec)
        self.model = spec.compile()
        self.task_geoms = np.array([geom.id for geom in objects], dtype=int)
        self.data = mujoco.MjData(self.model)
        joints = (*self.arm.joint_names, *self.arm.gripper.joints)
        self._q = np.array([self.model.joint(name).qposadr[0] for name in joints])
        self._dq = np.array([self.model.joint(name).dofadr[0] for name in joints])
        self._ctrl = np.array([self.model.actuator(name).id for name in joints])
        self.fingers = frozenset(self.model.body(self.model.joint(n).bodyid[0]).name for n in self.arm.gripper.joints)
        self.inverse_kinematics = InverseKinematics(self.arm)
        self._seen_rig = rig
        self._renderer: mujoco.Renderer | None = None
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = [1, 1, 1, 0, 0, 0]
        self.reset(seed=0)

    @property
    def perturbations(self) -> tuple[str, ...]:
        """Names of this cell's perturbations."""
        return tuple(self._perturbations)

    @property
    def seen_rig(self) -> CameraRig:
        return self._seen_rig

    @property
    def variations(self) -> tuple[str, ...]:
        return self.task.variations

    @property
    def variation(self) -> str:
        return self.task.variation

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
        """Puts the arm at rest at `q` (7,) rad with an opening from 0 to 1, whatever may be there."""
        position = np.append(q, self._finger_positions(opening))
        self._set_arm(position, np.zeros_like(position), position)

    def reset(self, seed: int, start: Start | Literal["here"] = "home", wording: Wording = "seen") -> None:
        """Places objects and arm, see `Environment.reset`.

        The start ``here`` leaves the arm alone: it keeps its position, velocity and commands, even if an object is now
        in its place (see `arm_is_free`).
        """
        if start not in STARTS:
            raise ValueError(f"unknown start {start!r}; valid are {', '.join(STARTS)}")
        *streams, perturbation_seeds = np.random.SeedSequence(seed).spawn(4)
        task_rng, start_rng, word_rng = (np.random.default_rng(stream) for stream in streams)
        before = self.data.qpos[self._q], self.data.qvel[self._dq], self.data.ctrl[self._ctrl]
        self.task.variation = self.variations[variation_of(seed, len(self.variations))]
        self.instruction = self.task.say(word_rng, wording)
        for perturbation in self._perturbations.values():
            perturbation.clear(self)
        self._place_objects(task_rng)
        if start == "here":
            self._set_arm(*before)
        elif start == "home":
            self.place_arm(self.arm.home + start_rng.normal(0.0, HOME_NOISE_RAD, 7), 1.0)
        else:
            self._place_arm_anywhere(start_rng)
        for seeds, name in zip(perturbation_seeds.spawn(len(PERTURBATIONS)), PERTURBATIONS, strict=True):
            if name in self._perturbations:
                self._perturbations[name].apply(self, np.random.default_rng(seeds))
        mujoco.mj_forward(self.model, self.data)

    def step(self, q_command: np.ndarray, gripper_command: float, duration_s: float) -> None:
        q_command = check_command(q_command, gripper_command, duration_s)
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

    def plan(self, dt_s: float = DT_S) -> Trajectory:
        return experts.plan(self, dt_s)

    def render(self, name: str) -> np.ndarray:
        if name not in self.rig.names:
            raise ValueError(f"unknown camera {name!r}; the rig has {', '.join(self.rig.names)}")
        if self._renderer is None:
            self._renderer = self._make_renderer()
        self._renderer.update_scene(self.data, camera=name, scene_option=self._option)
        image = self._renderer.render()
        return image if self._supersample == 1 else cv2.resize(image, self.rig.size, interpolation=cv2.INTER_AREA)

    def T_base_tcp(self) -> np.ndarray:
        site = self.data.site(TCP_SITE)
        return make_transform(site.xmat.reshape(3, 3), site.xpos)

    def body_pose(self, name: str) -> np.ndarray:
        """T_base_body (4, 4)."""
        body = self.data.body(name)
        return make_transform(body.xmat.reshape(3, 3), body.xpos)

    def joint_position(self, name: str) -> float:
        """Position of a task's hinge (rad) or slide (m)."""
        return float(self.data.joint(name).qpos[0])

    def latched(self, joint: str) -> bool:
        """Whether a latch holds a task's hinge or slide."""
        return bool(self.data.eq_active[self.model.equality(joint).id])

    def unlatch(self, joint: str) -> None:
        """Releases a task's hinge or slide until the next reset."""
        self.data.eq_active[self.model.equality(joint).id] = False

    def place(self, body: str, p_base: np.ndarray | tuple[float, ...], R_base_body: np.ndarray | None = None) -> None:
        """Puts a task's body, loose or fixed, at `p_base` (3,) m; without a rotation its axes are the base's."""
        quat = to_quat_wxyz(make_transform(np.eye(3) if R_base_body is None else R_base_body, p_base))
        if (joint := self.model.body(body).jntadr[0]) >= 0 and self.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
            address = self.model.jnt_qposadr[joint]
            self.data.qpos[address : address + 7] = [*p_base, *quat]
        else:
            self.model.body(body).pos[:], self.model.body(body).quat[:] = p_base, quat

    def move_cameras(self, seen_rig: CameraRig) -> None:
        """Puts the cameras where `seen_rig` says; `rig` still tells what a policy knows of them."""
        for camera in seen_rig.cameras:
            T_mount_gl = opencv_to_opengl(camera.T_mount_cam)
            moved = self.model.camera(camera.name)
            moved.pos[:], moved.quat[:] = T_mount_gl[:3, 3], to_quat_wxyz(T_mount_gl)
        self._seen_rig = seen_rig

    def touching(self, body: str) -> frozenset[str]:
        """The bodies that a body touches."""
        number = self.model.body(body).id
        pairs = self.model.geom_bodyid[self.data.contact.geom]
        others = {int(pair[1 - i]) for pair in pairs for i in (0, 1) if pair[i] == number}
        return frozenset(self.model.body(other).name for other in others)

    def holds(self, body: str) -> bool:
        """Whether all fingers touch a body."""
        return self.fingers <= self.touching(body)

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

    def _place_objects(self, rng: np.random.Generator) -> None:
        for _ in range(RESET_ATTEMPTS):
            mujoco.mj_resetData(self.model, self.data)
            self.task.reset(self, rng)
            mujoco.mj_forward(self.model, self.data)
            if not (overlapping := self._overlapping()):
                return
        raise RuntimeError(
            f"the objects of {self.name} overlap in {RESET_ATTEMPTS} scenes, at last {overlapping}; widen the task's "
            "ranges"
        )

    def _overlapping(self) -> str:
        """Two bodies, neither of them the arm's, that overlap; empty if there are none."""
        root = self.model.body(HAND_BODY).rootid
        for geoms, distance_m in zip(self.data.contact.geom, self.data.contact.dist, strict=True):
            bodies = self.model.geom_bodyid[geoms]
            if distance_m < -OVERLAP_M and not (self.model.body_rootid[bodies] == root).any():
                return " and ".join(self.model.body(body).name for body in bodies)
        return ""

    def _place_arm_anywhere(self, rng: np.random.Generator) -> None:
        for _ in range(START_ATTEMPTS):
            position = rng.uniform(self.task.start_lower_m, self.task.start_upper_m)
            tilt = rng.uniform(-1, 1, 2)
            tilt *= START_TILT_RAD / max(1.0, np.linalg.norm(tilt))
            yaw = rng.uniform(-START_YAW_RAD, START_YAW_RAD)
            opening = float(rng.integers(2))
            try:
                q = self.inverse_kinematics.solve(point_down(position, yaw, *tilt))
            except ValueError:
                continue
            self.place_arm(q, opening)
            if self.arm_is_free:
                return
        raise RuntimeError(f"no free pose for the arm found in {START_ATTEMPTS} attempts; the task fills the table")

    def _finger_positions(self, opening: float) -> np.ndarray:
        return np.full(len(self._q) - 7, opening * (self.arm.gripper.max_width_m / (len(self._q) - 7)))

    def _set_arm(self, q: np.ndarray, dq: np.ndarray, command: np.ndarray) -> None:
        """Positions, velocities and commands (9,) of the arm's and the fingers' joints."""
        self.data.qpos[self._q], self.data.qvel[self._dq], self.data.ctrl[self._ctrl] = q, dq, command
        mujoco.mj_forward(self.model, self.data)
