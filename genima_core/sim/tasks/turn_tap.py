"""Turn the tap: the left or the right handle of a basin mixer, pushed round by a quarter turn."""

import mujoco
import numpy as np

from genima_core.sim.arm import FINGERTIP_BELOW_TCP_M
from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, box, cylinder, facing_away, fixed, heading, hinged
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, approach, down, straight, swing

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.44, 0.56), (-0.15, 0.15), (-0.3, 0.3)
"""Of the middle between the handles; the yaw is about the direction away from the arm's base."""
SPACING_M = 0.11
"""From the middle to a handle's axis."""
COLUMN_M, COLUMN_RADIUS_M, PLATE_M = 0.09, 0.026, 0.015
HANDLE_M, HANDLE_HALF_WIDTH_M, HANDLE_HALF_HEIGHT_M = 0.11, 0.016, 0.016
FREE_RAD = 2.2
TURNED_RAD = np.pi / 2
"""What counts as turned; a handle can be turned up to FREE_RAD."""
AIM_RAD = 1.85
"""How far the expert turns a handle."""
PUSH_AT_M, GAP_RAD, TOUCH_RAD = 0.085, 0.48, 0.30
"""Distance of the fingers from the axis; their angle behind the handle where they come down, and when they touch it."""
DEPTH_M = 0.026
"""Of the fingertips below the top of the handle."""
CLEAR_M = 0.22
PUSH_M_S = 0.22


class TurnTap(Task):
    variations = ("left", "right")
    instructions = ("turn the {} tap", "rotate the {} tap", "turn the {} handle of the tap", "open the {} tap")
    paraphrases = ("twist the tap on the {} side", "give the {} faucet handle a quarter turn")
    goal = "the named handle is turned by a quarter turn"

    def build(self, spec: mujoco.MjSpec) -> None:
        mixer, steel = fixed(spec, "mixer"), COLOURS["steel"]
        box(mixer, (0.04, SPACING_M + 0.045, PLATE_M / 2), (0, 0, PLATE_M / 2), COLOURS["white"])
        cylinder(mixer, 0.018, 0.03, (0, 0, PLATE_M + 0.03), steel)
        cylinder(mixer, 0.018, 0.06, (-0.06, 0, 0.065), steel, axis="x")
        cylinder(mixer, 0.014, 0.015, (-0.11, 0, 0.045), steel)
        for name, side, colour in (("left", 1, "red"), ("right", -1, "blue")):
            cylinder(mixer, COLUMN_RADIUS_M, COLUMN_M / 2, (0, side * SPACING_M, COLUMN_M / 2), steel)
            at = (0, side * SPACING_M, COLUMN_M + HANDLE_HALF_HEIGHT_M)
            handle = hinged(mixer, name, at, (0, 0, -side), (0.0, FREE_RAD), damping=0.1)
            cylinder(handle, COLUMN_RADIUS_M, HANDLE_HALF_HEIGHT_M, (0, 0, 0), COLOURS[colour], mass=0.1)
            half = (HANDLE_HALF_WIDTH_M, HANDLE_M / 2, HANDLE_HALF_HEIGHT_M)
            box(handle, half, (0, side * HANDLE_M / 2, 0), COLOURS[colour], mass=0.1)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        place = (rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0)
        cell.place("mixer", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        return cell.joint_position(self.variation) > TURNED_RAD

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        now_rad = cell.joint_position(self.variation)
        if now_rad > TURNED_RAD + 0.05:
            return (straight(cell.T_base_tcp(), 0.0),)
        side = 1 if self.variation == "left" else -1
        T_base_handle = cell.body_pose(self.variation)
        p_axis, R = T_base_handle[:3, 3], T_base_handle[:3, :3]
        p_handle = R.T @ (cell.T_base_tcp()[:3, 3] - p_axis)
        behind_rad = np.arctan2(-p_handle[0], side * p_handle[1])
        height_m = HANDLE_HALF_HEIGHT_M - DEPTH_M + FINGERTIP_BELOW_TCP_M
        at_handle = 0.1 < behind_rad < GAP_RAD + 0.3 and 0.055 < np.linalg.norm(p_handle[:2]) < HANDLE_M
        if at_handle and abs(p_handle[2] - height_m) < 0.015:
            way: tuple[Waypoint, ...] = ()
        else:
            behind_rad = GAP_RAD
            p_start = PUSH_AT_M * np.array([-np.sin(GAP_RAD), side * np.cos(GAP_RAD), 0.0])
            start = down(R @ (p_start + [0, 0, height_m]) + p_axis, heading(cell.body_pose("mixer")))
            way = approach(cell, start, 0.0, CLEAR_M)
        angle_rad = AIM_RAD - now_rad + behind_rad - TOUCH_RAD
        return *way, swing(p_axis, np.array([0, 0, -side]), max(angle_rad, 0.0), 0.0, 0.0, PUSH_M_S, dwell_s=0.2)
