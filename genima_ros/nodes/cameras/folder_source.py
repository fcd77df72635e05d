"""The camera node's source `folder`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.playback import INTRINSICS, FolderOpener
from genima_core.camera_sources.profile import Profile

if TYPE_CHECKING:
    from genima_ros.nodes.camera_node import CameraParameters


def opener(parameters: "CameraParameters", ros_s: Callable[[], float], wait: Callable[[float], object]) -> FolderOpener:
    """Its pictures one after the other, at the profile's rate."""
    folder = parameters.path or Path()
    lens = Lens.load(parameters.intrinsics or folder / INTRINSICS)
    return FolderOpener(folder, lens, Profile.parse(parameters.profile).fps, ros_s, wait)
