"""Put a phone's handset onto its base: one of two handsets, told apart by their colour."""

import itertools

import mujoco
import numpy as np

from genima_core.geometry import invert, make_transform
from genima_core.sim.cell import Cell
from genima_core.sim.shapes import (
    COLOURS,
    LOOSE,
    UNTOUCHED,
    box,
    cylinder,
    facing_away,
    fixed,
    heading,
    loose,
)
from genima_core.sim.task import Task, scatter
from genima_core.sim.waypoints import Waypoint, carry, down, let_go, pick, rise

X_RANGE_M, Y_RANGE_M, YAW_RANGE_RAD = (0.42, 0.60), (-0.30, 0.30), (-0.6, 0.6)
"""Of the middles of base and handsets; the yaw is about the direction away from the arm."""
APART_M = 0.20
BASE_HALF_M, BASE_HEIGHT_M = (0.085, 0.07), 0.03
CRADLE_Y_M, SADDLE_M = 0.035, 0.014
"""The handset lies on the base's left, astride a saddle of this height."""
LENGTH_M, WIDTH_M, THICK_M, PAD_M, PAD_LENGTH_M = 0.16, 0.040, 0.018, 0.018, 0.036
"""Of the handset: its bar, and the ear- and mouthpiece that stand out below it."""
PLAY_M, RAIL_M, DROP_M = 0.004, 0.012, 0.003
MASS_KG = 0.12
NEAR_M = 0.012
"""The handset lies on the base when it is within this distance of its place."""
CLEAR_M = 0.20


class PhoneOnBase(Task):
    variations = ("red", "white")
    instructions = (
        "put the {} phone on the base",
        "place the {} handset on the phone's base",
        "pick up the {} phone and put it back on its base",
        "hang up the {} phone",
    )
    paraphrases = ("end the call with the receiver that is {}", "lay the {} receiver down where it belongs")
    goal = "the named handset lies on the base and nothing holds it"

    def build(self, spec: mujoco.MjSpec) -> None:
        base, (half_x, half_y) = fixed(spec, "base"), BASE_HALF_M
        box(base, (half_x, half_y, BASE_HEIGHT_M / 2), (0, 0, BASE_HEIGHT_M / 2), COLOURS["black"])
        between = LENGTH_M / 2 - PAD_LENGTH_M - PLAY_M
        saddle = (0, CRADLE_Y_M, BASE_HEIGHT_M + SADDLE_M / 2)
        box(base, (between, WIDTH_M / 2 - 0.004, SADDLE_M / 2), saddle, COLOURS["grey"])
        end, side = (LENGTH_M - PAD_LENGTH_M) / 2, WIDTH_M / 2 + PLAY_M + 0.003
        for x, y in itertools.product((-end, end), (-side, side)):
            at = (x, CRADLE_Y_M + y, BASE_HEIGHT_M + RAIL_M / 2)
            box(base, (PAD_LENGTH_M / 2, 0.003, RAIL_M / 2), at, COLOURS["grey"])
        for key in itertools.product((-0.045, -0.015, 0.015, 0.045), (-0.055, -0.038, -0.021)):
            box(base, (0.010, 0.006, 0.003), (*key, BASE_HEIGHT_M), COLOURS["white"], **UNTOUCHED)
        for colour in self.variations:
            phone, bar = loose(spec, f"{colour}_phone"), (0, 0, PAD_M + THICK_M / 2)
            box(phone, (LENGTH_M / 2, WIDTH_M / 2, THICK_M / 2), bar, COLOURS[colour], mass=MASS_KG / 2, **LOOSE)
            for x in (-end, end):
                half = (PAD_LENGTH_M / 2, WIDTH_M / 2, PAD_M / 2)
                box(phone, half, (x, 0, PAD_M / 2), COLOURS[colour], mass=MASS_KG / 4, **LOOSE)
                cylinder(phone, 0.014, 0.001, (x, 0, 0.0), COLOURS["black"], **UNTOUCHED)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        phones = tuple(f"{colour}_phone" for colour in self.variations)
        places = scatter(rng, 1 + len(phones), X_RANGE_M, Y_RANGE_M, APART_M)
        for body, place in zip(("base", *phones), places, strict=True):
            cell.place(body, (*place, 0.0), facing_away(place, rng.uniform(*YAW_RANGE_RAD)))

    def success(self, cell: Cell) -> bool:
        off = cell.body_pose(self._phone)[:3, 3] - self._seat(cell)[:3, 3]
        return bool(np.linalg.norm(off) < NEAR_M) and not cell.touching(self._phone) & cell.fingers

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        if self.success(cell):
            return rise(cell, CLEAR_M, 1.0)
        T_base_phone = cell.body_pose(self._phone)
        grasp = down(T_base_phone[:3, :3] @ [0, 0, PAD_M + THICK_M / 2] + T_base_phone[:3, 3], heading(T_base_phone))
        picked = pick(cell, self._phone, grasp, CLEAR_M)
        T_goal = self._seat(cell) @ invert(T_base_phone) @ (grasp if picked else cell.T_base_tcp())
        return *picked, *carry(cell, picked, T_goal, CLEAR_M), *let_go(T_goal)

    def _seat(self, cell: Cell) -> np.ndarray:
        """T_base_phone of a handset that is just about to lie on the base."""
        return cell.body_pose("base") @ make_transform(np.eye(3), (0.0, CRADLE_Y_M, BASE_HEIGHT_M + DROP_M))

    @property
    def _phone(self) -> str:
        return f"{self.variation}_phone"
