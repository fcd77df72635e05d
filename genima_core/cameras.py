"""Pinhole cameras, and the rig of named cameras that the whole pipeline shares."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from genima_core.arm import PANDA, Arm
from genima_core.arm_description import arm_from
from genima_core.config import from_overrides
from genima_core.files import check_name, explained, read_json, write_json
from genima_core.geometry import checked_pose, distance
from genima_core.pixels import MAX_VIEWS

Mount = Literal["base", "hand"]
MAX_SIDE_PX = 8192
MAX_RADIUS_M = 0.5
"""Of a target: larger ones would hide the scene."""

MOVED_MM, MOVED_DEG, ZOOMED = 2.0, 0.2, 0.01
"""A camera that differs by more was moved, or is another one; a good calibration repeats to less. Zoom: of the focal
length, and of the width for the principal point."""


@dataclass(frozen=True)
class PinholeCamera:
    """Intrinsics without distortion, in pixels; OpenCV's pixel convention (see `geometry`)."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        sized = 1 <= self.width <= MAX_SIDE_PX and 1 <= self.height <= MAX_SIDE_PX
        if not (sized and self.fx > 0 and self.fy > 0 and np.isfinite([self.fx, self.fy, self.cx, self.cy]).all()):
            given = f"{self.width}x{self.height}, fx {self.fx}, fy {self.fy}, cx {self.cx}, cy {self.cy}"
            needed = f"a size of 1 to {MAX_SIDE_PX} pixels, positive focal lengths and finite numbers"
            raise ValueError(f"a camera needs {needed}, not {given}")

    @classmethod
    def from_camera_info(cls, message: Any, name: str) -> "PinholeCamera":
        """Of the camera `name`, by a sensor_msgs/CameraInfo, whoever has read that; ValueError for distorted images."""
        if any(abs(value) > 1e-9 for value in message.d):
            given = f"camera {name} has distortion {np.round(message.d, 4).tolist()}"
            raise ValueError(f"{given}; use its rectified images (image_proc), or a camera that rectifies")
        k = message.k
        return cls(message.width, message.height, fx=k[0], fy=k[4], cx=k[2], cy=k[5])

    @classmethod
    def from_fov(cls, width: int, height: int, fovy_rad: float) -> "PinholeCamera":
        """Square pixels, principal point at the centre, vertical field of view in rad."""
        f = height / 2 / np.tan(fovy_rad / 2)
        return cls(width, height, f, f, (width - 1) / 2, (height - 1) / 2)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @property
    def K(self) -> np.ndarray:
        """Intrinsic matrix (3, 3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def fovy_rad(self) -> float:
        return 2 * float(np.arctan(self.height / 2 / self.fy))

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) in the camera frame; NaN where a point is not in front."""
        z = points_cam[..., 2:]
        uv = points_cam[..., :2] / np.where(z > 0, z, np.nan)
        return uv * [self.fx, self.fy] + [self.cx, self.cy]

    def rays(self, uv: np.ndarray) -> np.ndarray:
        """Points (..., 3) one metre deep in the camera frame that are seen at pixels (..., 2)."""
        xy = (uv - [self.cx, self.cy]) / [self.fx, self.fy]
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)

    def contains(self, uv: np.ndarray) -> np.ndarray:
        """Whether pixels (..., 2) lie inside the image; False for NaN."""
        u, v = uv[..., 0], uv[..., 1]
        return (u >= -0.5) & (u < self.width - 0.5) & (v >= -0.5) & (v < self.height - 0.5)

    def difference(self, other: "PinholeCamera", most: float = ZOOMED) -> str:
        """How the other's intrinsics differ, "" if by calibration noise only: `most` of the focal length and width."""
        if self.size != other.size:
            return f"its images are {other.width}x{other.height}, not {self.width}x{self.height}"
        focal = max(other.fx / self.fx, other.fy / self.fy, key=lambda ratio: abs(ratio - 1))
        shift_px = float(np.hypot(other.cx - self.cx, other.cy - self.cy))
        if abs(focal - 1) <= most and shift_px <= most * self.width:
            return ""
        return f"its focal length is {100 * (focal - 1):+.1f} %, its principal point {shift_px:.1f} px away"

    def crop(self, left: int, top: int, width: int, height: int) -> "PinholeCamera":
        """The camera of the cut-out image; ValueError if the rectangle leaves the image."""
        if left < 0 or top < 0 or width < 1 or height < 1 or left + width > self.width or top + height > self.height:
            raise ValueError(f"crop {width}x{height} at ({left}, {top}) leaves the {self.width}x{self.height} image")
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    def resize(self, width: int, height: int) -> "PinholeCamera":
        """The camera of the resized image (pixel areas, as OpenCV's INTER_AREA and INTER_LINEAR do)."""
        sx, sy = width / self.width, height / self.height
        cx, cy = (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        return PinholeCamera(width, height, self.fx * sx, self.fy * sy, cx, cy)


@dataclass(frozen=True)
class RigCamera:
    """One camera of the rig: what it is, where it is mounted and how large targets are drawn in it."""

    name: str
    intrinsics: PinholeCamera
    mount: Mount
    T_mount_cam: np.ndarray
    """(4, 4) pose of the OpenCV camera in the base or in the hand frame."""
    target_radius_m: float

    def __post_init__(self) -> None:
        check_name(self.name, "a camera")
        if self.mount not in ("base", "hand"):
            raise ValueError(f"camera {self.name!r} has mount {self.mount!r}; valid are 'base' and 'hand'")
        checked_pose(self.T_mount_cam, f"T_mount_cam of camera {self.name!r}")
        if not 0 < self.target_radius_m <= MAX_RADIUS_M:
            given = f"camera {self.name!r} has targets of {self.target_radius_m} m"
            raise ValueError(f"{given}; valid are up to {MAX_RADIUS_M}, above 0")

    def T_base_cam(self, T_base_hand: np.ndarray) -> np.ndarray:
        """Pose of the camera in the base frame while the hand is at T_base_hand."""
        return self.T_mount_cam if self.mount == "base" else T_base_hand @ self.T_mount_cam

    def displacement(self, other: "RigCamera") -> str:
        """How the other camera is mounted elsewhere, "" if it is not."""
        if self.mount != other.mount:
            return f"it is mounted on the {other.mount}, not on the {self.mount}"
        mm, deg = distance(self.T_mount_cam, other.T_mount_cam)
        return f"it is {mm:.0f} mm and {deg:.1f} degrees away" if mm > MOVED_MM or deg > MOVED_DEG else ""


@dataclass(frozen=True)
class CameraRig:
    """One to six cameras in tile order (row by row from the top left), and the arm that they watch."""

    cameras: tuple[RigCamera, ...]
    arm: Arm = PANDA
    """Whose base and hand the cameras are mounted on, and whose frames are drawn."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.cameras) <= MAX_VIEWS or len(set(self.names)) != len(self.cameras):
            raise ValueError(f"a rig needs 1 to {MAX_VIEWS} cameras with different names, not {list(self.names)}")
        sizes = {camera.intrinsics.size for camera in self.cameras}
        if len(sizes) != 1:
            raise ValueError(f"the cameras of a rig share one image size; given are {sorted(sizes)}: crop and resize")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.cameras)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of each view in pixels."""
        return self.cameras[0].intrinsics.size

    def __getitem__(self, name: str) -> RigCamera:
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise KeyError(f"no camera {name!r}; the rig has {', '.join(self.names)}")

    def in_order(self, names: Sequence[str]) -> "CameraRig":
        """With these names in tile order; as it is where they are not its cameras."""
        if sorted(names) != sorted(self.names):
            return self
        return replace(self, cameras=tuple(self[name] for name in names))

    def resize(self, width: int, height: int) -> "CameraRig":
        cameras = tuple(replace(c, intrinsics=c.intrinsics.resize(width, height)) for c in self.cameras)
        return replace(self, cameras=cameras)

    def to_dict(self) -> dict:
        return {
            "arm": self.arm.to_dict(),
            "cameras": [{**asdict(camera), "T_mount_cam": camera.T_mount_cam.tolist()} for camera in self.cameras],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], what: str = "this") -> "CameraRig":
        """The rig that `to_dict` told of; ValueError, which names `what`, if it is none."""
        with explained(f"{what} is not a camera rig", (ValueError, FileNotFoundError)):
            return from_overrides(cls, {**data, "arm": arm_from(data.get("arm"))}, "the rig")

    def save(self, path: Path) -> None:
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path) -> "CameraRig":
        """Reads what `save` wrote; FileNotFoundError or ValueError if that is not there."""
        return cls.from_dict(read_json(path), str(path))

    def differences(self, other: "CameraRig") -> tuple[str, ...]:
        """How the other rig's cameras differ from these, a phrase each; none where only calibration noise differs."""
        if self.names != other.names:
            return (f"its cameras are {', '.join(other.names)}, not {', '.join(self.names)}",)
        return tuple(
            f"{mine.name}: {text}"
            for mine, its in zip(self.cameras, other.cameras, strict=True)
            for text in (mine.intrinsics.difference(its.intrinsics), mine.displacement(its))
            if text
        )

    def fingerprint(self) -> str:
        """Twelve hex digits that change when any camera changes by more than rounding (1e-6)."""
        cameras = {"cameras": self.to_dict()["cameras"]}
        text = json.dumps(json.loads(json.dumps(cameras), parse_float=lambda x: round(float(x), 6)))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
