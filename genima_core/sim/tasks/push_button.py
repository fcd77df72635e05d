"""Push the button: one of three big round caps on springs, told apart by their colour."""

import mujoco
import numpy as np

from genima_core.sim.arm import FINGERTIP_BELOW_TCP_M
from genima_core.sim.cell import Cell
from genima_core.sim.inverse_kinematics import point_down
from genima_core.sim.shapes import COLOURS, UNTOUCHED, box, cylinder, fixed, yawed
from genima_core.sim.task import Task, scatter
from genima_core.sim.waypoints import Waypoint, rise

X_RANGE_M, Y_RANGE_M = (0.34, 0.68), (-0.32, 0.32)
APART_M = 0.19
"""Between the middles of two buttons."""
BASE_HALF_M, BASE_HEIGHT_M = 0.06, 0.03
CAP_RADIUS_M, CAP_HEIGHT_M = 0.04, 0.042
CAP_TOP_M = BASE_HEIGHT_M + CAP_HEIGHT_M
TRAVEL_M, SPRING_N_M, PRELOAD_M = 0.03, 250.0, 0.02
PRESSED_M = 0.012
"""Pressed in by this much at any time since the reset is success, as in RLBench: it latches."""

HOVER_M = 0.09
CLEARANCE_M = 0.05
"""Fingertips lower than this above the cap, and beside it, first go up."""
OVER_CAP_M = 0.025
"""Within this distance of the cap's axis the gripper goes straight down."""
PRESS_DEPTH_M, DESCENT_M_S, HOLD_S = 0.026, 0.08, 0.4


class PushButton(Task):
    variations = ("red", "green", "blue")
    instructions = ("push the {} button", "press the {} button", "push down on the {} button", "press the {} one")
    paraphrases = ("hit the button that is {}", "hold down the {} switch")
    goal = f"the cap of the named button was pressed in by {1e3 * PRESSED_M:.0f} mm"

    def __init__(self) -> None:
        self._deepest_m = 0.0

    def build(self, spec: mujoco.MjSpec) -> None:
        for colour in self.variations:
            button, half = fixed(spec, f"{colour}_button"), BASE_HEIGHT_M / 2
            box(button, (BASE_HALF_M, BASE_HALF_M, half), (0, 0, half), COLOURS["black"])
            cylinder(button, CAP_RADIUS_M + 0.012, 0.002, (0, 0, BASE_HEIGHT_M), COLOURS["white"], **UNTOUCHED)
            # The cap reaches down into the base, so that no gap opens when it is pressed in.
            cap = button.add_body(name=_cap(colour), pos=[0, 0, BASE_HEIGHT_M], gravcomp=1)
            cylinder(cap, CAP_RADIUS_M, CAP_HEIGHT_M / 2, (0, 0, CAP_HEIGHT_M / 2), COLOURS[colour], mass=0.1)
            slide = {"type": mujoco.mjtJoint.mjJNT_SLIDE, "axis": [0, 0, 1], "limited": True, "range": [-TRAVEL_M, 0]}
            cap.add_joint(name=_cap(colour), stiffness=SPRING_N_M, springref=PRELOAD_M, damping=8.0, **slide)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        places = scatter(rng, len(self.variations), X_RANGE_M, Y_RANGE_M, APART_M)
        for colour, place in zip(self.variations, places, strict=True):
            cell.place(f"{colour}_button", (*place, 0.0), yawed(rng.uniform(-np.pi, np.pi)))
        self._deepest_m = 0.0

    def update(self, cell: Cell) -> None:
        self._deepest_m = max(self._deepest_m, -cell.joint_position(_cap(self.variation)))

    def success(self, cell: Cell) -> bool:
        return self._deepest_m >= PRESSED_M

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        contact = cell.body_pose(f"{self.variation}_button")[:3, 3] + [0, 0, CAP_TOP_M + FINGERTIP_BELOW_TCP_M]
        start = cell.T_base_tcp()[:3, 3]
        press = Waypoint(_above(contact, -PRESS_DEPTH_M), gripper=0.0, dwell_s=HOLD_S)
        hover = Waypoint(_above(contact, HOVER_M), gripper=0.0, velocity=(0.0, 0.0, -DESCENT_M_S))
        height_m, beside_m = start[2] - contact[2], np.linalg.norm(contact[:2] - start[:2])
        if beside_m < OVER_CAP_M and height_m < HOVER_M:
            return (press,)
        return *(rise(cell, contact[2] + HOVER_M, 0.0) if height_m < CLEARANCE_M else ()), hover, press


def _cap(colour: str) -> str:
    return f"{colour}_cap"


def _above(point: np.ndarray, height_m: float) -> np.ndarray:
    return point_down(point + [0.0, 0.0, height_m])
