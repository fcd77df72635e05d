"""Take the plate off the coloured dish rack: one of three that stand between spokes, told apart by their colour."""

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import (
    COLLISION_GROUP,
    COLOURS,
    LOOSE,
    box,
    cylinder,
    facing_away,
    fixed,
    heading,
    loose,
    turned,
)
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, pick, rise, straight

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.46, 0.56), (0.15, 0.20), (-0.25, 0.25)
"""Of the middle of the rack, on either side; the table's other side is free for the plate."""
SLOT_M = 0.078
"""From one plate to the next: open fingers fit between."""
RAIL_X_M, RAIL_HALF_M, RAIL_TOP_M = 0.045, 0.008, 0.028
"""Two rails carry the round plates, so that they do not roll."""
SPOKE_M, SPOKE_RADIUS_M, PLAY_M = 0.09, 0.006, 0.002
RADIUS_M, THICK_M, PLATE_KG = 0.085, 0.014, 0.15
STANDING_M = RAIL_TOP_M + np.sqrt(RADIUS_M**2 - (RAIL_X_M - RAIL_HALF_M) ** 2)
"""Height of the middle of a plate in the rack."""
GRASP_BELOW_TOP_M = 0.020
PLACE_M = (0.50, 0.19)
"""Where the expert lets it go, on the free side."""
PLACE_WITHIN_M = 0.05
PLACE_TILT_RAD, PLACE_ABOVE_M = np.deg2rad(25), 0.02
"""How the plate leans then, and how high its edge is; it falls flat."""
BESIDE_M, LYING_M = 0.22, 0.05
"""A plate at least so far from the rack and at most so high lies on the table."""
CLEAR_M = 0.37
"""Height of the tcp at which a held plate is above those that stand in the rack."""


class TakePlateOffColoredDishRack(Task):
    variations = ("black", "red", "blue")
    instructions = (
        "take the plate off the {} dish rack",
        "remove the plate between the {} spokes",
        "take the plate out of the {} part of the rack and leave it on the table",
        "move the plate from the {} rack to the table",
    )
    paraphrases = ("the dish in the {} holder goes onto the table", "lay down the dish that stands between the {} bars")
    goal = "the plate of the named colour of spokes lies on the table, let go"
    start_lower_m = (0.30, -0.30, 0.22)

    def build(self, spec: mujoco.MjSpec) -> None:
        rack = fixed(spec, "rack")
        for i, colour in enumerate(self.variations):
            y = (i - 1) * SLOT_M
            for x in (-RAIL_X_M, RAIL_X_M):
                box(rack, (RAIL_HALF_M, SLOT_M / 2, RAIL_TOP_M / 2), (x, y, RAIL_TOP_M / 2), COLOURS[colour])
                for side in (-1, 1):
                    at = (x, y + side * (THICK_M / 2 + PLAY_M + SPOKE_RADIUS_M), RAIL_TOP_M + SPOKE_M / 2)
                    cylinder(rack, SPOKE_RADIUS_M, SPOKE_M / 2, at, COLOURS[colour])
            plate = loose(spec, f"{colour}_plate")
            cylinder(plate, RADIUS_M, THICK_M / 2, mass=PLATE_KG, group=COLLISION_GROUP, **LOOSE)
            low, high = -THICK_M / 2, THICK_M / 2
            front = [(RADIUS_M, high), (RADIUS_M - 0.006, high), (RADIUS_M - 0.03, 0.0), (0.0, 0.0)]
            turned(spec, plate, [(0.0, low), (RADIUS_M, low), *front], COLOURS["white"])

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        p_rack = np.array([rng.uniform(*X_RANGE_M), rng.choice([-1, 1]) * rng.uniform(*Y_RANGE_M), 0.0])
        R_base_rack = facing_away(p_rack, rng.uniform(*YAW_RANGE_RAD))
        cell.place("rack", p_rack, R_base_rack)
        R_rack_plate = Rotation.from_euler("x", rng.choice([-90, 90]), degrees=True).as_matrix()
        for i, colour in enumerate(self.variations):
            p_plate = p_rack + R_base_rack @ [0.0, (i - 1) * SLOT_M, STANDING_M]
            cell.place(f"{colour}_plate", p_plate, R_base_rack @ R_rack_plate)

    def success(self, cell: Cell) -> bool:
        lies = 0.0 < cell.body_pose(self._plate)[2, 3] < LYING_M
        return bool(lies and self._off_the_rack(cell) and not cell.holds(self._plate))

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        T_base_plate, T_base_rack = cell.body_pose(self._plate), cell.body_pose("rack")
        if self._off_the_rack(cell) and not cell.holds(self._plate):
            return rise(cell, CLEAR_M, 1.0)
        p_top = T_base_plate[:3, 3] + [0.0, 0.0, RADIUS_M - GRASP_BELOW_TOP_M]
        picked = pick(cell, self._plate, down(p_top, heading(T_base_rack)), CLEAR_M)
        lift = (straight(down(np.array([*p_top[:2], CLEAR_M]), heading(T_base_rack)), 0.0),)
        p_place = np.array([PLACE_M[0], -np.sign(T_base_rack[1, 3]) * PLACE_M[1], 0.0])
        height_m = PLACE_ABOVE_M + (2 * RADIUS_M - GRASP_BELOW_TOP_M) * np.cos(PLACE_TILT_RAD)
        T_place, T_above = (down(p_place + [0.0, 0.0, z], tilt_x=PLACE_TILT_RAD) for z in (height_m, CLEAR_M))
        let_go = straight(T_place, 0.0, 0.2, dwell_s=0.2), Waypoint(T_place, 1.0, dwell_s=0.5), straight(T_above, 1.0)
        if not picked and np.linalg.norm(cell.T_base_tcp()[:2, 3] - p_place[:2]) < PLACE_WITHIN_M:
            return let_go
        rest = lift if picked else rise(cell, CLEAR_M, 0.0)
        return *picked, *rest, Waypoint(T_above, 0.0), *let_go

    def _off_the_rack(self, cell: Cell) -> bool:
        beside = cell.body_pose(self._plate)[:2, 3] - cell.body_pose("rack")[:2, 3]
        return bool(np.linalg.norm(beside) > BESIDE_M)

    @property
    def _plate(self) -> str:
        return f"{self.variation}_plate"
