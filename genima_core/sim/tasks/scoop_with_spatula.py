"""Scoop with the spatula: one of two cubes, told apart by their colour, is taken up on the blade and lifted."""

import mujoco
import numpy as np

from genima_core.geometry import invert
from genima_core.sim.cell import Cell
from genima_core.sim.shapes import COLOURS, LOOSE, box, facing_away, heading, loose, mesh, yawed
from genima_core.sim.task import Task, polar
from genima_core.sim.waypoints import Waypoint, down, offset, pick, shifted, straight

SPATULA_RADIUS_RANGE_M, SPATULA_BEARING_RANGE_RAD, YAW_RANGE_RAD = (0.46, 0.50), (-0.12, 0.12), (-0.2, 0.2)
"""Of the end of the blade where the handle begins, seen from the arm's base; it points away from there."""
CUBE_RADIUS_RANGE_M, CUBE_ASIDE_RANGE_RAD = (0.58, 0.64), (0.38, 0.50)
"""One cube is to the left of the spatula, one to the right."""
CUBE_HALF_M, CUBE_KG = 0.025, 0.015
BLADE_M, BLADE_HALF_WIDTH_M, BLADE_THICK_M, BLADE_KG = 0.09, 0.045, 0.005, 0.03
"""A wedge, thickest where the handle begins, and slippery."""
HANDLE_M, HANDLE_HALF_M, SLOPE_RAD, HANDLE_KG = 0.16, (0.017, 0.008), np.deg2rad(25), 0.012
P_GRASP_M = 0.07 * np.array([-np.cos(SLOPE_RAD), 0.0, np.sin(SLOPE_RAD)]) + [0.0, 0.0, BLADE_THICK_M]
"""Where the handle is grasped, in the frame of the spatula."""
BEFORE_M, UNDER_M = 0.03, 0.06
"""From the blade's tip to the cube before it is scooped, and how far past the cube's middle the tip is then pushed."""
ASIDE_M, TURNED_RAD, LOW_M = 0.015, 0.12, 0.012
"""A spatula at most so far from the line to the cube, turned by so much and so high is pushed at once."""
ON_BLADE_M = 0.018
"""A cube whose middle is so far behind the blade's tip is lifted."""
TIP_DOWN_RAD, TIP_UP_RAD, PRESS_M = 0.04, 0.06, 0.0005
"""The blade leans forward while it is pushed, its tip pressed so far onto the table, and back while it is lifted."""
CARRY_M, CLEAR_M, LIFT_M, LIFTED_M = 0.06, 0.20, 0.15, 0.10
"""Heights of the carried spatula, of the tcp without it, of the lifted spatula, and of a cube that counts as lifted."""


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

    def build(self, spec: mujoco.MjSpec) -> None:
        spatula, back, tip = loose(spec, "spatula"), BLADE_THICK_M, 0.0006
        sides = [(x, side * BLADE_HALF_WIDTH_M, top) for x, top in ((0.0, back), (BLADE_M, tip)) for side in (-1, 1)]
        wedge = np.array([(x, y, z) for x, y, top in sides for z in (0, top)])
        slippery = {**LOOSE, "friction": (0.15, 0.01, 0.0001), "condim": 4, "priority": 1}
        mesh(spec, spatula, wedge, None, COLOURS["steel"], mass=BLADE_KG, **slippery)
        middle = (-HANDLE_M / 2 * np.cos(SLOPE_RAD), 0, BLADE_THICK_M + HANDLE_M / 2 * np.sin(SLOPE_RAD))
        turned = (np.cos(SLOPE_RAD / 2), 0, np.sin(SLOPE_RAD / 2), 0)
        box(spatula, (HANDLE_M / 2, *HANDLE_HALF_M), middle, COLOURS["black"], quat=turned, mass=HANDLE_KG, **LOOSE)
        for colour in self.variations:
            cube = loose(spec, f"{colour}_cube")
            box(cube, 3 * (CUBE_HALF_M,), (0, 0, 0), COLOURS[colour], mass=CUBE_KG, **LOOSE)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        radius_m, bearing_rad = rng.uniform(*SPATULA_RADIUS_RANGE_M), rng.uniform(*SPATULA_BEARING_RANGE_RAD)
        place = polar(radius_m, bearing_rad)
        cell.place("spatula", place + [0.0, 0.0, 0.0005], facing_away(place, rng.uniform(*YAW_RANGE_RAD)))
        for colour, side in zip(self.variations, rng.permutation([-1, 1]), strict=True):
            radius_m, aside_rad = rng.uniform(*CUBE_RADIUS_RANGE_M), side * rng.uniform(*CUBE_ASIDE_RANGE_RAD)
            place = polar(radius_m, bearing_rad + aside_rad)
            R_base_cube = facing_away(place, rng.uniform(*YAW_RANGE_RAD))
            cell.place(f"{colour}_cube", place + [0.0, 0.0, CUBE_HALF_M], R_base_cube)

    def success(self, cell: Cell) -> bool:
        lifted = cell.body_pose(self._cube)[2, 3] > LIFTED_M
        return bool(lifted and self._behind_tip_m(cell) > 0.0) and cell.holds("spatula")

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        T_base_spatula, p_cube = cell.body_pose("spatula"), cell.body_pose(self._cube)[:3, 3]
        grasp = down(T_base_spatula[:3, :3] @ P_GRASP_M + T_base_spatula[:3, 3], heading(T_base_spatula))
        picked = pick(cell, "spatula", grasp, CLEAR_M)
        T_held, height_m = grasp if picked else cell.T_base_tcp(), T_base_spatula[2, 3]
        if not picked and self._behind_tip_m(cell) > ON_BLADE_M:
            return (_lift(T_held, max(LIFT_M - height_m, 0.0)),)
        before, under = _pushed(p_cube, -CUBE_HALF_M - BEFORE_M), _pushed(p_cube, UNDER_M)
        lower = straight(before, 0.0, 0.1, dwell_s=0.2)
        scoop = straight(under, 0.0, 0.15, dwell_s=0.2), _lift(under, LIFT_M)
        aside_m = abs((yawed(-heading(under)) @ (T_base_spatula[:3, 3] - p_cube))[1])
        turned_rad = abs(heading(T_base_spatula) - heading(under))
        if not picked and aside_m < ASIDE_M and turned_rad < TURNED_RAD and height_m < LOW_M:
            return scoop
        beside_m, above_m, off_rad = offset(cell, before)
        if not picked and beside_m < ASIDE_M and off_rad < TURNED_RAD and above_m > 0:
            return lower, *scoop
        up = (straight(shifted(T_held, (0.0, 0.0, CARRY_M - height_m)), 0.0),) if height_m < CARRY_M / 2 else ()
        over = Waypoint(shifted(before, (0.0, 0.0, CARRY_M)), 0.0, speed_m_s=0.25)
        return *picked, *up, over, lower, *scoop

    @property
    def _cube(self) -> str:
        return f"{self.variation}_cube"

    def _behind_tip_m(self, cell: Cell) -> float:
        """How far the blade's tip is past the middle of the cube; 0 if the cube is not on the blade."""
        x, y, z = (invert(cell.body_pose("spatula")) @ cell.body_pose(self._cube))[:3, 3]
        on_blade = x > 0.0 and abs(y) < BLADE_HALF_WIDTH_M and abs(z - CUBE_HALF_M) < 0.015
        return float(BLADE_M - x) if on_blade else 0.0


def _pushed(p_cube: np.ndarray, past_m: float) -> np.ndarray:
    """T_base_tcp of a spatula on the table, pushed away from the base until its tip is past the cube's middle."""
    bearing, tip_m = float(np.arctan2(p_cube[1], p_cube[0])), BLADE_M - P_GRASP_M[0]
    up_m = P_GRASP_M[2] + TIP_DOWN_RAD * tip_m - PRESS_M
    p_tcp = polar(np.hypot(*p_cube[:2]) + past_m - tip_m, bearing) + [0.0, 0.0, up_m]
    return down(p_tcp, bearing, -TIP_DOWN_RAD)


def _lift(T_base_tcp: np.ndarray, by_m: float) -> Waypoint:
    lifted = down(T_base_tcp[:3, 3] + [0.0, 0.0, by_m], heading(T_base_tcp), TIP_UP_RAD)
    return straight(lifted, 0.0, 0.15, dwell_s=0.3)
