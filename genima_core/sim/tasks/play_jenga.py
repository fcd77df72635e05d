"""Play Jenga: pull one of two blocks that stick out of a tower, told apart by colour, and let the tower stand."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, LOOSE, box, facing_away, heading, loose, yawed
from genima_core.sim.task import Task
from genima_core.sim.waypoints import SETTLE_S, Waypoint, down, let_go, pick, rise, shifted, straight

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.57, 0.66), (-0.20, 0.20), (-0.3, 0.3)
"""Of the tower's middle; turned by so much against the direction away from the arm."""
BLOCK_M, BLOCK_KG = (0.090, 0.030, 0.018), 0.025
"""Length, width and height of a block: a fifth larger than life."""
BESIDE_M, PLAY_M = 0.0004, 0.0005
"""Blocks are narrower by so much on each side; the two that are to be pulled are also flatter, and thereby loose."""
LAYERS, LOOSE_LAYER, OUT_M = 5, 2, 0.040
"""How far the two blocks at the sides of that layer stick out to the arm."""
WOODS = COLOURS["wood"], (0.62, 0.45, 0.28)
WOOD_FRICTION = (0.35, 0.01, 0.0001)
STANDS_M, OUTSIDE_M = 0.02, np.hypot(BLOCK_M[0], BLOCK_M[1])
"""The tower stands while no other block is further than this from where it was; a block so far from the tower's axis
is outside it."""
GRASP_M, ABOVE_M, TILT_RAD, OPENING = 0.027, 0.003, np.deg2rad(20), 0.5
"""A block is gripped so far in front of its middle and above it, by a hand that leans away from the tower."""
PULL_M, PULL_M_S, NEAR_M, LAID_DOWN_M = 0.085, 0.1, 0.005, 0.020
CLEAR_M = 0.22


class PlayJenga(Task):
    variations = ("red", "blue")
    instructions = (
        "play jenga: take the {} block",
        "pull the {} block out of the tower",
        "slide the {} block out and keep the tower standing",
        "take the {} block out of the tower and put it down",
    )
    paraphrases = ("get the piece that is {} without toppling the stack", "remove the {} piece from the pile")
    goal = "the named block lies outside the tower, and every other one is where it was"
    start_upper_m = (0.46, 0.30, 0.45)

    def __init__(self) -> None:
        self._middle, self._before = np.zeros(3), dict[str, np.ndarray]()

    def build(self, spec: mujoco.MjSpec) -> None:
        for i, name in enumerate(self._blocks):
            half = tuple(np.array(BLOCK_M) / 2 - [0, BESIDE_M, PLAY_M if name in self.variations else 0])
            colour = COLOURS[name] if name in self.variations else WOODS[i % 2]
            box(loose(spec, name), half, colour=colour, mass=BLOCK_KG, **LOOSE | {"friction": WOOD_FRICTION})

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        self._middle = np.array([rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), 0.0])
        R_base_tower = facing_away(self._middle, rng.uniform(*YAW_RANGE_RAD))
        sides = iter(rng.permutation(self.variations))
        others = (name for name in self._blocks if name not in self.variations)
        for layer in range(LAYERS):
            R_tower_block = yawed(np.pi / 2 * (layer % 2))
            for column in (-1, 0, 1):
                sticks_out = layer == LOOSE_LAYER and column != 0
                name = next(sides) if sticks_out else next(others)
                beside = (-OUT_M if sticks_out else 0.0, column * BLOCK_M[1], (layer + 0.5) * BLOCK_M[2])
                self._before[name] = self._middle + R_base_tower @ R_tower_block @ beside
                cell.place(name, self._before[name], R_base_tower @ R_tower_block)

    def success(self, cell: Cell) -> bool:
        others = self._before.keys() - {self.variation}
        stands = all(np.linalg.norm(cell.body_pose(name)[:3, 3] - self._before[name]) < STANDS_M for name in others)
        beside_m = np.linalg.norm(cell.body_pose(self.variation)[:2, 3] - self._middle[:2])
        return bool(beside_m > OUTSIDE_M and stands and not cell.touching(self.variation) & cell.fingers)

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        if self.success(cell):
            return rise(cell, CLEAR_M, OPENING)
        T_base_block = cell.body_pose(self.variation)
        ahead = T_base_block[:3, 0]
        grasp = down(T_base_block[:3, 3] - GRASP_M * ahead + [0, 0, ABOVE_M], heading(T_base_block), TILT_RAD)
        picked = pick(cell, self.variation, grasp, CLEAR_M, OPENING)
        left_m = PULL_M - float((self._before[self.variation] - T_base_block[:3, 3]) @ ahead)
        T_out = shifted(grasp if picked else cell.T_base_tcp(), -max(left_m, 0.0) * ahead)
        pull = (straight(T_out, 0.0, PULL_M_S),) if left_m > NEAR_M else ()
        T_laid = shifted(T_out, (0.0, 0.0, LAID_DOWN_M - T_out[2, 3]))
        return *picked, *pull, straight(T_laid, 0.0, 0.1, SETTLE_S), *let_go(T_laid, OPENING)

    @property
    def _blocks(self) -> tuple[str, ...]:
        return *self.variations, *(f"block{i}" for i in range(3 * LAYERS - len(self.variations)))
