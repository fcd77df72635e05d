"""Put a basketball into a hoop: one of two balls, told apart by their colour."""

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import (
    COLOURS,
    LOOSE,
    UNTOUCHED,
    ball,
    box,
    cylinder,
    facing_away,
    fixed,
    loose,
    ring,
    rod,
    turned,
)
from genima_core.sim.task import Task, scatter
from genima_core.sim.waypoints import Waypoint, carry, down, let_go, pick, rise, straight

HOOP_X_RANGE_M, HOOP_Y_RANGE_M, HOOP_YAW_RANGE_RAD = (0.52, 0.60), (-0.22, 0.22), (-0.5, 0.5)
"""Of the ring's middle; the board stands behind it as seen from the base, turned about the ring by the yaw."""
BALL_X_RANGE_M, BALL_Y_RANGE_M = (0.36, 0.56), (-0.32, 0.32)
APART_M = 0.185
BALL_RADIUS_M, BALL_MASS_KG, SEAM_M = 0.03, 0.06, 0.0012
ROLLING = (1.2, 0.02, 0.002)
"""The balls' friction: they come to rest within some decimetres."""
RING_RADIUS_M, RING_HEIGHT_M, WIRE_M = 0.066, 0.20, 0.004
NET_RADIUS_M, NET_M, CORDS = 0.045, 0.06, 10
BOARD_HALF_M, BOARD_BEHIND_M, POST_BEHIND_M = (0.005, 0.10, 0.07), 0.10, 0.12
DROP_M, CLEAR_M = 0.045, 0.34
"""The ball is let go so high above the ring; between hoop and balls the tcp moves at the second height."""
OVER_BALL_M = 0.03


class BasketballInHoop(Task):
    variations = ("orange", "white")
    instructions = (
        "put the {} ball in the hoop",
        "drop the {} ball through the hoop",
        "pick up the {} basketball and put it through the net",
        "play basketball with the {} ball",
    )
    paraphrases = ("score a basket with the {} one", "let the ball that is {} fall into the basket")
    goal = "the named ball fell through the ring"
    start_lower_m = (0.32, -0.30, 0.10)
    start_upper_m = (0.44, 0.30, 0.45)

    def __init__(self) -> None:
        self._scored = False

    def build(self, spec: mujoco.MjSpec) -> None:
        hoop, top_m = fixed(spec, "hoop"), RING_HEIGHT_M + 0.05
        box(hoop, (0.06, 0.07, 0.01), (POST_BEHIND_M, 0, 0.01), COLOURS["black"])
        cylinder(hoop, 0.012, top_m / 2, (POST_BEHIND_M, 0, top_m / 2), COLOURS["steel"])
        box(hoop, BOARD_HALF_M, (BOARD_BEHIND_M, 0, top_m), COLOURS["white"])
        box(hoop, (0.001, 0.035, 0.027), (BOARD_BEHIND_M - 0.005, 0, top_m), COLOURS["navy"], **UNTOUCHED)
        box(hoop, (0.001, 0.029, 0.021), (BOARD_BEHIND_M - 0.006, 0, top_m), COLOURS["white"], **UNTOUCHED)
        arm_m = (BOARD_BEHIND_M - RING_RADIUS_M) / 2
        box(hoop, (arm_m, 0.012, WIRE_M), (BOARD_BEHIND_M - arm_m, 0, RING_HEIGHT_M), COLOURS["red"])
        ring(spec, hoop, RING_RADIUS_M, WIRE_M, COLOURS["red"], 0.05, (0, 0, RING_HEIGHT_M))
        for angle in 2 * np.pi * np.arange(CORDS) / CORDS:
            upper = (RING_RADIUS_M * np.cos(angle), RING_RADIUS_M * np.sin(angle), RING_HEIGHT_M)
            for lower in (angle - np.pi / CORDS, angle + np.pi / CORDS):
                end = (NET_RADIUS_M * np.cos(lower), NET_RADIUS_M * np.sin(lower), RING_HEIGHT_M - NET_M)
                rod(hoop, 0.0015, upper, end, COLOURS["white"], **UNTOUCHED)
        for colour in self.variations:
            body = loose(spec, f"{colour}_ball")
            feel = {**LOOSE, "condim": 6, "friction": ROLLING}
            ball(body, BALL_RADIUS_M, colour=COLOURS[colour], mass=BALL_MASS_KG, **feel)
            for angles in ((0, 0), (90, 0), (90, 90)):
                inner, outer = 0.9 * BALL_RADIUS_M, BALL_RADIUS_M + 0.0004
                profile = [(inner, -SEAM_M), (outer, -SEAM_M), (outer, SEAM_M), (inner, SEAM_M)]
                seam = turned(spec, body, profile, COLOURS["black"])
                seam.quat = Rotation.from_euler("xz", angles, degrees=True).as_quat(scalar_first=True)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        middle = np.array([rng.uniform(*HOOP_X_RANGE_M), rng.uniform(*HOOP_Y_RANGE_M), 0.0])
        R_base_hoop = facing_away(middle, rng.uniform(*HOOP_YAW_RANGE_RAD))
        cell.place("hoop", middle, R_base_hoop)
        ends = [middle + R_base_hoop @ [BOARD_BEHIND_M, y, 0] for y in (-BOARD_HALF_M[1], BOARD_HALF_M[1])]
        places = scatter(rng, len(self.variations), BALL_X_RANGE_M, BALL_Y_RANGE_M, APART_M, (middle, *ends))
        for colour, place in zip(self.variations, places, strict=True):
            cell.place(f"{colour}_ball", (*place, BALL_RADIUS_M), Rotation.random(rng=rng).as_matrix())
        self._scored = False

    def update(self, cell: Cell) -> None:
        x, y, z = cell.data.body(self._ball).xpos - cell.data.body("hoop").xpos
        if np.hypot(x, y) < RING_RADIUS_M and NET_M / 4 < RING_HEIGHT_M - z < NET_M:
            self._scored = self._scored or not cell.holds(self._ball)

    def success(self, cell: Cell) -> bool:
        return self._scored

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        if self._scored:
            return (straight(cell.T_base_tcp(), 1.0),)
        p_ball = cell.body_pose(self._ball)[:3, 3]
        picked = pick(cell, self._ball, down(p_ball), CLEAR_M)
        if picked and np.linalg.norm(cell.T_base_tcp()[:2, 3] - p_ball[:2]) > OVER_BALL_M:
            above = Waypoint(down(np.array([*p_ball[:2], CLEAR_M])), 1.0)
            *_, behind, at, close = picked
            picked = *rise(cell, CLEAR_M, 1.0), above, behind, at, close
        over = down(cell.body_pose("hoop")[:3, 3] + [0.0, 0.0, RING_HEIGHT_M + DROP_M])
        return *picked, *carry(cell, picked, over, CLEAR_M), *let_go(over)

    @property
    def _ball(self) -> str:
        return f"{self.variation}_ball"
