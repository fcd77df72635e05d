"""Take the lid off the saucepan: gripped by its knob and lifted."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, LOOSE, UNTOUCHED, box, cylinder, facing_away, loose, vessel
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, pick, shifted, straight

X_RANGE_M, Y_RANGE_M = (0.40, 0.62), (-0.26, 0.26)
HANDLE_YAW_RANGE_RAD = (-2.4, 2.4)
"""Seen from the base, the handle never points to it."""
RADIUS_M, HEIGHT_M, WALL_M, PAN_KG = 0.09, 0.09, 0.006, 1.2
HANDLE_M = 0.14
LID_M, LID_KG = 0.008, 0.15
KNOB_M, KNOB_RADIUS_M, KNOB_KG = 0.04, 0.021, 0.05
"""KNOB_M is its height above the lid."""
GRASP_BELOW_TOP_M = 0.014
LIFT_M, LIFTED_M = 0.16, 0.10
"""How far the expert lifts it off the rim, and how far counts."""
CLEAR_M = 0.28


class TakeLidOffSaucepan(Task):
    instructions = (
        "take the lid off the saucepan",
        "lift the lid off the pan",
        "grip the knob and remove the lid from the saucepan",
        "uncover the saucepan",
    )
    paraphrases = ("open the pot by its lid", "pull up the cover of the pan and hold it")
    goal = f"the lid is held {100 * LIFTED_M:.0f} cm above the saucepan"
    start_lower_m = (0.30, -0.30, 0.16)

    def build(self, spec: mujoco.MjSpec) -> None:
        pan = loose(spec, "saucepan")
        vessel(spec, pan, RADIUS_M, HEIGHT_M, WALL_M, COLOURS["navy"], PAN_KG)
        at = (RADIUS_M + HANDLE_M / 2 - 0.003, 0, 0.8 * HEIGHT_M)
        box(pan, (HANDLE_M / 2, 0.012, 0.008), at, COLOURS["black"], mass=0.1, **LOOSE)
        lid = loose(spec, "lid")
        cylinder(lid, RADIUS_M + 0.003, LID_M / 2, (0, 0, LID_M / 2), COLOURS["steel"], mass=LID_KG, **LOOSE)
        cylinder(lid, 0.08, 0.003, (0, 0, LID_M), COLOURS["white"], **UNTOUCHED)
        at = (0, 0, LID_M + KNOB_M / 2)
        cylinder(lid, KNOB_RADIUS_M, KNOB_M / 2, at, COLOURS["black"], mass=KNOB_KG, **LOOSE)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        place = np.array([rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0])
        R_base_pan = facing_away(place, rng.uniform(*HANDLE_YAW_RANGE_RAD))
        cell.place("saucepan", place, R_base_pan)
        cell.place("lid", place + [0.0, 0.0, HEIGHT_M], R_base_pan)

    def success(self, cell: Cell) -> bool:
        above = cell.body_pose("lid")[2, 3] - cell.body_pose("saucepan")[2, 3] - HEIGHT_M
        return bool(cell.holds("lid") and above > LIFTED_M)

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        p_lid = cell.body_pose("lid")[:3, 3]
        grasp = down(p_lid + [0.0, 0.0, LID_M + KNOB_M - GRASP_BELOW_TOP_M])
        picked = pick(cell, "lid", grasp, CLEAR_M)
        left_m = LIFT_M if picked else max(HEIGHT_M + LIFT_M - p_lid[2], 0.0)
        T_held = grasp if picked else cell.T_base_tcp()
        return *picked, straight(shifted(T_held, (0.0, 0.0, left_m)), 0.0, dwell_s=0.3)
