"""Open a window: the handle of the left or right casement is turned up, which unlatches it, and it is pulled open."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, box, crank, facing_away, fixed, heading, hinged, latch
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, turn_by_crank

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.58, 0.68), (-0.18, 0.18), (-0.35, 0.35)
"""Of the middle of the window; straight is towards the arm."""
SILL_M, WIDTH_M, HEIGHT_M, HALF_THICK_M, CASEMENT_KG = 0.06, 0.165, 0.23, 0.008, 0.3
"""Height of the wall below; of each casement its width, height, half its thickness and its mass."""
RAIL_M, STILE_M = 0.011, 0.022
"""Half the width of a casement's bars, and of the one that carries the handle."""
PIVOT_M, ARM_M, KNOB_M = (0.130, 0.14), 0.05, 0.05
"""The handle's pivot from the hinge and above the sill, its length, and how far its knob stands out."""
UNLATCHED_RAD, TURNED_RAD = np.deg2rad(80), 1.70
"""How far the handle must be turned to unlatch the casement, and how far the expert turns it."""
OPEN_RAD, LED_RAD = np.deg2rad(30), 0.62
"""What counts as open, and how far the expert leads the casement."""
TILT_RAD, OPENING, CLEAR_M = np.deg2rad(15), 0.5, 0.42


class OpenWindow(Task):
    variations = ("left", "right")
    instructions = (
        "open the {} window",
        "turn the {} handle and open the window",
        "pull the {} window open",
        "use the handle to open the {} window",
    )
    paraphrases = ("unlatch the {} casement and swing it towards you", "let air in through the {} pane")
    goal = f"the named casement's handle was turned and it opened by {np.rad2deg(OPEN_RAD):.0f} degrees"
    start_upper_m = (0.48, 0.30, 0.45)
    """In front of the window, not behind it."""

    def build(self, spec: mujoco.MjSpec) -> None:
        wall, white = fixed(spec, "window_frame"), COLOURS["white"]
        outer, up = WIDTH_M + 0.024, SILL_M + HEIGHT_M / 2
        box(wall, (0.03, outer, SILL_M / 2 - 0.003), (0, 0, SILL_M / 2 - 0.003), COLOURS["brown"])
        box(wall, (0.04, outer + 0.01, 0.005), (0, 0, SILL_M - 0.005), COLOURS["grey"])
        box(wall, (0.02, outer, 0.012), (0, 0, SILL_M + HEIGHT_M + 0.012), COLOURS["grey"])
        for side, name in ((1, "left"), (-1, "right")):
            box(wall, (0.02, 0.011, HEIGHT_M / 2), (0, side * (WIDTH_M + 0.013), up), COLOURS["grey"])
            casement = hinged(wall, f"{name}_window", (0, side * WIDTH_M, SILL_M), (0, 0, -side), (0.0, 1.4))
            for y, half in ((RAIL_M, RAIL_M), (WIDTH_M - STILE_M - 0.001, STILE_M)):
                stile = (HALF_THICK_M, half, HEIGHT_M / 2 - 0.002)
                box(casement, stile, (0, -side * y, HEIGHT_M / 2), white, mass=CASEMENT_KG / 4)
            for z in (RAIL_M + 0.002, HEIGHT_M - RAIL_M - 0.002):
                rail = (HALF_THICK_M, WIDTH_M / 2 - 0.002, RAIL_M)
                box(casement, rail, (0, -side * WIDTH_M / 2, z), white, mass=CASEMENT_KG / 4)
            glass = (0.002, WIDTH_M / 2 - 0.01, HEIGHT_M / 2 - 0.01)
            pane = box(casement, glass, (0, -side * WIDTH_M / 2, HEIGHT_M / 2), mass=0.1)
            pane.rgba = [0.65, 0.80, 0.90, 0.3]
            pivot = (-HALF_THICK_M, -side * PIVOT_M[0], PIVOT_M[1])
            arm, steel = (0.0, -ARM_M), COLOURS["steel"]
            crank(casement, f"{name}_handle", pivot, arm, KNOB_M, (side, 0, 0), (0.0, 1.85), steel)
            latch(spec, f"{name}_window")

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        place = (rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0)
        cell.place("window_frame", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def update(self, cell: Cell) -> None:
        for name in self.variations:
            if cell.joint_position(f"{name}_handle") >= UNLATCHED_RAD:
                cell.unlatch(f"{name}_window")

    def success(self, cell: Cell) -> bool:
        return cell.joint_position(f"{self.variation}_window") >= OPEN_RAD

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        window, handle = f"{self.variation}_window", f"{self.variation}_handle"
        p_knob = (cell.body_pose(handle) @ [-KNOB_M, 0, -ARM_M, 1.0])[:3]
        grasp = down(p_knob, heading(cell.body_pose(window)), TILT_RAD)
        return turn_by_crank(cell, window, handle, grasp, (TURNED_RAD, LED_RAD), CLEAR_M, OPENING, turned=0.6)
