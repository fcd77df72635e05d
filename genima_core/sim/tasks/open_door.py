"""Open the door: its handle is pressed down, which unlatches it, and the door is pulled open by it."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, UNTOUCHED, box, crank, cylinder, facing_away, fixed, heading, hinged, latch
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, turn_by_crank

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.56, 0.68), (-0.22, 0.22), (-0.40, 0.45)
"""Of the middle of the closed door; straight is towards the arm."""
WIDTH_M, HEIGHT_M, THICK_M, DOOR_KG = 0.22, 0.30, 0.016, 0.6
POST_M = 0.012
"""Half the thickness of the frame."""
PIVOT_M, ARM_M, KNOB_M = (-0.19, 0.17), 0.06, 0.05
"""The handle's pivot from the hinge (y) and from the table, its length, and how far its knob stands out."""
UNLATCHED_RAD, PRESSED_RAD = np.deg2rad(25), 0.58
"""How far the handle must be pressed down to unlatch the door, and how far the expert presses it."""
OPEN_RAD, LED_RAD = np.deg2rad(25), 0.52
"""What counts as open, and how far the expert leads the door."""
TILT_RAD, OPENING, CLEAR_M, APPROACH_M = np.deg2rad(15), 0.7, 0.42, 0.20
"""The knob is approached from above the frame."""
TURNED = 0.7
"""Share of the door's turn by which the hand turns along."""


class OpenDoor(Task):
    instructions = ("open the door", "press the handle down and open the door", "use the handle to open the door")
    paraphrases = ("unlatch the door and swing it towards you", "get the door open")
    goal = f"the handle was pressed and the door opened by {np.rad2deg(OPEN_RAD):.0f} degrees"
    start_upper_m = (0.48, 0.30, 0.45)
    """In front of the door, not behind it."""

    def build(self, spec: mujoco.MjSpec) -> None:
        frame, half, wood = fixed(spec, "door_frame"), WIDTH_M / 2, COLOURS["brown"]
        for y in (-half - POST_M, half + POST_M):
            box(frame, (0.02, POST_M, HEIGHT_M / 2 + POST_M), (0, y, HEIGHT_M / 2 + POST_M), wood)
            box(frame, (0.06, POST_M, 0.008), (0, y, 0.008), wood)
        box(frame, (0.02, half + 2 * POST_M, POST_M), (0, 0, HEIGHT_M + POST_M), wood)

        door = hinged(frame, "door", (0, half, 0), (0, 0, -1), (0.0, 1.4))
        leaf = (THICK_M / 2, half - 0.002, HEIGHT_M / 2 - 0.004)
        box(door, leaf, (0, -half, HEIGHT_M / 2), COLOURS["white"], mass=DOOR_KG)
        for x in (-THICK_M / 2, THICK_M / 2):
            for z in (0.08, 0.23):
                panel = (x, 0.015 - half, z)
                box(door, (0.001, 0.055, 0.045), panel, COLOURS["wood"], **UNTOUCHED)
        for z in (0.05, 0.25):
            cylinder(door, 0.007, 0.02, (-THICK_M / 2, 0, z), COLOURS["steel"], **UNTOUCHED)
        pivot = (-THICK_M / 2, *PIVOT_M)
        box(door, (0.001, 0.016, 0.04), pivot, COLOURS["steel"], **UNTOUCHED)
        crank(door, "door_handle", pivot, (ARM_M, 0), KNOB_M, (-1, 0, 0), (0.0, 0.75), COLOURS["steel"])
        latch(spec, "door")

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        place = (rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0)
        cell.place("door_frame", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def update(self, cell: Cell) -> None:
        if cell.joint_position("door_handle") >= UNLATCHED_RAD:
            cell.unlatch("door")

    def success(self, cell: Cell) -> bool:
        return cell.joint_position("door") >= OPEN_RAD

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        p_knob = (cell.body_pose("door_handle") @ [-KNOB_M, ARM_M, 0, 1.0])[:3]
        grasp = down(p_knob, heading(cell.body_pose("door")), TILT_RAD)
        to_rad = PRESSED_RAD, LED_RAD
        return turn_by_crank(cell, "door", "door_handle", grasp, to_rad, CLEAR_M, OPENING, TURNED, APPROACH_M)
