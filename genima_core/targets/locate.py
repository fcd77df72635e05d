"""Where the targets of a drawing are in space."""

from dataclasses import dataclass

import numpy as np

from genima_core.cameras import CameraRig
from genima_core.targets.detect import find_centres
from genima_core.targets.look import OURS, TARGET_NAMES, Look
from genima_core.targets.triangulation import camera_poses, triangulate

GRIPPER = TARGET_NAMES.index("gripper")


@dataclass(frozen=True)
class Drawn:
    """Targets found in a drawing."""

    points: np.ndarray
    """(4, 3) m in the base frame; NaN where fewer than two views show one."""
    opening: float
    """1 or 0, by the colour of the gripper's sphere."""
    stamp_s: float
    """When its pictures were captured."""


def locate(drawing: np.ndarray, rig: CameraRig, q: np.ndarray, stamp_s: float, look: Look = OURS) -> Drawn:
    """The targets of a drawing (views, H, W, 3) uint8, drawn while the arm was at q (7,) rad.

    The gripper is open or closed as more of the views show it.
    """
    closed, opened = (find_centres(drawing, gripper_open, look=look) for gripper_open in (False, True))
    views = [np.isfinite(centres[:, GRIPPER]).all(axis=-1).sum() for centres in (closed, opened)]
    opening = float(views[1] >= views[0])
    return Drawn(triangulate(rig, camera_poses(rig, q), opened if opening else closed), opening, stamp_s)
