"""Put the knife on the chopping board: one of two, told apart by the handle, slid out of a block and laid down."""

import mujoco
import numpy as np

from genima_core.geometry import invert
from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, LOOSE, box, facing_away, fixed, heading, loose
from genima_core.sim.task import Task, polar
from genima_core.sim.waypoints import Waypoint, down, is_at, offset, pick, rise, shifted, straight

BLOCK_RADIUS_RANGE_M, BLOCK_ASIDE_RANGE_RAD = (0.56, 0.61), (0.16, 0.34)
"""Of the middle of the knife block's front, seen from the arm's base; it stands to the left or to the right."""
BOARD_RADIUS_RANGE_M, BOARD_ASIDE_RANGE_RAD = (0.48, 0.54), (0.36, 0.50)
"""Of the middle of the board, on the other side."""
YAW_RANGE_RAD = (-0.15, 0.15)
BLOCK_DEPTH_M, BLOCK_HALF_WIDTH_M, BLOCK_M = 0.16, 0.10, 0.10
SLOT_AT_M, SLOT_HALF_WIDTH_M, SLOT_M, SLOT_HIGH_M = 0.05, 0.021, 0.047, 0.007
"""Slots lie flat, left and right of the middle, at this height."""
BOARD_HALF_M = (0.14, 0.10, 0.009)
BLADE_M, BLADE_HALF_WIDTH_M, BLADE_THICK_M, BLADE_KG = 0.145, 0.016, 0.003, 0.06
HANDLE_M, HANDLE_HALF_M, HANDLE_KG = 0.11, 0.010, 0.03
GRASP_M, PULL_M = 0.05, 0.165
"""The knife is grasped so far behind its blade, and pulled so far until it is out of the block."""
CARRY_M, CLEAR_M, OVER_M = 0.15, 0.20, 0.03
"""Heights of the tcp with the knife and without it; within this distance of its place the knife is lowered."""
LYING_M, DROP_M = 0.045, 0.003
"""A knife at most so high above the table lies on the board; so high above the board the expert lets it go."""


class PutKnifeOnChoppingBoard(Task):
    variations = ("red", "blue")
    instructions = (
        "put the {} knife on the chopping board",
        "slide the {} knife out of the block and lay it on the chopping board",
        "place the knife with the {} handle on the chopping board",
        "move the {} knife from the block to the board",
    )
    paraphrases = ("the {} knife belongs on the cutting board", "leave the {}-handled knife lying on the board")
    goal = "the named knife lies on the board, let go"
    start_upper_m = (0.48, 0.30, 0.45)

    def build(self, spec: mujoco.MjSpec) -> None:
        block, middle, wood = fixed(spec, "block"), BLOCK_DEPTH_M / 2, COLOURS["brown"]
        roof = SLOT_M + SLOT_HIGH_M
        box(block, (middle, BLOCK_HALF_WIDTH_M, SLOT_M / 2), (middle, 0, SLOT_M / 2), wood)
        high = (BLOCK_M - roof) / 2
        box(block, (middle, BLOCK_HALF_WIDTH_M, high), (middle, 0, roof + high), wood)
        inner, outer = SLOT_AT_M - SLOT_HALF_WIDTH_M, SLOT_AT_M + SLOT_HALF_WIDTH_M
        for low, upper in ((-BLOCK_HALF_WIDTH_M, -outer), (-inner, inner), (outer, BLOCK_HALF_WIDTH_M)):
            half = (middle, (upper - low) / 2, SLOT_HIGH_M / 2)
            box(block, half, (middle, (low + upper) / 2, SLOT_M + SLOT_HIGH_M / 2), wood)
        box(fixed(spec, "board"), BOARD_HALF_M, (0, 0, BOARD_HALF_M[2]), COLOURS["wood"])
        for colour in self.variations:
            knife = loose(spec, f"{colour}_knife")
            blade = (BLADE_M / 2, BLADE_HALF_WIDTH_M, BLADE_THICK_M / 2)
            box(knife, blade, (BLADE_M / 2, 0, 0), COLOURS["steel"], mass=BLADE_KG, **LOOSE)
            half = (HANDLE_M / 2, HANDLE_HALF_M, HANDLE_HALF_M)
            box(knife, half, (-HANDLE_M / 2, 0, 0), COLOURS[colour], mass=HANDLE_KG, **LOOSE)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        side = rng.choice([-1, 1])
        for name, radii, asides, sign in (
            ("block", BLOCK_RADIUS_RANGE_M, BLOCK_ASIDE_RANGE_RAD, side),
            ("board", BOARD_RADIUS_RANGE_M, BOARD_ASIDE_RANGE_RAD, -side),
        ):
            place = polar(rng.uniform(*radii), sign * rng.uniform(*asides))
            R = facing_away(place, rng.uniform(*YAW_RANGE_RAD))
            cell.place(name, place, R)
            if name == "block":
                for colour, slot in zip(self.variations, rng.permutation([-1, 1]), strict=True):
                    p_slot = R @ [0.0, slot * SLOT_AT_M, SLOT_M + BLADE_THICK_M / 2]
                    cell.place(f"{colour}_knife", place + p_slot, R)

    def success(self, cell: Cell) -> bool:
        p_middle = self._knife_in(cell, "board", (BLADE_M - HANDLE_M) / 2)
        lies = (np.abs(p_middle) < [*BOARD_HALF_M[:2], LYING_M]).all()
        return bool(lies) and not cell.holds(self._knife)

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        if self.success(cell):
            return rise(cell, CLEAR_M, 1.0) or (straight(cell.T_base_tcp(), 1.0),)
        T_base_knife, T_base_block, T_base_board = (cell.body_pose(b) for b in (self._knife, "block", "board"))
        p_grasp = T_base_knife[:3, 3] - GRASP_M * T_base_knife[:3, 0]
        grasp = down(p_grasp, heading(T_base_knife))
        picked = pick(cell, self._knife, grasp, CLEAR_M)
        T = grasp if picked else cell.T_base_tcp()
        p_lay = [(HANDLE_M - BLADE_M) / 2 - GRASP_M, 0.0, 2 * BOARD_HALF_M[2] + HANDLE_HALF_M + DROP_M]
        lay = down(T_base_board[:3, :3] @ p_lay + T_base_board[:3, 3], heading(T_base_board))
        over = shifted(lay, (0.0, 0.0, CARRY_M - lay[2, 3]))
        release = (Waypoint(lay, 1.0, dwell_s=0.5), straight(shifted(lay, (0, 0, 0.08)), 1.0))
        way: list[Waypoint] = []
        p_block = self._knife_in(cell, "block", 0.0)
        if p_block[0] > 0.01 - PULL_M and abs(p_block[1]) < BLOCK_HALF_WIDTH_M and p_block[2] < BLOCK_M:
            T = shifted(T, -(p_block[0] + PULL_M) * T_base_block[:3, 0])
            way.append(straight(T, 0.0, 0.22))
        beside_m, _, turned_rad = offset(cell, lay)
        if not picked and is_at(cell, lay):
            return release
        if picked or way or beside_m > OVER_M or turned_rad > 0.15:
            if T[2, 3] < CARRY_M - 0.01:
                way.append(straight(shifted(T, (0.0, 0.0, CARRY_M - T[2, 3])), 0.0))
            way.append(Waypoint(over, 0.0))
        return *picked, *way, straight(lay, 0.0, 0.12, dwell_s=0.2), *release

    @property
    def _knife(self) -> str:
        return f"{self.variation}_knife"

    def _knife_in(self, cell: Cell, body: str, along_m: float) -> np.ndarray:
        """The point (3,) m along the knife from where its blade begins, in the frame of a body."""
        return (invert(cell.body_pose(body)) @ cell.body_pose(self._knife) @ [along_m, 0.0, 0.0, 1.0])[:3]
