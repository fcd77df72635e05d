"""Chunks of a known motion, where the models are not the point."""

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from genima_core.arm import PANDA
from genima_core.types import ActionChunk
from genima_ros.messages.conversions import chunk_to_trajectory

K, DT_S = 20, 0.05
EVERY_S = 0.2
SWING_RAD, RATE = 0.5, 2.0
"""Joint 1 swings about home by so much, at up to 1 rad/s."""
RETURN_S = 2.0
"""Time in which the other joints come home."""


DIVE = 0.7 * np.array([0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
"""rad/s: from near home it brings the fingers onto the table."""


class Script:
    """Joint 1 swings, the others come home: `at` any time, beginning near where the arm is."""

    def __init__(self, q: np.ndarray, now_s: float) -> None:
        """From q (7,) rad at now_s, s of ROS time."""
        self._begin_s = now_s
        self._offset = np.array(q) - PANDA.home
        self._phase = np.arcsin(np.clip(self._offset[0] / SWING_RAD, -1.0, 1.0))

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """Positions (n, 7) at times (n,)."""
        t = np.asarray(times_s)[:, None] - self._begin_s
        q = PANDA.home + self._offset * np.exp(-np.maximum(t, 0.0) / RETURN_S)
        q[:, 0] = PANDA.home[0] + SWING_RAD * np.sin(RATE * t[:, 0] + self._phase)
        return q

    def chunk(self, now_s: float, captured_s: float | None = None) -> JointTrajectory:
        """What comes from now on, observed at captured_s (now by default)."""
        start_s = now_s + DT_S
        positions = self.at(start_s + DT_S * np.arange(K))
        return chunk_to_trajectory(
            ActionChunk(positions, np.ones(K), DT_S, start_s, now_s if captured_s is None else captured_s), PANDA
        )


class Dive(Script):
    """From where the arm is straight into the table."""

    def __init__(self, q: np.ndarray, now_s: float) -> None:
        self._q, self._begin_s = np.array(q), now_s

    def at(self, times_s: np.ndarray) -> np.ndarray:
        q = self._q + DIVE * (np.asarray(times_s)[:, None] - self._begin_s)
        return np.clip(q, PANDA.limits.lower, PANDA.limits.upper)
