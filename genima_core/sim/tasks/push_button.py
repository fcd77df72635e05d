"""Push the button: a big round cap on a spring, anywhere on the table."""

from typing import TYPE_CHECKING

import numpy as np

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.sim.arm import FINGERTIP_BELOW_TCP_M, FIXED, UNTOUCHED
from genima_core.sim.inverse_kinematics import point_down
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint

import mujoco  # isort: skip
from mujoco import mjtGeom as Geom  # isort: skip

if TYPE_CHECKING:
    from genima_core.sim.cell import Cell

X_RANGE_M = (0.34, 0.68)
Y_RANGE_M = (-0.32, 0.32)
BASE_HALF_M, BASE_HEIGHT_M = 0.06, 0.03
CAP_RADIUS_M, CAP_HEIGHT_M = 0.04, 0.042
CAP_TOP_M = BASE_HEIGHT_M + CAP_HEIGHT_M
TRAVEL_M = 0.03
PRESSED_M = 0.012
"""Pressed in by this much at any time since the reset is success, as in RLBench: it latches."""

SPRING_N_M, PRELOAD_M = 250.0, 0.02

HOVER_M = 0.09
CLEARANCE_M = 0.05
"""Fingertips lower than this above the cap, and beside it, first go up."""
OVER_CAP_M = 0.025
"""Within this distance of the cap's axis the gripper goes straight down."""
PRESS_DEPTH_M, DESCENT_M_S, HOLD_S = 0.026, 0.08, 0.4


class PushButton(Task):
    instructions = ("push the button",)
    paraphrases = ("press the button", "hit the button")
    goal = f"the cap was pressed in by {1e3 * PRESSED_M:.0f} mm"

    def __init__(self) -> None:
        self._deepest_m = 0.0

    def build(self, spec: mujoco.MjSpec) -> None:
        button = spec.worldbody.add_body(name="button")
        base = button.add_geom(name="button_base", type=Geom.mjGEOM_BOX, rgba=[0.12, 0.12, 0.14, 1], **FIXED)
        base.pos, base.size = [0, 0, BASE_HEIGHT_M / 2], [BASE_HALF_M, BASE_HALF_M, BASE_HEIGHT_M / 2]
        ring = button.add_geom(name="button_ring", type=Geom.mjGEOM_CYLINDER, rgba=[0.95, 0.95, 0.95, 1], **UNTOUCHED)
        ring.pos, ring.size = [0, 0, BASE_HEIGHT_M], [CAP_RADIUS_M + 0.012, 0.002, 0]
        body = button.add_body(name="button_cap", pos=[0, 0, BASE_HEIGHT_M], gravcomp=1)
        # The cap reaches down into the base, so that no gap opens when it is pressed in.
        cap = body.add_geom(name="button_cap", type=Geom.mjGEOM_CYLINDER, rgba=[0.05, 0.25, 0.95, 1], **FIXED)
        cap.pos, cap.size = [0, 0, CAP_HEIGHT_M / 2], [CAP_RADIUS_M, CAP_HEIGHT_M / 2, 0]
        cap.mass, cap.friction = 0.1, [1.0, 0.02, 0.0001]
        slide = {"type": mujoco.mjtJoint.mjJNT_SLIDE, "axis": [0, 0, 1], "limited": True, "range": [-TRAVEL_M, 0]}
        body.add_joint(name="button_cap", stiffness=SPRING_N_M, springref=PRELOAD_M, damping=8.0, **slide)

    def reset(self, cell: "Cell", rng: np.random.Generator) -> None:
        body = cell.model.body("button")
        body.pos[:] = [rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0]
        yaw = rng.uniform(-np.pi, np.pi)
        body.quat[:] = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        self._deepest_m = 0.0

    def update(self, cell: "Cell") -> None:
        self._deepest_m = max(self._deepest_m, -cell.joint_position("button_cap"))

    def success(self, cell: "Cell") -> bool:
        return self._deepest_m >= PRESSED_M

    def waypoints(self, cell: "Cell") -> tuple[Waypoint, ...]:
        x, y, table = cell.model.body("button").pos
        contact = np.array([x, y, table + CAP_TOP_M + FINGERTIP_BELOW_TCP_M])
        start = cell.arm.frame_pose(cell.q, "tcp")[:3, 3]
        press = Waypoint(_above(contact, -PRESS_DEPTH_M), gripper=0.0, dwell_s=HOLD_S)
        hover = Waypoint(_above(contact, HOVER_M), gripper=0.0, velocity=(0.0, 0.0, -DESCENT_M_S))
        height, beside = start[2] - contact[2], np.linalg.norm(contact[:2] - start[:2])
        if beside < OVER_CAP_M and height < HOVER_M:
            return (press,)
        if height < CLEARANCE_M:
            point = 0.65 * start + 0.35 * hover.T_base_tcp[:3, 3]
            point[2] = contact[2] + HOVER_M
            direction = (contact - start)[:2] / max(beside, 1e-6)
            velocity = (0.12 * direction[0], 0.12 * direction[1], 0.0)
            return Waypoint(point_down(point), gripper=0.0, velocity=velocity), hover, press
        return hover, press


def _above(point: np.ndarray, height_m: float) -> np.ndarray:
    return point_down(point + [0.0, 0.0, height_m])
