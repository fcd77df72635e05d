"""What was rendered; apart from the renderer, so that using it needs no GL."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TargetViews:
    """Four views of the spheres, in the order of the rig."""

    rgb: np.ndarray
    """(4, H, W, 3) uint8, not multiplied by alpha; white where there is no sphere."""
    alpha: np.ndarray
    """(4, H, W) uint8, how much of the pixel the spheres cover, 0 to 255."""
    labels: np.ndarray
    """(4, H, W) uint8, front-most sphere at the pixel's centre: 0 none, else 1 + index into `TARGET_NAMES`."""
