"""Scoop with the spatula: one of two cubes, told apart by their colour, is taken up on the blade and lifted."""

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from genima_core.geometry import invert
from genima_core.sim.shapes import COLOURS, LOOSE, box, heading, loose, mesh, yawed
from genima_core.sim.task import Task
from genima_core.sim.waypoints import Waypoint, down, offset, pick, shifted, straight

if TYPE_CHECKING:
    from genima_core.sim.cell import Cell

SPATULA_RADIUS_RANGE_M, SPATULA_BEARING_RANGE_RAD, YAW_RANGE_RAD = (0.46, 0.50), (-0.12, 0.12), (-0.2, 0.2)
"""Of the end of the blade where the handle begins, seen from the arm's base; it points away from there."""
CUBE_RADIUS_RANGE_M, CUBE_ASIDE_RANGE_RAD = (0.58, 0.64), (0.38, 0.50)
"""One cube is to the left of the spatula, one to the right."""
CUBE_HALF_M, CUBE_KG = 0.025, 0.015
BLADE_M, BLADE_HALF_WIDTH_M, BLADE_THICK_M, BLADE_KG = 0.09, 0.045, 0.005, 0.03
"""A wedge, thickest where the handle begins, and slippery."""
HANDLE_M, HANDLE_HALF_M, SLOPE_RAD, HANDLE_KG = 0.16, (0.017, 0.008), np.deg2rad(25), 0.012
GRASP_M = 0.07
"""Along the handle."""
BEFORE_M, UNDER_M = 0.03, 0.06
"""From the blade's tip to the cube before it is scooped, and how far past its middle the tip is pushed."""
ASIDE_M, TURNED_RAD, LOW_M = 0.015, 0.12, 0.012
"""A spatula that lies so near to the line to the cube, turned by less and so low, is pushed at once."""
ON_BLADE_M = 0.018
"""From the tip to the middle of a cube that is on the blade."""
TIP_DOWN_RAD, TIP_UP_RAD, PRESS_M = 0.04, 0.06, 0.0005
"""The blade leans forward while it is pushed, its tip pressed so far onto the table, and back while it is lifted."""
CARRY_M, CLEAR_M, LIFT_M, LIFTED_M = 0.06, 0.20, 0.15, 0.10
"""Rise of the spatula while it is carried; height of the tcp without it; rise with the cube, and which counts."""


class ScoopWithSpatula(Task):
    variations = ("orange", "blue")
    instructions = (
        "scoop up the {} cube with the spatula",
        "lift the {} cube with the spatula",
        "use the spatula to scoop up the {} cube",
        "pick up the {} cube with the spatula",
    )
    paraphrases = ("get the {} block onto the spatula and raise it", "take the turner and lift the {} block on it")
    goal = f"the named cube is on the held spatula's blade, {100 * LIFTED_M:.0f} cm above the table"
    keeps_colour = tuple(f"{colour}_cube" for colour in variations)

    def build(self, spec: mujoco.MjSpec) -> None:
        spatula, back, tip = loose(spec, "spatula"), BLADE_THICK_M, 0.0006
        corners = [(x, y, z) for x, top in ((0.0, back), (BLADE_M, tip)) for y in (-1, 1) for z in (0, top)]
        vertices = np.array([(x, y * BLADE_HALF_WIDTH_M, z) for x, y, z in corners])
        faces = [(0, 1, 3), (0, 3, 2), (4, 7, 5), (4, 6, 7), (0, 5, 1), (0, 4, 5)]
        faces += [(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]
        blade = mesh(spec, spatula, vertices, np.array(faces), COLOURS["steel"])
        blade.contype, blade.conaffinity, blade.mass = LOOSE["contype"], LOOSE["conaffinity"], BLADE_KG
        blade.friction, blade.condim, blade.priority = (0.15, 0.01, 0.0001), 4, 1
        middle = (-HANDLE_M / 2 * np.cos(SLOPE_RAD), 0, BLADE_THICK_M + HANDLE_M / 2 * np.sin(SLOPE_RAD))
        turned = (np.cos(SLOPE_RAD / 2), 0, np.sin(SLOPE_RAD / 2), 0)
        box(spatula, (HANDLE_M / 2, *HANDLE_HALF_M), middle, COLOURS["black"], quat=turned, mass=HANDLE_KG, **LOOSE)
        for colour in self.variations:
            cube = loose(spec, f"{colour}_cube")
            box(cube, 3 * (CUBE_HALF_M,), (0, 0, 0), COLOURS[colour], mass=CUBE_KG, **LOOSE)

    def reset(self, cell: "Cell", rng: np.random.Generator) -> None:
        radius, bearing = rng.uniform(*SPATULA_RADIUS_RANGE_M), rng.uniform(*SPATULA_BEARING_RANGE_RAD)
        R = yawed(bearing + rng.uniform(*YAW_RANGE_RAD))
        cell.place("spatula", (radius * np.cos(bearing), radius * np.sin(bearing), 0.0005), R)
        for colour, side in zip(self.variations, rng.permutation([-1, 1]), strict=True):
            radius, aside = rng.uniform(*CUBE_RADIUS_RANGE_M), bearing + side * rng.uniform(*CUBE_ASIDE_RANGE_RAD)
            R = yawed(aside + rng.uniform(*YAW_RANGE_RAD))
            cell.place(f"{colour}_cube", (radius * np.cos(aside), radius * np.sin(aside), CUBE_HALF_M), R)

    def success(self, cell: "Cell") -> bool:
        lifted = cell.body_pose(self._cube)[2, 3] > LIFTED_M
        return bool(lifted and self._is_on_blade(cell, 0.0)) and cell.holds("spatula")

    def waypoints(self, cell: "Cell") -> tuple[Waypoint, ...]:
        T_base_spatula, p_cube = cell.body_pose("spatula"), cell.body_pose(self._cube)[:3, 3]
        p_grasp = np.array([-GRASP_M * np.cos(SLOPE_RAD), 0.0, BLADE_THICK_M + GRASP_M * np.sin(SLOPE_RAD)])
        grasp = down(T_base_spatula[:3, :3] @ p_grasp + T_base_spatula[:3, 3], heading(T_base_spatula))
        picked = pick(cell, "spatula", grasp, CLEAR_M)
        T = grasp if picked else cell.T_base_tcp()
        if self._is_on_blade(cell) and not picked:
            rest_m = max(LIFT_M - T_base_spatula[2, 3], 0.0)
            return (self._lift(T, rest_m, heading(T_base_spatula)),)
        bearing = float(np.arctan2(p_cube[1], p_cube[0]))
        raised_m = TIP_DOWN_RAD * (BLADE_M - p_grasp[0]) - PRESS_M
        direction = np.array([np.cos(bearing), np.sin(bearing), 0.0])
        p_tcp = np.array([*p_cube[:2], 0.0]) + (p_grasp[0] - BLADE_M) * direction + [0, 0, p_grasp[2] + raised_m]
        before = down(p_tcp - (CUBE_HALF_M + BEFORE_M) * direction, bearing, -TIP_DOWN_RAD)
        under = down(p_tcp + UNDER_M * direction, bearing, -TIP_DOWN_RAD)
        scoop = straight(under, 0.0, 0.15, dwell_s=0.2)
        lift = self._lift(under, LIFT_M, bearing)
        aside = T_base_spatula[:2, 3] - p_cube[:2]
        aside_m = abs(aside[0] * direction[1] - aside[1] * direction[0])
        turned_rad = abs(heading(T_base_spatula) - bearing)
        if not picked and aside_m < ASIDE_M and turned_rad < TURNED_RAD and T_base_spatula[2, 3] < LOW_M:
            return scoop, lift
        lower = straight(before, 0.0, 0.1, dwell_s=0.2)
        beside_m, above_m, off_rad = offset(cell, before)
        if not picked and beside_m < ASIDE_M and off_rad < TURNED_RAD and above_m > 0:
            return lower, scoop, lift
        way = [Waypoint(shifted(before, (0.0, 0.0, CARRY_M)), 0.0, speed_m_s=0.25)]
        if T_base_spatula[2, 3] < CARRY_M / 2:
            way.insert(0, straight(shifted(T, (0.0, 0.0, CARRY_M - T_base_spatula[2, 3])), 0.0))
        return *picked, *way, lower, scoop, lift

    @property
    def _cube(self) -> str:
        return f"{self.variation}_cube"

    def _lift(self, T_base_tcp: np.ndarray, rest_m: float, bearing: float) -> Waypoint:
        lifted = down(T_base_tcp[:3, 3] + [0.0, 0.0, rest_m], bearing, TIP_UP_RAD)
        return straight(lifted, 0.0, 0.15, dwell_s=0.3)

    def _is_on_blade(self, cell: "Cell", margin_m: float = ON_BLADE_M) -> bool:
        """Whether the tip is so far past the middle of the cube."""
        p = (invert(cell.body_pose("spatula")) @ cell.body_pose(self._cube))[:3, 3]
        return bool(
            0.0 < p[0] < BLADE_M - margin_m and abs(p[1]) < BLADE_HALF_WIDTH_M and abs(p[2] - CUBE_HALF_M) < 0.015
        )
