"""Open the microwave: its door swings aside, led by the upright handle."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, UNTOUCHED, box, cylinder, facing_away, fixed, handle, heading, hinged
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, turn_by_handle

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.54, 0.65), (-0.19, 0.10), (-0.35, 0.35)
"""Of the middle of its front; straight is towards the arm."""
DEPTH_M, HALF_WIDTH_M, HEIGHT_M, BOARD_M = 0.20, 0.15, 0.185, 0.010
DOOR_M, DOOR_THICK_M, DOOR_KG = 0.23, 0.014, 0.5
HANDLE_M, HANDLE_HALF_M = 0.052, 0.07
"""How far the middle of the handle is in front of the microwave, and half its length."""
FREE_M = 0.035
"""How far the handle's ends reach beyond its posts: the upper one is gripped, so that the hand stays above the door."""
OPEN_RAD, LED_RAD = np.deg2rad(80), 1.48
"""What counts as open, and how far the expert leads the door."""
CLEAR_M = 0.30


class OpenMicrowave(Task):
    instructions = ("open the microwave", "open the door of the microwave", "pull the microwave door open")
    paraphrases = ("swing the oven's door aside by its handle", "get the microwave oven open")
    goal = f"the door was opened by {np.rad2deg(OPEN_RAD):.0f} degrees"

    def build(self, spec: mujoco.MjSpec) -> None:
        oven, middle, up = fixed(spec, "microwave"), DEPTH_M / 2, HEIGHT_M / 2
        white, black = COLOURS["white"], COLOURS["black"]
        panel = HALF_WIDTH_M - DOOR_M / 2
        for y in (-HALF_WIDTH_M, HALF_WIDTH_M):
            box(oven, (middle, BOARD_M / 2, up), (middle, y - np.sign(y) * BOARD_M / 2, up), white)
        for z in (BOARD_M / 2, HEIGHT_M - BOARD_M / 2):
            box(oven, (middle, HALF_WIDTH_M, BOARD_M / 2), (middle, 0, z), white)
        box(oven, (BOARD_M / 2, HALF_WIDTH_M, up), (DEPTH_M, 0, up), white)
        box(oven, (middle, panel, up), (middle - DOOR_THICK_M, panel - HALF_WIDTH_M, up), white)
        front = -DOOR_THICK_M - 0.001
        box(oven, (0.001, panel * 0.7, 0.012), (front, panel - HALF_WIDTH_M, 0.15), COLOURS["navy"], **UNTOUCHED)
        for row in range(3):
            at = (front, panel - HALF_WIDTH_M, 0.04 + 0.03 * row)
            box(oven, (0.001, panel * 0.7, 0.009), at, COLOURS["grey"], **UNTOUCHED)
        for y in np.linspace(-0.08, 0.08, 9):
            box(oven, (0.001, 0.004, 0.03), (DEPTH_M + BOARD_M / 2, y, up), COLOURS["grey"], **UNTOUCHED)
        cylinder(oven, 0.08, 0.003, (middle, panel, BOARD_M + 0.006), COLOURS["grey"], **UNTOUCHED)

        door = hinged(oven, "microwave_door", (0, HALF_WIDTH_M, 0), (0, 0, -1), (0.0, 1.8))
        half = (DOOR_THICK_M / 2, DOOR_M / 2 - 0.001, up - 0.006)
        box(door, half, (-half[0], -DOOR_M / 2, up), white, mass=DOOR_KG)
        box(door, (0.001, 0.07, 0.055), (-DOOR_THICK_M, 0.015 - DOOR_M / 2, up), black, **UNTOUCHED)
        box(door, (0.001, 0.09, 0.07), (0, -DOOR_M / 2, up), black, **UNTOUCHED)
        foot = (HANDLE_M - DOOR_THICK_M, 0, 0)
        handle(door, _handle(), foot, HANDLE_HALF_M, COLOURS["steel"], "z", inset=FREE_M)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        place = (rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0)
        cell.place("microwave", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        return cell.joint_position("microwave_door") >= OPEN_RAD

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        top = np.add(_handle(), (0, 0, HANDLE_HALF_M - 0.010))
        p_top = (cell.body_pose("microwave_door") @ [*top, 1.0])[:3]
        grasp = down(p_top, heading(cell.body_pose("microwave")))
        return turn_by_handle(cell, "microwave_door", grasp, LED_RAD, CLEAR_M, opening=0.6)


def _handle() -> tuple[float, float, float]:
    """The middle of the handle in the frame of the door."""
    return (-HANDLE_M, 0.022 - DOOR_M, HEIGHT_M - 0.016 - HANDLE_HALF_M)
