"""Four views in one 2×2 picture, in the order of the `CameraRig`."""

from collections.abc import Sequence

import numpy as np


def tile(views: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """(2H, 2W, C) from four views (H, W, C), top left, top right, bottom left, bottom right; ValueError for others."""
    shapes = [np.shape(v) for v in views]
    if len(shapes) != 4 or len(set(shapes)) != 1:
        raise ValueError(f"tiling needs 4 views of one shape (H, W, C), not {shapes}")
    return np.vstack([np.hstack(list(views[:2])), np.hstack(list(views[2:]))])


def untile(tiled: np.ndarray) -> np.ndarray:
    """Four views (4, H, W, C) from a tiled picture (2H, 2W, C); ValueError: height or width is odd."""
    height, width = tiled.shape[0] // 2, tiled.shape[1] // 2
    if tiled.shape[:2] != (2 * height, 2 * width):
        raise ValueError(f"a tiled picture has even height and width, not {tiled.shape[:2]}")
    return tiled.reshape(2, height, 2, width, -1).swapaxes(1, 2).reshape(4, height, width, -1)


def check_views(views: np.ndarray, size: tuple[int, int], what: str) -> None:
    """ValueError: not four views of a width and height, (4, H, W, 3) uint8; `what` names them."""
    width, height = size
    kind = getattr(views, "dtype", type(views).__name__)
    if np.shape(views) != (4, height, width, 3) or kind != np.uint8:
        raise ValueError(f"{what} are {np.shape(views)} {kind}; four views are needed, (4, {height}, {width}, 3) uint8")
