"""Slide the block to the target: one block is pushed over the table onto the square of the named colour."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, LOOSE, UNTOUCHED, box, fixed, loose, yawed
from genima_core.sim.task import Task, polar
from genima_core.sim.waypoints import Waypoint, approach, down, offset, straight

RADIUS_RANGE_M, BEARING_RANGE_RAD, YAW_RANGE_RAD = (0.42, 0.50), (-0.42, 0.42), (-0.25, 0.25)
"""Where the block begins, seen from the arm's base, and how far it is turned from that direction."""
DISTANCE_RANGE_M, ASIDE_RANGE_RAD = (0.17, 0.21), (0.50, 0.68)
"""From the block to the targets, which lie ahead of it, one to the left and one to the right."""
BLOCK_HALF_M, MASS_KG, BLOCK_FRICTION = (0.035, 0.065, 0.028), 0.3, (0.5, 0.01, 0.0001)
TARGET_HALF_M, NEAR_M = 0.072, 0.035
"""Half a target's side; the block is on it when their middles are nearer than NEAR_M."""
BEHIND_M, TOUCH_M = 0.085, 0.045
"""Distance of the tcp from the block's middle where it comes down, and when the fingers touch the block."""
HEIGHT_M, LOW_M = 0.020, 0.035
"""Height of the tcp while it pushes, and below which it may push at once."""
BESIDE_M, TURNED_RAD = 0.02, 0.35
"""It may do so within this distance and turn of the line through block and target."""
HOVER_M, LARGEST_YAW_RAD = 0.07, 0.8
"""How far above its start the tcp comes down; largest yaw of the hand from the direction away from the base."""
PUSH_M_S, CLEAR_M = 0.28, 0.15


class SlideBlockToTarget(Task):
    variations = ("orange", "blue")
    instructions = (
        "slide the block to the {} target",
        "push the block onto the {} square",
        "slide the block onto the {} target",
        "push the block until it covers the {} target",
    )
    paraphrases = ("move the white bar over to the {} patch", "shove the block onto the {} field")
    goal = f"the block's middle is within {1e3 * NEAR_M:.0f} mm of the named target's"

    def build(self, spec: mujoco.MjSpec) -> None:
        for colour, height_m in zip(self.variations, (0.001, 0.0015), strict=True):  # where they overlap, one is seen
            target = fixed(spec, f"{colour}_target")
            box(target, (TARGET_HALF_M, TARGET_HALF_M, height_m), (0, 0, height_m), COLOURS[colour], **UNTOUCHED)
        more = {**LOOSE, "mass": MASS_KG, "friction": BLOCK_FRICTION, "priority": 1}
        box(loose(spec, "block"), BLOCK_HALF_M, (0, 0, BLOCK_HALF_M[2]), COLOURS["white"], **more)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        bearing = rng.uniform(*BEARING_RANGE_RAD)
        p_block = polar(rng.uniform(*RADIUS_RANGE_M), bearing)
        cell.place("block", p_block + [0.0, 0.0, 0.0005], yawed(bearing + rng.uniform(*YAW_RANGE_RAD)))
        for colour, side in zip(self.variations, rng.permutation([-1, 1]), strict=True):
            aside = bearing + side * rng.uniform(*ASIDE_RANGE_RAD)
            p_target = p_block + polar(rng.uniform(*DISTANCE_RANGE_M), aside)
            cell.place(f"{colour}_target", p_target, yawed(aside))

    def success(self, cell: Cell) -> bool:
        return self._left_m(cell) < NEAR_M

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        left_m = self._left_m(cell)
        if left_m < 0.5 * NEAR_M:
            return (straight(cell.T_base_tcp(), 1.0),)
        p_block, p_target = (cell.body_pose(name)[:2, 3] for name in ("block", f"{self.variation}_target"))
        direction = (p_target - p_block) / left_m
        end = _pose(p_target - TOUCH_M * direction, direction)
        push = straight(end, 1.0, PUSH_M_S, dwell_s=0.2)
        T = cell.T_base_tcp()
        p_before = p_block - T[:2, 3]
        aside_m = abs(p_before[0] * direction[1] - p_before[1] * direction[0])
        low = T[2, 3] < LOW_M and offset(cell, end)[2] < TURNED_RAD
        if low and aside_m < BESIDE_M and 0.5 * TOUCH_M < p_before @ direction < BEHIND_M + 0.02:
            return (push,)
        start = _pose(p_block - BEHIND_M * direction, direction)
        return *approach(cell, start, 1.0, CLEAR_M, HOVER_M), push

    def _left_m(self, cell: Cell) -> float:
        offset_m = cell.body_pose("block")[:2, 3] - cell.body_pose(f"{self.variation}_target")[:2, 3]
        return float(np.linalg.norm(offset_m))


def _pose(p_base: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The fingers side by side across a direction, as far as the arm can turn them."""
    natural = np.arctan2(p_base[1], p_base[0])
    yaw = (np.arctan2(direction[1], direction[0]) - natural + np.pi / 2) % np.pi - np.pi / 2
    return down(np.array([*p_base, HEIGHT_M]), natural + np.clip(yaw, -LARGEST_YAW_RAD, LARGEST_YAW_RAD))
