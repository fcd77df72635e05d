"""Where the arm is about to be: the targets as they were drawn, and as the controller plans them, each with its age."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from genima_core.arm import Arm
from genima_core.cameras import CameraRig
from genima_core.targets.detect import find_centres
from genima_core.targets.palette import TARGET_NAMES, target_colours
from genima_core.targets.triangulation import camera_poses, triangulate
from genima_core.types import ActionChunk
from genima_ros.nodes.markers.shapes import Colour, MarkerBuilder, to_colour

GRIPPER = TARGET_NAMES.index("gripper")
FAINTEST = 0.15
DRAWN_ALPHA = 0.35
AXIS_RADII = 2.5
FRESH: Colour = (1.0, 1.0, 1.0)
OLD: Colour = (1.0, 0.55, 0.1)
TEXT_M = 0.04
ABOVE_M = {"planned": 0.34, "drawn": 0.42}
"""Of the gripper's target, where its age stands: above the hand and the flange."""


@dataclass(frozen=True)
class Drawn:
    """Targets found in a drawing."""

    points: np.ndarray
    """(4, 3) m in the base frame; NaN where fewer than two views show one."""
    opening: float
    """1 or 0, by the colour of the gripper's sphere."""
    stamp_s: float
    """When its pictures were captured."""


def locate(drawing: np.ndarray, rig: CameraRig, q: np.ndarray, stamp_s: float) -> Drawn:
    """The targets of a drawing (4, H, W, 3) uint8, drawn while the arm was at q (7,) rad.

    The gripper is open or closed as more of the views show it.
    """
    closed, opened = (find_centres(drawing, gripper_open) for gripper_open in (False, True))
    views = [np.isfinite(centres[:, GRIPPER]).all(axis=-1).sum() for centres in (closed, opened)]
    opening = float(views[1] >= views[0])
    return Drawn(triangulate(rig, camera_poses(rig, q), opened if opening else closed), opening, stamp_s)


def planned_markers(
    builder: MarkerBuilder, arm: Arm, chunk: ActionChunk, radius_m: float, fade_s: float, age_s: float
) -> Iterator[Marker]:
    """Four solid spheres where the chunk ends, an arrow along each joint's axis, and the gripper's way there."""
    colours = _colours(1.0 if chunk.gripper is None else float(chunk.gripper[-1]), _strength(age_s, fade_s))
    poses = arm.target_poses(chunk.positions)
    for i, (name, T_base_target, colour) in enumerate(zip(TARGET_NAMES, poses[-1], colours, strict=True)):
        position = T_base_target[:3, 3]
        yield builder.sphere(name, i, position, radius_m, colour)
        ends = np.stack([position, position + AXIS_RADII * radius_m * T_base_target[:3, 2]])
        yield builder.arrow("axis", i, ends, radius_m / 4, colour)
    way = poses[:, 3, :3, 3]
    if len(way) > 1:
        yield builder.line("way", 0, way, radius_m / 5, colours[3])
    yield _age(builder, "planned", way[-1], age_s, fade_s)


def drawn_markers(
    builder: MarkerBuilder, drawn: Drawn, radius_m: float, fade_s: float, age_s: float
) -> Iterator[Marker]:
    """Translucent spheres where the drawing's are; those that cannot be located are left out."""
    colours = _colours(drawn.opening, DRAWN_ALPHA * _strength(age_s, fade_s))
    located = np.flatnonzero(np.isfinite(drawn.points).all(axis=1))
    for i in located:
        yield builder.sphere("drawn", int(i), drawn.points[i], radius_m, colours[i])
    if len(located):
        yield _age(builder, "drawn", drawn.points[located[-1]], age_s, fade_s)


def _strength(age_s: float, fade_s: float) -> float:
    return max(FAINTEST, 1.0 - age_s / fade_s)


def _colours(opening: float, alpha: float) -> list[ColorRGBA]:
    """Of the four targets."""
    return [to_colour(tuple(np.array(colour.light) / 255), alpha) for colour in target_colours(opening)]


def _age(builder: MarkerBuilder, what: str, position: np.ndarray, age_s: float, fade_s: float) -> Marker:
    place, colour = position + [0.0, 0.0, ABOVE_M[what]], OLD if age_s > fade_s / 2 else FRESH
    return builder.text("age", list(ABOVE_M).index(what), place, f"{what} {age_s:.1f} s", TEXT_M, to_colour(colour))
