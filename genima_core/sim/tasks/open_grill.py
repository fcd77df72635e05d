"""Open the grill: the domed lid of a barbecue is raised by its handle."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import (
    COLOURS,
    UNTOUCHED,
    box,
    container,
    cylinder,
    facing_away,
    fixed,
    handle,
    heading,
    hinged,
)
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, turn_by_handle

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.41, 0.54), (-0.25, 0.25), (-0.6, 0.6)
"""Of the middle of its front; straight is towards the arm."""
DEPTH_M, HALF_WIDTH_M, LEGS_M, BASIN_M, WALL_M = 0.18, 0.13, 0.06, 0.055, 0.006
LID_KG, SLATS, SLABS = 0.4, 9, 8
"""The lid is half a cylinder, made of so many slats; so many slabs close each end."""
HANDLE_M, HANDLE_AT_RAD, OPENING = 0.045, np.deg2rad(42), 0.45
"""How far the handle stands off the lid, how high on its front, and how wide the fingers open to go around it."""
OPEN_RAD, LED_RAD = np.deg2rad(50), 1.05
"""What counts as open, and how far the expert leads the lid."""
CLEAR_M = 0.36


class OpenGrill(Task):
    instructions = ("open the grill", "raise the lid of the grill", "grip the handle and open the barbecue")
    paraphrases = ("lift the cover of the barbecue", "get the bbq open")
    goal = f"the lid was raised by {np.rad2deg(OPEN_RAD):.0f} degrees"

    def build(self, spec: mujoco.MjSpec) -> None:
        grill, radius, top = fixed(spec, "grill"), DEPTH_M / 2, LEGS_M + BASIN_M
        for x in (0.012, DEPTH_M - 0.012):
            for y in (0.012 - HALF_WIDTH_M, HALF_WIDTH_M - 0.012):
                cylinder(grill, 0.007, LEGS_M / 2, (x, y, LEGS_M / 2), COLOURS["steel"])
        container(grill, (radius, HALF_WIDTH_M), BASIN_M, WALL_M, COLOURS["black"], (radius, 0, LEGS_M))
        for y in np.linspace(0.02 - HALF_WIDTH_M, HALF_WIDTH_M - 0.02, 12):
            cylinder(grill, 0.002, radius - 0.005, (radius, y, top - 0.012), COLOURS["steel"], "x", **UNTOUCHED)

        lid = hinged(grill, "grill_lid", (DEPTH_M, 0, top), (0, 1, 0), (0.0, 1.3))
        step = np.pi / SLATS
        for angle in step * (np.arange(SLATS) + 0.5):
            half, middle = (WALL_M / 2, HALF_WIDTH_M, radius * np.tan(step / 2)), radius - WALL_M / 2
            pos = (-radius - middle * np.cos(angle), 0, middle * np.sin(angle))
            slat = box(lid, half, pos, COLOURS["red"], mass=LID_KG / SLATS)
            slat.quat = [np.cos(angle / 2), 0, np.sin(angle / 2), 0]
        for z in (np.arange(SLABS) + 0.5) * radius / SLABS:
            for side in (-1, 1):
                half = (np.sqrt((radius - WALL_M / 2) ** 2 - z**2), 0.003, radius / SLABS / 2)
                box(lid, half, (-radius, side * (HALF_WIDTH_M - 0.003), z), COLOURS["red"])
        out = np.array([-np.cos(HANDLE_AT_RAD), 0, np.sin(HANDLE_AT_RAD)])
        handle(lid, _handle(), -HANDLE_M * out, 0.06, COLOURS["wood"])

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        place = (rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0)
        cell.place("grill", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        return cell.joint_position("grill_lid") >= OPEN_RAD

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        p_handle = (cell.body_pose("grill_lid") @ [*_handle(), 1.0])[:3]
        grasp = down(p_handle, heading(cell.body_pose("grill")) + np.pi / 2)
        return turn_by_handle(cell, "grill_lid", grasp, LED_RAD, CLEAR_M, OPENING)


def _handle() -> np.ndarray:
    """The middle of the handle in the frame of the lid."""
    out_m = DEPTH_M / 2 + HANDLE_M
    return np.array([-DEPTH_M / 2 - out_m * np.cos(HANDLE_AT_RAD), 0.0, out_m * np.sin(HANDLE_AT_RAD)])
