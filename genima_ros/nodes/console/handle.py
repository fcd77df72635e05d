"""From a handle that is dragged to joint positions: as near as the arm comes without touching anything."""

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from genima_core.arm import Arm
from genima_core.geometry import make_transform
from genima_core.sim.collision import ClearanceModel
from genima_core.sim.inverse_kinematics import InverseKinematics

STEP_M, STEP_RAD = 0.03, 0.15
"""A long drag is followed in steps like this: each has a solution close to the one before."""
HALVINGS = 4
"""Of the step that does not succeed."""
FAR_RAD = 0.5
"""A solution further from the one before belongs to another way to hold the arm, which no short motion leads to."""


class HandleSolver:
    """Joint positions for a pose of the gripper, from those of a pose close by."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._kinematics, self._clearance = InverseKinematics(arm), ClearanceModel(arm)

    def solve(self, T_base_tcp: np.ndarray, near: np.ndarray, opening: float) -> tuple[np.ndarray, str]:
        """q (7,) rad that puts the tcp at T_base_tcp (4, 4), and "".

        Where that is out of reach, or too near to the table or to the arm itself: as far as the arm comes on the
        straight way from `near` (7,) rad, and what is in the way.
        """
        begin, best = self._arm.frame_pose(near, "tcp"), near
        apart_m = float(np.linalg.norm(T_base_tcp[:3, 3] - begin[:3, 3]))
        turned_rad = Rotation.from_matrix(begin[:3, :3].T @ T_base_tcp[:3, :3]).magnitude()
        count = max(1, int(np.ceil(max(apart_m / STEP_M, turned_rad / STEP_RAD))))
        for k in range(1, count + 1):
            q, why = self._try(_between(begin, T_base_tcp, k / count), best, opening)
            if why:
                return self._approach(begin, T_base_tcp, ((k - 1) / count, k / count), best, opening), why
            best = q
        return best, ""

    def _approach(
        self, begin: np.ndarray, end: np.ndarray, shares: tuple[float, float], best: np.ndarray, opening: float
    ) -> np.ndarray:
        """Nearer to what cannot be reached, between a share of the way that can and one that cannot."""
        low, high = shares
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            q, why = self._try(_between(begin, end, middle), best, opening)
            low, high, best = (low, middle, best) if why else (middle, high, q)
        return best

    def _try(self, T_base_tcp: np.ndarray, near: np.ndarray, opening: float) -> tuple[np.ndarray, str]:
        try:
            q = self._kinematics.solve(T_base_tcp, near)
        except ValueError:
            return near, "out of the arm's reach"
        if np.abs(q - near).max() > FAR_RAD:
            return near, "out of reach without turning the arm over"
        contact = self._clearance.check(q, opening)
        return (q, "") if contact is None else (near, f"{' and '.join(contact.bodies)} come too close")


def _between(begin: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """The pose (4, 4) at this share of the straight way."""
    turn = Slerp([0.0, 1.0], Rotation.from_matrix(np.stack([begin[:3, :3], end[:3, :3]])))
    return make_transform(turn(share).as_matrix(), (1 - share) * begin[:3, 3] + share * end[:3, 3])
