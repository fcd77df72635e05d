"""Patterns that cover the table, the floor and the walls: small pictures that repeat without a seam."""

import numpy as np
from scipy.ndimage import gaussian_filter

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)

import mujoco  # isort: skip

SIZE_PX = 64
"""More would be lost in small views, and cost time."""
REPEATS_PER_M = 2.5

_DARK, _LIGHT = 0.35, 1.0
_SEED = 5


def patterns() -> dict[str, np.ndarray]:
    """Name to picture (SIZE_PX, SIZE_PX, 3) uint8, nearly grey and light: geoms multiply it with their colour."""
    rng = np.random.default_rng(_SEED)
    v, u = np.mgrid[0:SIZE_PX, 0:SIZE_PX] / SIZE_PX
    board, brick = np.floor(4 * v), np.floor(2 * u + 0.5 * (np.floor(4 * v) % 2)) % 2
    joint = (4 * v % 1 < 0.08) | ((2 * u + 0.5 * (board % 2)) % 1 < 0.04)
    grain = _noise(rng, (1, 10))
    shades = {
        "planks": np.where(4 * v % 1 < 0.07, 0.0, 0.55 + 0.25 * (board % 2) + 0.2 * grain),
        "bricks": np.where(joint, 1.0, 0.2 + 0.3 * brick + 0.2 * _noise(rng, (1, 1))),
        "checks": (np.floor(4 * u) + np.floor(4 * v)) % 2,
        "stripes": np.floor(8 * u) % 2,
        "tiles": np.where((2 * u % 1 < 0.06) | (2 * v % 1 < 0.06), 0.0, 0.9 + 0.1 * _noise(rng, (3, 3))),
        "dots": ((4 * u % 1 - 0.5) ** 2 + (4 * v % 1 - 0.5) ** 2 < 0.09) * 1.0,
        "waves": 0.5 + 0.5 * np.sin(2 * np.pi * (4 * v + 0.4 * np.sin(4 * np.pi * u))),
        "marble": np.abs(np.sin(2 * np.pi * (u + v) + 5 * _noise(rng, (6, 6)))),
        "gravel": _noise(rng, (1.2, 1.2)) > 0.5,
        "cloth": 0.5 + 0.25 * np.sin(16 * np.pi * u) + 0.25 * np.sin(16 * np.pi * v),
    }
    # Each leans a little to a colour of its own: two colours make a pattern, not one.
    return {name: _coloured(np.asarray(shade, float), 1 - 0.35 * rng.random(3)) for name, shade in shades.items()}


def add_patterns(spec: mujoco.MjSpec, prefix: str) -> None:
    """Adds a material for each pattern, called prefix and name; a geom shows one by its `matid`."""
    for name, picture in patterns().items():
        texture = spec.add_texture(name=f"{prefix}{name}", type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3)
        texture.width = texture.height = SIZE_PX
        texture.data = picture.tobytes()
        material = spec.add_material(name=f"{prefix}{name}", texrepeat=[REPEATS_PER_M] * 2, texuniform=True)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture.name
        material.specular, material.shininess = 0.0, 0.0


def _noise(rng: np.random.Generator, blur_px: tuple[float, float]) -> np.ndarray:
    """(SIZE_PX, SIZE_PX) from 0 to 1, smooth over so many rows and columns."""
    smooth = gaussian_filter(rng.random((SIZE_PX, SIZE_PX)), blur_px, mode="wrap")
    return (smooth - smooth.min()) / np.ptp(smooth)


def _coloured(shade: np.ndarray, dark_rgb: np.ndarray) -> np.ndarray:
    dark, light = _DARK * dark_rgb, np.full(3, _LIGHT)
    return np.round(255 * (dark + np.clip(shade, 0, 1)[..., None] * (light - dark))).astype(np.uint8)
