"""A camera as it is, lens distortion included, and the pinhole picture that is made of what it sees."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from genima_core.cameras import PinholeCamera
from genima_core.config import from_overrides
from genima_core.files import explained, read_json, write_json


def plumb_bob(xy: np.ndarray, k: np.ndarray) -> np.ndarray:
    """OpenCV's radial and tangential model, which librealsense calls Brown-Conrady."""
    r2 = (xy * xy).sum(-1, keepdims=True)
    return _radial(xy, r2, k) + _tangential(xy, r2, k)


def modified_brown_conrady(xy: np.ndarray, k: np.ndarray) -> np.ndarray:
    """librealsense's model of most colour cameras: the tangential part acts on what the radial part has moved."""
    r2 = (xy * xy).sum(-1, keepdims=True)
    moved = _radial(xy, r2, k)
    return moved + _tangential(moved, r2, k)


def _radial(xy: np.ndarray, r2: np.ndarray, k: np.ndarray) -> np.ndarray:
    return xy * (1 + k[0] * r2 + k[1] * r2**2 + k[4] * r2**3)


def _tangential(xy: np.ndarray, r2: np.ndarray, k: np.ndarray) -> np.ndarray:
    return 2 * k[[2, 3]] * xy.prod(-1, keepdims=True) + k[[3, 2]] * (r2 + 2 * xy * xy)


DISTORTIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "plumb_bob": plumb_bob,
    "modified_brown_conrady": modified_brown_conrady,
    # librealsense projects with both alike; they differ in the way back, which is not needed here.
    "inverse_brown_conrady": modified_brown_conrady,
}
"""Name to what moves normalised image points (..., 2), given five coefficients k1, k2, p1, p2, k3."""


@dataclass(frozen=True)
class Lens:
    """Intrinsics with the distortion of the real picture."""

    camera: PinholeCamera
    distortion: str = "plumb_bob"
    coefficients: tuple[float, ...] = ()
    """k1, k2, p1, p2, k3; none means no distortion."""

    def __post_init__(self) -> None:
        if self.straight:
            return
        if self.distortion not in DISTORTIONS:
            known = f"known are {', '.join(DISTORTIONS)}: use a camera that rectifies its images, or image_proc"
            raise ValueError(f"pictures with distortion {self.distortion!r} cannot be rectified here; {known}")
        if len(self.coefficients) != 5 or not np.isfinite(self.coefficients).all():
            given = f"distortion {self.distortion} has coefficients {list(self.coefficients)}"
            raise ValueError(f"{given}; it needs five: k1, k2, p1, p2, k3")

    @property
    def straight(self) -> bool:
        """Whether the picture is a pinhole camera's already."""
        return not any(self.coefficients)

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) in front of the camera."""
        xy = points_cam[..., :2] / points_cam[..., 2:]
        if not self.straight:
            xy = DISTORTIONS[self.distortion](xy, np.asarray(self.coefficients))
        return xy * [self.camera.fx, self.camera.fy] + [self.camera.cx, self.camera.cy]

    def save(self, path: Path) -> None:
        content = asdict(self)
        write_json(path, {**content.pop("camera"), **content})

    @classmethod
    def load(cls, path: Path) -> "Lens":
        """Reads what `save` wrote, also without distortion; FileNotFoundError or ValueError where that is not there."""
        keys = [field.name for field in fields(PinholeCamera)]
        if not path.is_file():
            remedy = f"write a JSON file with {', '.join(keys)}, and distortion and coefficients where there are any"
            raise FileNotFoundError(f"intrinsics {path} do not exist; {remedy} (genima cameras --save writes one)")
        data = read_json(path)
        with explained(f"{path} holds no intrinsics", remedy=f"it needs {', '.join(keys)}"):
            camera = {key: data.pop(key) for key in keys if key in data}
            return from_overrides(cls, {**data, "camera": camera}, "the file")


@dataclass(frozen=True)
class View:
    """What is made of a camera's picture: straightened, cut out, resized."""

    lens: Lens
    crop: tuple[int, int, int, int] | None = None
    """Left, top, width, height in px of the camera's picture."""
    size: tuple[int, int] | None = None
    """Width and height of the result."""

    def __post_init__(self) -> None:
        if self.crop is not None:
            self.lens.camera.crop(*self.crop)  # refuses what leaves the picture, before the first one comes

    @cached_property
    def camera(self) -> PinholeCamera:
        return self._cut if self.size is None else self._cut.resize(*self.size)

    @cached_property
    def _cut(self) -> PinholeCamera:
        return self.lens.camera if self.crop is None else self.lens.camera.crop(*self.crop)

    @cached_property
    def _maps(self) -> tuple[np.ndarray, np.ndarray]:
        """For each pixel of the cut-out where it is in the camera's picture."""
        pixels = np.stack(np.meshgrid(np.arange(self._cut.width), np.arange(self._cut.height)), -1)
        uv = self.lens.project(self._cut.rays(pixels)).astype(np.float32)
        return cv2.convertMaps(uv[..., 0], uv[..., 1], cv2.CV_16SC2)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """The result (H, W, 3) of a picture of the lens's size."""
        if not self.lens.straight:
            rgb = cv2.remap(rgb, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        elif self.crop is not None:
            left, top, width, height = self.crop
            rgb = rgb[top : top + height, left : left + width]
        if self.size is None or self.size == (rgb.shape[1], rgb.shape[0]):
            return np.ascontiguousarray(rgb)
        smaller = self.size[0] <= rgb.shape[1] and self.size[1] <= rgb.shape[0]
        return cv2.resize(rgb, self.size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)

    def of(self, lens: Lens) -> "View":
        return self if lens == self.lens else replace(self, lens=lens)


def parse_crop(text: str, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Left, top, width, height of "square" (the largest in the middle), "80,0,480,480" or "" (all); else ValueError."""
    if not text:
        return None
    if text == "square":
        side = min(width, height)
        return (width - side) // 2, (height - side) // 2, side, side
    try:
        left, top, wide, high = map(int, text.split(","))
    except ValueError:
        valid = 'valid are "", "square" and left,top,width,height in px, such as 80,0,480,480'
        raise ValueError(f"crop is {text!r}; {valid}") from None
    return left, top, wide, high


def parse_size(text: str) -> tuple[int, int] | None:
    """Width and height of "256x256"; None for "", ValueError for another form."""
    if not text:
        return None
    if (found := re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)) is None:
        raise ValueError(f'size is {text!r}; valid are "" and width x height in px, such as 256x256')
    return int(found[1]), int(found[2])
