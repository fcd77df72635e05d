"""How the arm moved, by the simulator's own joint states."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sensor_msgs.msg import JointState

from genima_core.arm import PANDA
from genima_core.streaming.states import Refusal
from genima_ros.messages.conversions import read_joint_state

STILL = 0.02
"""rad/s: a joint slower than this counts as still; what is left then is the servo's last millimetre."""


@dataclass(frozen=True)
class Sample:
    stamp_s: float
    """ROS time of the simulated state."""
    q: np.ndarray
    """(7,) rad."""
    speed: float
    """rad/s of the fastest joint."""


class ArmLog:
    """The last minute of joint states."""

    def __init__(self, machine_s: Callable[[float], float]) -> None:
        """`machine_s`: a stamp in the time that the log is kept in."""
        self._machine_s = machine_s
        self._samples: deque[Sample] = deque(maxlen=6000)

    def add(self, message: JointState) -> None:
        state = read_joint_state(message, PANDA, self._machine_s)
        if isinstance(state, Refusal) or state.dq is None:
            raise ValueError(f"the simulator's joint states cannot be read: {state}")
        self._samples.append(Sample(state.stamp_s, state.q, float(np.abs(state.dq).max())))

    @property
    def last(self) -> Sample:
        return self._samples[-1]

    def __len__(self) -> int:
        return len(self._samples)

    def since(self, stamp_s: float) -> list[Sample]:
        return [sample for sample in self._samples if sample.stamp_s >= stamp_s]

    def still_since(self, stamp_s: float) -> float:
        """The moment after stamp_s from which on no joint has moved; the newest one while one does."""
        moving = [sample.stamp_s for sample in self.since(stamp_s) if sample.speed > STILL]
        return moving[-1] if moving else stamp_s

    def longest_pause_s(self, stamp_s: float, until_s: float) -> float:
        """The longest time between two joint states in between: in it, the simulator did not move the arm."""
        stamps_s = [sample.stamp_s for sample in self.since(stamp_s - 1.0) if sample.stamp_s <= until_s]
        return max((after - before for before, after in pairwise(stamps_s) if after > stamp_s), default=0.0)

    def still_for(self, duration_s: float) -> bool:
        """No joint has moved so long, up to the newest joint state."""
        return all(sample.speed <= STILL for sample in self.since(self.last.stamp_s - duration_s))
