"""The camera node's source `video`, at its own rate."""

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.playback import INTRINSICS, play_video
from genima_core.camera_sources.source import Clock, Opener
from genima_ros.nodes.camera_node import CameraParameters


def opener(parameters: CameraParameters, clock: Clock) -> Opener:
    if (video := parameters.path) is None:
        raise ValueError("source video needs a path")
    lens = Lens.load(parameters.intrinsics or video.parent / INTRINSICS)
    return lambda reset: play_video(video, lens, clock)
