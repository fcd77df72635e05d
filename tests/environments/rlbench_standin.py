"""What the adapter asks of RLBench and PyRep, without CoppeliaSim: own code behind their names and signatures.

The signatures were compared with RLBench's commit 02720bba (January 2025) and PyRep's 8f420be8 (July 2024). What is
behind them is simple: an arm that moves at 1 rad/s where it is commanded, a gripper that takes half a second, and tasks
that want the arm at a drawn place with the gripper closed. `WORLD` is what CoppeliaSim is to a process.
"""

# ruff: noqa: B008, NPY002  (as in RLBench: defaults that are objects, and numpy's own generator)

import random
import sys
import types
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import numpy as np

from genima_core.sim.scene import default_rig

from ..data import rlbench_source

START = np.array([0.0, 0.175, 0.0, -0.87, 0.0, 1.22, 0.785])
"""RLBench's, by its own joint 4."""
STEP_RAD = 0.05
GRIPPER_STEP = 0.1
SOLVED_RAD = 0.04
FORBIDDEN_RAD = 1.0
"""Of joint 1: further out, a task has failed."""


class World:
    """What one process has of CoppeliaSim, and the faults that a test wants."""

    def __init__(self) -> None:
        self.launched = self.steps = self.drawn = self.planned = 0
        self.q, self.opening = START.copy(), 1.0
        self.tasks_path = ""
        self.stuck = False
        self.faults: dict[str, Exception] = {}
        """What is raised by `launch`, `place`, `step`, `draw` or `shutdown`."""
        self.bad_plans = 0
        """So many demonstrations fail first."""

    def check(self, where: str) -> None:
        if where in self.faults:
            raise self.faults[where]


WORLD = World()


# ---- pyrep


class RenderMode(Enum):
    OPENGL = 0
    OPENGL3 = 5


class ConfigurationPathError(Exception):
    pass


class IKError(Exception):
    pass


class PyRepError(Exception):
    pass


class PyRep:
    def launch(self, scene_file="", headless=False, responsive_ui=False, blocking=False, verbosity=None) -> None:
        WORLD.check("launch")
        assert headless and not WORLD.launched, "CoppeliaSim cannot run twice"
        WORLD.launched += 1

    def step(self) -> None:
        WORLD.steps += 1

    def shutdown(self) -> None:
        WORLD.check("shutdown")
        WORLD.launched -= 1


class Arm:
    def __init__(self, max_velocity: float, max_acceleration: float) -> None:
        self.max_velocity, self.max_acceleration = max_velocity, max_acceleration
        self._target = START.copy()

    def get_joint_positions(self) -> list[float]:
        return WORLD.q.tolist()

    def set_joint_target_positions(self, positions: list[float]) -> None:
        self._target = np.asarray(positions, dtype=float)

    def move(self) -> None:
        if not WORLD.stuck:
            WORLD.q = WORLD.q + np.clip(self._target - WORLD.q, -STEP_RAD, STEP_RAD)


class Gripper:
    def get_open_amount(self) -> list[float]:
        return [WORLD.opening, WORLD.opening]

    def actuate(self, amount: float, velocity: float) -> bool:
        if not 0.0 <= amount <= 1.0:
            raise ValueError("'open_amount' should be between 0 and 1.'")
        WORLD.opening += float(np.clip(amount - WORLD.opening, -GRIPPER_STEP, GRIPPER_STEP))
        return abs(amount - WORLD.opening) < 1e-6


class Robot:
    def __init__(self, arm, gripper):
        self.arm, self.gripper = arm, gripper


# ---- rlbench.noise_model, .observation_config, .demo, .backend.observation, .backend.exceptions


class NoiseModel:
    def apply(self, val):
        raise NotImplementedError


class Identity(NoiseModel):
    def apply(self, val):
        return val


class CameraConfig:
    def __init__(
        self,
        rgb=True,
        rgb_noise=Identity(),
        depth=True,
        depth_noise=Identity(),
        point_cloud=True,
        mask=True,
        image_size=(128, 128),
        render_mode=RenderMode.OPENGL3,
        masks_as_one_channel=True,
        depth_in_meters=False,
    ):
        self.rgb, self.depth, self.point_cloud, self.mask = rgb, depth, point_cloud, mask
        self.image_size, self.render_mode = image_size, render_mode

    def set_all(self, value):
        self.rgb = self.depth = self.point_cloud = self.mask = value


CAMERAS = ("left_shoulder", "right_shoulder", "overhead", "wrist", "front")


class ObservationConfig:
    def __init__(
        self,
        left_shoulder_camera=None,
        right_shoulder_camera=None,
        overhead_camera=None,
        wrist_camera=None,
        front_camera=None,
        joint_velocities=True,
        joint_velocities_noise=Identity(),
        joint_positions=True,
        joint_positions_noise=Identity(),
        joint_forces=True,
        joint_forces_noise=Identity(),
        gripper_open=True,
        gripper_pose=True,
        gripper_matrix=False,
        gripper_joint_positions=False,
        gripper_touch_forces=False,
        wrist_camera_matrix=False,
        record_gripper_closing=False,
        task_low_dim_state=False,
    ):
        given = (left_shoulder_camera, right_shoulder_camera, overhead_camera, wrist_camera, front_camera)
        for name, camera in zip(CAMERAS, given, strict=True):
            setattr(self, f"{name}_camera", camera or CameraConfig())
        self.joint_velocities, self.joint_positions, self.gripper_open = joint_velocities, joint_positions, gripper_open
        self.gripper_matrix, self.joint_forces = gripper_matrix, joint_forces

    def set_all_high_dim(self, value):
        for name in CAMERAS:
            getattr(self, f"{name}_camera").set_all(value)


class Observation:
    def __init__(
        self,
        left_shoulder_rgb,
        left_shoulder_depth,
        left_shoulder_mask,
        left_shoulder_point_cloud,
        right_shoulder_rgb,
        right_shoulder_depth,
        right_shoulder_mask,
        right_shoulder_point_cloud,
        overhead_rgb,
        overhead_depth,
        overhead_mask,
        overhead_point_cloud,
        wrist_rgb,
        wrist_depth,
        wrist_mask,
        wrist_point_cloud,
        front_rgb,
        front_depth,
        front_mask,
        front_point_cloud,
        joint_velocities,
        joint_positions,
        joint_forces,
        gripper_open,
        gripper_pose,
        gripper_matrix,
        gripper_joint_positions,
        gripper_touch_forces,
        task_low_dim_state,
        misc,
    ):
        vars(self).update({name: value for name, value in locals().items() if name != "self"})


class Demo:
    def __init__(self, observations, random_seed=None, num_reset_attempts=None):
        self._observations, self.random_seed = observations, random_seed
        self.num_reset_attempts = num_reset_attempts

    def __len__(self):
        return len(self._observations)

    def __getitem__(self, i):
        return self._observations[i]

    def restore_state(self):
        np.random.set_state(self.random_seed)


class BoundaryError(Exception):
    pass


class DemoError(Exception):
    def __init__(self, message, task):
        super().__init__(f"Error in task {task.get_name()}. {message}")


class InvalidActionError(Exception):
    pass


class TaskEnvironmentError(Exception):
    pass


# ---- rlbench.backend.task and .tasks


class Task:
    def __init__(self, pyrep, robot, name=None):
        self.pyrep, self.robot, self.name = pyrep, robot, name

    def init_episode(self, index):
        raise NotImplementedError

    def variation_count(self):
        raise NotImplementedError

    def get_name(self):
        return self.name

    def step(self):
        pass

    def success(self):
        if abs(WORLD.q[0]) > FORBIDDEN_RAD:
            return False, True
        solved = np.all(np.abs(WORLD.q - self.goal) < SOLVED_RAD) and WORLD.opening < 0.5
        return solved, solved


class OpenBox(Task):
    """One variation."""

    def init_episode(self, index):
        self.goal = START + np.random.uniform(-0.4, 0.4, 7)
        return ["open box", "open the box lid", "grasp the lid and open it"]

    def variation_count(self):
        return 1


class PushButton(Task):
    """Three variations, some of it drawn by Python's generator."""

    def init_episode(self, index):
        self.goal = START + np.random.uniform(-0.2, 0.2, 7)
        self.goal[6] += random.uniform(-0.2, 0.2) + 0.3 * index
        colour = ("maroon", "green", "blue")[index]
        return [f"push the {colour} button", f"press the {colour} button"]

    def variation_count(self):
        return 3


class ReachTarget(Task):
    """Described in one sentence."""

    def init_episode(self, index):
        self.goal = START + np.random.uniform(-0.3, 0.3, 7)
        return ["reach the red sphere"]

    def variation_count(self):
        return 1


TASKS = {"open_box": OpenBox, "push_button": PushButton, "reach_target": ReachTarget}


class InvalidTaskName(Exception):
    pass


def name_to_task_class(task_file):
    if task_file not in TASKS:
        raise InvalidTaskName(task_file)
    return TASKS[task_file]


# ---- rlbench.backend.scene and .action_modes


class Scene:
    def __init__(self, pyrep, robot, obs_config=ObservationConfig(), robot_setup="panda"):
        self.pyrep, self.robot, self.robot_setup = pyrep, robot, robot_setup
        self._obs_config = obs_config
        cameras = {name: getattr(obs_config, f"{name}_camera") for name in CAMERAS}
        # A camera that draws nothing when the scene is made is taken out.
        self._cameras = {n: c for n, c in cameras.items() if c.rgb or c.depth or c.point_cloud}
        sizes = {tuple(camera.image_size) for camera in self._cameras.values()}
        assert all(camera.render_mode is RenderMode.OPENGL for camera in self._cameras.values())
        self._rig = default_rig(*sizes.pop())
        self._action = None

    def load(self, task):
        self.task = task

    def init_episode(self, index, randomly_place=True, max_attempts=5, place_demo=False):
        WORLD.check("place")
        self._variation_index = index
        return self.task.init_episode(index)

    def reset(self):
        WORLD.q, WORLD.opening, self._action = START.copy(), 1.0, None

    def step(self):
        WORLD.check("step")
        self.pyrep.step()
        self.robot.arm.move()
        self.task.step()

    def get_observation(self):
        gripper = float(WORLD.opening > 0.9)
        q = WORLD.q + rlbench_source.Q_ZERO
        (row,) = rlbench_source.observations(q[None], np.array([gripper]), self._rig)
        misc = {k: v for k, v in row["misc"].items() if k.partition("_camera_")[0] in self._cameras or "joint" in k}
        misc["variation_index"] = self._variation_index
        if self._action is not None:
            misc["joint_position_action"] = self._action
        pictures = {}
        for i, (name, camera) in enumerate(self._cameras.items()):
            if camera.rgb:
                WORLD.check("draw")
                WORLD.drawn += 1
                width, height = camera.image_size
                picture = np.full((height, width, 3), 40 * i, np.uint8)
                picture[0, :7, 0] = 128 + 100 * self.task.goal  # what can be seen of the scene
                picture[1, :7, 0] = 128 + 100 * (WORLD.q - START)
                pictures[f"{name}_rgb"] = picture
        names = Observation.__init__.__code__.co_varnames[1:31]
        given = dict.fromkeys(names) | pictures | {"misc": misc, "gripper_open": gripper}
        given |= {"joint_positions": WORLD.q.copy(), "joint_velocities": np.zeros(7)}
        return Observation(
            **given | ({"gripper_matrix": row["gripper_matrix"]} if self._obs_config.gripper_matrix else {})
        )

    def get_demo(self, record=True, callable_each_step=None, randomly_place=True):
        demo, arm, gripper = [self.get_observation()], self.robot.arm, self.robot.gripper
        distance = self.task.goal - WORLD.q
        count = int(np.ceil(np.abs(distance).max() / (0.8 * STEP_RAD)))
        for target in WORLD.q + distance * (np.arange(1, count + 1) / count)[:, None]:
            arm.set_joint_target_positions(target)
            self.step()
            self._action = np.append(target, 1.0)
            demo.append(self.get_observation())
        while not gripper.actuate(0.0, 0.04):
            self.step()
        self._action = np.append(self.task.goal, 0.0)
        demo.append(self.get_observation())
        if WORLD.bad_plans:
            WORLD.bad_plans -= 1
            raise DemoError("Demo was completed, but was not successful.", self.task)
        return Demo(demo, num_reset_attempts=1)


class ActionMode:
    def __init__(self, arm_action_mode, gripper_action_mode):
        self.arm_action_mode, self.gripper_action_mode = arm_action_mode, gripper_action_mode


class MoveArmThenGripper(ActionMode):
    def action(self, scene, action):
        if np.shape(action) != (8,):
            raise InvalidActionError(f"shape {np.shape(action)}")
        self.arm_action_mode.action(scene, action[:7])
        self.gripper_action_mode.action(scene, action[7:])


class JointPosition:
    def __init__(self, absolute_mode=True):
        assert absolute_mode, "the stand-in knows absolute joint positions only"

    def action(self, scene, action):
        scene.robot.arm.set_joint_target_positions(action)
        scene.step()
        scene.robot.arm.set_joint_target_positions(scene.robot.arm.get_joint_positions())


class Discrete:
    def __init__(self, attach_grasped_objects=True, detach_before_open=True):
        pass

    def action(self, scene, action):
        wanted = float(action[0] > 0.5)
        if wanted != float(all(opening > 0.9 for opening in scene.robot.gripper.get_open_amount())):
            while not scene.robot.gripper.actuate(wanted, velocity=0.2):
                scene.pyrep.step()
                scene.task.step()


# ---- rlbench.environment and .task_environment


class TaskEnvironment:
    def __init__(
        self,
        pyrep,
        robot,
        scene,
        task,
        action_mode,
        dataset_root,
        obs_config,
        static_positions=False,
        attach_grasped_objects=True,
        shaped_rewards=False,
    ):
        self._scene, self._task, self._action_mode = scene, task, action_mode
        self._variation_number, self._reset_called = 0, False
        scene.load(task)

    def get_name(self):
        return self._task.get_name()

    def set_variation(self, v):
        if v >= self.variation_count():
            raise TaskEnvironmentError(f"Requested variation {v}, but there are only {self.variation_count()}.")
        self._variation_number = v

    def variation_count(self):
        return self._task.variation_count()

    def reset(self, demo=None):
        self._scene.reset()
        try:
            descriptions = self._scene.init_episode(
                self._variation_number, max_attempts=40, place_demo=demo is not None
            )
        except BoundaryError as error:
            raise TaskEnvironmentError(f"Could not place the task {self.get_name()} in the scene.") from error
        self._reset_called = True
        return descriptions, self._scene.get_observation()

    def get_observation(self):
        return self._scene.get_observation()

    def step(self, action):
        if not self._reset_called:
            raise RuntimeError("Call 'reset' before calling 'step' on a task.")
        self._action_mode.action(self._scene, action)
        success, terminate = self._task.success()
        return self._scene.get_observation(), float(success), terminate

    def get_demos(
        self,
        amount,
        live_demos=False,
        image_paths=False,
        callable_each_step=None,
        max_attempts=10,
        random_selection=True,
        from_episode_number=0,
    ):
        assert live_demos, "there is no data set"
        WORLD.planned += 1
        demos = []
        for _ in range(amount):
            for _ in range(max_attempts):
                state = np.random.get_state()
                self.reset()
                try:
                    demos.append(self._scene.get_demo(callable_each_step=callable_each_step))
                    demos[-1].random_seed = state
                    break
                except DemoError:
                    continue
            else:
                raise RuntimeError("Could not collect demos. Maybe a problem with the task?")
        return demos

    def reset_to_demo(self, demo):
        demo.restore_state()
        self.set_variation(demo._observations[0].misc["variation_index"])
        return self.reset(demo)


class Environment:
    def __init__(
        self,
        action_mode,
        dataset_root="",
        obs_config=ObservationConfig(),
        headless=False,
        static_positions=False,
        robot_setup="panda",
        randomize_every=None,
        frequency=1,
        visual_randomization_config=None,
        dynamics_randomization_config=None,
        attach_grasped_objects=True,
        shaped_rewards=False,
        arm_max_velocity=1.0,
        arm_max_acceleration=4.0,
    ):
        self._action_mode, self._obs_config, self._headless = action_mode, obs_config, headless
        self._limits, self._robot_setup = (arm_max_velocity, arm_max_acceleration), robot_setup
        self._pyrep = None

    def launch(self):
        if self._pyrep is not None:
            raise RuntimeError("Already called launch!")
        pyrep = PyRep()
        pyrep.launch("task_design.ttt", headless=self._headless)
        self._pyrep, self._robot = pyrep, Robot(Arm(*self._limits), Gripper())
        self._scene = Scene(pyrep, self._robot, self._obs_config, self._robot_setup)

    def shutdown(self):
        if self._pyrep is not None:
            self._pyrep.shutdown()
        self._pyrep = None

    def get_task(self, task_class):
        if self._pyrep is None:
            self.launch()
        name = next(name for name, kind in TASKS.items() if kind is task_class)
        task = task_class(self._pyrep, self._robot, name)
        return TaskEnvironment(self._pyrep, self._robot, self._scene, task, self._action_mode, "", self._obs_config)


MODULES: dict[str, tuple[object, ...]] = {
    "pyrep": (PyRep,),
    "pyrep.const": (RenderMode,),
    "pyrep.errors": (ConfigurationPathError, IKError, PyRepError),
    "rlbench": (CameraConfig, Environment, ObservationConfig),
    "rlbench.action_modes": (),
    "rlbench.action_modes.action_mode": (ActionMode, MoveArmThenGripper),
    "rlbench.action_modes.arm_action_modes": (JointPosition,),
    "rlbench.action_modes.gripper_action_modes": (Discrete,),
    "rlbench.backend": (),
    "rlbench.backend.exceptions": (BoundaryError, DemoError, InvalidActionError, TaskEnvironmentError),
    "rlbench.backend.observation": (Observation,),
    "rlbench.backend.robot": (Robot,),
    "rlbench.backend.scene": (Scene,),
    "rlbench.backend.task": (Task,),
    "rlbench.demo": (Demo,),
    "rlbench.environment": (Environment,),
    "rlbench.noise_model": (Identity, NoiseModel),
    "rlbench.observation_config": (CameraConfig, ObservationConfig),
    "rlbench.task_environment": (TaskEnvironment,),
    "rlbench.utils": (InvalidTaskName, name_to_task_class),
}


@contextmanager
def installed(folder: Path):
    """RLBench can be imported meanwhile; its folder of tasks lies in `folder`. Yields the `World`, as new."""
    for name in ("__init__", *TASKS):
        (folder / f"{name}.py").touch()
    WORLD.__init__()
    for name, members in MODULES.items():
        module = types.ModuleType(name)
        vars(module).update({member.__name__: member for member in members})
        sys.modules[name] = module
    sys.modules["rlbench.backend.task"].TASKS_PATH = str(folder)
    try:
        yield WORLD
    finally:
        for name in MODULES:
            del sys.modules[name]
