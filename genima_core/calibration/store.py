"""easy_handeye2's `.calib` files, and solved extrinsics put into a camera rig."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from genima_core.arm import HAND_YAW_RAD, PANDA, TCP_Z_M, Arm
from genima_core.cameras import CameraRig, Mount, PinholeCamera, RigCamera
from genima_core.config import from_overrides
from genima_core.files import check_name, read_yaml, write_text
from genima_core.geometry import checked_numbers, checked_pose, from_quat_xyzw, make_transform, to_quat_xyzw

CalibrationType = Literal["eye_in_hand", "eye_on_base"]
TYPES: dict[CalibrationType, Mount] = {"eye_in_hand": "hand", "eye_on_base": "base"}
"""easy_handeye2's name of what we call the mount."""
OPTICAL_FRAME = "{camera}_color_optical_frame"

_PARAMETERS = (
    "name",
    "calibration_type",
    "robot_base_frame",
    "robot_effector_frame",
    "tracking_base_frame",
    "tracking_marker_frame",
)
_T_HAND_EFFECTOR = {
    "hand": np.eye(4),
    "hand_tcp": make_transform(np.eye(3), np.array([0.0, 0.0, TCP_Z_M])),
    "link8": make_transform(Rotation.from_euler("z", -HAND_YAW_RAD).as_matrix(), np.zeros(3)),
}
"""Frames of the vendor's description that a calibration may refer to, without the arm's prefix, in the hand frame."""


@dataclass(frozen=True)
class Calib:
    """The content of one `.calib` file."""

    name: str
    calibration_type: CalibrationType
    robot_base_frame: str
    robot_effector_frame: str
    tracking_base_frame: str
    """The camera."""
    tracking_marker_frame: str
    T_robot_cam: np.ndarray
    """(4, 4) pose of the camera in the effector (eye in hand) or in the base."""

    def __post_init__(self) -> None:
        check_name(self.name, "a camera")
        if self.calibration_type not in TYPES:
            raise ValueError(f"calibration_type is {self.calibration_type!r}; valid are {' and '.join(TYPES)}")

    @classmethod
    def of(cls, camera: RigCamera, arm: Arm = PANDA, marker_frame: str = "charuco_board") -> "Calib":
        """Of a camera of the rig on or beside this arm, with its frames and those of realsense-ros."""
        kind = next(kind for kind, mount in TYPES.items() if mount == camera.mount)
        return cls(
            camera.name,
            kind,
            arm.base_frame,
            arm.hand_frame,
            OPTICAL_FRAME.format(camera=camera.name),
            marker_frame,
            camera.T_mount_cam,
        )

    @property
    def mount(self) -> Mount:
        return TYPES[self.calibration_type]

    def T_mount_cam(self) -> np.ndarray:
        """(4, 4) in our frames: the OpenCV camera in the hand or in the base.

        Raises:
            ValueError: the file refers to frames whose place is not known.
        """
        if not self.tracking_base_frame.endswith("optical_frame"):
            raise ValueError(
                f"calibration {self.name!r} is of frame {self.tracking_base_frame!r}, which is not an optical "
                f"frame; calibrate with tracking_base_frame:={OPTICAL_FRAME.format(camera=self.name)}"
            )
        if self.mount == "base":
            if self.robot_base_frame != "base" and not self.robot_base_frame.endswith("link0"):
                raise ValueError(
                    f"calibration {self.name!r} has robot_base_frame {self.robot_base_frame!r}; calibrate "
                    "with the arm's link 0, such as panda_link0"
                )
            return self.T_robot_cam
        for suffix, T_hand_effector in _T_HAND_EFFECTOR.items():
            if self.robot_effector_frame == suffix or self.robot_effector_frame.endswith(f"_{suffix}"):
                return T_hand_effector @ self.T_robot_cam
        raise ValueError(
            f"calibration {self.name!r} has robot_effector_frame {self.robot_effector_frame!r}; known are "
            f"frames that end in {', '.join(_T_HAND_EFFECTOR)}"
        )

    def save(self, path: Path) -> None:
        """Writes the file as easy_handeye2 does; its publisher finds it in ~/.ros2/easy_handeye2/calibrations."""
        parameters = {name: getattr(self, name) for name in _PARAMETERS}
        parameters |= {"freehand_robot_movement": True, "move_group_namespace": "/", "move_group": "manipulator"}
        transform = {
            "translation": dict(zip("xyz", self.T_robot_cam[:3, 3].tolist(), strict=True)),
            "rotation": dict(zip("xyzw", to_quat_xyzw(self.T_robot_cam).tolist(), strict=True)),
        }
        write_text(path, yaml.safe_dump({"parameters": parameters, "transform": transform}, sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> "Calib":
        """
        Raises:
            FileNotFoundError, ValueError: no such file; a field is missing, not a number, or no rotation.
        """
        data = read_yaml(path)
        try:
            if missing := [name for name in _FIELDS if _find(data, name) is None]:
                raise ValueError(
                    f"it lacks {', '.join(missing)}; a .calib file of easy_handeye2 has {', '.join(_FIELDS)}"
                )
            position, quat_xyzw = (
                checked_numbers([_find(data, f"transform.{part}.{axis}") for axis in axes], (len(axes),), part)
                for part, axes in (("translation", "xyz"), ("rotation", "xyzw"))
            )
            T_robot_cam = checked_pose(from_quat_xyzw(quat_xyzw, position), "transform")
            return from_overrides(cls, {**data["parameters"], "T_robot_cam": T_robot_cam}, "the file", strict=False)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


_FIELDS = (
    *(f"parameters.{name}" for name in _PARAMETERS),
    *(f"transform.translation.{axis}" for axis in "xyz"),
    *(f"transform.rotation.{axis}" for axis in "xyzw"),
)


def _find(data: object, dotted: str) -> object:
    for key in dotted.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data


def placed(rig: CameraRig, poses: Mapping[str, tuple[str, np.ndarray]]) -> CameraRig:
    """The rig with cameras at other places: name to mount and T_mount_cam.

    Raises:
        KeyError, ValueError: the rig has no such camera, or one with another mount.
    """
    for name, (mount, _) in poses.items():
        if rig[name].mount != mount:
            raise ValueError(
                f"camera {name!r} was calibrated as mounted on the {mount}; the rig has it on the "
                f"{rig[name].mount}: correct the rig file or calibrate again"
            )
    return replace(
        rig,
        cameras=tuple(
            replace(camera, T_mount_cam=poses[camera.name][1]) if camera.name in poses else camera
            for camera in rig.cameras
        ),
    )


def check_intrinsics(rig: CameraRig, intrinsics: Mapping[str, PinholeCamera], tolerance: float = 0.01) -> None:
    """
    Raises:
        ValueError: a camera's intrinsics are not the rig's, nor become so when the image is resized.
    """
    for name, camera in intrinsics.items():
        ours = rig[name].intrinsics
        scaled = camera.resize(ours.width, ours.height)
        off = max(
            abs(scaled.fx - ours.fx) / ours.fx,
            abs(scaled.fy - ours.fy) / ours.fy,
            abs(scaled.cx - ours.cx) / ours.width,
            abs(scaled.cy - ours.cy) / ours.height,
        )
        if off > tolerance:
            raise ValueError(
                f"camera {name!r} was calibrated with intrinsics {_words(camera)}; the rig has {_words(ours)}, which "
                f"is not the same picture resized ({100 * off:.0f} % off): give the rig the intrinsics of the camera "
                "as it runs, or calibrate with the rig's crop and size"
            )


def _words(camera: PinholeCamera) -> str:
    values = asdict(camera)
    return f"{camera.width}x{camera.height} " + " ".join(f"{k} {values[k]:.1f}" for k in ("fx", "fy", "cx", "cy"))


def keep_old(path: Path, rig: CameraRig) -> Path:
    """Copies what a rig file holds beside it, under its fingerprint; returns the copy's path."""
    copy = path.with_name(f"{path.stem}.{rig.fingerprint()}{path.suffix}")
    rig.save(copy)
    return copy
