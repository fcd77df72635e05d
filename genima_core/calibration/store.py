"""easy_handeye2's `.calib` files, and solved extrinsics put into a camera rig."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from genima_core.arm import HAND_YAW_RAD, PANDA, TCP_Z_M, Arm
from genima_core.cameras import CameraRig, Mount, PinholeCamera, RigCamera
from genima_core.config import from_overrides
from genima_core.files import check_name, explained, read_yaml, write_text
from genima_core.geometry import (
    checked_numbers,
    checked_pose,
    from_quat_xyzw,
    from_rpy,
    invert,
    make_transform,
    to_quat_xyzw,
    transform_points,
)

CalibrationType = Literal["eye_in_hand", "eye_on_base"]
TYPES: dict[CalibrationType, Mount] = {"eye_in_hand": "hand", "eye_on_base": "base"}
"""easy_handeye2's name to our mount."""
OPTICAL_FRAME = "{camera}_color_optical_frame"

FURTHEST_M: Mapping[Mount, float] = {"base": 3.0, "hand": 0.5}
"""From what it is mounted on; a camera further away hardly sees the arm, or is not on this hand."""

_T_HAND_EFFECTOR = {
    "hand": np.eye(4),
    "hand_tcp": make_transform(np.eye(3), np.array([0.0, 0.0, TCP_Z_M])),
    "link8": from_rpy((0.0, 0.0, -HAND_YAW_RAD), np.zeros(3)),
}
"""Frames of the vendor's description that a calibration may refer to, without the arm's prefix, in the hand frame."""


@dataclass(frozen=True)
class Parameters:
    name: str
    calibration_type: CalibrationType
    robot_base_frame: str
    robot_effector_frame: str
    tracking_base_frame: str
    tracking_marker_frame: str

    def __post_init__(self) -> None:
        check_name(self.name, "a camera")


@dataclass(frozen=True)
class _File:
    parameters: Parameters
    transform: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Calib(Parameters):
    T_robot_cam: np.ndarray
    """(4, 4) pose of the camera in the effector (eye in hand) or in the base."""

    @classmethod
    def of(cls, camera: RigCamera, arm: Arm = PANDA, marker_frame: str = "charuco_board") -> "Calib":
        """The calibration of a camera of the rig, with the frames of this arm and of realsense-ros."""
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
        """(4, 4) pose of the OpenCV camera in the hand or base; ValueError if it refers to unknown frames."""
        if not self.tracking_base_frame.endswith("optical_frame"):
            given = f"calibration {self.name!r} is of frame {self.tracking_base_frame!r}, which is not an optical frame"
            remedy = f"calibrate with tracking_base_frame:={OPTICAL_FRAME.format(camera=self.name)}"
            raise ValueError(f"{given}; {remedy}")
        if self.mount == "base":
            if self.robot_base_frame != "base" and not self.robot_base_frame.endswith("link0"):
                given = f"calibration {self.name!r} has robot_base_frame {self.robot_base_frame!r}"
                raise ValueError(f"{given}; known are base, and frames that end in link0")
            return self.T_robot_cam
        for suffix, T_hand_effector in _T_HAND_EFFECTOR.items():
            if self.robot_effector_frame == suffix or self.robot_effector_frame.endswith(f"_{suffix}"):
                return T_hand_effector @ self.T_robot_cam
        given = f"calibration {self.name!r} has robot_effector_frame {self.robot_effector_frame!r}"
        raise ValueError(f"{given}; known are frames that end in {', '.join(_T_HAND_EFFECTOR)}")

    def parameters(self) -> dict[str, str]:
        return {field.name: getattr(self, field.name) for field in fields(Parameters)}

    def save(self, path: Path) -> None:
        """Writes the file as easy_handeye2 does; its publisher finds it in ~/.ros2/easy_handeye2/calibrations."""
        unused = {"freehand_robot_movement": True, "move_group_namespace": "/", "move_group": "manipulator"}
        transform = {
            "translation": dict(zip("xyz", self.T_robot_cam[:3, 3].tolist(), strict=True)),
            "rotation": dict(zip("xyzw", to_quat_xyzw(self.T_robot_cam).tolist(), strict=True)),
        }
        content = {"parameters": self.parameters() | unused, "transform": transform}
        write_text(path, yaml.safe_dump(content, sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> "Calib":
        """FileNotFoundError if there is none, ValueError if a field is missing, not a number or not a rotation."""
        data = read_yaml(path)
        with explained(f"{path} is not a .calib file of easy_handeye2"):
            stored = from_overrides(_File, data, "the file", strict=False)
            position, quat_xyzw = (
                checked_numbers([stored.transform.get(part, {}).get(axis) for axis in axes], (len(axes),), part)
                for part, axes in (("translation", "xyz"), ("rotation", "xyzw"))
            )
            T_robot_cam = checked_pose(from_quat_xyzw(quat_xyzw, position), "transform")
        return cls(**vars(stored.parameters), T_robot_cam=T_robot_cam)


def placed(rig: CameraRig, poses: Mapping[str, tuple[str, np.ndarray]]) -> CameraRig:
    """The rig with new poses: camera name to mount and T_mount_cam.

    Raises:
        KeyError: the rig has no such camera.
        ValueError: the camera is mounted elsewhere.
    """
    for name, (mount, _) in poses.items():
        if rig[name].mount != mount:
            given = f"camera {name!r} was calibrated as mounted on the {mount}; the rig has it on the {rig[name].mount}"
            raise ValueError(f"{given}: correct the rig file or calibrate again")
    cameras = (replace(c, T_mount_cam=poses[c.name][1]) if c.name in poses else c for c in rig.cameras)
    return replace(rig, cameras=tuple(cameras))


def find_doubt(camera: RigCamera, arm: Arm) -> str:
    """Why a camera can hardly be where it is said to be; "" if it can. Looked at with the arm at home."""
    T_base_hand = arm.frame_pose(arm.home, "hand")
    away_m, most_m = float(np.linalg.norm(camera.T_mount_cam[:3, 3])), FURTHEST_M[camera.mount]
    if np.allclose(camera.T_mount_cam, np.eye(4)):
        return f"its pose in the {camera.mount} is the identity, as of one that was never calibrated"
    if away_m > most_m:
        return (
            f"it would be {away_m:.1f} m from the {camera.mount}; valid are up to {most_m:g} m: are its numbers in m?"
        )
    points = arm.target_poses(arm.home)[:, :3, 3]
    if camera.mount == "hand":  # which sees the gripper or what is before it
        points = transform_points(T_base_hand, np.outer(np.linspace(TCP_Z_M, 0.6, 11), (0.0, 0.0, 1.0)))
    pixels = camera.intrinsics.project(transform_points(invert(camera.T_base_cam(T_base_hand)), points))
    if camera.intrinsics.contains(pixels).any():
        return ""
    return "it would not see the arm: is its quaternion x, y, z, w, and is it the camera's pose, not the inverse?"


def check_intrinsics(rig: CameraRig, intrinsics: Mapping[str, PinholeCamera]) -> None:
    """ValueError if a camera's intrinsics are not those of the rig, even after resizing the image."""
    for name, camera in intrinsics.items():
        ours = rig[name].intrinsics
        if off := ours.difference(camera.resize(*ours.size)):
            given = f"camera {name!r} was calibrated with intrinsics {_words(camera)}; the rig has {_words(ours)}"
            remedy = "give the rig the intrinsics of the camera as it runs, or calibrate with the rig's crop and size"
            raise ValueError(f"{given}, which is not the same picture resized ({off}): {remedy}")


def _words(camera: PinholeCamera) -> str:
    values = asdict(camera)
    return f"{camera.width}x{camera.height} " + " ".join(f"{k} {values[k]:.1f}" for k in ("fx", "fy", "cx", "cy"))
