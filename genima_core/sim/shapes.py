"""What tasks are built of: boxes, cylinders and turned shapes; loose bodies, hinges, slides and containers.

Sizes are in m; positions are the centre's in the frame of the body. By default the arm and loose things touch them;
give `**UNTOUCHED` for what is only seen, and `**LOOSE` for parts of a body that moves freely.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.sim.arm import COLLISION_GROUP, FIXED, LOOSE, UNTOUCHED

import mujoco  # isort: skip
from mujoco import mjtGeom as Geom, mjtJoint as Joint  # isort: skip

Colour = tuple[float, float, float]
Point = Sequence[float] | np.ndarray
"""Three numbers in m."""

# None of these is a colour of the drawn targets (pure red, green, purple, cyan, yellow), though some are cousins.
COLOURS: dict[str, Colour] = {
    "red": (0.62, 0.10, 0.10),
    "green": (0.13, 0.40, 0.17),
    "blue": (0.05, 0.25, 0.95),
    "orange": (0.90, 0.45, 0.08),
    "white": (0.93, 0.93, 0.92),
    "black": (0.10, 0.10, 0.11),
    "grey": (0.50, 0.51, 0.53),
    "brown": (0.42, 0.27, 0.16),
    "wood": (0.70, 0.52, 0.34),
    "steel": (0.72, 0.74, 0.77),
    "pink": (0.88, 0.55, 0.62),
    "navy": (0.10, 0.14, 0.38),
}
FRICTION = (1.2, 0.02, 0.0002)
SIDES = 12
"""What is round and hollow is touched as so many boxes, in place of the smooth wall that is seen."""


def box(
    body: mujoco.MjsBody,
    half: Sequence[float],
    pos: Point = (0, 0, 0),
    colour: Colour = (1, 1, 1),
    **more: Any,
) -> mujoco.MjsGeom:
    """With half its size along each axis."""
    return _geom(body, Geom.mjGEOM_BOX, half, pos, colour, **more)


def cylinder(
    body: mujoco.MjsBody,
    radius: float,
    half: float,
    pos: Point = (0, 0, 0),
    colour: Colour = (1, 1, 1),
    axis: str = "z",
    **more: Any,
) -> mujoco.MjsGeom:
    """With half its length along an axis of the body."""
    geom = _geom(body, Geom.mjGEOM_CYLINDER, [radius, half, 0], pos, colour, **more)
    turn = {"z": Rotation.identity(), "x": Rotation.from_euler("y", 90, True), "y": Rotation.from_euler("x", 90, True)}
    geom.quat = turn[axis].as_quat(scalar_first=True)
    return geom


def rod(
    body: mujoco.MjsBody,
    radius: float,
    start: Point,
    end: Point,
    colour: Colour = (1, 1, 1),
    **more: Any,
) -> mujoco.MjsGeom:
    """With round ends, from one point to another."""
    geom = _geom(body, Geom.mjGEOM_CAPSULE, [radius, 0, 0], (0, 0, 0), colour, **more)
    geom.fromto = [*start, *end]
    return geom


def bar(
    body: mujoco.MjsBody, half: tuple[float, float], start: Point, end: Point, colour: Colour = (1, 1, 1), **more: Any
) -> mujoco.MjsGeom:
    """A box between two points (x, z) of the plane y = 0; `half` its thickness along y and across."""
    across, up = np.subtract(end, start)
    (x, z), length = np.add(start, end) / 2, np.hypot(across, up) + half[1]
    geom = box(body, (length / 2, *half), (x, 0, z), colour, **more)
    geom.quat = Rotation.from_euler("y", -np.arctan2(up, across)).as_quat(scalar_first=True)
    return geom


def ball(
    body: mujoco.MjsBody, radius: float, pos: Point = (0, 0, 0), colour: Colour = (1, 1, 1), **more: Any
) -> mujoco.MjsGeom:
    return _geom(body, Geom.mjGEOM_SPHERE, [radius, 0, 0], pos, colour, **more)


def _geom(
    body: mujoco.MjsBody, kind: Geom, size: Sequence[float], pos: Point, colour: Colour, **more: Any
) -> mujoco.MjsGeom:
    """With FIXED's contacts, FRICTION and no mass unless `more` says otherwise."""
    options = {"condim": 4, "friction": FRICTION, "mass": 0.0, **FIXED, **more}
    return body.add_geom(type=kind, size=list(size), pos=list(pos), rgba=[*colour, 1.0], **options)


def fixed(spec: mujoco.MjSpec, name: str) -> mujoco.MjsBody:
    """A body that stays where `Cell.place` puts it."""
    return spec.worldbody.add_body(name=name)


def loose(spec: mujoco.MjSpec, name: str) -> mujoco.MjsBody:
    """A body that moves freely; its geoms need a mass and `**LOOSE`."""
    body = spec.worldbody.add_body(name=name)
    body.add_joint(name=name, type=Joint.mjJNT_FREE, damping=0.0005)
    return body


def hinged(
    parent: mujoco.MjsBody,
    name: str,
    pos: Point,
    axis: Point,
    limits: tuple[float, float],
    damping: float = 0.3,
    friction: float = 0.1,
) -> mujoco.MjsBody:
    """A part that turns about an axis through `pos` within limits in rad; joint and body have the same name.

    Gravity does not move it; friction (Nm) keeps it where it is let go.
    """
    return _jointed(parent, name, pos, Joint.mjJNT_HINGE, axis, limits, damping, friction)


def sliding(
    parent: mujoco.MjsBody,
    name: str,
    pos: Point,
    axis: Point,
    limits: tuple[float, float],
    damping: float = 4.0,
    friction: float = 1.0,
    **more: Any,
) -> mujoco.MjsBody:
    """A part that slides along an axis within limits in m, with friction in N; joint and body have the same name."""
    return _jointed(parent, name, pos, Joint.mjJNT_SLIDE, axis, limits, damping, friction, **more)


def _jointed(parent, name, pos, kind, axis, limits, damping, friction, **more) -> mujoco.MjsBody:
    body = parent.add_body(name=name, pos=list(pos), gravcomp=1)
    body.add_joint(
        name=name,
        type=kind,
        axis=list(axis),
        limited=True,
        range=list(limits),
        damping=damping,
        frictionloss=friction,
        armature=0.01,
        **more,
    )
    return body


def handle(
    body: mujoco.MjsBody,
    pos: Point,
    foot: Point,
    half: float,
    colour: Colour,
    axis: str = "y",
    inset: float = 0.008,
) -> None:
    """A round bar along an axis of the body; two posts, `inset` from its ends, lead along `foot` (3,) m to a part."""
    radius, mass = 0.008, 0.03
    cylinder(body, radius, half, pos, colour, axis, mass=mass)
    along, way = np.eye(3)["xyz".index(axis)], np.asarray(foot, dtype=np.float64)
    length = float(np.linalg.norm(way))
    turn, _ = Rotation.align_vectors([way], [[0.0, 0.0, length]])
    for end in (inset - half, half - inset):
        post = cylinder(body, 0.8 * radius, length / 2, pos + end * along + way / 2, colour, mass=mass / 4)
        post.quat = turn.as_quat(scalar_first=True)


def crank(
    part: mujoco.MjsBody,
    name: str,
    pos: Point,
    arm: tuple[float, float],
    out: float,
    axis: Point,
    limits: tuple[float, float],
    colour: Colour,
) -> mujoco.MjsBody:
    """A handle that turns about the x axis of a part, on its front (-x); `arm` (y, z) m leads to a knob `out` m ahead.

    The knob is round, so that it turns in the fingers.
    """
    lever, length, radius = hinged(part, name, pos, axis, limits, 0.02, 0.05), float(np.hypot(*arm)), 0.011
    cylinder(lever, 1.5 * radius, 0.006, (-0.006, 0, 0), colour, "x", mass=0.02)
    flat = box(lever, (0.004, length / 2, 0.6 * radius), (-0.014, arm[0] / 2, arm[1] / 2), colour, mass=0.03)
    flat.quat = Rotation.from_euler("x", np.arctan2(arm[1], arm[0])).as_quat(scalar_first=True)
    cylinder(lever, 0.6 * radius, (out - 0.01) / 2, (-(out + 0.01) / 2, *arm), colour, "x", mass=0.01, **UNTOUCHED)
    cylinder(lever, radius, 0.011, (-out, *arm), COLOURS["black"], "x", mass=0.02)
    return lever


def latch(spec: mujoco.MjSpec, joint: str) -> None:
    """Holds a hinge or slide at zero until `Cell.unlatch`, and again after a reset."""
    lock = spec.add_equality(name=joint, type=mujoco.mjtEq.mjEQ_JOINT, objtype=mujoco.mjtObj.mjOBJ_JOINT, name1=joint)
    lock.solref = [0.005, 1.0]


def container(
    body: mujoco.MjsBody,
    half: tuple[float, float],
    height: float,
    wall: float,
    colour: Colour,
    pos: Point = (0, 0, 0),
    **more: Any,
) -> None:
    """An open box standing on `pos`: half its outer size along x and y, its height, the thickness of its walls."""
    (hx, hy), (x, y, z), up = half, pos, height / 2
    box(body, (hx, hy, wall / 2), (x, y, z + wall / 2), colour, **more)
    for side in (-1, 1):
        box(body, (wall / 2, hy, up), (x + side * (hx - wall / 2), y, z + up), colour, **more)
        box(body, (hx, wall / 2, up), (x, y + side * (hy - wall / 2), z + up), colour, **more)


def pierced(
    body: mujoco.MjsBody,
    half: Sequence[float],
    hole: tuple[float, float],
    pos: Sequence[float] = (0, 0, 0),
    colour: Colour = (1, 1, 1),
    **more: Any,
) -> None:
    """A box with a hole through its middle along x; both with half their sizes, the hole's along y and z."""
    (hx, hy, hz), (wide, high), (x, y, z) = half, hole, pos
    for side in (-1, 1):
        box(body, (hx, hy, (hz - high) / 2), (x, y, z + side * (hz + high) / 2), colour, **more)
        box(body, (hx, (hy - wide) / 2, high), (x, y + side * (hy + wide) / 2, z), colour, **more)


def vessel(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    radius: float,
    height: float,
    wall: float,
    colour: Colour,
    mass: float = 0.0,
    foot: float | None = None,
    contact: dict[str, Any] = LOOSE,
) -> None:
    """A round, hollow, open thing that stands on the body's origin, such as a cup; `foot` is its radius below.

    It is seen as a turned mesh, and touched as a ring of boxes on a disc.
    """
    foot = radius if foot is None else foot
    inner = [(radius - wall, height), (foot - wall, wall), (0.0, wall)]
    turned(spec, body, [(0.0, 0.0), (foot, 0.0), (radius, height), *inner], colour)
    hidden: dict[str, Any] = {"group": COLLISION_GROUP, **contact}
    share = mass / (SIDES + 1)
    cylinder(body, foot, wall / 2, (0, 0, wall / 2), mass=share, **hidden)
    tilt = np.arctan2(radius - foot, height)
    for angle in 2 * np.pi * np.arange(SIDES) / SIDES:
        middle = (radius + foot) / 2 - wall / 2
        pos = (middle * np.cos(angle), middle * np.sin(angle), height / 2)
        side = box(body, (wall / 2, radius * np.tan(np.pi / SIDES), height / 2), pos, mass=share, **hidden)
        side.quat = Rotation.from_euler("ZY", [angle, tilt]).as_quat(scalar_first=True)


def ring(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    radius: float,
    tube: float,
    colour: Colour,
    mass: float,
    pos: Point = (0, 0, 0),
) -> None:
    """A lying ring of a round tube; `radius` is that of the tube's middle, `tube` that of the tube itself.

    It is seen as a turned mesh, and touched as a ring of straight rods, one at a right angle to each axis.
    """
    around = np.linspace(0.0, 2 * np.pi, SIDES + 1)
    turned(spec, body, [(radius + tube * np.cos(a), tube * np.sin(a)) for a in around], colour, pos=pos)
    half = radius * np.tan(np.pi / SIDES)
    for angle in around[:-1]:
        middle = np.add(pos, (radius * np.cos(angle), radius * np.sin(angle), 0.0))
        rod = cylinder(body, tube, half, middle, group=COLLISION_GROUP, mass=mass / SIDES)
        rod.quat = Rotation.from_euler("ZX", [angle, np.pi / 2]).as_quat(scalar_first=True)


def turned(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    profile: Sequence[tuple[float, float]],
    colour: Colour,
    sides: int = 24,
    pos: Point = (0, 0, 0),
) -> mujoco.MjsGeom:
    """What a lathe makes of a profile of (radius, height) m from the axis, outwards and back to it; seen only."""
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vertices = np.array([[r * x, r * y, z] for r, z in profile for x, y in ring])
    step = np.arange(sides)
    after = (step + 1) % sides
    faces = []
    for low in range(len(profile) - 1):
        a, b = low * sides, (low + 1) * sides
        faces += [*zip(a + step, a + after, b + after, strict=True), *zip(a + step, b + after, b + step, strict=True)]
    return mesh(spec, body, vertices, np.array(faces), colour, pos=pos)


def mesh(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    vertices: np.ndarray,
    faces: np.ndarray | None,
    colour: Colour,
    pos: Point = (0, 0, 0),
    **more: Any,
) -> mujoco.MjsGeom:
    """Vertices (n, 3) and faces (m, 3), or None for the convex hull; seen only unless `more` says otherwise."""
    shape = spec.add_mesh(name=f"{body.name}_{len(spec.meshes)}", uservert=vertices.ravel())
    if faces is not None:
        shape.userface = np.array([face for face in faces if _area(vertices[face]) > 1e-12]).ravel()
    shape.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    options = {"mass": 0.0, **UNTOUCHED, **more}
    return body.add_geom(type=Geom.mjGEOM_MESH, meshname=shape.name, pos=list(pos), rgba=[*colour, 1.0], **options)


def _area(corners: np.ndarray) -> float:
    return float(np.linalg.norm(np.cross(corners[1] - corners[0], corners[2] - corners[0])) / 2)


def heading(R_base_body: np.ndarray) -> float:
    """Angle of a body's x axis about the base's z axis, rad."""
    return float(np.arctan2(R_base_body[1, 0], R_base_body[0, 0]))


def yawed(angle_rad: float) -> np.ndarray:
    """R (3, 3) of a turn about the z axis."""
    return Rotation.from_euler("z", angle_rad).as_matrix()


def facing_away(place: Point, turn_rad: float = 0.0) -> np.ndarray:
    """R_base_body (3, 3) whose x axis points away from the arm at a place on the table, then turned about z."""
    return yawed(np.arctan2(place[1], place[0]) + turn_rad)
