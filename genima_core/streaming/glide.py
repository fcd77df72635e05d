"""Slow motion to where something else is, and to rest: all joints arrive together, without a jerk."""

import numpy as np
from ruckig import ControlInterface, InputParameter, OutputParameter, Ruckig, RuckigError, Synchronization

from genima_core.panda import JointLimits

ACCELERATION, JERK = 1.0, 8.0
"""rad/s², rad/s³ of an approach: gentle enough to be watched."""
BRAKE_ACCELERATION, BRAKE_JERK = 5.0, 150.0
"""Of coming to rest: from 1 rad/s within a quarter of a second."""
PERIOD_S = 0.01
"""Of its steps; the streamer interpolates."""


class Glide:
    """A motion of seven joints that begins where it is told and is advanced by the time that has passed."""

    def __init__(self, q: np.ndarray, dq: np.ndarray, now_s: float, limits: JointLimits):
        self.q, self.dq = np.clip(q, limits.lower, limits.upper), np.array(dq, dtype=np.float64)
        self.time_s = now_s
        """When it was there; `toward` and `brake` advance it in steps of PERIOD_S."""
        self._limits = limits
        self._ddq = np.zeros(7)
        self._state = OutputParameter(7)
        self._approach, self._stop = Ruckig(7, PERIOD_S), Ruckig(7, PERIOD_S)

    @property
    def at_rest(self) -> bool:
        return not (self.dq.any() or self._ddq.any())

    def toward(self, goal: np.ndarray, speed: float, now_s: float) -> bool:
        """On towards a goal (7,) that may move, no joint faster than speed (rad/s); whether it moved on."""
        request = InputParameter(7)
        request.synchronization = Synchronization.Phase  # a straight line where one is possible
        request.target_position = np.clip(goal, self._limits.lower, self._limits.upper)
        request.max_velocity = np.full(7, speed)
        request.max_acceleration, request.max_jerk = np.full(7, ACCELERATION), np.full(7, JERK)
        return self._advance(self._approach, request, now_s)

    def brake(self, now_s: float) -> bool:
        """On towards rest; whether it moved on."""
        request = InputParameter(7)
        request.control_interface = ControlInterface.Velocity
        request.target_velocity = np.zeros(7)
        request.max_acceleration, request.max_jerk = np.full(7, BRAKE_ACCELERATION), np.full(7, BRAKE_JERK)
        return self._advance(self._stop, request, now_s)

    def _advance(self, ruckig: Ruckig, request: InputParameter, now_s: float) -> bool:
        # After a pause it goes on from where it is, late; it does not make up for lost time.
        self.time_s = max(self.time_s, now_s - 5 * PERIOD_S)
        moved = False
        while self.time_s + PERIOD_S <= now_s + 1e-9:
            request.current_position, request.current_velocity = self.q, self.dq
            request.current_acceleration = self._ddq
            try:
                ruckig.update(request, self._state)
            except RuckigError:
                self.dq, self._ddq = np.zeros(7), np.zeros(7)
                return moved
            self.q, self.dq = np.array(self._state.new_position), np.array(self._state.new_velocity)
            self._ddq = np.array(self._state.new_acceleration)
            still = (np.abs(self.dq) < 1e-6) & (np.abs(self._ddq) < 1e-4)
            self.dq[still] = self._ddq[still] = 0.0
            self.time_s += PERIOD_S
            moved = True
        return moved
