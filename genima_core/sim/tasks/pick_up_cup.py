"""Pick up the cup: one of the cups that stand on the table, told apart by their colour."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, loose, vessel
from genima_core.sim.task import Task, scatter
from genima_core.sim.waypoints import Waypoint, down, pick, shifted, straight

X_RANGE_M, Y_RANGE_M = (0.40, 0.62), (-0.26, 0.26)
APART_M = 0.17
RADIUS_M, FOOT_M, HEIGHT_M, WALL_M, MASS_KG = 0.034, 0.028, 0.085, 0.005, 0.12
GRASP_BELOW_RIM_M = 0.022
LIFT_M, LIFTED_M = 0.16, 0.10
"""How high the expert lifts it, and how high counts."""
CLEAR_M = 0.20


class PickUpCup(Task):
    variations = ("red", "blue", "orange")
    instructions = (
        "pick up the {} cup",
        "grasp the {} cup and lift it",
        "lift the {} cup",
        "take the {} cup off the table",
    )
    paraphrases = ("raise the mug that is {}", "get hold of the {} mug and hold it up")
    goal = f"the named cup is held {100 * LIFTED_M:.0f} cm above the table"

    def build(self, spec: mujoco.MjSpec) -> None:
        for colour in self.variations:
            vessel(spec, loose(spec, f"{colour}_cup"), RADIUS_M, HEIGHT_M, WALL_M, COLOURS[colour], MASS_KG, FOOT_M)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        places = scatter(rng, len(self.variations), X_RANGE_M, Y_RANGE_M, APART_M)
        for colour, place in zip(self.variations, places, strict=True):
            cell.place(f"{colour}_cup", (*place, 0.001))

    def success(self, cell: Cell) -> bool:
        return cell.holds(self._cup) and cell.body_pose(self._cup)[2, 3] > LIFTED_M

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        p_cup = cell.body_pose(self._cup)[:3, 3]
        grasp = down(p_cup + [0.0, 0.0, HEIGHT_M - GRASP_BELOW_RIM_M])
        picked = pick(cell, self._cup, grasp, CLEAR_M)
        T_now = cell.T_base_tcp() if not picked else grasp
        rest_m = LIFT_M - (p_cup[2] if not picked else 0.0)
        return *picked, straight(shifted(T_now, (0.0, 0.0, max(rest_m, 0.0))), 0.0, dwell_s=0.3)

    @property
    def _cup(self) -> str:
        return f"{self.variation}_cup"
