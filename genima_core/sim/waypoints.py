"""The moves that experts are made of: poses to pass or stop at, straight lines, swings about an axis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from genima_core.geometry import invert, make_transform
from genima_core.sim.inverse_kinematics import point_down

if TYPE_CHECKING:
    from genima_core.sim.cell import Cell

Path = Callable[[np.ndarray, float], np.ndarray]
"""From the pose (4, 4) at its beginning and a fraction from 0 to 1 to the pose there."""

SETTLE_S, CLOSE_S, OPEN_S = 0.2, 0.6, 0.5
"""How long an expert waits before it closes the fingers, and while they close or open."""
APPROACH_M = 0.09
"""A goal is approached along the fingers from this far."""
APPROACH_M_S = 0.10
BEHIND = 0.7
"""A gripper at least this share of the distance behind a goal may move sideways to the goal's line."""
BESIDE_M, TURNED_RAD = 0.012, 0.15
"""A pose counts as reached within this distance sideways to the fingers, and this angle."""
SHORT_M = 0.006
"""And within this distance along the fingers."""
DONE_RAD = 0.03
"""A part within this angle of where it is led counts as there."""
CRANK_M_S = 0.10
"""Along the short arcs of cranks."""


@dataclass(frozen=True)
class Waypoint:
    """One pose that the expert moves the gripper through."""

    T_base_tcp: np.ndarray
    """(4, 4); ignored where there is a `path`."""
    gripper: float
    """Opening commanded from the moment the gripper sets off for this pose, 0 closed to 1 open."""
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Velocity of the tcp in the base frame on passing, m/s; zero means that it stops here."""
    dwell_s: float = 0.0
    """How long it stays there, which needs a zero velocity."""
    path: Path | None = None
    """The way of the tcp, from rest to rest; without one the joints move straight to their goal."""
    speed_m_s: float = 0.35
    """Largest speed of the tcp on the way."""


def straight(T_base_tcp: np.ndarray, gripper: float, speed_m_s: float = 0.2, dwell_s: float = 0.0) -> Waypoint:
    """To a pose in a straight line, turning evenly."""

    def path(T_start: np.ndarray, fraction: float) -> np.ndarray:
        turn = Rotation.from_matrix(T_start[:3, :3].T @ T_base_tcp[:3, :3]).as_rotvec()
        R = T_start[:3, :3] @ Rotation.from_rotvec(fraction * turn).as_matrix()
        return make_transform(R, T_start[:3, 3] + fraction * (T_base_tcp[:3, 3] - T_start[:3, 3]))

    return Waypoint(T_base_tcp, gripper, dwell_s=dwell_s, path=path, speed_m_s=speed_m_s)


def swing(
    point: np.ndarray,
    axis: np.ndarray,
    angle_rad: float,
    gripper: float,
    turned: float = 1.0,
    speed_m_s: float = 0.2,
    dwell_s: float = 0.0,
) -> Waypoint:
    """On an arc about an axis through a point, both (3,) in the base frame; right-handed.

    `turned` is the share of the angle by which the hand turns along: 1 as if it were part of the door, 0 not at all.
    """
    point, axis = np.asarray(point, dtype=np.float64), np.asarray(axis, dtype=np.float64)

    def path(T_start: np.ndarray, fraction: float) -> np.ndarray:
        R_arc, R_hand = (Rotation.from_rotvec(f * fraction * angle_rad * axis).as_matrix() for f in (1.0, turned))
        return make_transform(R_hand @ T_start[:3, :3], point + R_arc @ (T_start[:3, 3] - point))

    return Waypoint(np.eye(4), gripper, dwell_s=dwell_s, path=path, speed_m_s=speed_m_s)


def turn(cell: "Cell", part: str, to_rad: float, gripper: float, turned: float = 0.0, **how: float) -> Waypoint:
    """Leads a hinged part to an angle, from wherever both are; see `swing` for `turned` and the rest."""
    hinge = cell.data.joint(part)
    return swing(hinge.xanchor.copy(), hinge.xaxis.copy(), to_rad - cell.joint_position(part), gripper, turned, **how)


def turn_by_handle(
    cell: "Cell",
    part: str,
    T_base_tcp: np.ndarray,
    to_rad: float,
    clear_m: float,
    opening: float = 1.0,
    distance_m: float = APPROACH_M,
) -> tuple[Waypoint, ...]:
    """Grasps a hinged part at a pose and leads it to an angle; stays where it is once that is done.

    A round handle along the hinge's axis turns in the fingers, so that the hand does not turn with the part.
    """
    if cell.joint_position(part) >= to_rad - DONE_RAD:
        return (straight(cell.T_base_tcp(), 0.0 if cell.holds(part) else cell.gripper),)
    picked = pick(cell, part, T_base_tcp, clear_m, opening, distance_m)
    return *picked, turn(cell, part, to_rad, 0.0, dwell_s=SETTLE_S)


def turn_by_crank(
    cell: "Cell",
    part: str,
    crank: str,
    T_base_tcp: np.ndarray,
    to_rad: tuple[float, float],
    clear_m: float,
    opening: float,
    turned: float,
    distance_m: float = APPROACH_M,
) -> tuple[Waypoint, ...]:
    """Grasps the crank of a latched part at a pose, turns the crank, then the part; `to_rad` are their final angles."""
    if cell.joint_position(part) >= to_rad[1] - DONE_RAD:
        return (straight(cell.T_base_tcp(), 0.0 if cell.holds(crank) else cell.gripper),)
    picked = pick(cell, crank, T_base_tcp, clear_m, opening, distance_m)
    how = {"speed_m_s": CRANK_M_S, "dwell_s": SETTLE_S}
    unlatch = (turn(cell, crank, to_rad[0], 0.0, **how),) if cell.latched(part) else ()
    return *picked, *unlatch, turn(cell, part, to_rad[1], 0.0, turned, **how)


def shifted(T: np.ndarray, p: tuple[float, float, float] | np.ndarray) -> np.ndarray:
    """The pose moved by `p` (3,) m in the base frame."""
    return make_transform(T[:3, :3], T[:3, 3] + p)


def backed_off(T_base_tcp: np.ndarray, distance_m: float) -> np.ndarray:
    """The pose drawn back along the fingers."""
    return shifted(T_base_tcp, -distance_m * T_base_tcp[:3, 2])


def offset(cell: "Cell", T_base_tcp: np.ndarray) -> tuple[float, float, float]:
    """How far the tcp is from a pose: sideways to its fingers and back along them, m, and turned, rad."""
    T_goal_tcp = invert(T_base_tcp) @ cell.T_base_tcp()
    angle = Rotation.from_matrix(T_goal_tcp[:3, :3]).magnitude()
    return float(np.linalg.norm(T_goal_tcp[:2, 3])), float(-T_goal_tcp[2, 3]), float(angle)


def is_at(cell: "Cell", T_base_tcp: np.ndarray) -> bool:
    """Whether the tcp is at a pose, near enough to close the fingers."""
    beside_m, back_m, turned_rad = offset(cell, T_base_tcp)
    return beside_m < BESIDE_M and abs(back_m) < SHORT_M and turned_rad < TURNED_RAD


def rise(cell: "Cell", height_m: float, gripper: float) -> tuple[Waypoint, ...]:
    """Straight up to a height of the tcp; no waypoints if it is there already."""
    T = cell.T_base_tcp()
    if T[2, 3] >= height_m - 0.01:
        return ()
    return (straight(shifted(T, (0.0, 0.0, height_m - T[2, 3])), gripper, speed_m_s=0.3),)


def approach(
    cell: "Cell", T_base_tcp: np.ndarray, gripper: float, clear_m: float, distance_m: float = APPROACH_M
) -> tuple[Waypoint, ...]:
    """To a pose along its fingers, from wherever the arm is; no waypoints if it is there already.

    A gripper that is not well behind the pose first goes straight up to `clear_m`, above which nothing is in the way.
    """
    beside_m, back_m, turned_rad = offset(cell, T_base_tcp)
    if is_at(cell, T_base_tcp):
        return ()
    goal = straight(T_base_tcp, gripper, APPROACH_M_S, SETTLE_S)
    if beside_m < BESIDE_M and turned_rad < TURNED_RAD and -SHORT_M < back_m < distance_m + SHORT_M:
        return (goal,)
    first = rise(cell, clear_m, gripper) if back_m < BEHIND * distance_m else ()
    return *first, Waypoint(backed_off(T_base_tcp, distance_m), gripper), goal


def pick(
    cell: "Cell",
    body: str,
    T_base_tcp: np.ndarray,
    clear_m: float,
    opening: float = 1.0,
    distance_m: float = APPROACH_M,
) -> tuple[Waypoint, ...]:
    """Until the fingers hold a body, grasped at a pose; no waypoints if they do already."""
    if cell.holds(body):
        return ()
    close = Waypoint(T_base_tcp, 0.0, dwell_s=CLOSE_S)
    return *approach(cell, T_base_tcp, opening, clear_m, distance_m), close


def carry(cell: "Cell", picked: tuple[Waypoint, ...], T_base_tcp: np.ndarray, clear_m: float) -> tuple[Waypoint, ...]:
    """To a pose along the fingers, with what they hold after `picked`, over everything that is lower than `clear_m`."""
    if not picked:
        return approach(cell, T_base_tcp, 0.0, clear_m)
    T_grasp = picked[-1].T_base_tcp
    up = straight(shifted(T_grasp, (0.0, 0.0, max(0.0, clear_m - T_grasp[2, 3]))), 0.0, 0.3)
    over = Waypoint(backed_off(T_base_tcp, APPROACH_M), 0.0)
    return up, over, straight(T_base_tcp, 0.0, APPROACH_M_S, SETTLE_S)


def let_go(T_base_tcp: np.ndarray, opening: float = 1.0) -> tuple[Waypoint, ...]:
    """Opens the fingers at a pose and draws back along them."""
    return Waypoint(T_base_tcp, opening, dwell_s=OPEN_S), straight(backed_off(T_base_tcp, APPROACH_M), opening)


def remaining(way: Sequence[np.ndarray], p_base: np.ndarray) -> list[np.ndarray]:
    """The poses of a way, straight from each to the next, that lie ahead of its place nearest to a point (3,).

    Within SHORT_M of a corner, the corner counts as passed.
    """
    gaps_m = []
    for T_start, T_end in pairwise(way):
        start, leg = T_start[:3, 3], T_end[:3, 3] - T_start[:3, 3]
        along = np.clip((p_base - start) @ leg / max(leg @ leg, 1e-9), 0.0, 1.0)
        gaps_m.append(np.linalg.norm(start + along * leg - p_base))
    present = max(i for i, gap_m in enumerate(gaps_m) if gap_m < min(gaps_m) + SHORT_M)
    return list(way[present + 1 :])


def down(p_base: np.ndarray, heading: float | None = None, tilt_y: float = 0.0, tilt_x: float = 0.0) -> np.ndarray:
    """T_base_tcp at `p_base` (3,) with the fingers down, opening at a right angle to `heading`.

    The heading is an angle of the base frame (rad from its x axis); a gripper is the same turned by half a turn, so the
    one nearer to where the arm points naturally is taken. None: that. Tilts lean the hand about its own axes; with
    a positive `tilt_y` the fingers point ahead.
    """
    if heading is None:
        return point_down(p_base, 0.0, tilt_x, tilt_y)
    natural = np.arctan2(p_base[1], p_base[0])
    yaw = (heading - natural + np.pi / 2) % np.pi - np.pi / 2
    return point_down(p_base, yaw, tilt_x, tilt_y)
