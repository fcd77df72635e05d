"""The rig's cameras as frames of TF, and easy_handeye2 with these frames; as data, which `launch/` starts."""

from pathlib import Path

from genima_core.calibration.store import Calib
from genima_core.cameras import CameraRig
from genima_core.geometry import to_quat_xyzw

EASY_HANDEYE2 = "easy_handeye2"


def static_transforms(rig: CameraRig, arm: str, leave_out: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Camera name to the arguments of tf2_ros's static_transform_publisher.

    A frame has one parent: a camera driver that itself publishes the optical frame must be told not to.
    """
    return {camera.name: _arguments(Calib.of(camera, arm)) for camera in rig.cameras if camera.name not in leave_out}


def _arguments(calib: Calib) -> list[str]:
    parent = calib.robot_effector_frame if calib.mount == "hand" else calib.robot_base_frame
    position, quat_xyzw = calib.T_robot_cam[:3, 3], to_quat_xyzw(calib.T_robot_cam)
    values = {**{f"--{axis}": value for axis, value in zip("xyz", position, strict=True)},
              **{f"--q{axis}": value for axis, value in zip("xyzw", quat_xyzw, strict=True)}}
    return [*(text for name, value in values.items() for text in (name, f"{value:.9f}")),
            "--frame-id", parent, "--child-frame-id", calib.tracking_base_frame]


def handeye_arguments(rig: CameraRig, camera: str, arm: str, marker_frame: str) -> dict[str, str]:
    """Arguments of easy_handeye2's calibrate.launch.py for one camera of the rig.

    Raises:
        KeyError: the rig has no such camera.
    """
    calib = Calib.of(rig[camera], arm)
    return {"name": calib.name, "calibration_type": calib.calibration_type, "robot_base_frame": calib.robot_base_frame,
            "robot_effector_frame": calib.robot_effector_frame, "tracking_base_frame": calib.tracking_base_frame,
            "tracking_marker_frame": marker_frame,
            "move_group": f"{arm}_arm", "move_group_namespace": "/"}  # it wants both, and uses neither by default


def handeye_launch_file() -> Path:
    """easy_handeye2's calibrate.launch.py.

    Raises:
        RuntimeError: easy_handeye2 is not installed.
    """
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        return Path(get_package_share_directory(EASY_HANDEYE2)) / "launch" / "calibrate.launch.py"
    except PackageNotFoundError as error:
        raise RuntimeError(f"{EASY_HANDEYE2} is not installed; build it in your colcon workspace (it is no apt "
                           "package) and source that, or calibrate without it: genima calibrate collect") from error
