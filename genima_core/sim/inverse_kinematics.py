"""Joint positions for a gripper pose, by differential inverse kinematics (mink)."""

import numpy as np
from scipy.spatial.transform import Rotation

from genima_core import geometry, gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.arm import Arm
from genima_core.sim.arm import TCP_SITE, add_arm

import mink  # isort: skip
import mujoco  # isort: skip

POSITION_TOLERANCE_M, ROTATION_TOLERANCE_RAD = 5e-4, 5e-3
POSTURE_COST = 3e-3
STEPS, STEP_S = 150, 0.02
SMALLEST_STEP_RAD = 1e-5
TILT_STEP_RAD = 0.2
LARGEST_ROLL_RAD = 1.2
"""Joint 3 or 5 beyond this means another branch of the solutions, which experts never mix with the usual one."""


def point_down(p_base: np.ndarray, yaw: float = 0.0, tilt_x: float = 0.0, tilt_y: float = 0.0) -> np.ndarray:
    """T_base_tcp at `p_base` (3,) m with the fingers down, turned to where the arm points naturally.

    The hand's x axis points away from the base's axis, so that joints 3 and 5 stay near zero and joint 7 near its
    home all over the table. `yaw` (rad) turns it further; tilts (rad) lean it about its own x and y axes.
    """
    bearing = np.arctan2(p_base[1], p_base[0]) + yaw
    c, s = np.cos(bearing), np.sin(bearing)
    R_base_tcp = np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])
    R_tilt = mink.SO3.exp(np.array([tilt_x, tilt_y, 0.0])).as_matrix()
    return geometry.make_transform(R_base_tcp @ R_tilt, p_base)


class InverseKinematics:
    """Solves for joint positions within the limits, as near to the home posture as the pose allows."""

    def __init__(self, arm: Arm) -> None:
        self._home = arm.home
        spec = mujoco.MjSpec()
        add_arm(spec, arm, meshes=False)
        self._model = spec.compile()
        self._limits = [mink.ConfigurationLimit(self._model, min_distance_from_limits=0.02)]

    def solve(self, T_base_tcp: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
        """q (7,) rad that puts the tcp at T_base_tcp (4, 4); ValueError: out of reach.

        The search starts from `near` (7,) rad, the solution of a pose close by. Without it the same pose always gives
        the same configuration, of the branch that home belongs to.
        """
        # Without `near`: from home, turned to the goal, tilting the hand step by step.
        posture = self._home.copy()
        posture[0] = np.arctan2(T_base_tcp[1, 3], T_base_tcp[0, 3])
        configuration = mink.Configuration(self._model, posture if near is None else near)
        reach = mink.FrameTask(TCP_SITE, "site", position_cost=1.0, orientation_cost=0.3)
        stay = mink.PostureTask(self._model, cost=POSTURE_COST)
        stay.set_target(posture)
        for R_base_tcp in _tilts(T_base_tcp) if near is None else (T_base_tcp[:3, :3],):
            reach.set_target(mink.SE3.from_matrix(geometry.make_transform(R_base_tcp, T_base_tcp[:3, 3])))
            for _ in range(STEPS):
                velocity = mink.solve_ik(
                    configuration, [reach, stay], STEP_S, "daqp", damping=1e-6, limits=self._limits
                )
                configuration.integrate_inplace(velocity, STEP_S)
                if np.abs(velocity).max() * STEP_S < SMALLEST_STEP_RAD:
                    break
        error, what = reach.compute_error(configuration), f"tcp pose at {np.round(T_base_tcp[:3, 3], 3).tolist()} m is"
        off_m, off_rad = np.linalg.norm(error[:3]), np.linalg.norm(error[3:])
        if off_m > POSITION_TOLERANCE_M or off_rad > ROTATION_TOLERANCE_RAD:
            raise ValueError(
                f"{what} out of reach: the nearest configuration misses it by {1e3 * off_m:.1f} mm, {off_rad:.3f} rad"
            )
        roll = np.abs(configuration.q[[2, 4]]).max()
        if roll > LARGEST_ROLL_RAD:
            raise ValueError(
                f"{what} reached only with the elbow turned aside by {roll:.2f} rad, with no short path to other poses"
            )
        return configuration.q.copy()


def _tilts(T_base_tcp: np.ndarray) -> list[np.ndarray]:
    """Rotations (3, 3) from the fingers pointing down to a pose's own, in small steps."""
    R_down = point_down(T_base_tcp[:3, 3])[:3, :3]
    turn = Rotation.from_matrix(R_down.T @ T_base_tcp[:3, :3])
    count = max(1, int(np.ceil(turn.magnitude() / TILT_STEP_RAD)))
    steps = Rotation.from_rotvec(np.linspace(1 / count, 1, count)[:, None] * turn.as_rotvec()).as_matrix()
    return list(R_down @ steps)
