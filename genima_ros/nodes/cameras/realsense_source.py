"""The camera node's source `realsense`, by its serial number, with its own intrinsics or those of a file."""

from functools import partial

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.realsense import Profile, RealSenseConfig, import_realsense, open_realsense
from genima_core.camera_sources.source import Clock, Opener
from genima_ros.nodes.camera_node import CameraParameters


def opener(given: CameraParameters, clock: Clock) -> Opener:
    if not given.serial:
        raise ValueError("a RealSense needs its serial number; genima cameras lists them")
    profile = Profile.parse(given.profile)
    period_us = 1e6 / profile.fps
    if given.exposure_us is not None and given.exposure_us > period_us:
        between = f"the {period_us:.0f} us between two pictures of profile {profile}"
        remedy = "use a shorter exposure or a slower profile"
        raise ValueError(f"exposure_us is {given.exposure_us:g}, longer than {between}: {remedy}")
    lens = None if given.intrinsics is None else Lens.load(given.intrinsics)
    config = RealSenseConfig(given.serial, profile, given.exposure_us, given.gain, given.white_balance_k)
    return partial(open_realsense, import_realsense(), config, lens, clock.ros_s)
