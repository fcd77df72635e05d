"""Open the washing machine: its round door swings aside, led by the grip at its edge."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, UNTOUCHED, box, cylinder, facing_away, fixed, handle, heading, hinged
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, turn_by_handle

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.50, 0.67), (-0.20, 0.22), (-0.5, 0.5)
"""Of the middle of its front; straight is towards the arm."""
DEPTH_M, HALF_WIDTH_M, HEIGHT_M = 0.20, 0.12, 0.25
DOOR_RADIUS_M, DOOR_THICK_M, DOOR_Z_M, DOOR_KG = 0.085, 0.018, 0.12, 0.5
HANDLE_M, HANDLE_HALF_M = 0.068, 0.045
"""How far the middle of the grip is in front of the machine, and half its length."""
FREE_M = 0.035
"""How far the grip's ends reach beyond its posts; the upper one goes between the fingers."""
OPEN_RAD, LED_RAD = np.deg2rad(40), 0.85
"""What counts as open, and how far the expert leads the door."""
OPENING, CLEAR_M, APPROACH_M = 0.6, 0.38, 0.15
"""The grip is approached from above the machine's top."""


class OpenWashingMachine(Task):
    instructions = (
        "open the washing machine",
        "open the door of the washing machine",
        "pull the washing machine's door open",
    )
    paraphrases = ("swing the porthole of the washer aside", "get the washer open")
    goal = f"the door was opened by {np.rad2deg(OPEN_RAD):.0f} degrees"
    start_upper_m = (0.52, 0.30, 0.45)
    """In front of the machine, not over or behind it."""

    def build(self, spec: mujoco.MjSpec) -> None:
        machine, middle = fixed(spec, "washing_machine"), DEPTH_M / 2
        box(machine, (middle, HALF_WIDTH_M, HEIGHT_M / 2), (middle, 0, HEIGHT_M / 2), COLOURS["white"])
        box(machine, (middle + 0.004, HALF_WIDTH_M + 0.002, 0.006), (middle, 0, HEIGHT_M), COLOURS["grey"])
        cylinder(machine, 0.072, 0.001, (0, 0, DOOR_Z_M), COLOURS["steel"], "x", **UNTOUCHED)
        cylinder(machine, 0.060, 0.001, (-0.001, 0, DOOR_Z_M), COLOURS["black"], "x", **UNTOUCHED)
        for y, colour in ((0.085, "navy"), (-0.02, "grey"), (-0.05, "grey")):
            cylinder(machine, 0.011, 0.004, (-0.004, y, HEIGHT_M - 0.028), COLOURS[colour], "x", **UNTOUCHED)

        hinge = (0, DOOR_RADIUS_M, DOOR_Z_M)
        door = hinged(machine, "washing_machine_door", hinge, (0, 0, -1), (0.0, 1.9))
        half, axle = DOOR_THICK_M / 2, (-DOOR_THICK_M / 2, -DOOR_RADIUS_M, 0)
        cylinder(door, DOOR_RADIUS_M, half, axle, COLOURS["steel"], "x", mass=DOOR_KG)
        cylinder(door, 0.060, half + 0.003, axle, COLOURS["navy"], "x", **UNTOUCHED)
        foot = (HANDLE_M - DOOR_THICK_M, 0, 0)
        handle(door, _handle(), foot, HANDLE_HALF_M, COLOURS["black"], "z", inset=FREE_M)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        place = (rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0)
        cell.place("washing_machine", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        return cell.joint_position("washing_machine_door") >= OPEN_RAD

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        top = np.add(_handle(), (0, 0, HANDLE_HALF_M - 0.012))
        p_top = (cell.body_pose("washing_machine_door") @ [*top, 1.0])[:3]
        grasp = down(p_top, heading(cell.body_pose("washing_machine")))
        return turn_by_handle(cell, "washing_machine_door", grasp, LED_RAD, CLEAR_M, OPENING, APPROACH_M)


def _handle() -> tuple[float, float, float]:
    """The middle of the grip in the frame of the door."""
    return (-HANDLE_M, 0.014 - 2 * DOOR_RADIUS_M, 0.0)
