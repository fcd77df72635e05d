"""The expert of an RLBench scene: a demonstration of it, from wherever the arm is on its way."""

from dataclasses import dataclass

import numpy as np

from genima_core.environment import Trajectory
from genima_core.environments.rlbench.simulation import STEP_S
from genima_core.importers.rlbench.demo import Demo

GRIPPER_RAD = 0.5
"""Added to the distance of a row whose gripper is open where the arm's is closed, or the other way round."""


@dataclass(frozen=True)
class Demonstration:
    """T rows, 0.05 s apart, and the commands that lead from each to the next; joints in the vendor's convention."""

    q: np.ndarray
    """(T, 7) rad."""
    gripper: np.ndarray
    """(T,) 0 closed or 1 open."""
    q_command: np.ndarray
    """(T - 1, 7) rad."""
    gripper_command: np.ndarray
    """(T - 1,) opening."""

    @classmethod
    def of(cls, demo: Demo, q_zero: np.ndarray) -> "Demonstration":
        """`q_zero`: see `ArmFit`."""
        action = demo.action
        return cls(demo.q + q_zero, demo.gripper, action[:, :7] + q_zero, action[:, 7])

    def nearest(self, q: np.ndarray, gripper: float, first: int, last: int) -> int:
        """The row from `first` to `last` that an arm is nearest to, the first of several.

        A demonstration passes many places twice, down to an object and up again. Which one counts is told by the time
        that has passed: whoever follows cannot be further than that.
        """
        rows = slice(first, min(last, len(self.q) - 1) + 1)
        distance = np.abs(self.q[rows] - q).max(axis=1) + GRIPPER_RAD * np.abs(self.gripper[rows] - gripper)
        return first + int(distance.argmin())

    def rest(self, row: int, q: np.ndarray, dt_s: float) -> Trajectory:
        """The commands from a row, which an arm at `q` is at, to the end; the last one again where it is there."""
        row = min(row, len(self.q_command) - 1)
        q_command, gripper_command = self.q_command[row:], self.gripper_command[row:]
        count = int(np.ceil(len(q_command) * STEP_S / dt_s - 1e-9))
        at = np.minimum(dt_s / STEP_S * np.arange(1, count + 1), len(q_command))
        way = np.vstack([q, q_command])
        samples = np.column_stack([np.interp(at, np.arange(len(way)), joint) for joint in way.T])
        return Trajectory(samples, gripper_command[np.ceil(at - 1e-9).astype(int) - 1], dt_s)
