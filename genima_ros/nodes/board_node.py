"""Publishes where one camera sees the calibration board, as a frame of TF: what easy_handeye2 waits for."""

from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo, Image

from genima_core.calibration.board import Board
from genima_core.calibration.store import OPTICAL_FRAME
from genima_core.cameras import PinholeCamera
from genima_ros.graph.packages import import_messages
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.base import GraphNode
from genima_ros.nodes.rig_node import to_transform

TF = "/tf"


@dataclass(frozen=True)
class BoardParameters(Board):
    """The board as printed, and who sees it."""

    camera: str = "front"
    """Name of the camera in the rig."""
    marker_frame: str = "charuco_board"
    """TF frame of the board."""


class BoardNode(GraphNode[BoardParameters]):
    """Looks for the board in every picture of one camera.

    Publishes: /tf (the board in the camera's optical frame, with the stamp of the picture), diagnostics.
    Subscribes: <camera>/color/image_raw, <camera>/color/camera_info.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("board", BoardParameters, **options)
        self._message = import_messages("tf2_msgs.msg", "a frame of TF").TFMessage
        self._camera: PinholeCamera | None = None
        self._frames = self.create_publisher(self._message, TF, 10)
        self.diagnostics.expect("image")
        name = self.parameters.camera
        self.subscribe(interfaces.camera_info(name), self._on_info)
        self.subscribe(interfaces.camera_image(name), self._on_image)

    def _on_info(self, message: CameraInfo) -> None:
        with self.using("camera_info"):
            self._camera = conversions.camera_info_to_camera(message)

    def _on_image(self, message: Image) -> None:
        began_s, board, camera = self.clock_s(), self.parameters, self._camera
        view = None
        with self.using("image"):
            rgb = conversions.image_to_rgb(message)
            self.diagnostics.received("image", conversions.seconds(message.header.stamp))
            view = None if camera is None else board.detect(rgb, camera)
            if view is None:
                missing = f"no camera_info of {board.camera}" if camera is None else f"{board.camera} sees no board"
                self.diagnostics.warn(missing, "board")
        if view is not None:
            parent = OPTICAL_FRAME.format(camera=board.camera)
            transform = to_transform(board.pose(view), parent, board.marker_frame, message.header.stamp)
            self._frames.publish(self._message(transforms=[transform]))
            self.diagnostics.worked(self.clock_s() - began_s)
