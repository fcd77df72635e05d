"""What a policy acts in: a scene that is reset by seed, seen by a rig's cameras and moved by joint positions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genima_core.arm import Arm
from genima_core.cameras import CameraRig
from genima_core.types import Observation

Start = Literal["home", "anywhere"]
"""``home``: the ready configuration with a little noise and an open gripper; ``anywhere``: a random pose over the
table, as after a miss, with the gripper open or closed."""
Wording = Literal["seen", "paraphrase", "wrong"]
"""How the instruction is put: as in training, in words that are kept out of training, or asking for another variation
than the one that counts."""

DT_S = 0.05
"""Demonstrations are recorded at 20 Hz, as in the paper."""
COMMANDS_PER_SAMPLE = 5
"""Between two samples the command is interpolated at 100 Hz, as the streamer would."""


@dataclass(frozen=True)
class Trajectory:
    """Commands at a fixed period: sample k is due `(k + 1) * dt_s` after the start."""

    q: np.ndarray
    """(T, 7) rad."""
    gripper: np.ndarray
    """(T,) opening, 0 closed to 1 open."""
    dt_s: float

    def __len__(self) -> int:
        return len(self.q)

    @property
    def duration_s(self) -> float:
        return len(self.q) * self.dt_s


def variation_of(seed: int, count: int) -> int:
    """Which of `count` variations counts in the scene of a seed: they take turns, two seeds each.

    Not by the seed's parity, which decides where demonstrations start.
    """
    return seed // 2 % count


class NoSuchWording(ValueError):
    """A task cannot be asked for in this way, such as wrongly where it has one variation."""


class Environment(ABC):
    """One task. Use it in the thread that made it: rendering may need a GL context."""

    name: str
    """Of the task, such as ``open_drawer`` or ``rlbench/open_box``."""
    rig: CameraRig
    """The cameras as a policy knows them."""
    instruction: str
    """Of the present scene."""

    @property
    def arm(self) -> Arm:
        return self.rig.arm

    @property
    def seen_rig(self) -> CameraRig:
        """Where the cameras really are in the present scene, to render true targets with."""
        return self.rig

    @property
    @abstractmethod
    def variations(self) -> tuple[str, ...]:
        """All variations of the task."""

    @property
    @abstractmethod
    def variation(self) -> str:
        """Which variation of the task counts in the present scene; empty where there is only one."""

    @property
    @abstractmethod
    def time_s(self) -> float: ...

    @property
    @abstractmethod
    def q(self) -> np.ndarray:
        """(7,) rad."""

    @property
    @abstractmethod
    def dq(self) -> np.ndarray:
        """(7,) rad/s."""

    @property
    @abstractmethod
    def gripper(self) -> float:
        """Opening, 0 closed to 1 open."""

    @abstractmethod
    def reset(self, seed: int, start: Start = "home", wording: Wording = "seen") -> None:
        """Begins the scene of a seed; the same seed gives the same objects for every start and wording.

        ValueError: a start that the environment does not have; NoSuchWording: a wording that the task does not have.
        RuntimeError: the scene cannot be made.
        """

    def observe(self) -> Observation:
        """What all cameras see and the joints feel now; the stamp is simulated time."""
        return Observation(
            stamp_s=self.time_s,
            images={name: self.render(name) for name in self.rig.names},
            q=self.q,
            gripper=self.gripper,
            instruction=self.instruction,
        )

    @abstractmethod
    def step(self, q_command: np.ndarray, gripper_command: float, duration_s: float) -> None:
        """Moves for `duration_s` with the servos at `q_command` (7,) rad and an opening from 0 to 1.

        Commands beyond the limits are held at the limits. ValueError, and nothing moves, as of `check_command`.
        """

    @abstractmethod
    def success(self) -> bool: ...

    @abstractmethod
    def plan(self, dt_s: float = DT_S) -> Trajectory:
        """The expert's commands from the present state to the end of the task; ValueError: impossible from here."""

    @abstractmethod
    def render(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB of one of the rig's cameras; ValueError where it has no such camera."""

    def close(self) -> None:  # noqa: B027  (not everything has something to free)
        """Frees what is rendered with."""


def follow(environment: Environment, trajectory: Trajectory) -> Iterator[int]:
    """Steps an environment along a trajectory; yields the index k of each command before it is carried out.

    While the caller holds k, it still shows the state that command k is the answer to.
    """
    q_before = environment.q
    for k in range(len(trajectory)):
        yield k
        for i in range(1, COMMANDS_PER_SAMPLE + 1):
            q = q_before + (trajectory.q[k] - q_before) * (i / COMMANDS_PER_SAMPLE)
            environment.step(q, float(trajectory.gripper[k]), trajectory.dt_s / COMMANDS_PER_SAMPLE)
        q_before = trajectory.q[k]


def run_expert(environment: Environment) -> bool:
    """Plans and carries out a whole demonstration; True if it succeeded."""
    for _ in follow(environment, environment.plan()):
        pass
    return environment.success()


def check_command(q_command: np.ndarray, gripper_command: float, duration_s: float) -> np.ndarray:
    """Joint positions (7,) float64; ValueError: a wrong shape, numbers that are not finite, or a negative duration."""
    q_command = np.asarray(q_command, dtype=np.float64)
    if q_command.shape != (7,) or not np.all(np.isfinite(q_command)):
        raise ValueError(f"q_command is {q_command.tolist()}; the arm needs 7 finite joint positions in rad")
    if not np.isfinite(gripper_command):
        raise ValueError(f"gripper_command is {gripper_command}; valid is 0 (closed) to 1 (open)")
    if not (np.isfinite(duration_s) and duration_s >= 0):
        raise ValueError(f"duration_s is {duration_s}; it must be finite and not negative")
    return q_command
