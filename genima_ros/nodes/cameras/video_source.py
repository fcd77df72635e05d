"""The camera node's source `video`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.playback import INTRINSICS, VideoOpener

if TYPE_CHECKING:
    from genima_ros.nodes.camera_node import CameraParameters


def opener(parameters: "CameraParameters", ros_s: Callable[[], float], wait: Callable[[float], object]) -> VideoOpener:
    """At its own rate."""
    video = parameters.path or Path()
    lens = Lens.load(parameters.intrinsics or video.parent / INTRINSICS)
    return VideoOpener(video, lens, ros_s, wait)
