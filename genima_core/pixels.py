"""The pixels of an image message's buffer, whatever encoding a camera driver chose."""

import numpy as np

# encoding: (bytes a pixel, OpenCV's conversion to RGB)
ENCODINGS = {
    "rgb8": (3, ""),
    "bgr8": (3, "COLOR_BGR2RGB"),
    "rgba8": (4, "COLOR_RGBA2RGB"),
    "bgra8": (4, "COLOR_BGRA2RGB"),
    "mono8": (1, "COLOR_GRAY2RGB"),
    "8UC1": (1, "COLOR_GRAY2RGB"),
    "8UC3": (3, "COLOR_BGR2RGB"),  # cv_bridge's convention: three unnamed channels are BGR
    "yuv422_yuy2": (2, "COLOR_YUV2RGB_YUY2"),
    "yuv422": (2, "COLOR_YUV2RGB_UYVY"),
}
"""Readable encodings, by the names of sensor_msgs."""


def to_rgb(data: object, width: int, height: int, encoding: str, step: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB of the rows of an image message; for rgb8 a read-only view of the buffer `data`.

    Raises:
        ValueError: an unknown encoding, no pixels, or a buffer of another size.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"image has encoding {encoding!r}; readable are {', '.join(ENCODINGS)}")
    channels, conversion = ENCODINGS[encoding]
    row = width * channels
    if height < 1 or width < 1:
        raise ValueError(f"image is {width}x{height}; it has no pixels")
    if step < row or len(data) != step * height:
        raise ValueError(
            f"image {width}x{height} {encoding} with step {step} has {len(data)} bytes; it needs a step "
            f"of at least {row} and step x height bytes"
        )
    rows = np.frombuffer(data, np.uint8).reshape(height, step)
    pixels = rows[:, :row].reshape(height, width, channels)
    if not conversion:
        pixels.flags.writeable = False
        return pixels
    import cv2  # not at the top: most processes see rgb8 only, and the streamer's no images at all

    try:
        return cv2.cvtColor(np.ascontiguousarray(pixels), getattr(cv2, conversion))
    except cv2.error as error:
        raise ValueError(f"image {width}x{height} {encoding} cannot be converted: {error.err}") from error
