"""easy_handeye2 with the frames of our rig, as data, which `launch/` starts."""

from pathlib import Path

from genima_core.arm import Arm
from genima_core.calibration.store import Calib
from genima_core.cameras import CameraRig

EASY_HANDEYE2 = "easy_handeye2"


def handeye_arguments(rig: CameraRig, camera: str, arm: Arm, marker_frame: str) -> dict[str, str]:
    """Arguments of easy_handeye2's calibrate.launch.py for one camera of the rig; KeyError if it has none such."""
    # It wants both of MoveIt's, and uses neither by default.
    moveit = {"move_group": f"{arm.name}_arm", "move_group_namespace": "/"}
    return Calib.of(rig[camera], arm, marker_frame).parameters() | moveit


def handeye_launch_file() -> Path:
    """easy_handeye2's calibrate.launch.py; RuntimeError if easy_handeye2 is not installed."""
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        return Path(get_package_share_directory(EASY_HANDEYE2)) / "launch" / "calibrate.launch.py"
    except PackageNotFoundError as error:
        raise RuntimeError(
            f"{EASY_HANDEYE2} is not installed; build it in your colcon workspace (it is not an "
            "apt package) and source that, or calibrate without it: genima calibrate collect"
        ) from error
