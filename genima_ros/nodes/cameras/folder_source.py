"""The camera node's source `folder`: its pictures one after the other, at the profile's rate."""

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.playback import INTRINSICS, play_folder
from genima_core.camera_sources.realsense import Profile
from genima_core.camera_sources.source import Clock, Opener
from genima_ros.nodes.camera_node import CameraParameters


def opener(parameters: CameraParameters, clock: Clock) -> Opener:
    if (folder := parameters.path) is None:
        raise ValueError("source folder needs a path")
    fps, lens = Profile.parse(parameters.profile).fps, Lens.load(parameters.intrinsics or folder / INTRINSICS)
    return lambda reset: play_folder(folder, fps, lens, clock)
