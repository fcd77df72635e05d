"""How near what was sent came to the vendor's limits."""

from typing import Any

import numpy as np

from genima_core.arm import Arm

TORQUE_NM = np.array([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0])
TORQUE_RATE_NM_S = np.full(7, 1000.0)
"""Of the Panda and the FR3, by the vendor's control-parameter page."""
CYCLE_S = 0.001


class SentMeter:
    """Largest shares of the limits, of the commands that the arm says it received: position, torque and derivatives.

    Derivatives are taken over states of cycles that follow each other. Of an arm that is sent torques, the velocity is
    the one that it reached.
    """

    def __init__(self, arm: Arm, torques: bool) -> None:
        self.shares: dict[str, float] = {}
        self._arm, self._torques = arm, torques
        self._last_s = -np.inf
        self._values: list[np.ndarray] = []

    def add(self, state: Any) -> None:
        """A `franka.RobotState` under control."""
        if state.time == self._last_s:
            return
        gap, self._last_s = round((state.time - self._last_s) / CYCLE_S) if self._values else 0, state.time
        value = np.array(state.tau_J_d if self._torques else state.q_d, np.float64)
        if gap != 1:
            self._values = []
        # The value and its backward differences, as far as cycles follow each other.
        differences = [value]
        for before in self._values:
            differences.append((differences[-1] - before) / CYCLE_S)
        self._values = differences[: 2 if self._torques else 4]
        limits, q = self._arm.limits, np.asarray(state.q)
        if self._torques:
            self._note("velocity", limits.velocity_shares(q, np.asarray(state.dq)))
            named = zip(("torque", "torque_rate"), self._values, (TORQUE_NM, TORQUE_RATE_NM_S), strict=False)
        else:
            for velocity in self._values[1:2]:
                self._note("velocity", limits.velocity_shares(q, velocity))
            named = zip(("acceleration", "jerk"), self._values[2:], (limits.acceleration, limits.jerk), strict=False)
        for name, values, bound in named:
            self._note(name, values / bound)

    def _note(self, name: str, shares: np.ndarray) -> None:
        self.shares[name] = max(self.shares.get(name, 0.0), float(np.abs(shares).max()))
