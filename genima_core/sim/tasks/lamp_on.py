"""Turn the lamp on: one of two table lamps, told apart by their colour, by the button on its foot."""

import mujoco
import numpy as np

from genima_core.sim.arm import FINGERTIP_BELOW_TCP_M
from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, UNTOUCHED, ball, box, cylinder, facing_away, fixed, heading, sliding, turned
from genima_core.sim.task import Task, polar
from genima_core.sim.waypoints import Waypoint, down, offset, rise, shifted, straight

RADIUS_RANGE_M, ASIDE_RANGE_RAD, YAW_RANGE_RAD = (0.40, 0.54), (0.27, 0.55), (-0.3, 0.3)
"""Of the buttons, seen from the arm's base; one lamp to the left, one to the right, yawed from that direction."""
FOOT_HALF_WIDTH_M, FOOT_M, STEM_AT_M, STEM_M = 0.05, 0.024, 0.14, 0.16
"""Half the width and the height of the foot; how far behind the button the stem stands, and its height."""
BULB_M, SHADE_M = 0.045, 0.07
CAP_RADIUS_M, CAP_M, TRAVEL_M = 0.028, 0.026, 0.014
PRESSED_M = 0.003
"""A button that is pressed in this far turns its lamp on until the next reset."""
SPRING_N_M, PRELOAD_M = 250.0, 0.015
DARK, LIT = (0.22, 0.22, 0.24), (1.0, 0.97, 0.80)
HOVER_M, PRESS_M, PRESS_M_S = 0.10, 0.012, 0.12
BESIDE_M, LOW_M = 0.02, 0.06
"""Within BESIDE_M of the button's axis the gripper goes straight down; elsewhere, if below LOW_M, it rises first."""


class LampOn(Task):
    variations = ("orange", "green")
    instructions = (
        "turn on the {} lamp",
        "switch the {} lamp on",
        "press the button of the {} lamp",
        "light the {} lamp",
    )
    paraphrases = ("make the {} light shine", "hit the button that belongs to the {} light")
    goal = f"the named lamp's button was pressed in by {1e3 * PRESSED_M:.0f} mm"
    keeps_colour = tuple(f"{name}_bulb" for name in variations)
    start_lower_m, start_upper_m = (0.30, -0.25, 0.16), (0.38, 0.25, 0.45)
    """In front of the lamps, above the buttons."""

    def __init__(self) -> None:
        self._lit: set[str] = set()

    def build(self, spec: mujoco.MjSpec) -> None:
        for name in self.variations:
            lamp, colour, top = fixed(spec, f"{name}_lamp"), COLOURS[name], FOOT_M + STEM_M
            long_m = STEM_AT_M + 2 * FOOT_HALF_WIDTH_M
            box(lamp, (long_m / 2, FOOT_HALF_WIDTH_M, FOOT_M / 2), (STEM_AT_M / 2, 0, FOOT_M / 2), colour)
            cylinder(lamp, 0.012, STEM_M / 2, (STEM_AT_M, 0, FOOT_M + STEM_M / 2), COLOURS["steel"])
            ball(lamp, BULB_M, (STEM_AT_M, 0, top + BULB_M), DARK, name=f"{name}_bulb")
            cup = [(0.0, 0.0), (SHADE_M / 2, 0.0), (SHADE_M, BULB_M), (SHADE_M - 0.004, BULB_M), (0.0, 0.006)]
            turned(spec, lamp, cup, colour, pos=(STEM_AT_M, 0, top))
            cylinder(lamp, CAP_RADIUS_M + 0.010, 0.002, (0, 0, FOOT_M), COLOURS["black"], **UNTOUCHED)
            spring = {"stiffness": SPRING_N_M, "springref": -PRELOAD_M}
            cap = sliding(lamp, name, (0, 0, FOOT_M), (0, 0, -1), (0.0, TRAVEL_M), 8.0, 0.0, **spring)
            cylinder(cap, CAP_RADIUS_M, CAP_M / 2, (0, 0, CAP_M / 2), COLOURS["white"], mass=0.05)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        self._lit.clear()
        for name, side in zip(self.variations, rng.permutation([-1, 1]), strict=True):
            bearing_rad, radius_m = side * rng.uniform(*ASIDE_RANGE_RAD), rng.uniform(*RADIUS_RANGE_M)
            place = polar(radius_m, bearing_rad)
            cell.place(f"{name}_lamp", place, facing_away(place, rng.uniform(*YAW_RANGE_RAD)))
            cell.model.geom(f"{name}_bulb").rgba[:3] = DARK

    def update(self, cell: Cell) -> None:
        for name in self.variations:
            if name not in self._lit and cell.joint_position(name) > PRESSED_M:
                self._lit.add(name)
                cell.model.geom(f"{name}_bulb").rgba[:3] = LIT

    def success(self, cell: Cell) -> bool:
        return self.variation in self._lit

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        if self.success(cell):
            return (straight(cell.T_base_tcp(), 0.0),)
        T_base_lamp = cell.body_pose(f"{self.variation}_lamp")
        height_m = FOOT_M + CAP_M - PRESS_M + FINGERTIP_BELOW_TCP_M
        end = down(T_base_lamp[:3, 3] + [0.0, 0.0, height_m], heading(T_base_lamp))
        press = straight(end, 0.0, PRESS_M_S, dwell_s=0.3)
        beside_m, above_m, _ = offset(cell, end)
        if beside_m < BESIDE_M and above_m < HOVER_M + 0.03:
            return (press,)
        first = rise(cell, end[2, 3] + HOVER_M, 0.0) if above_m < LOW_M else ()
        return *first, Waypoint(shifted(end, (0.0, 0.0, HOVER_M)), 0.0), press
