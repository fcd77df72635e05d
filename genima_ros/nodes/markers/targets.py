"""Where the arm is about to be: the targets as they were drawn, and as the controller plans them, each with its age."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from visualization_msgs.msg import Marker

from genima_core.arm import Arm
from genima_core.cameras import CameraRig
from genima_core.geometry import make_transform
from genima_core.targets.detect import find_centres
from genima_core.targets.palette import TARGET_NAMES, target_colours
from genima_core.targets.triangulation import camera_poses, triangulate
from genima_core.types import ActionChunk
from genima_ros.nodes.markers.shapes import Colour, Sheet

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
    sheet: Sheet, arm: Arm, chunk: ActionChunk, radius_m: float, fade_s: float, age_s: float
) -> Iterator[Marker]:
    """Four solid spheres where the chunk ends, an arrow along each joint's axis, and the gripper's way there."""
    alpha = max(FAINTEST, 1.0 - age_s / fade_s)
    opening = 1.0 if chunk.gripper is None else float(chunk.gripper[-1])
    poses, colours = arm.target_poses(chunk.positions), target_colours(opening)
    for i, name in enumerate(TARGET_NAMES):
        T_base_target, colour = poses[-1, i], _share(colours[i].light)
        yield sheet.sphere(name, i, T_base_target, radius_m, colour, alpha)
        axis = AXIS_RADII * radius_m * T_base_target[:3, 2]
        yield sheet.arrow("axis", i, T_base_target[:3, 3], T_base_target[:3, 3] + axis, radius_m / 4, colour, alpha)
    way = poses[:, 3, :3, 3]
    if len(way) > 1:
        yield sheet.line("way", 0, way, radius_m / 5, _share(colours[3].light), alpha)
    yield _age(sheet, "planned", way[-1], age_s, fade_s)


def drawn_markers(sheet: Sheet, drawn: Drawn, radius_m: float, fade_s: float, age_s: float) -> Iterator[Marker]:
    """Translucent spheres where the drawing's are; those that cannot be located are left out."""
    colours = target_colours(drawn.opening)
    alpha = DRAWN_ALPHA * max(FAINTEST, 1.0 - age_s / fade_s)
    for i, point in enumerate(drawn.points):
        if np.isfinite(point).all():
            yield sheet.sphere("drawn", i, make_transform(np.eye(3), point), radius_m, _share(colours[i].light), alpha)
    found = drawn.points[np.isfinite(drawn.points).all(axis=1)]
    if len(found):
        yield _age(sheet, "drawn", found[-1], age_s, fade_s)


def _age(sheet: Sheet, what: str, position: np.ndarray, age_s: float, fade_s: float) -> Marker:
    place = position + [0.0, 0.0, ABOVE_M[what]]
    return sheet.text(
        "age", list(ABOVE_M).index(what), place, f"{what} {age_s:.1f} s", TEXT_M, OLD if age_s > fade_s / 2 else FRESH
    )


def _share(rgb: tuple[int, int, int]) -> Colour:
    red, green, blue = rgb
    return red / 255, green / 255, blue / 255
