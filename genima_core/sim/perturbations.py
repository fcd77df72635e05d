"""What may look different from what a policy was trained on: six of Colosseum's factors, alone or together, by seed.

Colosseum: Pumacay et al., "The Colosseum: A Benchmark for Evaluating Generalization for Robotic Manipulation", 2024.
The task's objects and the arm's start are the same with and without them, and so is what counts as success.
"""

import colorsys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from genima_core.geometry import make_transform
from genima_core.sim.arm import UNTOUCHED
from genima_core.sim.distractors import THINGS, add_things, free_places
from genima_core.sim.patterns import add_patterns
from genima_core.sim.shapes import COLOURS, yawed

import mujoco  # isort: skip

if TYPE_CHECKING:
    from genima_core.sim.cell import Cell

ALL = "all"

SATURATION, VALUE = (0.10, 0.75), (0.25, 0.95)
"""Of new colours. Fully saturated ones are those of the drawn targets."""
TINT_SATURATION, TINT_VALUE = (0.0, 0.55), (0.55, 1.0)
"""Of the colour of a pattern, which is multiplied with it."""
KEPT_BRIGHTNESS = (0.85, 1.15)
"""Of colours that tell a task's variations apart: lighter or darker, but the same colour."""

DISTRACTORS = (2, 4)
"""At least and at most; Colosseum places two for each of a task's areas."""

LAMP_RGB, AMBIENT_RGB = (0.25, 0.75), (0.25, 0.50)
"""Each channel by itself; unperturbed 0.45 and 0.38."""
LAMP_ELEVATION_RAD = (np.deg2rad(25), np.deg2rad(85))

CAMERA_MOVED_M, CAMERA_TURNED_RAD = 0.05, 0.05
"""At most, along and about each axis. Colosseum moves its cameras by 0.10 m; ours are nearer and would miss the arm."""
WRIST_MOVED_M = 0.01
"""A camera on the hand is bolted to it."""

WALLS_M = {"back": (-1.8, 0.0), "front": (2.6, 0.0), "right": (0.4, -2.1), "left": (0.4, 2.1)}
"""Middle of each wall, x and y."""
WALL_HALF_M, FLOOR_M = 2.3, -0.75


class Perturbation(ABC):
    """One way in which scenes of one cell look different."""

    summary: str
    """What changes, for documents."""

    def build(self, spec: mujoco.MjSpec) -> None:  # noqa: B027  (most need nothing)
        """Adds to the scene what has to exist."""

    def clear(self, cell: "Cell") -> None:  # noqa: B027  (most set everything anew)
        """Before the task is reset: undoes what would be in its way or would accumulate."""

    @abstractmethod
    def apply(self, cell: "Cell", rng: np.random.Generator) -> None:
        """Changes the scene after objects and arm have been placed."""


class ObjectColor(Perturbation):
    summary = "the task's objects, part by part, have other colours; those named in instructions keep theirs"

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def clear(self, cell: "Cell") -> None:
        if self._before is None:
            self._before = cell.model.geom_rgba[cell.task_geoms]
        cell.model.geom_rgba[cell.task_geoms] = self._before

    def apply(self, cell: "Cell", rng: np.random.Generator) -> None:
        kept = self._kept(cell)
        recolour(cell.model, np.setdiff1d(cell.task_geoms, kept), rng)
        brighter = cell.model.geom_rgba[kept, :3] * rng.uniform(*KEPT_BRIGHTNESS)
        cell.model.geom_rgba[kept, :3] = np.minimum(brighter, 1.0)

    def _kept(self, cell: "Cell") -> np.ndarray:
        """The task's geoms in a colour that names a variation, and those that the task lists itself."""
        model, named = cell.model, cell.task.keeps_colour
        words = {word for variation in cell.variations for word in variation.split()} & set(COLOURS)
        told = np.reshape([COLOURS[word] for word in words], (-1, 3))
        names = [{model.geom(geom).name, model.body(model.geom_bodyid[geom]).name} for geom in cell.task_geoms]
        if unknown := set(named) - set().union(*names):
            raise ValueError(f"{cell.name} keeps the colour of {', '.join(sorted(unknown))}, which it does not build")
        off = np.abs(model.geom_rgba[cell.task_geoms, None, :3] - told).max(axis=-1)
        return cell.task_geoms[(off < 1e-3).any(axis=1) | [not own.isdisjoint(named) for own in names]]


class Distractors(Perturbation):
    summary = f"{DISTRACTORS[0]} to {DISTRACTORS[1]} other things stand on the table, out of the way"
    prefix = "distractor_"

    def build(self, spec: mujoco.MjSpec) -> None:
        add_things(spec, self.prefix)

    def clear(self, cell: "Cell") -> None:
        for name in THINGS:
            cell.place(f"{self.prefix}{name}", (0.0, 0.0, -3.0))
            cell.model.geom_rgba[self._geoms(cell, name), 3] = 0.0  # under the floor, and not drawn either

    def apply(self, cell: "Cell", rng: np.random.Generator) -> None:
        names = [str(name) for name in rng.permutation(list(THINGS))[: rng.integers(*DISTRACTORS, endpoint=True)]]
        for name, place in free_places(cell, rng, names).items():
            cell.place(f"{self.prefix}{name}", (*place, 0.0), yawed(rng.uniform(-np.pi, np.pi)))
            cell.model.geom_rgba[self._geoms(cell, name), 3] = 1.0
            recolour(cell.model, self._geoms(cell, name), rng)

    def _geoms(self, cell: "Cell", name: str) -> np.ndarray:
        return np.flatnonzero(cell.model.geom_bodyid == cell.model.body(f"{self.prefix}{name}").id)


class Lighting(Perturbation):
    summary = "the lamp's colour, brightness and direction, and the colour and brightness of the light from everywhere"

    def apply(self, cell: "Cell", rng: np.random.Generator) -> None:
        lamp = cell.model.light("lamp")
        azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(*LAMP_ELEVATION_RAD)
        level = np.cos(elevation)
        lamp.dir[:] = [level * np.cos(azimuth), level * np.sin(azimuth), -np.sin(elevation)]
        lamp.diffuse[:] = rng.uniform(*LAMP_RGB, 3)
        cell.model.vis.headlight.ambient[:] = rng.uniform(*AMBIENT_RGB, 3)


class TableTexture(Perturbation):
    summary = "a pattern in a colour covers the table"
    prefix = "table_"

    def build(self, spec: mujoco.MjSpec) -> None:
        add_patterns(spec, self.prefix)

    def apply(self, cell: "Cell", rng: np.random.Generator) -> None:
        cover(cell.model, ("table",), self.prefix, rng)


class Background(Perturbation):
    summary = "walls stand around the table; a pattern in a colour covers them, another one the floor"
    prefix = "background_"

    def build(self, spec: mujoco.MjSpec) -> None:
        add_patterns(spec, self.prefix)
        for name, (x, y) in WALLS_M.items():
            wall = spec.worldbody.add_geom(name=f"wall_{name}", type=mujoco.mjtGeom.mjGEOM_PLANE, **UNTOUCHED)
            wall.size, wall.pos = [WALL_HALF_M, WALL_HALF_M, 0.1], [x, y, FLOOR_M + WALL_HALF_M]
            inwards = np.array([0.4 - x, -y, 0.0]) / np.linalg.norm([0.4 - x, y])
            R = np.column_stack([np.cross([0.0, 0.0, 1.0], inwards), [0.0, 0.0, 1.0], inwards])
            wall.quat = Rotation.from_matrix(R).as_quat(scalar_first=True)

    def apply(self, cell: "Cell", rng: np.random.Generator) -> None:
        cover(cell.model, ("floor",), self.prefix, rng)
        cover(cell.model, tuple(f"wall_{name}" for name in WALLS_M), self.prefix, rng)


class CameraPose(Perturbation):
    summary = (
        f"static cameras are moved by up to {100 * CAMERA_MOVED_M:.0f} cm, the wrist's by {100 * WRIST_MOVED_M:.0f} cm "
        f"along each axis, and turned by up to {np.rad2deg(CAMERA_TURNED_RAD):.0f} degrees about each"
    )

    def apply(self, cell: "Cell", rng: np.random.Generator) -> None:
        cameras = []
        for camera in cell.rig.cameras:
            moved_m = (CAMERA_MOVED_M if camera.mount == "base" else WRIST_MOVED_M) * rng.uniform(-1, 1, 3)
            R = Rotation.from_rotvec(CAMERA_TURNED_RAD * rng.uniform(-1, 1, 3)).as_matrix()
            T = camera.T_mount_cam
            cameras.append(replace(camera, T_mount_cam=make_transform(T[:3, :3] @ R, T[:3, 3] + moved_m)))
        cell.move_cameras(replace(cell.rig, cameras=tuple(cameras)))


PERTURBATIONS: dict[str, type[Perturbation]] = {
    "object_color": ObjectColor,
    "distractors": Distractors,
    "lighting": Lighting,
    "table_texture": TableTexture,
    "background": Background,
    "camera_pose": CameraPose,
}
"""Named as in Colosseum. The place in this table decides each one's own stream of random numbers."""


def choose(names: str | Iterable[str]) -> tuple[str, ...]:
    """The perturbations with these names, each once and in the order of `PERTURBATIONS`.

    Names may be a text with commas; ``all`` names all of them. ValueError: an unknown name.
    """
    given = {name.strip() for name in (names.split(",") if isinstance(names, str) else names)} - {""}
    if unknown := sorted(given - {*PERTURBATIONS, ALL}):
        raise ValueError(
            f"unknown perturbation {', '.join(map(repr, unknown))}; valid are {', '.join(PERTURBATIONS)}, or {ALL}"
        )
    return tuple(name for name in PERTURBATIONS if name in given or ALL in given)


def recolour(model: mujoco.MjModel, geoms: np.ndarray, rng: np.random.Generator) -> None:
    """Gives geoms new colours; geoms of one body that shared a colour share the new one."""
    parts: dict[tuple, tuple[float, float, float]] = {}
    for geom in geoms:
        part = (model.geom_bodyid[geom], *model.geom_rgba[geom, :3])
        model.geom_rgba[geom, :3] = parts.setdefault(part, random_colour(rng, SATURATION, VALUE))


def cover(model: mujoco.MjModel, geoms: tuple[str, ...], prefix: str, rng: np.random.Generator) -> None:
    """Covers geoms with one pattern, in one colour."""
    materials = [i for i in range(model.nmat) if model.material(i).name.startswith(prefix)]
    material = int(rng.choice(materials))
    colour = random_colour(rng, TINT_SATURATION, TINT_VALUE)
    for geom in geoms:
        model.geom(geom).matid[:] = material
        model.geom(geom).rgba[:3] = colour


def random_colour(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> tuple[float, float, float]:
    """RGB from 0 to 1, of any hue."""
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
