"""Put a book on the bookshelf: one of three that stand on the table, told apart by its colour."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, LOOSE, UNTOUCHED, box, facing_away, fixed, heading, loose
from genima_core.sim.task import Task, scatter
from genima_core.sim.waypoints import Waypoint, down, pick, rise, straight

SHELF_X_RANGE_M, SHELF_Y_RANGE_M, SHELF_YAW_RANGE_RAD = (0.62, 0.66), (-0.14, 0.14), (-0.2, 0.2)
HALF_DEPTH_M, HALF_WIDTH_M, BOARD_M, SIDE_M = 0.065, 0.15, 0.008, 0.22
"""The sides are as high as the whole bookcase."""
TOP_SHELF_M = 0.12
X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.34, 0.45), (-0.28, 0.28), (-0.5, 0.5)
"""Of the books, in front of the shelf."""
APART_M = 0.15
HALF_BOOK_M, BOOK_KG = (0.045, 0.015, 0.06), 0.25
GRASP_BELOW_TOP_M = 0.022
PLACE_Y_M, PLACE_WITHIN_M = -0.03, 0.03
"""Where on the shelf the expert puts it, beside the books that are there."""
CLEAR_M = 0.35
"""Height of the tcp at which a held book is above the bookcase."""


class PutBooksOnBookshelf(Task):
    variations = ("red", "blue", "orange")
    instructions = (
        "put the {} book on the bookshelf",
        "pick up the {} book and place it on the top shelf",
        "place the {} book on the shelf",
        "put the book that is {} with the other books",
    )
    paraphrases = ("tidy the {} volume away into the bookcase", "the bookcase is missing its {} volume")
    goal = "the named book is on the top shelf, let go"
    start_upper_m = (0.50, 0.30, 0.45)

    def build(self, spec: mujoco.MjSpec) -> None:
        shelf, wood = fixed(spec, "bookshelf"), COLOURS["wood"]
        for y in (-HALF_WIDTH_M, HALF_WIDTH_M):
            box(shelf, (HALF_DEPTH_M, BOARD_M / 2, SIDE_M / 2), (0, y, SIDE_M / 2), wood)
        box(shelf, (BOARD_M / 2, HALF_WIDTH_M, SIDE_M / 2), (HALF_DEPTH_M, 0, SIDE_M / 2), COLOURS["brown"])
        for top in (BOARD_M, TOP_SHELF_M):
            box(shelf, (HALF_DEPTH_M, HALF_WIDTH_M, BOARD_M / 2), (0, 0, top - BOARD_M / 2), wood)
        for y, height, colour in ((0.132, 0.09, "grey"), (0.106, 0.08, "pink")):
            box(shelf, (0.045, 0.012, height / 2), (0.01, y, TOP_SHELF_M + height / 2), COLOURS[colour])
        for y, height, colour in ((-0.12, 0.09, "green"), (-0.09, 0.08, "white"), (-0.06, 0.085, "grey")):
            box(shelf, (0.045, 0.012, height / 2), (0.01, y, BOARD_M + height / 2), COLOURS[colour])
        for colour in self.variations:
            book, (x, y, z) = loose(spec, f"{colour}_book"), HALF_BOOK_M
            box(book, HALF_BOOK_M, colour=COLOURS[colour], mass=BOOK_KG, **LOOSE)
            box(book, (x - 0.003, y - 0.004, z + 0.0005), (0.0035, 0, 0), COLOURS["white"], **UNTOUCHED)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        p_shelf = np.array([rng.uniform(*SHELF_X_RANGE_M), rng.uniform(*SHELF_Y_RANGE_M), 0.0])
        cell.place("bookshelf", p_shelf, facing_away(p_shelf, rng.uniform(*SHELF_YAW_RANGE_RAD)))
        places = scatter(rng, len(self.variations), X_RANGE_M, Y_RANGE_M, APART_M)
        for colour, place in zip(self.variations, places, strict=True):
            cell.place(f"{colour}_book", (*place, HALF_BOOK_M[2]), facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        T_base_shelf = cell.body_pose("bookshelf")
        x, y, z = T_base_shelf[:3, :3].T @ (cell.body_pose(self._book)[:3, 3] - T_base_shelf[:3, 3])
        inside = abs(x) < HALF_DEPTH_M and abs(y) < HALF_WIDTH_M and TOP_SHELF_M < z < SIDE_M
        return bool(inside and not cell.holds(self._book))

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        if self.success(cell):
            return rise(cell, CLEAR_M, 1.0)
        T_base_book, T_base_shelf = cell.body_pose(self._book), cell.body_pose("bookshelf")
        p_grasp = T_base_book[:3, 3] + [0.0, 0.0, HALF_BOOK_M[2] - GRASP_BELOW_TOP_M]
        grasp = down(p_grasp, heading(T_base_book))
        picked = pick(cell, self._book, grasp, CLEAR_M)
        standing_m = TOP_SHELF_M + 2 * HALF_BOOK_M[2] - GRASP_BELOW_TOP_M
        p_place = T_base_shelf[:3, :3] @ [0.0, PLACE_Y_M, standing_m + 0.005] + T_base_shelf[:3, 3]
        T_place = down(p_place, heading(T_base_shelf))
        T_above = down(np.array([*p_place[:2], CLEAR_M]), heading(T_base_shelf))
        end = straight(T_place, 0.0, 0.15, dwell_s=0.2), Waypoint(T_place, 1.0, dwell_s=0.5), straight(T_above, 1.0)
        if not picked and np.linalg.norm(cell.T_base_tcp()[:2, 3] - p_place[:2]) < PLACE_WITHIN_M:
            return end
        T_lifted = down(np.array([*p_grasp[:2], CLEAR_M]), heading(T_base_book))
        lift = (straight(T_lifted, 0.0, 0.3),) if picked else rise(cell, CLEAR_M, 0.0)
        return *picked, *lift, Waypoint(T_above, 0.0), *end

    @property
    def _book(self) -> str:
        return f"{self.variation}_book"
