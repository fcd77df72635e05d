"""Open a box: one of two boxes, told apart by their colour, by the handle of its lid."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, box, container, facing_away, fixed, handle, heading, hinged
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, turn_by_handle

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.41, 0.50), (0.13, 0.22), (-0.3, 0.3)
"""Of the middle of a box's front: one box is on the left, one on the right; straight is towards the arm."""
DEPTH_M, HALF_WIDTH_M, HEIGHT_M, WALL_M = 0.16, 0.08, 0.09, 0.006
LID_M, LID_KG = 0.014, 0.2
"""Thickness and mass of a lid."""
HANDLE_M, OPENING = 0.045, 0.45
"""How far the handle stands out, and how wide the fingers open to go around it."""
OPEN_RAD, LED_RAD = np.pi / 2, 1.7
"""What counts as open, and how far the expert leads the lid."""
CLEAR_M = 0.22


class OpenBox(Task):
    variations = ("red", "blue")
    instructions = (
        "open the {} box",
        "open the lid of the {} box",
        "grip the handle of the {} box and lift its lid",
        "fold back the lid of the {} box",
    )
    paraphrases = ("flip the cover of the {} box up", "get the {} chest open")
    goal = f"the lid of the named box was raised by {np.rad2deg(OPEN_RAD):.0f} degrees"

    def build(self, spec: mujoco.MjSpec) -> None:
        half = (DEPTH_M / 2, HALF_WIDTH_M)
        for colour in self.variations:
            body = fixed(spec, f"{colour}_box")
            container(body, half, HEIGHT_M, WALL_M, COLOURS[colour], (half[0], 0, 0))
            box(body, (half[0] - WALL_M, half[1] - WALL_M, 0.001), (half[0], 0, WALL_M), COLOURS["wood"])
            lid = hinged(body, _lid(colour), (DEPTH_M, 0, HEIGHT_M), (0, 1, 0), (0.0, 1.85))
            plate, label = (half[0] + 0.004, half[1] + 0.004, LID_M / 2), (half[0] - 0.02, half[1] - 0.02, 0.001)
            box(lid, plate, (-half[0], 0, LID_M / 2), COLOURS[colour], mass=LID_KG)
            box(lid, label, (-half[0], 0, LID_M), COLOURS["white"])
            handle(lid, _handle(), (HANDLE_M, 0, 0), 0.035, COLOURS["steel"])

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        for colour, side in zip(self.variations, rng.permutation([-1, 1]), strict=True):
            place = (rng.uniform(*X_RANGE_M), side * rng.uniform(*Y_RANGE_M), 0.0)
            cell.place(f"{colour}_box", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        return cell.joint_position(_lid(self.variation)) >= OPEN_RAD

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        lid = _lid(self.variation)
        p_handle = (cell.body_pose(lid) @ [*_handle(), 1.0])[:3]
        across = heading(cell.body_pose(f"{self.variation}_box")) + np.pi / 2
        return turn_by_handle(cell, lid, down(p_handle, across), LED_RAD, CLEAR_M, OPENING)


def _lid(colour: str) -> str:
    return f"{colour}_lid"


def _handle() -> tuple[float, float, float]:
    """The middle of the handle in the frame of the lid."""
    return (-DEPTH_M - HANDLE_M, 0.0, LID_M / 2)
