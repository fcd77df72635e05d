"""The camera node's source `realsense`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.profile import Profile
from genima_core.camera_sources.realsense import RealSenseConfig, RealSenseOpener, import_realsense

if TYPE_CHECKING:
    from genima_ros.nodes.camera_node import CameraParameters


def opener(
    parameters: "CameraParameters", ros_s: Callable[[], float], wait: Callable[[float], object]
) -> RealSenseOpener:
    """By its serial number, with its own intrinsics or those of a file."""
    profile = Profile.parse(parameters.profile)
    lens = None if parameters.intrinsics is None else Lens.load(parameters.intrinsics)
    config = RealSenseConfig(
        parameters.serial, profile, parameters.exposure_us, parameters.gain, parameters.white_balance_k
    )
    return RealSenseOpener(import_realsense(), config, lens, ros_s)
