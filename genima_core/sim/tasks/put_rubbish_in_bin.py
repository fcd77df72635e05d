"""Put the rubbish in the bin: a crumpled ball of paper that lies beside two tomatoes, dropped into a wide bin."""

import mujoco
import numpy as np

from genima_core.sim.cell import Cell
from genima_core.sim.shapes import (
    COLLISION_GROUP,
    COLOURS,
    FIXED,
    LOOSE,
    UNTOUCHED,
    ball,
    cylinder,
    fixed,
    loose,
    mesh,
    vessel,
)
from genima_core.sim.task import Task, scatter
from genima_core.sim.waypoints import Waypoint, down, pick, rise

X_RANGE_M, Y_RANGE_M = (0.38, 0.62), (-0.28, 0.28)
"""Of the rubbish and the tomatoes."""
APART_M = 0.13
BIN_X_RANGE_M, BIN_Y_RANGE_M = (0.42, 0.58), (0.18, 0.29)
"""The bin stands on either side."""
BESIDE_BIN_M = 0.25
"""Nothing is nearer to its axis: the hand fits between."""
BIN_RADIUS_M, BIN_FOOT_M, BIN_HEIGHT_M, BIN_WALL_M = 0.11, 0.085, 0.12, 0.005
RUBBISH_RADIUS_M, RUBBISH_KG = 0.030, 0.02
TOMATO_RADIUS_M, TOMATO_KG = 0.028, 0.10
ROLLING = {"condim": 6, "friction": (1.2, 0.02, 0.003)}
"""With friction against rolling: neither is a marble."""
CLEAR_M, BEHIND_M = 0.22, 0.15
"""Height of the tcp to carry over the bin, and above the rubbish to come from."""
OVER_BIN_M = 0.05
"""From its axis; there the rubbish is let go."""


class PutRubbishInBin(Task):
    instructions = (
        "put the rubbish in the bin",
        "drop the rubbish into the bin",
        "pick up the rubbish and throw it in the bin",
        "throw the crumpled paper away",
    )
    paraphrases = ("the paper ball belongs in the waste basket", "get rid of the trash and leave the tomatoes alone")
    goal = "the rubbish lies in the bin"

    def build(self, spec: mujoco.MjSpec) -> None:
        size = BIN_RADIUS_M, BIN_HEIGHT_M, BIN_WALL_M
        vessel(spec, fixed(spec, "bin"), *size, COLOURS["green"], foot=BIN_FOOT_M, contact=FIXED)
        rubbish = loose(spec, "rubbish")
        ball(rubbish, RUBBISH_RADIUS_M, mass=RUBBISH_KG, group=COLLISION_GROUP, **LOOSE | ROLLING)
        mesh(spec, rubbish, *_crumpled(1.12 * RUBBISH_RADIUS_M), COLOURS["white"])
        for name in ("tomato1", "tomato2"):
            tomato = loose(spec, name)
            ball(tomato, TOMATO_RADIUS_M, colour=COLOURS["red"], mass=TOMATO_KG, **LOOSE | ROLLING)
            cylinder(tomato, 0.010, 0.001, (0, 0, TOMATO_RADIUS_M), COLOURS["green"], **UNTOUCHED)

    def reset(self, cell: Cell, rng: np.random.Generator) -> None:
        p_bin = np.array([rng.uniform(*BIN_X_RANGE_M), rng.choice([-1, 1]) * rng.uniform(*BIN_Y_RANGE_M), 0.0])
        cell.place("bin", p_bin)
        places = scatter(rng, 3, X_RANGE_M, Y_RANGE_M, APART_M, [p_bin], BESIDE_BIN_M)
        for name, place in zip(("rubbish", "tomato1", "tomato2"), places, strict=True):
            cell.place(name, (*place, RUBBISH_RADIUS_M if name == "rubbish" else TOMATO_RADIUS_M))

    def success(self, cell: Cell) -> bool:
        beside = cell.body_pose("rubbish")[:3, 3] - cell.body_pose("bin")[:3, 3]
        return bool(np.linalg.norm(beside[:2]) < BIN_RADIUS_M and beside[2] < BIN_HEIGHT_M / 2)

    def waypoints(self, cell: Cell) -> tuple[Waypoint, ...]:
        if self.success(cell):
            return rise(cell, CLEAR_M, 1.0)
        p_rubbish, over_bin = (cell.body_pose(name)[:3, 3] for name in ("rubbish", "bin"))
        picked = pick(cell, "rubbish", down(p_rubbish), CLEAR_M, distance_m=BEHIND_M)
        T_drop = down(over_bin + [0.0, 0.0, CLEAR_M])
        if not picked and np.linalg.norm(cell.T_base_tcp()[:2, 3] - over_bin[:2]) < OVER_BIN_M:
            return (Waypoint(cell.T_base_tcp(), 1.0, dwell_s=0.5),)
        T_lifted = down(np.array([*p_rubbish[:2], CLEAR_M]))
        lift = (Waypoint(T_lifted, 0.0),) if picked else rise(cell, CLEAR_M, 0.0)
        return *picked, *lift, Waypoint(T_drop, 0.0, dwell_s=0.2), Waypoint(T_drop, 1.0, dwell_s=0.5)


def _crumpled(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 3) and faces (m, 3) of a ball with dents."""
    rng, around, along = np.random.default_rng(1), 10, 7
    angle, height = np.meshgrid(2 * np.pi * np.arange(around) / around, np.linspace(-1, 1, along))
    ring = np.sqrt(1 - height**2)
    sphere = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=-1)
    depth = rng.uniform(0.78, 1.0, (along, around, 1))
    depth[[0, -1]] = 0.85
    i, j = np.meshgrid(np.arange(along - 1), np.arange(around), indexing="ij")
    a, b = i * around + j, i * around + (j + 1) % around
    faces = np.concatenate([np.stack([a, b, b + around], -1), np.stack([a, b + around, a + around], -1)])
    return (radius * depth * sphere).reshape(-1, 3), faces.reshape(-1, 3)
