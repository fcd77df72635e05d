"""Scripted experts: a smooth joint trajectory through a task's waypoints."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genima_core.arm import Arm

if TYPE_CHECKING:
    from genima_core.sim.cell import Cell

DT_S = 0.05
"""Demonstrations are recorded at 20 Hz, as in the paper."""
COMMANDS_PER_SAMPLE = 5
"""Between two samples the command is interpolated at 100 Hz, as the streamer would."""
PEAK_SPEED = 0.8
"""Of the fastest joint, rad/s."""
PEAK_TCP_SPEED_M_S = 0.35
SHORTEST_MOVE_S = 0.7


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


def plan(cell: "Cell", dt_s: float = DT_S) -> Trajectory:
    """The expert's commands from the cell's present state to the end of its task; ValueError: out of reach."""
    knots_q, knots_dq, knots_s, openings = [cell.q], [np.zeros(7)], [0.0], []
    for waypoint in cell.task.waypoints(cell):
        q = cell.inverse_kinematics.solve(waypoint.T_base_tcp)
        dq = _joint_velocity(cell.arm, q, np.asarray(waypoint.velocity))
        moves = [(dq, _move_duration(cell.arm, knots_q[-1], q, knots_dq[-1], dq))]
        if waypoint.dwell_s > 0:
            moves.append((np.zeros(7), waypoint.dwell_s))
        for end_dq, duration_s in moves:
            knots_q.append(q)
            knots_dq.append(end_dq)
            knots_s.append(knots_s[-1] + duration_s)
            openings.append(waypoint.gripper)
    at_s, at_q, at_dq = np.array(knots_s), np.array(knots_q), np.array(knots_dq)
    times_s = np.minimum(dt_s * np.arange(1, int(np.ceil(at_s[-1] / dt_s - 1e-9)) + 1), at_s[-1])
    i = np.clip(np.searchsorted(at_s, times_s) - 1, 0, len(openings) - 1)
    lasts_s = np.diff(at_s)[i, None]
    s = (times_s - at_s[i])[:, None] / lasts_s
    q = _quintic(s, lasts_s, at_q[i], at_q[i + 1], at_dq[i], at_dq[i + 1])
    return Trajectory(q=q, gripper=np.array(openings)[i], dt_s=dt_s)


def follow(cell: "Cell", trajectory: Trajectory) -> Iterator[int]:
    """Steps the cell along a trajectory; yields the index k of each command before it is carried out.

    While the caller holds k, the cell still shows the state that command k is the answer to.
    """
    q_before = cell.q
    for k in range(len(trajectory)):
        yield k
        for i in range(1, COMMANDS_PER_SAMPLE + 1):
            q = q_before + (trajectory.q[k] - q_before) * (i / COMMANDS_PER_SAMPLE)
            cell.step(q, float(trajectory.gripper[k]), trajectory.dt_s / COMMANDS_PER_SAMPLE)
        q_before = trajectory.q[k]


def run_expert(cell: "Cell") -> bool:
    """Plans and carries out a whole demonstration; whether it succeeded."""
    for _ in follow(cell, plan(cell)):
        pass
    return cell.success()


def _quintic(s, duration_s, q0, q1, dq0, dq1) -> np.ndarray:
    """Position at the fraction s of a move with given end velocities and no acceleration at its ends."""
    distance, v0, v1 = q1 - q0, dq0 * duration_s, dq1 * duration_s
    c3 = 10 * distance - 6 * v0 - 4 * v1
    c4 = -15 * distance + 8 * v0 + 7 * v1
    c5 = 6 * distance - 3 * v0 - 3 * v1
    return q0 + s * (v0 + s * s * (c3 + s * (c4 + s * c5)))


def _move_duration(arm: Arm, q0: np.ndarray, q1: np.ndarray, dq0: np.ndarray, dq1: np.ndarray) -> float:
    """The shortest time in which no joint and not the gripper is faster than allowed."""
    duration_s = SHORTEST_MOVE_S
    fractions = np.linspace(0.0, 1.0, 41)[:, None]
    while True:
        q = _quintic(fractions, duration_s, q0, q1, dq0, dq1)
        tcp = arm.frame_pose(q, "tcp")[:, :3, 3]
        step_s = duration_s / (len(fractions) - 1)
        speed = np.abs(np.diff(q, axis=0)).max() / step_s
        tcp_speed = np.linalg.norm(np.diff(tcp, axis=0), axis=1).max() / step_s
        if speed <= PEAK_SPEED and tcp_speed <= PEAK_TCP_SPEED_M_S:
            return duration_s
        duration_s *= 1.05


def _joint_velocity(arm: Arm, q: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Joint velocities that move the tcp at `velocity` (3,) m/s without turning it."""
    if not velocity.any():
        return np.zeros(7)
    return np.linalg.pinv(arm.jacobian(q, "tcp"), rcond=1e-3) @ np.concatenate([velocity, np.zeros(3)])
