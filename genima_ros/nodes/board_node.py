"""Publishes where one camera sees the calibration board, as a frame of TF: what easy_handeye2 waits for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from genima_core.calibration.board import Board
from genima_core.calibration.store import OPTICAL_FRAME
from genima_core.cameras import PinholeCamera
from genima_ros.graph.packages import remedy
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.nodes.cameras.rig_frames import to_transform
from genima_ros.nodes.run import NODE_OPTIONS, run

TF = "/tf"


@dataclass(frozen=True)
class BoardParameters(Board):
    """The board as printed, and who sees it."""

    camera: str = "front"
    """Name in the rig."""
    marker_frame: str = "charuco_board"


class BoardNode(Node):
    """Looks for the board in every picture of one camera.

    Publishes: /tf (the board in the camera's optical frame, with the stamp of the picture), diagnostics.
    Subscribes: <camera>/color/image_raw, <camera>/color/camera_info.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic, **options: Any) -> None:
        super().__init__("board", **NODE_OPTIONS, **options)
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            raise RuntimeError(f"frames of TF need tf2_msgs ({error}): {remedy('tf2_msgs')}") from error
        self._message = TFMessage
        self.parameters = declare_dataclass(self, BoardParameters)
        self._clock_s = clock_s
        self._camera: PinholeCamera | None = None
        self._frames = self.create_publisher(TFMessage, TF, 10)
        self._diagnostics = Diagnostics(self, ("image",))
        name = self.parameters.camera
        interfaces.subscribe(self, interfaces.camera_info(name), self._on_info)
        interfaces.subscribe(self, interfaces.camera_image(name), self._on_image)

    def _on_info(self, message: CameraInfo) -> None:
        try:
            self._camera = conversions.camera_info_to_camera(message)
        except ValueError as error:
            self._diagnostics.warn(f"camera_info not used: {error}", "camera_info")

    def _on_image(self, message: Image) -> None:
        began_s, board, camera = self._clock_s(), self.parameters, self._camera
        try:
            rgb = conversions.image_to_rgb(message)
        except ValueError as error:
            self._diagnostics.warn(f"image not used: {error}", "image")
            return
        self._diagnostics.received("image", conversions.seconds(message.header.stamp))
        view = None if camera is None else board.detect(rgb, camera)
        if view is None:
            missing = f"no camera_info of {board.camera}" if camera is None else f"{board.camera} sees no board"
            self._diagnostics.warn(missing, "board")
            return
        parent = OPTICAL_FRAME.format(camera=board.camera)
        transform = to_transform(board.pose(view), parent, board.marker_frame, message.header.stamp)
        self._frames.publish(self._message(transforms=[transform]))
        self._diagnostics.worked(self._clock_s() - began_s)


def main() -> None:
    run(BoardNode)


if __name__ == "__main__":
    main()
