"""How near the arm comes to itself and to the table: its collision meshes and a plane in MuJoCo, without rendering."""

from collections.abc import Mapping
from itertools import combinations
from types import MappingProxyType

import numpy as np

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.arm import Arm
from genima_core.sim.arm import COLLISION_GROUP, UNTOUCHED, add_arm
from genima_core.sim.margins import Margins
from genima_core.types import Contact

import mujoco  # isort: skip

TABLE = "table"
SIGHT_M = 0.06
"""Distances are measured up to this far beyond the margins; anything further away counts as this far away."""
STEP_M = 0.02
"""Near a contact, a path is checked at places between which no part moves further than this."""
NOTHING: Mapping[tuple[str, str], float] = MappingProxyType({})
HAND = ("hand", "finger1", "finger2")
CHAIN = {**{f"link{i}": i for i in range(8)}, "hand": 8, "finger1": 9, "finger2": 9}
"""Body to its place in the chain."""
NEIGHBOURS = 2
"""Bodies at most so far apart in the chain are not compared: within the joint limits they cannot meet, or they always
touch, or (links 5 and 7) they seem to touch only because a hollow link's convex hull is filled."""
ABOVE_TABLE = 3
"""The first link that could reach the table; those before it stay above it."""


class ClearanceModel:
    """The arm alone above its table; one thread at a time. Parts are convex hulls, so the truth is a little wider."""

    def __init__(self, arm: Arm, margins: Margins = Margins()) -> None:  # noqa: B008 (frozen)
        """RuntimeError: the meshes are not installed; ValueError: the arm's shapes are not described."""
        self._model, self._least_m = _build(arm, margins)
        self._data = mujoco.MjData(self._model)
        self._arm = [self._model.joint(name).qposadr[0] for name in arm.joint_names]
        self._fingers = [self._model.joint(name).qposadr[0] for name in arm.gripper.joints if arm.shapes == "franka"]
        self._finger_open_m = arm.gripper.max_width_m / max(1, len(self._fingers))
        self._bodies = [self._model.body(body).name for body in self._model.geom_bodyid]
        self._lever_m = _levers(self._model, arm)

    def check(self, q: np.ndarray, opening: float = 1.0) -> Contact | None:
        """The two bodies furthest inside their margin at `q` (7,) rad; None if all keep theirs.

        The opening is 0 closed to 1 open; open fingers are the widest.
        """
        spare_m, contact = self._nearest(q, opening, self._least_m)
        return contact if spare_m < 0 else None

    def contacts(self, q: np.ndarray) -> tuple[Contact, ...]:
        """All pairs of bodies that are nearer to each other than their margin at `q` (7,) rad, with open fingers."""
        self._place(q, 1.0)
        near = [self._contact(i) for i in range(self._data.ncon)]
        worst_last = sorted((c for c in near if c.clearance_m < 0), key=lambda c: -c.clearance_m)
        return tuple({contact.bodies: contact for contact in worst_last}.values())

    def find(self, path: np.ndarray, allowed: Mapping[tuple[str, str], float] = NOTHING) -> Contact | None:
        """The first contact found on a path (n, 7) rad, straight from point to point and with open fingers; or None.

        `allowed` gives pairs of bodies that are inside their margin already a lower one: a clearance in m, at most 0.
        Between two places that are checked no part gets more than half of STEP_M inside its margin; places that cannot
        be reached by moving less than what was free at the last one are not checked.
        """
        least_m, last = self._least_m + self._allowances(allowed), path[0]
        spare_m, contact = self._nearest(last, 1.0, least_m)
        if spare_m < 0:
            return contact
        for q in path[1:]:
            way_m, gone_m = float(self._lever_m @ np.abs(q - last)), 0.0
            while way_m - gone_m > spare_m:
                gone_m = min(gone_m + max(spare_m, STEP_M), way_m)
                spare_m, contact = self._nearest(last + gone_m / way_m * (q - last), 1.0, least_m)
                if spare_m < 0:
                    return contact
            spare_m -= way_m - gone_m
            last = q
        return None

    def _allowances(self, allowed: Mapping[tuple[str, str], float]) -> np.ndarray:
        """Clearance below which a pair is in contact, (geoms, geoms) or 0 for all."""
        names = self._bodies if allowed else []
        return np.array([[allowed.get(_in_order(one, other), 0.0) for other in names] for one in names] or 0.0)

    def _nearest(self, q: np.ndarray, opening: float, least_m: np.ndarray) -> tuple[float, Contact | None]:
        """How far the nearest bodies are outside their margin, at most SIGHT_M, and which they are."""
        self._place(q, opening)
        if not self._data.ncon:
            return SIGHT_M, None
        pairs = self._data.contact.geom
        spare_m = self._data.contact.dist - least_m[pairs[:, 0], pairs[:, 1]]
        i = int(np.argmin(spare_m))
        return min(float(spare_m[i]), SIGHT_M), self._contact(i)

    def _contact(self, i: int) -> Contact:
        one, other = self._data.contact.geom[i]
        bodies = _in_order(self._bodies[one], self._bodies[other])
        return Contact(bodies, float(self._data.contact.dist[i]), float(self._least_m[one, other]))

    def _place(self, q: np.ndarray, opening: float) -> None:
        self._data.qpos[self._arm] = q
        self._data.qpos[self._fingers] = opening * self._finger_open_m
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)


def _in_order(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _build(arm: Arm, margins: Margins) -> tuple[mujoco.MjModel, np.ndarray]:
    """The model, and the margin (geoms, geoms) of each pair."""
    spec = mujoco.MjSpec()
    _add_shapes(spec, arm)
    spec.compiler.boundmass, spec.compiler.boundinertia = 1e-3, 1e-6  # the fingers' was in what is left out
    table = spec.worldbody.add_body(name=TABLE, pos=[0, 0, margins.table_height_m])
    table.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[3, 3, 0.1], **UNTOUCHED)
    bodies = {}
    for body in spec.bodies:
        for i, geom in enumerate(body.geoms):
            geom.name, geom.contype, geom.conaffinity = f"{body.name}/{i}", 0, 0
            bodies[geom.name] = body.name
    pairs = {(a, b): _least(bodies[a], bodies[b], margins) for a, b in combinations(bodies, 2)}
    compared = {pair: least_m for pair, least_m in pairs.items() if least_m is not None}
    for (a, b), least_m in compared.items():
        spec.add_pair(geomname1=a, geomname2=b, margin=least_m + SIGHT_M)
    model = spec.compile()
    margin_m = np.zeros((model.ngeom, model.ngeom))
    for pair, least_m in compared.items():
        i, j = (model.geom(name).id for name in pair)
        margin_m[i, j] = margin_m[j, i] = least_m
    return model, margin_m


def _add_shapes(spec: mujoco.MjSpec, arm: Arm) -> None:
    """The arm's bodies with their collision geoms, and nothing else."""
    if not arm.shapes:
        raise ValueError(f"the shapes of the arm {arm.name} are not known; describe them as `capsules` of its arm file")
    add_arm(spec, arm, meshes=arm.shapes == "franka", detailed=False)
    for geom in list(spec.geoms):
        if geom.group != COLLISION_GROUP:
            spec.delete(geom)
    for mesh in list(spec.meshes):
        if mesh.name.endswith("_visual"):
            spec.delete(mesh)
    for shape in arm.shapes if isinstance(arm.shapes, tuple) else ():
        capsule = spec.body(f"link{shape.link}").add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, group=COLLISION_GROUP)
        capsule.fromto, capsule.size = [*shape.start_m, *shape.end_m], [shape.radius_m, 0, 0]


def _least(one: str, other: str, margins: Margins) -> float | None:
    """The margin of two bodies; None if they are not compared."""
    if TABLE in (one, other):
        body = other if one == TABLE else one
        if body in HAND:
            return margins.hand_clearance_m
        return margins.arm_clearance_m if CHAIN[body] >= ABOVE_TABLE else None
    return margins.self_clearance_m if abs(CHAIN[one] - CHAIN[other]) > NEIGHBOURS else None


def _levers(model: mujoco.MjModel, arm: Arm) -> np.ndarray:
    """How far one rad of each joint (7,) moves any point of the arm at most, m."""
    # From a joint's axis to the farthest point beyond it: the offsets of the frames on the way, and a body's size.
    offsets = np.linalg.norm(model.body_pos, axis=1)
    if arm.shapes == "franka":
        fingers = [model.joint(name).bodyid[0] for name in arm.gripper.joints]
        offsets[fingers] += arm.gripper.max_width_m / len(fingers)
    reach = np.zeros(model.nbody)
    np.maximum.at(reach, model.geom_bodyid, np.linalg.norm(model.geom_pos, axis=1) + model.geom_rbound)
    for body in range(model.nbody - 1, 0, -1):  # children come after their parents
        parent = model.body_parentid[body]
        reach[parent] = max(reach[parent], offsets[body] + reach[body])
    return np.array([reach[model.joint(name).bodyid[0]] for name in arm.joint_names])
