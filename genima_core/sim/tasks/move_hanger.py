"""Move a clothes hanger to the other rack: one of two hangers on a rack, told apart by their colour."""

from itertools import pairwise

import mujoco
import numpy as np

from genima_core.geometry import invert, make_transform
from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, LOOSE, bar, box, cylinder, facing_away, fixed, heading, loose
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, let_go, pick, remaining, rise, straight

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.50, 0.58), (0.18, 0.22), (-0.4, 0.4)
"""Of the racks' middles, to the left and to the right; their rails lie across the direction away from the arm."""
RACK_M, RAIL_M, RAIL_RADIUS_M = 0.17, 0.11, 0.007
"""Height of the rail, and half its length."""
PLACES_M = (-0.055, 0.055)
"""Of the hangers along the rail; one that is moved comes to its middle."""
HOOK_M = ((0.019, -0.028), (0.019, -0.012), (0.0, 0.0), (-0.019, -0.012), (-0.019, -0.048), (0.0, -0.063))
"""Points (x, z) of the hook, from its nose behind the rail to its neck."""
SHOULDER_M = (0.075, -0.098)
BAR_M = (0.006, 0.004)
"""Half the thickness and the width of a hanger's bars."""
TAB_M, GRASP_M = (0.012, 0.010, 0.016), 0.022
"""Half the size of the tab on the hook, and how far above the hook's top it is gripped."""
HANGS_M = (BAR_M[1] + RAIL_RADIUS_M) / np.cos(np.arctan2(12, 19))
"""Of the hook's top above the rail's axis."""
UNHOOKED_M, BEFORE_M = 0.034, 0.15
"""A hanger is lifted by the first, so that its hook clears the rail, and drawn towards the arm by the second."""
NEAR_M, DROP_M = 0.012, 0.002
OPENING, CLEAR_M, MOVE_M_S = 0.5, 0.34, 0.25


class MoveHanger(Task):
    variations = ("red", "blue")
    instructions = (
        "move the {} hanger onto the other rack",
        "take the {} hanger from one rack to the other",
        "put the {} hanger on the empty rack",
        "hang the {} coat hanger on the other rail",
    )
    paraphrases = ("transfer the clothes hanger that is {} across", "the {} one belongs on the free bar")
    goal = "the named hanger hangs on the rack that was empty, and nothing holds it"

    def __init__(self) -> None:
        self._full, self._empty, self._place_m = "left_rack", "right_rack", 0.0

    def build(self, spec: mujoco.MjSpec) -> None:
        for name in ("left_rack", "right_rack"):
            rack = fixed(spec, name)
            cylinder(rack, RAIL_RADIUS_M, RAIL_M, (0, 0, RACK_M), COLOURS["steel"], axis="y")
            for y in (-RAIL_M, RAIL_M):
                cylinder(rack, RAIL_RADIUS_M, RACK_M / 2, (0, y, RACK_M / 2), COLOURS["steel"])
                box(rack, (0.05, 0.012, 0.008), (0, y, 0.008), COLOURS["black"])
        for name in self.variations:
            hanger, colour = loose(spec, f"{name}_hanger"), COLOURS[name]
            box(hanger, TAB_M, (0, 0, TAB_M[2]), colour, mass=0.004, **LOOSE)
            right, left = SHOULDER_M, (-SHOULDER_M[0], SHOULDER_M[1])
            for points, mass in ((HOOK_M, 0.002), ((HOOK_M[-1], right, left, HOOK_M[-1]), 0.012)):
                for start, end in pairwise(np.array(points)):
                    bar(hanger, BAR_M, start, end, colour, mass=mass, **LOOSE)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        racks = list(rng.permutation(["left_rack", "right_rack"]))
        poses = {}
        for name in sorted(racks):
            y = rng.uniform(*Y_RANGE_M) * (1 if name == "left_rack" else -1)
            place = np.array([rng.uniform(*X_RANGE_M), y, 0.0])
            R_base_rack = facing_away(place, rng.uniform(*YAW_RANGE_RAD))
            cell.place(name, place, R_base_rack)
            poses[name] = make_transform(R_base_rack, place)
        self._full, self._empty = racks
        for colour, along_m in zip(self.variations, rng.permutation(PLACES_M), strict=True):
            T_base_hanger = poses[self._full] @ _hanging(along_m)
            cell.place(f"{colour}_hanger", T_base_hanger[:3, 3], T_base_hanger[:3, :3])
            if colour == self.variation:
                self._place_m = along_m

    def success(self, cell: Cell) -> bool:
        x, y, z = (invert(cell.body_pose(self._empty)) @ cell.body_pose(self._hanger))[:3, 3]
        hangs = abs(x) < NEAR_M and abs(y) < RAIL_M and abs(z - RACK_M - HANGS_M) < NEAR_M
        return bool(hangs and not cell.touching(self._hanger) & cell.fingers)

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        if self.success(cell):
            return rise(cell, CLEAR_M, OPENING)
        T_base_hanger = cell.body_pose(self._hanger)
        grasp = down(T_base_hanger[:3, 3] + GRASP_M * T_base_hanger[:3, 2], heading(T_base_hanger))
        picked = pick(cell, self._hanger, grasp, CLEAR_M, OPENING)
        T_hanger_tcp = invert(T_base_hanger) @ (grasp if picked else cell.T_base_tcp())
        lifted, out = (0.0, UNHOOKED_M), (-BEFORE_M, UNHOOKED_M)
        off = [cell.body_pose(self._full) @ _hanging(self._place_m, *shift) for shift in ((0.0, 0.0), lifted, out)]
        onto = [cell.body_pose(self._empty) @ _hanging(0.0, *shift) for shift in (out, lifted, (0.0, DROP_M))]
        goals = [T_next @ T_hanger_tcp for T_next in remaining([*off, *onto], T_base_hanger[:3, 3])]
        moves = [straight(T_goal, 0.0, MOVE_M_S) for T_goal in goals]
        return *picked, *moves, *let_go(goals[-1], OPENING)

    @property
    def _hanger(self) -> str:
        return f"{self.variation}_hanger"


def _hanging(along_m: float, ahead_m: float = 0.0, above_m: float = 0.0) -> np.ndarray:
    """T_rack_hanger of a hanger that hangs at a place along the rail, or is held ahead of and above that place."""
    return make_transform(np.eye(3), (ahead_m, along_m, RACK_M + HANGS_M + above_m))
