"""Toilet seat up: the seat is lifted by its front until it stands; the lid above it is up already."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import (
    COLOURS,
    FIXED,
    UNTOUCHED,
    box,
    cylinder,
    facing_away,
    fixed,
    heading,
    hinged,
    ring,
    vessel,
)
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, turn_by_handle

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.42, 0.54), (-0.25, 0.25), (-0.6, 0.6)
"""Of the middle of the bowl; straight is towards the arm."""
BOWL_RADIUS_M, FOOT_M, BOWL_M, WALL_M = 0.092, 0.06, 0.14, 0.012
SEAT_RADIUS_M, TUBE_M, SEAT_KG = 0.084, 0.0115, 0.25
HINGE_X_M, HINGE_Z_M = 0.115, BOWL_M + TUBE_M + 0.002
LID_RAD, LID_RADIUS_M = np.deg2rad(112), 0.088
"""How far the lid, which leans against the cistern, is turned up."""
CISTERN_X_M, CISTERN_HALF_M = 0.240, (0.035, 0.085, 0.125)
UP_RAD, LED_RAD = 1.40, 1.50
"""What counts as up, and how far the expert leads the seat."""
OPENING = 0.6
CLEAR_M = 0.30


class ToiletSeatUp(Task):
    instructions = ("put the toilet seat up", "lift the toilet seat up", "raise the seat of the toilet")
    paraphrases = ("fold the loo seat back until it stands", "get the seat of the toilet upright")
    goal = f"the seat was raised by {UP_RAD} rad"

    def build(self, spec: mujoco.MjSpec) -> None:
        toilet, white = fixed(spec, "toilet"), COLOURS["white"]
        vessel(spec, toilet, BOWL_RADIUS_M, BOWL_M, WALL_M, white, foot=FOOT_M, contact=FIXED)
        cylinder(toilet, FOOT_M + 0.012, 0.012, (0, 0, 0.012), white)
        cylinder(toilet, BOWL_RADIUS_M - WALL_M - 0.012, 0.001, (0, 0, BOWL_M - 0.04), COLOURS["blue"], **UNTOUCHED)
        box(toilet, (0.075, 0.05, 0.01), (0.15, 0, BOWL_M - 0.01), white)
        box(toilet, (0.07, 0.04, BOWL_M / 2), (0.13, 0, BOWL_M / 2), white)
        box(toilet, CISTERN_HALF_M, (CISTERN_X_M, 0, CISTERN_HALF_M[2]), white)
        box(toilet, (0.039, 0.089, 0.008), (CISTERN_X_M, 0, 2 * CISTERN_HALF_M[2] + 0.008), white)
        cylinder(toilet, 0.014, 0.004, (CISTERN_X_M, 0, 2 * CISTERN_HALF_M[2] + 0.018), COLOURS["steel"])
        out = np.array([-np.cos(LID_RAD), 0, np.sin(LID_RAD)])
        middle = np.array([HINGE_X_M + 0.01, 0, HINGE_Z_M + 0.005]) + 0.11 * out
        lid = cylinder(toilet, LID_RADIUS_M, 0.005, middle, COLOURS["grey"])
        lid.quat = [np.cos(LID_RAD / 2), 0, np.sin(LID_RAD / 2), 0]

        seat = hinged(toilet, "toilet_seat", (HINGE_X_M, 0, HINGE_Z_M), (0, 1, 0), (0.0, 1.6))
        ring(spec, seat, SEAT_RADIUS_M, TUBE_M, COLOURS["wood"], SEAT_KG, (-HINGE_X_M, 0, 0))
        for y in (-0.03, 0.03):
            box(seat, (0.022, 0.008, 0.006), (-0.02, y, 0), COLOURS["steel"], mass=0.01)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        place = (rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0)
        cell.place("toilet", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        return cell.joint_position("toilet_seat") >= UP_RAD

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        p_front = (cell.body_pose("toilet_seat") @ [-HINGE_X_M - SEAT_RADIUS_M, 0, 0, 1.0])[:3]
        grasp = down(p_front, heading(cell.body_pose("toilet")) + np.pi / 2)
        return turn_by_handle(cell, "toilet_seat", grasp, LED_RAD, CLEAR_M, OPENING)
