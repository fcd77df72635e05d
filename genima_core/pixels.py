"""Pictures: the pixels of an image message, whatever encoding a driver chose; files; all views in one."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genima_core.files import check_regular, one_line

MAX_PIXELS, MAX_PICTURE_BYTES = 100_000_000, 256 << 20
"""Of a picture that is decoded; one that claims more is refused before memory is taken for it."""

MAX_VIEWS = 6
"""Of a tiled picture."""
USUAL_VIEWS = 4
"""Of the published models, and of an agent whose folder does not say."""

_COLOURS = {"rgb": (3, ""), "bgr": (3, "BGR2RGB"), "rgba": (4, "RGBA2RGB"), "bgra": (4, "BGRA2RGB")}
_GREYS = {"mono": (1, "GRAY2RGB")}
# Named by sensor_msgs and here by the first four pixels; OpenCV's older names count from the second row and column.
_BAYER = {f"bayer_{pattern.lower()}": (1, f"Bayer{pattern}2RGB") for pattern in ("RGGB", "BGGR", "GBRG", "GRBG")}

ENCODINGS: dict[str, tuple[int, int, str]] = {
    **{f"{name}8": (channels, 1, code) for name, (channels, code) in (_COLOURS | _GREYS | _BAYER).items()},
    "8UC1": (1, 1, "GRAY2RGB"),
    "8UC3": (3, 1, "BGR2RGB"),  # cv_bridge's convention: three unnamed channels are BGR
    "yuv422_yuy2": (2, 1, "YUV2RGB_YUY2"),
    "yuv422": (2, 1, "YUV2RGB_UYVY"),
    **{f"{name}16": (channels, 2, code) for name, (channels, code) in (_COLOURS | _GREYS | _BAYER).items()},
}
"""Readable encodings, by the names of sensor_msgs: channels, bytes of each, and OpenCV's conversion to RGB."""


def to_rgb(data: Any, width: int, height: int, encoding: str, step: int, big_endian: bool = False) -> np.ndarray:
    """(H, W, 3) uint8 RGB of the rows of an image message; for rgb8 a read-only view of the buffer `data`.

    Of 16 bits the upper eight are kept, rounded. ValueError: an unknown encoding, no pixels, or a buffer of another
    size.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"image has encoding {encoding!r}; readable are {', '.join(ENCODINGS)}")
    channels, depth, conversion = ENCODINGS[encoding]
    row = width * channels * depth
    if height < 1 or width < 1:
        raise ValueError(f"image is {width}x{height}; it has no pixels")
    if step < row or memoryview(data).nbytes != step * height:
        given = f"image {width}x{height} {encoding} with step {step} has {memoryview(data).nbytes} bytes"
        raise ValueError(f"{given}; it needs a step of at least {row} and step x height bytes")
    rows = np.frombuffer(data, np.uint8).reshape(height, step)[:, :row]
    if encoding == "rgb8":
        pixels = rows.reshape(height, width, channels)
        pixels.flags.writeable = False
        return pixels
    import cv2  # not at the top: most processes see rgb8 only, and the streamer's no images at all

    kind = np.uint8 if depth == 1 else np.dtype(">u2" if big_endian else "<u2")
    samples: np.ndarray = np.ascontiguousarray(rows).view(kind).reshape(height, width, channels)
    try:
        if depth == 2:
            samples = cv2.convertScaleAbs(samples.astype(np.uint16), alpha=255 / 65535).reshape(samples.shape)
        return cv2.cvtColor(samples, getattr(cv2, f"COLOR_{conversion}")) if conversion else samples
    except cv2.error as error:
        raise ValueError(f"image {width}x{height} {encoding} cannot be converted: {error.err}") from error


def picture_size(data: bytes, what: str) -> tuple[int, int]:
    """Width and height that the bytes of a picture claim; ValueError, with `what`: none, or more than `MAX_PIXELS`."""
    from PIL import Image, UnidentifiedImageError  # as above

    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        why = "they are not a picture" if isinstance(error, UnidentifiedImageError) else one_line(error)
        raise ValueError(f"{what} cannot be decoded, {len(data)} bytes: {why}") from error
    if width * height > MAX_PIXELS:
        raise ValueError(f"{what} claims {width}x{height} pixels; the most is {MAX_PIXELS / 1e6:g} million")
    return width, height


def decode_picture(data: bytes, what: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a JPEG, PNG, ...; errors as in `picture_size`."""
    import cv2

    picture_size(data, what)
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"{what} cannot be decoded, {len(data)} bytes: it is damaged")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a file; FileNotFoundError, ValueError: no such file; not a picture, damaged, too large."""
    if check_regular(path).stat().st_size > MAX_PICTURE_BYTES:
        raise ValueError(f"{path} is larger than {MAX_PICTURE_BYTES / 1e6:.0f} MB, the most that is read of a picture")
    return decode_picture(path.read_bytes(), str(path))


def tile_grid(count: int) -> tuple[int, int]:
    """Rows and columns of a tiled picture of `count` views: two rows from three views on; ValueError: not 1 to 6."""
    if not 1 <= count <= MAX_VIEWS:
        raise ValueError(f"a tiled picture shows 1 to {MAX_VIEWS} views, not {count}")
    rows = 1 if count <= 2 else 2
    return rows, -(-count // rows)


def tile(views: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """One picture of 1 to 6 views (H, W, C), row by row from the top left; a place that is left over is black.

    ValueError: another number of views, or views of several shapes.
    """
    shapes = [np.shape(view) for view in views]
    rows, columns = tile_grid(len(shapes))
    if len(set(shapes)) != 1:
        raise ValueError(f"tiling needs views of one shape (H, W, C), not {shapes}")
    parts = [*views, *[np.zeros_like(views[0])] * (rows * columns - len(shapes))]
    return np.vstack([np.hstack(parts[row * columns : (row + 1) * columns]) for row in range(rows)])


def untile(tiled: np.ndarray, count: int) -> np.ndarray:
    """The views (count, H, W, C) of a tiled picture; ValueError: its size is that of no such picture."""
    rows, columns = tile_grid(count)
    height, width = tiled.shape[0] // rows, tiled.shape[1] // columns
    if tiled.shape[:2] != (rows * height, columns * width):
        needed = f"a height that {rows} divides and a width that {columns} divides"
        raise ValueError(f"a tiled picture of {count} views has {needed}, not {tiled.shape[:2]}")
    parts = tiled.reshape(rows, height, columns, width, -1).swapaxes(1, 2)
    return parts.reshape(rows * columns, height, width, -1)[:count]


def check_views(views: np.ndarray, count: int, size: tuple[int, int], what: str) -> None:
    """ValueError: not `count` views of a width and height, (count, H, W, 3) uint8; `what` names them."""
    width, height = size
    kind = getattr(views, "dtype", type(views).__name__)
    if np.shape(views) != (count, height, width, 3) or kind != np.uint8:
        needed = f"({count}, {height}, {width}, 3) uint8, a view of each camera"
        raise ValueError(f"{what} {np.shape(views)} {kind}; needed is {needed}")
