"""Things on the table that belong to no task, and places for them that are in nobody's way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genima_core.sim.arm import COLLISION_GROUP
from genima_core.sim.shapes import COLOURS, ball, box, cylinder, fixed, turned

import mujoco  # isort: skip

if TYPE_CHECKING:
    from genima_core.sim.cell import Cell

X_RANGE_M, Y_RANGE_M = (-0.10, 0.92), (-0.52, 0.52)
FROM_BASE_M = 0.30
FROM_OBJECTS_M = 0.11
"""From a distractor to wherever a part of the task's objects can be: room for the hand."""
FROM_GRIPPER_M, BELOW_GRIPPER_M = 0.16, 0.20
"""A distractor is at least so far beside the expert's way or so far below it: room for the hand and what it holds."""
APART_M = 0.04
PLACES = 150
"""Places tried for each distractor, which is left out if none is free."""
SWEEP = 5
"""Distractors are kept clear of a hinged or sliding part at so many positions of its joint."""

_WHITE, _GREY, _BROWN, _STEEL = COLOURS["white"], COLOURS["grey"], COLOURS["brown"], COLOURS["steel"]


@dataclass(frozen=True)
class Thing:
    """A distractor; no instruction names any, so that none can be mistaken for a task's object."""

    radius_m: float
    height_m: float
    build: Callable[[mujoco.MjSpec, mujoco.MjsBody], object]
    """Adds its shape, standing on the body's origin."""


def _lathe(*profile: tuple[float, float], colour: tuple[float, float, float] = _GREY) -> Callable:
    """A turned thing of (radius, height) in mm, touched as a cylinder of its largest radius."""
    outline = [(0.0, 0.0), *((r / 1000, z / 1000) for r, z in profile)]
    radius, height = max(r for r, _ in outline), max(z for _, z in outline)

    def build(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
        turned(spec, body, outline, colour, sides=16)
        cylinder(body, radius, height / 2, (0, 0, height / 2), group=COLLISION_GROUP)

    return build


def _tin(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
    cylinder(body, 0.033, 0.045, (0, 0, 0.045), _STEEL)
    cylinder(body, 0.0335, 0.033, (0, 0, 0.045), _BROWN)


def _mushroom(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
    cylinder(body, 0.015, 0.02, (0, 0, 0.02), _WHITE)
    _lathe((36, 36), (30, 52), (16, 62), (0, 65), colour=_BROWN)(spec, body)


def _candle(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
    cylinder(body, 0.045, 0.004, (0, 0, 0.004), _STEEL)
    cylinder(body, 0.015, 0.045, (0, 0, 0.053), _WHITE)
    cylinder(body, 0.002, 0.006, (0, 0, 0.104), _BROWN)


def _star(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
    for angle in (0.0, np.pi / 3, 2 * np.pi / 3):
        bar = box(body, (0.05, 0.012, 0.012), (0, 0, 0.012), _BROWN)
        bar.quat = [np.cos(angle / 2), 0, 0, np.sin(angle / 2)]


def _snowman(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
    ball(body, 0.034, (0, 0, 0.032), _WHITE)
    ball(body, 0.024, (0, 0, 0.080), _WHITE)
    cylinder(body, 0.018, 0.008, (0, 0, 0.106), _BROWN)


def _brick(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
    box(body, (0.05, 0.026, 0.018), (0, 0, 0.018), _BROWN)
    for x in (-0.03, 0.0, 0.03):
        for y in (-0.013, 0.013):
            cylinder(body, 0.009, 0.004, (x, y, 0.040), _BROWN)


THINGS: dict[str, Thing] = {
    "tin": Thing(0.034, 0.09, _tin),
    "bottle": Thing(0.03, 0.12, _lathe((30, 0), (30, 65), (12, 88), (12, 112), (14, 112), (14, 120), (0, 120))),
    "bowl": Thing(0.06, 0.045, _lathe((25, 0), (30, 6), (60, 45), (55, 45), (26, 9), (0, 8))),
    "cone": Thing(0.045, 0.11, _lathe((45, 0), (45, 6), (34, 6), (6, 110), (0, 110), colour=_BROWN)),
    "tape": Thing(0.045, 0.03, _lathe((0, 1), (28, 1), (28, 30), (45, 30), (45, 0), (28, 0), colour=_WHITE)),
    "pear": Thing(0.036, 0.09, _lathe((20, 0), (34, 14), (36, 30), (28, 50), (16, 66), (13, 80), (6, 90), (0, 90))),
    "vase": Thing(0.04, 0.115, _lathe((22, 0), (40, 35), (36, 60), (16, 90), (24, 115), (20, 115), (0, 80))),
    "mushroom": Thing(0.036, 0.065, _mushroom),
    "candle": Thing(0.045, 0.11, _candle),
    "star": Thing(0.052, 0.024, _star),
    "snowman": Thing(0.034, 0.114, _snowman),
    "brick": Thing(0.057, 0.044, _brick),
}


def add_things(spec: mujoco.MjSpec, prefix: str) -> None:
    """Adds the whole pool, each a body called prefix and name."""
    for name, thing in THINGS.items():
        thing.build(spec, fixed(spec, f"{prefix}{name}"))


def free_places(cell: "Cell", rng: np.random.Generator, names: list[str]) -> dict[str, np.ndarray]:
    """Places (2,) m on the table, by name, in the way of neither the task's objects nor the expert.

    Names for which none was found are left out.
    """
    lower, upper = _reached_by_objects(cell)
    tcp = _way_of_expert(cell)
    found: dict[str, np.ndarray] = {}
    for name in names:
        thing = THINGS[name]
        places = rng.uniform([X_RANGE_M[0], Y_RANGE_M[0]], [X_RANGE_M[1], Y_RANGE_M[1]], (PLACES, 2))
        gap = np.maximum(0, np.maximum(lower - places[:, None], places[:, None] - upper))
        beside = np.linalg.norm(places[:, None] - tcp[:, :2], axis=-1) > thing.radius_m + FROM_GRIPPER_M
        above = tcp[:, 2] > thing.height_m + BELOW_GRIPPER_M
        free = (
            (np.linalg.norm(places, axis=-1) > thing.radius_m + FROM_BASE_M)
            & (np.linalg.norm(gap, axis=-1) > thing.radius_m + FROM_OBJECTS_M).all(axis=1)
            & (beside | above).all(axis=1)
        )
        for other, place in found.items():
            apart_m = thing.radius_m + THINGS[other].radius_m + APART_M
            free &= np.linalg.norm(places - place, axis=-1) > apart_m
        if free.any():
            found[name] = places[np.argmax(free)]
    return found


def _reached_by_objects(cell: "Cell") -> tuple[np.ndarray, np.ndarray]:
    """Rectangles, lower and upper corners (n, 2) m, around all parts of the task's objects wherever they can move."""
    model, scratch = cell.model, mujoco.MjData(cell.model)
    bodies = set(model.geom_bodyid[cell.task_geoms])
    parts = [
        joint
        for joint in range(model.njnt)
        if model.jnt_bodyid[joint] in bodies and model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_FREE
    ]
    positions = [cell.data.qpos.copy()]
    for joint in parts:
        for share in np.linspace(0.0, 1.0, SWEEP):
            lowest, highest = model.jnt_range[joint]
            positions.append(cell.data.qpos.copy())
            positions[-1][model.jnt_qposadr[joint]] = lowest + share * (highest - lowest)
    rectangles = []
    for qpos in positions:
        scratch.qpos[:] = qpos
        mujoco.mj_kinematics(model, scratch)
        rectangles.append(_rectangles(model, scratch, cell.task_geoms))
    lower, upper = np.concatenate(rectangles, axis=1)
    return lower, upper


def _rectangles(model: mujoco.MjModel, data: mujoco.MjData, geoms: np.ndarray) -> np.ndarray:
    """Lower and upper corners (2, n, 2) m of what the geoms cover on the table."""
    signs = np.array(np.meshgrid(*3 * [(-1, 1)])).reshape(3, 8).T
    middle, half = model.geom_aabb[geoms, None, :3], model.geom_aabb[geoms, None, 3:]
    corners = np.einsum("nij,nkj->nki", data.geom_xmat[geoms].reshape(-1, 3, 3), middle + signs * half)
    corners += data.geom_xpos[geoms, None]
    return np.stack([corners.min(axis=1), corners.max(axis=1)])[..., :2]


def _way_of_expert(cell: "Cell") -> np.ndarray:
    """Positions (n, 3) m of the tcp from where the arm is to the end of the task."""
    try:
        q = np.vstack([cell.q, cell.plan().q])
    except ValueError:  # out of the expert's reach from here; distractors still stay clear of the objects
        q = cell.q[None]
    return cell.arm.frame_pose(q, "tcp")[:, :3, 3]
