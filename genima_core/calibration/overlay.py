"""The arm's joint spheres over what the cameras see: on a calibrated cell they sit on the joints."""

from collections.abc import Mapping

import cv2
import numpy as np

from genima_core.cameras import CameraRig
from genima_core.targets.draw import over_observation
from genima_core.targets.renderer import TargetRenderer
from genima_core.tiling import tile

OPACITY = 0.55
"""The joint must show through its sphere."""


def overlay(rig: CameraRig, images: Mapping[str, np.ndarray], q: np.ndarray, opening: float) -> np.ndarray:
    """(2H, 2W, 3) uint8: all views with the spheres where forward kinematics and the rig put the arm at `q` (7,) rad.

    Raises:
        ValueError: an image is missing, or not of the rig's size.
    """
    missing = [name for name in rig.names if name not in images]
    if missing:
        raise ValueError(f"no image of {', '.join(missing)}; the rig needs {', '.join(rig.names)}")
    pictures = np.stack([images[name] for name in rig.names])
    renderer = TargetRenderer(rig)
    try:
        spheres = over_observation(renderer.render(q, q, opening), pictures)
    finally:
        renderer.close()
    return tile(
        [
            cv2.addWeighted(drawn, OPACITY, picture, 1 - OPACITY, 0.0)
            for drawn, picture in zip(spheres, pictures, strict=True)
        ]
    )
