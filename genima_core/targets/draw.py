"""Rendered targets, put onto pictures; apart from the renderer, so that using them needs no GL."""

from dataclasses import dataclass

import numpy as np

OPACITY = (0.7, 1.0)
"""Range of the spheres' opacity in the controller's training pictures, as in the original implementation."""


@dataclass(frozen=True)
class TargetViews:
    """All views of the spheres, in the order of the rig."""

    rgb: np.ndarray
    """(V, H, W, 3) uint8, not multiplied by alpha; white where there is no sphere."""
    alpha: np.ndarray
    """(V, H, W) uint8, how much of the pixel the spheres cover, 0 to 255."""
    labels: np.ndarray
    """(V, H, W) uint8, front-most sphere at the pixel's centre: 0 none, else 1 + index into `TARGET_NAMES`."""


def over_observation(views: TargetViews, images: np.ndarray) -> np.ndarray:
    """The targets over what the cameras see, (V, H, W, 3) uint8: what the agent learns; ValueError: another size."""
    return _composite(views, images, views.alpha.astype(np.uint16))


def over_backgrounds(views: TargetViews, backgrounds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The targets over random pictures, each view at a random `OPACITY`: what the controller learns from."""
    opacity = rng.uniform(*OPACITY, size=(len(views.alpha), 1, 1))
    return _composite(views, backgrounds, np.rint(views.alpha * opacity).astype(np.uint16))


def _composite(views: TargetViews, images: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    if images.shape != views.rgb.shape or images.dtype != np.uint8:
        needed = f"the targets were rendered as {views.rgb.shape} uint8: use a rig of the pictures' size"
        raise ValueError(f"pictures are {images.shape} {images.dtype}; {needed}")
    result = images.copy()
    drawn = alpha > 0
    a = alpha[drawn, None]
    # (255 + 127) * 255 fits uint16; adding half before dividing rounds.
    result[drawn] = ((views.rgb[drawn] * a + images[drawn] * (255 - a) + 127) // 255).astype(np.uint8)
    return result
