"""Insert a USB stick into a computer: one of two sticks, told apart by their colour, pushed into the port in front."""

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
    pierced,
)
from genima_core.sim.task import Task, scatter
from genima_core.sim.waypoints import SETTLE_S, Waypoint, carry, down, pick, shifted, straight

COMPUTER_X_RANGE_M, COMPUTER_Y_RANGE_M = (0.56, 0.64), (-0.16, 0.16)
"""Of the middle of its front."""
STICK_X_RANGE_M, STICK_Y_RANGE_M = (0.36, 0.58), (-0.30, 0.30)
YAW_RANGE_RAD = (-0.4, 0.4)
"""Computer and sticks point away from the arm, turned by so much."""
APART_M = 0.14
CASE_M, SCREEN_M = (0.16, 0.18, 0.050), (0.05, 0.13, 0.08)
"""Depth, width and height of the case, and of the screen on it."""
SCREEN_BACK_M = 0.07
PORT_M, RIM_M = (0.024, 0.020, 0.011), 0.006
"""The port's depth, width and height, in the middle of the front."""
STICK_M, TIP_M = (0.050, 0.020, 0.014), (0.016, 0.012, 0.005)
TIP_MIDDLE_M, STICK_KG = (STICK_M[0] + TIP_M[0]) / 2, 0.02
INSERTED_M, GOAL_M = 0.004, 0.007
"""How deep the middle of the tip is in the port when it counts, and where the expert brings it."""
ABOVE_M = 0.006
"""A stick is gripped so far above its middle."""
BEFORE_M, PUSH_M_S = 0.045, 0.06
BESIDE_M = 0.004
"""A stick within this distance of the port's axis is pushed in from where it is."""
CLEAR_M = 0.16


class InsertUsbInComputer(Task):
    variations = ("red", "blue")
    instructions = (
        "insert the {} usb stick in the computer",
        "pick up the {} usb stick and plug it into the computer",
        "push the {} usb stick into the port",
        "put the {} usb stick in the usb port",
    )
    paraphrases = ("connect the memory stick that is {}", "plug the {} flash drive in")
    goal = "the metal tip of the named stick is in the port"
    start_upper_m = (0.48, 0.30, 0.45)

    def build(self, spec: mujoco.MjSpec) -> None:
        computer, case = fixed(spec, "computer"), COLOURS["grey"]
        (depth, width, height), (deep, wide, high) = np.array(CASE_M) / 2, np.array(PORT_M) / 2
        pierced(computer, (deep, width, height), (wide, high), (deep, 0, height), case)
        box(computer, (depth - deep, width, height), (depth + deep, 0, height), case)
        rim = (0.001, wide + RIM_M, high + RIM_M)
        pierced(computer, rim, (wide, high), (0, 0, height), COLOURS["white"], **UNTOUCHED)
        box(computer, (0.001, wide, high), (2 * deep, 0, height), COLOURS["black"], **UNTOUCHED)
        box(computer, (0.001, 0.022, 0.004), (0, -0.055, height), COLOURS["black"], **UNTOUCHED)
        cylinder(computer, 0.006, 0.002, (0, 0.06, height), COLOURS["green"], axis="x", **UNTOUCHED)
        (flat, across, high), x = np.array(SCREEN_M) / 2, SCREEN_BACK_M
        box(computer, (flat, across, high), (x + flat, 0, CASE_M[2] + 0.01 + high), COLOURS["black"])
        glass = (0.001, 0.9 * across, 0.85 * high)
        box(computer, glass, (x, 0, CASE_M[2] + 0.01 + high), COLOURS["navy"], **UNTOUCHED)
        box(computer, (flat, 0.03, 0.005), (x + flat, 0, CASE_M[2] + 0.005), COLOURS["black"])
        for colour in self.variations:
            stick = loose(spec, f"{colour}_usb")
            box(stick, tuple(np.array(STICK_M) / 2), colour=COLOURS[colour], mass=STICK_KG, **LOOSE)
            box(stick, tuple(np.array(TIP_M) / 2), (TIP_MIDDLE_M, 0, 0), COLOURS["steel"], mass=STICK_KG / 5, **LOOSE)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        front = np.array([rng.uniform(*COMPUTER_X_RANGE_M), rng.uniform(*COMPUTER_Y_RANGE_M), 0.0])
        R_base_computer = facing_away(front, rng.uniform(*YAW_RANGE_RAD))
        cell.place("computer", front, R_base_computer)
        taken = [front + R_base_computer @ [x, y, 0.0] for x in (0.0, 0.1) for y in (-0.08, 0.0, 0.08)]
        places = scatter(rng, len(self.variations), STICK_X_RANGE_M, STICK_Y_RANGE_M, APART_M, taken)
        for colour, place in zip(self.variations, places, strict=True):
            R_base_stick = facing_away(place, rng.uniform(*YAW_RANGE_RAD))
            cell.place(f"{colour}_usb", (*place, STICK_M[2] / 2), R_base_stick)

    def success(self, cell: Cell) -> bool:
        x, y, z, _ = invert(self._port(cell)) @ cell.body_pose(self._stick) @ [TIP_MIDDLE_M, 0.0, 0.0, 1.0]
        return bool(x > INSERTED_M and abs(y) < PORT_M[1] / 2 and abs(z) < PORT_M[2] / 2)

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        T_base_stick, T_base_port = cell.body_pose(self._stick), self._port(cell)
        grasp = down(T_base_stick[:3, 3] + [0.0, 0.0, ABOVE_M], heading(T_base_stick))
        picked = pick(cell, self._stick, grasp, CLEAR_M)
        T_held = grasp if picked else cell.T_base_tcp()
        T_inserted = T_base_port @ make_transform(np.eye(3), (GOAL_M - TIP_MIDDLE_M, 0.0, 0.0))
        T_goal = T_inserted @ invert(T_base_stick) @ T_held
        push = straight(T_goal, 0.0, PUSH_M_S, SETTLE_S)
        before_m, *beside_m = (invert(T_inserted) @ T_base_stick)[:3, 3]
        if not picked and before_m > -BEFORE_M - 0.01 and np.linalg.norm(beside_m) < BESIDE_M:
            return (push,)
        T_before = shifted(T_goal, -BEFORE_M * T_base_port[:3, 0])
        return *picked, *carry(cell, picked, T_before, CLEAR_M), push

    def _port(self, cell: Cell) -> np.ndarray:
        """T_base_port; its x axis leads in."""
        return cell.body_pose("computer") @ make_transform(np.eye(3), (0.0, 0.0, CASE_M[2] / 2))

    @property
    def _stick(self) -> str:
        return f"{self.variation}_usb"
