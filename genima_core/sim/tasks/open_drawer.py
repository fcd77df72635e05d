"""Open a drawer: the top, middle or bottom one of a chest, pulled out by its knob."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, UNTOUCHED, box, container, cylinder, facing_away, fixed, heading, sliding
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, pick, shifted, straight

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.69, 0.73), (-0.12, 0.12), (-0.25, 0.25)
"""Of the middle of the chest's front."""
DEPTH_M, HALF_WIDTH_M, BOARD_M = 0.20, 0.11, 0.008
DRAWER_M, LOWEST_M = 0.085, 0.05
"""Height of a drawer, and of the plinth below the lowest one."""
KNOB_M, KNOB_RADIUS_M = 0.045, 0.012
"""How far the knob stands out."""
PULL_M, OPEN_M = 0.12, 0.10
"""How far the expert pulls, and how far counts as open."""
TILT_RAD = np.deg2rad(32)
CLEAR_M = 0.42


class OpenDrawer(Task):
    variations = ("bottom", "middle", "top")
    instructions = ("open the {} drawer", "pull the {} drawer open", "grip the {} handle and pull the drawer out")
    paraphrases = ("slide the {} drawer towards you", "get the {} drawer open")
    goal = f"the named drawer is out by {100 * OPEN_M:.0f} cm"
    start_upper_m = (0.48, 0.30, 0.45)

    def build(self, spec: mujoco.MjSpec) -> None:
        chest, height = fixed(spec, "chest"), LOWEST_M + 3 * DRAWER_M
        wood, middle = COLOURS["wood"], DEPTH_M / 2
        for y in (-HALF_WIDTH_M, HALF_WIDTH_M):
            box(chest, (middle, BOARD_M / 2, height / 2), (middle, y, height / 2), wood)
        box(chest, (BOARD_M / 2, HALF_WIDTH_M, height / 2), (DEPTH_M, 0, height / 2), wood)
        box(chest, (middle, HALF_WIDTH_M, LOWEST_M / 2), (middle, 0, LOWEST_M / 2), COLOURS["brown"])
        box(chest, (middle + 0.005, HALF_WIDTH_M + 0.01, BOARD_M / 2), (middle, 0, height + BOARD_M / 2), wood)
        half, inside = (DEPTH_M / 2 - 0.01, HALF_WIDTH_M - BOARD_M), DRAWER_M - 0.008
        for i, name in enumerate(self.variations):
            drawer = sliding(chest, name, (0, 0, LOWEST_M + i * DRAWER_M + 0.004), (-1, 0, 0), (0.0, 0.16))
            container(drawer, half, inside * 0.8, 0.006, COLOURS["grey"], (half[0] + 0.002, 0, 0), mass=0.1)
            box(drawer, (0.006, half[1], inside / 2), (0, 0, inside / 2), COLOURS["white"], mass=0.2)
            at = (-KNOB_M / 2, 0, DRAWER_M / 2)
            cylinder(drawer, 0.006, KNOB_M / 2, at, COLOURS["steel"], axis="x", **UNTOUCHED)
            box(drawer, (0.010, KNOB_RADIUS_M, KNOB_RADIUS_M), (-KNOB_M, 0, DRAWER_M / 2), COLOURS["black"], mass=0.02)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        place = (rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0)
        cell.place("chest", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        return cell.joint_position(self.variation) > OPEN_M

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        T_base_drawer = cell.body_pose(self.variation)
        p_knob = T_base_drawer[:3, :3] @ [-KNOB_M, 0, DRAWER_M / 2] + T_base_drawer[:3, 3]
        grasp = down(p_knob, heading(T_base_drawer), TILT_RAD)
        left_m = PULL_M - cell.joint_position(self.variation)
        if left_m <= 0.01:
            return (straight(cell.T_base_tcp(), 0.0),)
        picked = pick(cell, self.variation, grasp, CLEAR_M)
        T_held = grasp if picked else cell.T_base_tcp()
        return *picked, straight(shifted(T_held, -left_m * T_base_drawer[:3, 0]), 0.0, 0.15, dwell_s=0.2)
