"""A recorded motion, as it is played again: commands on a regular grid, and what was measured."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from genima_core.arm import PANDA, Arm
from genima_core.data.bags.episodes import LONGEST_GAP_S
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.series import Series, info_of, read_recording
from genima_core.data.dataset import Dataset
from genima_core.files import explained

STEP_S = 0.04
"""Between two actions: 0.4 mrad per rad/s² are lost in between."""
APPROACH_SPEED = 0.3
"""Of the fastest joint on the way to a recording's first pose, rad/s."""
APPROACH_STEP_S = 0.05
SHORTEST_APPROACH_S = 1.0
LONGEST_DELAY_S = 1.5
"""By which a motion may be late when it is compared with its recording."""


@dataclass(frozen=True)
class Motion:
    q: np.ndarray
    """(N, 7) rad, N >= 2, commanded `step_s` apart; measured where the commands were not recorded."""
    opening: np.ndarray
    """(N,) commanded, 0 closed to 1 open."""
    step_s: float
    measured_s: np.ndarray
    """(M,) since action 0 is due."""
    measured_q: np.ndarray
    """(M, 7) rad."""
    task: str = ""
    seed: int = -1
    """Of the simulated scene; -1 where there was none."""
    source: str = ""
    """Where the actions come from: joint_commands, joint_states or action."""
    arm: Arm = PANDA

    @property
    def duration_s(self) -> float:
        return (len(self.q) - 1) * self.step_s

    def at_speed(self, speed: float) -> "Motion":
        return replace(self, step_s=self.step_s / speed, measured_s=self.measured_s / speed)


def load_motion(path: Path, index: int = 0) -> Motion:
    """The motion of a bag, or of episode `index` of a data set; FileNotFoundError, ValueError: none, damaged, short."""
    if (path / "meta" / "info.json").is_file():
        return _of_dataset(path, index)
    bag = open_bag(path)
    info = info_of(bag)
    with explained(f"{path} cannot be replayed"):
        recording = read_recording(bag, info, ())
        measured = Series(recording.arm.stamps_s, recording.arm.values[:, :7])
        whole = _covers(recording.commands, measured)
        openings = recording.gripper_commands if len(recording.gripper_commands) else recording.gripper
        motion = _on_grid(recording.commands if whole else measured, openings, measured)
    source = "joint_commands" if whole else "joint_states"
    return replace(motion, task=info.task, seed=info.seed, source=source, arm=info.arm)


def approach(q: np.ndarray, goal: np.ndarray, speed: float = APPROACH_SPEED) -> tuple[np.ndarray, float]:
    """Actions (n, 7) from rest at `q` to rest at `goal` (7,), and the time between two of them."""
    duration_s = max(SHORTEST_APPROACH_S, 1.875 * np.abs(goal - q).max() / speed)
    s = np.linspace(0.0, 1.0, int(np.ceil(duration_s / APPROACH_STEP_S)) + 1)[:, None]
    return q + (goal - q) * s**3 * (10 - 15 * s + 6 * s * s), duration_s / (len(s) - 1)


def deviations(motion: Motion, stamps_s: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Largest distance (M,) rad of any joint from the recording, of `q` (n, 7) at `stamps_s` (n,); less a constant
    delay.
    """

    def at_delay(delay_s: float) -> np.ndarray:
        replayed = Series(stamps_s, q).at(motion.measured_s + delay_s)
        return np.abs(replayed - motion.measured_q).max(axis=1)

    # By the mean: most of a recording may be rest, where every delay fits.
    return min((at_delay(delay_s) for delay_s in np.arange(0.0, LONGEST_DELAY_S, 0.01)), key=np.mean)


def _of_dataset(path: Path, index: int) -> Motion:
    dataset = Dataset(path)
    episode = dataset.episode(index)
    stamps_s = episode.stamps_s
    # A command is due at the next row; the first row is where the arm was.
    commanded = Series(stamps_s, np.vstack([episode.q[:1], episode.action_q[:-1]]))
    openings = Series(stamps_s, np.append(episode.action_gripper[:1], episode.action_gripper[:-1])[:, None])
    motion = _on_grid(commanded, openings, Series(stamps_s, episode.q))
    return replace(motion, task=episode.task, seed=episode.seed, source="action", arm=dataset.rig.arm)


def _covers(commands: Series, measured: Series) -> bool:
    if len(commands) < 2 or len(measured) < 2:
        return False
    stamps_s = np.concatenate([measured.stamps_s[:1], commands.stamps_s, measured.stamps_s[-1:]])
    return float(np.diff(stamps_s).max()) <= LONGEST_GAP_S


def _on_grid(commanded: Series, openings: Series, measured: Series) -> Motion:
    begin_s, end_s = commanded.stamps_s[0], commanded.stamps_s[-1]
    if end_s - begin_s < 2 * STEP_S:
        raise ValueError(f"it lasts {end_s - begin_s:.2f} s, which is too short for a motion")
    grid_s = np.linspace(begin_s, end_s, round((end_s - begin_s) / STEP_S) + 1)
    opening, step_s = openings.latest(grid_s, openings.values[0]), float(grid_s[1] - grid_s[0])
    return Motion(commanded.at(grid_s), opening, step_s, measured.stamps_s - begin_s, measured.values)
