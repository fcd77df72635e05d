"""The camera node's source `folder`: its pictures one after the other, at the profile's rate."""

from collections.abc import Callable
from functools import partial

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.playback import INTRINSICS, PlaybackOpener, play_folder
from genima_core.camera_sources.profile import Profile
from genima_ros.nodes.camera_node import CameraParameters


def opener(parameters: CameraParameters, ros_s: Callable[[], float], wait: Callable[[float], object]) -> PlaybackOpener:
    if (folder := parameters.path) is None:
        raise ValueError("source folder needs a path")
    lens = Lens.load(parameters.intrinsics or folder / INTRINSICS)
    play = partial(play_folder, folder, Profile.parse(parameters.profile).fps)
    return PlaybackOpener(play, folder, lens, ros_s, wait)
