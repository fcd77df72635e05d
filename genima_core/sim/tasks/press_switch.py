"""Press the switch: one of two big levers, told apart by their colour, down until it lies flat."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, box, cylinder, facing_away, fixed, heading, hinged
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, offset, rise, shifted, straight

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.42, 0.62), (-0.28, 0.28), (-0.35, 0.35)
"""Of the levers' hinges; the yaw is about the direction away from the arm's base."""
APART_M = 0.22
HALF_WIDTH_M, HEIGHT_M, DEPTH_M = 0.05, 0.05, 0.09
LEVER_HALF_WIDTH_M, LEVER_M, LEVER_THICK_M = 0.034, 0.11, 0.016
UP_RAD, TRAVEL_RAD, PRESSED_RAD = 1.0, 1.45, 1.0
"""How steeply the lever stands, how far it can be turned, and how far it must be turned."""
PRESS_M = 0.032
"""The fingers come down this far in front of the hinge."""
ABOVE_M, DEPTH_BELOW_M = 0.13, 0.012
"""How high above the hinge the tcp begins its press, and how far below it the press ends."""
BESIDE_M, TURNED_RAD = 0.018, 0.5
"""Within this distance and turn of the press's line the gripper goes straight down."""
PRESS_M_S, CLEAR_M = 0.16, 0.20


class PressSwitch(Task):
    variations = ("orange", "blue")
    instructions = (
        "press the {} switch",
        "press the {} switch down",
        "flick the {} switch",
        "push the {} lever down",
    )
    paraphrases = ("flip the switch that has the {} handle", "switch the {} one on")
    goal = f"the named switch is turned by {PRESSED_RAD:.0f} rad"

    def build(self, spec: mujoco.MjSpec) -> None:
        for colour in self.variations:
            base = fixed(spec, f"{colour}_base")
            half = (DEPTH_M / 2, HALF_WIDTH_M, HEIGHT_M / 2)
            box(base, half, (half[0] - 0.01, 0, half[2]), COLOURS["white"])
            cylinder(base, 0.014, HALF_WIDTH_M, (0, 0, HEIGHT_M), COLOURS["black"], axis="y")
            lever = hinged(base, f"{colour}_switch", (0, 0, HEIGHT_M), (0, -1, 0), (0.0, TRAVEL_RAD), damping=0.1)
            middle = (-LEVER_M / 2 * np.cos(UP_RAD), 0.0, LEVER_M / 2 * np.sin(UP_RAD))
            half = (LEVER_M / 2, LEVER_HALF_WIDTH_M, LEVER_THICK_M / 2)
            turned = (np.cos(UP_RAD / 2), 0.0, np.sin(UP_RAD / 2), 0.0)
            box(lever, half, middle, COLOURS[colour], mass=0.1, quat=turned)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        places = np.zeros((len(self.variations), 2))
        while np.linalg.norm(places[0] - places[1]) < APART_M:
            places = np.stack([rng.uniform(*X_RANGE_M, 2), rng.uniform(*Y_RANGE_M, 2)], axis=1)
        for colour, place in zip(self.variations, places, strict=True):
            cell.place(f"{colour}_base", (*place, 0.0), facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        return cell.joint_position(f"{self.variation}_switch") > PRESSED_RAD

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        if self.success(cell):
            return (straight(cell.T_base_tcp(), 0.0),)
        T_base_switch = cell.body_pose(f"{self.variation}_base")
        p_press = T_base_switch[:3, :3] @ [-PRESS_M, 0.0, HEIGHT_M - DEPTH_BELOW_M] + T_base_switch[:3, 3]
        end = down(p_press, heading(T_base_switch))
        press = straight(end, 0.0, PRESS_M_S, dwell_s=0.3)
        hover = shifted(end, (0.0, 0.0, ABOVE_M + DEPTH_BELOW_M))
        beside_m, above_m, turned_rad = offset(cell, end)
        if beside_m < BESIDE_M and turned_rad < TURNED_RAD and above_m < ABOVE_M + 0.05:
            return (press,)
        return *rise(cell, CLEAR_M, 0.0), Waypoint(hover, 0.0), press
