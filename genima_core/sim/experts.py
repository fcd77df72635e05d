"""Scripted experts: a smooth joint trajectory through a task's waypoints."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline

from genima_core.arm import Arm
from genima_core.environment import DT_S, Trajectory
from genima_core.sim.waypoints import Path, Waypoint

if TYPE_CHECKING:
    from genima_core.sim.cell import Cell

PEAK_SPEED = 0.8
"""Of the fastest joint, rad/s."""
SHORTEST_MOVE_S, LONGEST_MOVE_S = 0.7, 30.0
PATH_STEP_M, PATH_STEP_RAD = 0.02, 0.1
"""A path is solved for joint positions at places no further apart than this."""
LARGEST_JUMP_RAD = 0.6
"""Between two such places; more is another branch of the solutions."""


@dataclass(frozen=True)
class _Move:
    """From one waypoint to the next, or standing still."""

    duration_s: float
    q: Callable[[np.ndarray], np.ndarray]
    """Fractions (n,) of the duration to joint positions (n, 7)."""
    opening: float


def plan(cell: "Cell", dt_s: float = DT_S) -> Trajectory:
    """The expert's commands from the cell's present state to the end of its task.

    ValueError: a waypoint is out of reach, or passed too fast.
    """
    q, dq, T_base_tcp = cell.q, np.zeros(7), cell.T_base_tcp()
    moves: list[_Move] = []
    for waypoint in cell.task.waypoints(cell):
        if waypoint.path is None:
            T_base_tcp = waypoint.T_base_tcp
            end_q = cell.inverse_kinematics.solve(T_base_tcp)
            end_dq = _joint_velocity(cell.arm, end_q, np.asarray(waypoint.velocity))
            duration_s = _move_duration(cell.arm, q, end_q, dq, end_dq, waypoint.speed_m_s)
            moves.append(_Move(duration_s, _joint_move(q, end_q, dq, end_dq, duration_s), waypoint.gripper))
            q, dq = end_q, end_dq
        else:
            way, length_m = _joint_path(cell, q, T_base_tcp, waypoint.path)
            T_base_tcp, dq = waypoint.path(T_base_tcp, 1.0), np.zeros(7)
            moves.append(_Move(_path_duration(way, length_m, waypoint), _along(way), waypoint.gripper))
            q = way(1.0)
        if waypoint.dwell_s > 0:
            moves.append(_Move(waypoint.dwell_s, _joint_move(q, q, dq, dq, 1.0), waypoint.gripper))
    if not moves:
        moves = [_Move(dt_s, _joint_move(q, q, dq, dq, dt_s), cell.gripper)]
    at_s = np.cumsum([0.0, *(move.duration_s for move in moves)])
    times_s = np.minimum(dt_s * np.arange(1, int(np.ceil(at_s[-1] / dt_s - 1e-9)) + 1), at_s[-1])
    part = np.clip(np.searchsorted(at_s, times_s) - 1, 0, len(moves) - 1)
    samples = np.empty((len(times_s), 7))
    for i, move in enumerate(moves):
        samples[part == i] = move.q((times_s[part == i] - at_s[i]) / move.duration_s)
    return Trajectory(samples, np.array([move.opening for move in moves])[part], dt_s)


def _joint_move(
    q0: np.ndarray, q1: np.ndarray, dq0: np.ndarray, dq1: np.ndarray, duration_s: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Fractions (n,) of the duration to joint positions (n, 7); no acceleration at either end."""
    distance, v0, v1 = q1 - q0, dq0 * duration_s, dq1 * duration_s
    c3 = 10 * distance - 6 * v0 - 4 * v1
    c4 = -15 * distance + 8 * v0 + 7 * v1
    c5 = 6 * distance - 3 * v0 - 3 * v1

    def move(fractions: np.ndarray) -> np.ndarray:
        s = fractions[:, None]
        return q0 + s * (v0 + s * s * (c3 + s * (c4 + s * c5)))

    return move


def _move_duration(arm: Arm, q0: np.ndarray, q1: np.ndarray, dq0: np.ndarray, dq1: np.ndarray, tcp_m_s: float) -> float:
    """The shortest time in which neither a joint nor the gripper is faster than allowed; ValueError: there is none."""
    duration_s = SHORTEST_MOVE_S
    fractions = np.linspace(0.0, 1.0, 41)
    while duration_s < LONGEST_MOVE_S:
        q = _joint_move(q0, q1, dq0, dq1, duration_s)(fractions)
        tcp = arm.frame_pose(q, "tcp")[:, :3, 3]
        step_s = duration_s / (len(fractions) - 1)
        speed = np.abs(np.diff(q, axis=0)).max() / step_s
        tcp_speed = np.linalg.norm(np.diff(tcp, axis=0), axis=1).max() / step_s
        if 1.01 * speed <= PEAK_SPEED and tcp_speed <= tcp_m_s:
            return duration_s
        duration_s *= 1.05
    raise ValueError(
        f"a move cannot keep to {PEAK_SPEED} rad/s and {tcp_m_s} m/s within {LONGEST_MOVE_S:.0f} s; pass the waypoints "
        "at its ends more slowly"
    )


def _joint_velocity(arm: Arm, q: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Joint velocities that move the tcp at `velocity` (3,) m/s without turning it."""
    if not velocity.any():
        return np.zeros(7)
    return np.linalg.pinv(arm.jacobian(q, "tcp"), rcond=1e-3) @ np.concatenate([velocity, np.zeros(3)])


def _joint_path(cell: "Cell", q: np.ndarray, T_base_tcp: np.ndarray, path: Path) -> tuple[CubicSpline, float]:
    """Joint positions over the fraction of a path from `q` (7,) on, and its length in m; ValueError: out of reach."""
    coarse = np.array([path(T_base_tcp, fraction) for fraction in np.linspace(0.0, 1.0, 9)])
    length_m = float(np.linalg.norm(np.diff(coarse[:, :3, 3], axis=0), axis=1).sum())
    cosines = (np.einsum("nij,nij->n", coarse[1:, :3, :3], coarse[:-1, :3, :3]) - 1) / 2
    turn_rad = float(np.arccos(np.clip(cosines, -1.0, 1.0)).sum())
    count = 2 + int(max(length_m / PATH_STEP_M, turn_rad / PATH_STEP_RAD))
    fractions = np.linspace(0.0, 1.0, count + 1)
    places = [q]
    for fraction in fractions[1:]:
        places.append(cell.inverse_kinematics.solve(path(T_base_tcp, fraction), near=places[-1]))
        if np.abs(places[-1] - places[-2]).max() > LARGEST_JUMP_RAD:
            raise ValueError(
                f"the path to {np.round(coarse[-1, :3, 3], 3).tolist()} m leaves the arm's reach on its way"
            )
    return CubicSpline(fractions, places), length_m


def _along(way: CubicSpline) -> Callable[[np.ndarray], np.ndarray]:
    """Fractions of the duration to joint positions on the way, from rest to rest."""
    return lambda s: way(s**3 * (10 - 15 * s + 6 * s**2))


def _path_duration(way: CubicSpline, length_m: float, waypoint: Waypoint) -> float:
    """The shortest time in which neither a joint nor the gripper is faster than allowed."""
    fractions = np.linspace(0.0, 1.0, 201)
    peak = np.abs(np.diff(_along(way)(fractions), axis=0)).max() * (len(fractions) - 1)
    return max(SHORTEST_MOVE_S, 1.01 * peak / PEAK_SPEED, 1.875 * length_m / waypoint.speed_m_s)
