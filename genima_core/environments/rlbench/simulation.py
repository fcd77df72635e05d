"""One task of RLBench in CoppeliaSim, asked through RLBench's own API and in its conventions."""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import numpy as np

from genima_core.importers.rlbench.demo import record_of
from genima_core.importers.rlbench.pickles import Record

STEP_S = 0.05
"""Of RLBench's simulation; an action lasts that long."""
ARM_MAX_VELOCITY, ARM_MAX_ACCELERATION = 2.0, 8.0
"""Of RLBench's planner, rad/s and rad/s²: as in the paper's demonstrations, twice its defaults."""
DEMO_ATTEMPTS = 10
"""As many as RLBench's own; its planner is drawn at random and misses now and then."""

INSTALL = (
    "install CoppeliaSim 4.1, PyRep and RLBench in this order, and set COPPELIASIM_ROOT and LD_LIBRARY_PATH, as "
    "docs/rlbench.md says"
)


def check_task(name: str) -> None:
    """ValueError: RLBench has no such task (the message lists the valid ones); RuntimeError: it is not installed."""
    with _importing():
        from rlbench.backend.task import TASKS_PATH
    names = sorted(path.stem for path in Path(TASKS_PATH).glob("[!_]*.py"))
    if name not in names:
        raise ValueError(f"RLBench has no task {name!r}; it has {', '.join(names)}")


class Simulation:
    """A task in its scene. Cameras are drawn only when they are looked through, as that takes most of the time.

    CoppeliaSim is a library that cannot be loaded twice: one simulation at a time in a process. Whatever RLBench and
    PyRep raise becomes a RuntimeError.
    """

    _running: ClassVar["Simulation | None"] = None

    def __init__(self, task: str, cameras: tuple[str, ...], size: tuple[int, int]) -> None:
        """ValueError: no such task. RuntimeError: RLBench is not installed or does not start, or it runs already."""
        check_task(task)
        with _importing():
            from pyrep.const import RenderMode
            from rlbench.action_modes.action_mode import MoveArmThenGripper
            from rlbench.action_modes.arm_action_modes import JointPosition
            from rlbench.action_modes.gripper_action_modes import Discrete
            from rlbench.environment import Environment
            from rlbench.observation_config import ObservationConfig
            from rlbench.utils import name_to_task_class
        if Simulation._running is not None:
            raise RuntimeError("an RLBench environment is open in this process; close it, or use another process")
        config = ObservationConfig(joint_forces=False, gripper_matrix=True)
        config.set_all_high_dim(False)
        self._cameras = [getattr(config, f"{camera}_camera") for camera in cameras]
        for camera in self._cameras:
            camera.rgb, camera.image_size = True, size
            camera.render_mode = RenderMode.OPENGL  # as in the paper
        self._environment = Environment(
            MoveArmThenGripper(JointPosition(absolute_mode=True), Discrete()),
            obs_config=config,
            headless=True,
            arm_max_velocity=ARM_MAX_VELOCITY,
            arm_max_acceleration=ARM_MAX_ACCELERATION,
        )
        Simulation._running = self
        try:
            with _asking("RLBench does not start", f"it needs a display (xvfb-run -a genima ...), or {INSTALL}"):
                self._environment.launch()
                self._task = self._environment.get_task(name_to_task_class(task))
                self.variation_count = int(self._task.variation_count())
        except BaseException:
            with suppress(RuntimeError):
                self.close()
            raise
        # Not before: RLBench takes out of its scene what it is not to draw from when it is launched.
        self._draw(False)

    def reset(self, variation: int, seed: int) -> tuple[list[str], Record]:
        """Draws the scene of a seed: its descriptions and the first observation."""
        with _asking(f"RLBench cannot place the scene of seed {seed}", "leave it out"), _seeded(seed):
            self._task.set_variation(variation)
            descriptions, observation = self._task.reset()
        return list(descriptions), record_of(observation)

    def step(self, action: np.ndarray) -> tuple[Record, bool, bool]:
        """Carries out joint positions and the opening (8,): the observation, whether solved, and whether it is over."""
        with _asking("RLBench does not go on", "reset the scene, and leave its seed out if this happens again"):
            observation, reward, over = self._task.step(action)
        return record_of(observation), bool(reward > 0), bool(over)

    def look(self) -> Record:
        """The observation of this moment, with pictures."""
        self._draw(True)
        try:
            with _asking("RLBench cannot draw", "it needs a display with OpenGL (xvfb-run -a genima ...)"):
                return record_of(self._task.get_observation())
        finally:
            self._draw(False)

    def demonstrate(self, variation: int, seed: int) -> tuple[list[Record], Record]:
        """A demonstration of the scene of a seed, and the first observation of the same scene, which begins anew.

        ValueError: RLBench's planner has found none.
        """
        for attempt in range(1, DEMO_ATTEMPTS + 1):
            try:
                # One attempt at a time, because RLBench makes the next one in another scene.
                with _asking("RLBench finds no demonstration", "leave its seed out"), _seeded(seed):
                    self._task.set_variation(variation)
                    (demo,) = self._task.get_demos(1, live_demos=True, max_attempts=1)
                break
            except RuntimeError as error:
                if attempt == DEMO_ATTEMPTS:
                    self.reset(variation, seed)
                    raise ValueError(f"seed {seed}, {attempt} attempts: {error}") from error
        with _asking(f"RLBench cannot place the scene of seed {seed} again", "leave it out"), _seeded(seed):
            _, observation = self._task.reset_to_demo(demo)
        return [record_of(demo[t]) for t in range(len(demo))], record_of(observation)

    def close(self) -> None:
        """Ends CoppeliaSim; may be called again."""
        if Simulation._running is self:
            Simulation._running = None
            with _asking("CoppeliaSim does not shut down", "end the process"):
                self._environment.shutdown()

    def _draw(self, wanted: bool) -> None:
        # RLBench's scene asks this object before each observation.
        for camera in self._cameras:
            camera.rgb = wanted


def _importing() -> AbstractContextManager[None]:
    return _asking("RLBench is not installed, or not whole", f"no package index has it: {INSTALL}")


@contextmanager
def _asking(trouble: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # RLBench's and PyRep's have no base in common
        raise RuntimeError(f"{trouble} ({type(error).__name__}: {error}); {remedy}") from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """RLBench's tasks draw from the generators of the process, which begin with the seed meanwhile."""
    before, numpy_before = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)  # noqa: NPY002
