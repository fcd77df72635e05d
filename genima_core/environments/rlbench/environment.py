"""RLBench as an environment: its scenes, cameras and demonstrations in our conventions."""

import re

import numpy as np

from genima_core.arm import PANDA
from genima_core.cameras import CameraRig
from genima_core.environment import (
    DT_S,
    Environment,
    NoSuchWording,
    Start,
    Trajectory,
    Wording,
    check_command,
    variation_of,
)
from genima_core.environments.rlbench.demonstration import Demonstration
from genima_core.environments.rlbench.simulation import STEP_S, Simulation
from genima_core.importers.rlbench import layout
from genima_core.importers.rlbench.demo import make_demo
from genima_core.importers.rlbench.pickles import Record
from genima_core.importers.rlbench.rig import ArmFit, find_rig, fit_arm

PREFIX = "rlbench/"
_NAME = re.compile(PREFIX + r"(?P<task>\w+)(/variation(?P<variation>\d+))?")

SURVEY_STEPS = 12
SURVEY_RAD = np.array([0.3, -0.3, 0.3, -0.3, 0.3, 0.3, 0.3])
"""The arm is moved so far, back and up, to find out where it and the cameras are, and which of them it carries."""
MOVED_RAD = 0.05


def parse_name(name: str) -> tuple[str, int | None]:
    """The task in a name such as ``rlbench/open_box``, and the variation where it ends in ``/variation0``."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} names no RLBench task; rlbench/open_box does, or rlbench/open_box/variation0")
    return match["task"], None if match["variation"] is None else int(match["variation"])


class RlbenchEnvironment(Environment):
    """A task of RLBench, moved by joint positions, with a gripper that opens or closes.

    Commands are gathered into RLBench's actions of 0.05 s. As in the paper's evaluation, the time that RLBench takes to
    open or close the gripper, while the arm stands still, is not counted; and an episode's first verdict, solved or
    failed, stays: RLBench ends it there. Scenes begin with RLBench's own pose of the arm.
    """

    def __init__(self, name: str, rig: CameraRig) -> None:
        """
        Args:
            name: ``rlbench/open_box``, or ``rlbench/open_box/variation0`` for scenes of that variation only.
            rig: Which of RLBench's cameras, in tile order, and the size of their pictures. Where they are and how wide
                they look is RLBench's, and found out here.

        ValueError: no such task, variation or camera, or another arm; RuntimeError: as of `Simulation`.
        """
        task, self._only = parse_name(name)
        if unknown := [camera for camera in rig.names if camera not in layout.CAMERAS]:
            raise ValueError(f"RLBench has no camera {', '.join(unknown)}; it has {', '.join(layout.CAMERAS)}")
        if rig.arm.name != PANDA.name:
            raise ValueError(f"RLBench's arm is a Panda, not the {rig.arm.name}")
        self.name = name
        self._simulation = Simulation(task, rig.names, rig.size)
        try:
            if self._only is not None and self._only >= len(self.variations):
                valid = f"variation0 to variation{len(self.variations) - 1}"
                raise ValueError(f"{PREFIX}{task} has no variation {self._only}; it has {valid}")
            self._fit, self.rig = self._survey(rig)
            self.reset(seed=0)
        except BaseException:
            self.close()
            raise

    @property
    def variations(self) -> tuple[str, ...]:
        count = self._simulation.variation_count
        return tuple(f"variation{i}" for i in range(count)) if count > 1 else ("",)

    @property
    def variation(self) -> str:
        return self.variations[self._variation]

    @property
    def time_s(self) -> float:
        return self._time_s

    @property
    def q(self) -> np.ndarray:
        return self._array("joint_positions") + self._fit.q_zero

    @property
    def dq(self) -> np.ndarray:
        return self._array("joint_velocities")

    @property
    def gripper(self) -> float:
        """1 where the gripper is open by more than nine tenths, else 0: RLBench tells no more."""
        return float(self._array("gripper_open"))

    def reset(self, seed: int, start: Start = "home", wording: Wording = "seen") -> None:
        if start != "home":
            raise ValueError(f"RLBench's scenes have no start {start!r}; the only one is home")
        count = len(self.variations)
        variation = variation_of(seed, count) if self._only is None else self._only
        rng = np.random.default_rng(seed)
        asked = ""
        if wording == "wrong":
            if count == 1:
                raise NoSuchWording(f"{self.name} has one variation, so there is no wrong instruction for it")
            other = int(rng.choice([i for i in range(count) if i != variation]))
            asked = self._simulation.reset(other, seed)[0][0]
        descriptions, self._row = self._simulation.reset(variation, seed)
        if wording == "paraphrase":
            if len(descriptions) == 1:
                raise NoSuchWording(f"RLBench describes {self.name} in one sentence only, so there is no paraphrase")
            asked = str(rng.choice(descriptions[1:]))
        self.instruction = asked or descriptions[0]
        self._variation, self._seed = variation, seed
        self._seen: Record | None = None  # with pictures, once somebody has looked at the present state
        self._time_s, self._steps = 0.0, 0
        self._verdict: bool | None = None
        self._demonstration: Demonstration | None = None
        self._no_way = ""
        self._reached, self._reached_step = 0, 0

    def render(self, name: str) -> np.ndarray:
        if name not in self.rig.names:
            raise ValueError(f"unknown camera {name!r}; the rig has {', '.join(self.rig.names)}")
        if self._seen is None:
            self._seen = self._simulation.look()
        return np.asarray(self._seen.get(f"{name}_rgb"))

    def step(self, q_command: np.ndarray, gripper_command: float, duration_s: float) -> None:
        q_command = check_command(q_command, gripper_command, duration_s)
        opening = float(np.clip(gripper_command, 0.0, 1.0))
        action = np.append(PANDA.clip(q_command) - self._fit.q_zero, opening)
        self._time_s += duration_s
        while (self._steps + 1) * STEP_S <= self._time_s + 1e-6:
            self._steps += 1
            self._row, solved, over = self._simulation.step(action)
            self._seen = None
            if self._verdict is None and (solved or over):
                self._verdict = solved

    def success(self) -> bool:
        return bool(self._verdict)

    def plan(self, dt_s: float = DT_S) -> Trajectory:
        """The rest of a live demonstration of this scene, from the state nearest to the present one.

        RLBench records it in the scene itself, which begins anew afterwards; so ask once before the first step. Where
        its planner found no way then, there is none later either.
        """
        if self._no_way:
            raise ValueError(self._no_way)
        if self._demonstration is None:
            if self._steps:
                raise RuntimeError(
                    f"RLBench demonstrates {self.name} in the scene itself, before the arm moves; ask for the plan "
                    "right after the reset"
                )
            try:
                rows, self._row = self._simulation.demonstrate(self._variation, self._seed)
            except ValueError as error:
                self._no_way = str(error)
                raise
            demo = make_demo(rows, self.rig.names, f"the demonstration of {self.name}")
            self._demonstration = Demonstration.of(demo, self._fit.q_zero)
            self._seen = None
        last = self._reached + self._steps - self._reached_step
        self._reached = self._demonstration.nearest(self.q, self.gripper, self._reached, last)
        self._reached_step = self._steps
        return self._demonstration.rest(self._reached, self.q, dt_s)

    def close(self) -> None:
        self._simulation.close()

    def _survey(self, rig: CameraRig) -> tuple[ArmFit, CameraRig]:
        """Where the arm and the rig's cameras are, found from a few steps as in RLBench's recordings."""
        _, row = self._simulation.reset(0, seed=0)
        rows, begin = [row], np.asarray(row.get("joint_positions"))
        for part in np.linspace(0.0, 1.0, SURVEY_STEPS + 1)[1:]:
            row, *_ = self._simulation.step(np.append(begin + part * SURVEY_RAD, 1.0))
            rows.append(row)
        demo = make_demo(rows, rig.names, self.name)
        if (moved_rad := float(np.ptp(demo.q, axis=0).min())) < MOVED_RAD:
            raise RuntimeError(
                f"RLBench's arm hardly follows joint positions: a joint has turned by {moved_rad:.3f} rad instead of "
                f"{np.abs(SURVEY_RAD).min():.1f}; run RLBench's own examples to see whether they work"
            )
        fit, (reason,) = fit_arm([demo])
        found, _, (unusable,) = find_rig([demo], rig.names, rig.size, fit)
        if reason or found is None:
            raise RuntimeError(f"{self.name} cannot be measured: {reason or unusable}")
        return fit, found

    def _array(self, name: str) -> np.ndarray:
        return np.asarray(self._row.get(name), dtype=np.float64)
