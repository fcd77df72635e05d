"""The picture of the page: all views tiled, the drawing over them."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from sensor_msgs.msg import Image

from genima_core.pixels import tile, tile_grid
from genima_ros.messages.conversions import image_to_rgb

WIDTH_PX = 480
"""Of the whole; smaller views are enlarged, so that names are legible on them, larger ones reduced."""
BACKGROUND = 40
LETTERS, LETTER_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.55


def compose(
    images: Mapping[str, Image], names: Sequence[str], drawing: Image | None, share: float, beside: bool
) -> np.ndarray:
    """(H, W, 3) uint8: what the cameras `names` see, tiled, with `share` (0 to 1) of the drawing; `beside`: next to it.

    A camera without a picture, or with one of another size than the first, is grey. ValueError: a picture that cannot
    be read.
    """
    views = [image_to_rgb(images[name]) if name in images else None for name in names]
    shape = next((view.shape for view in views if view is not None), (64, 64, 3))
    blank = np.full(shape, BACKGROUND, np.uint8)
    seen = tile([blank if view is None or view.shape != shape else view for view in views])
    drawn = None if drawing is None else image_to_rgb(drawing)
    if drawn is not None and drawn.shape != seen.shape:
        drawn = cv2.resize(drawn, seen.shape[1::-1], interpolation=cv2.INTER_AREA)
    if beside:
        right = np.zeros_like(seen) if drawn is None else drawn
        return np.hstack([_enlarge(part, WIDTH_PX // 2) for part in (seen, right)])
    if drawn is not None and share > 0:
        seen = cv2.addWeighted(seen, 1 - share, drawn, share, 0)
    picture = _enlarge(seen, WIDTH_PX)
    return _name(picture, names)


def _enlarge(picture: np.ndarray, width: int) -> np.ndarray:
    height = round(picture.shape[0] * width / picture.shape[1])
    how = cv2.INTER_AREA if picture.shape[1] > width else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=how)


def _name(picture: np.ndarray, names: Sequence[str]) -> np.ndarray:
    rows, columns = tile_grid(len(names))
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    for i, name in enumerate(names):
        place = (i % columns) * width + 6, (i // columns) * height + 18
        for shift, colour in ((1, (0, 0, 0)), (0, (255, 255, 255))):  # thicker letters would be wider as well
            at = place[0] + shift, place[1] + shift
            cv2.putText(picture, name.replace("_", " "), at, LETTERS, LETTER_SCALE, colour, 1, cv2.LINE_AA)
    return picture
