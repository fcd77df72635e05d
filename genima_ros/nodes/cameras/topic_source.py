"""A camera that another driver publishes, such as realsense-ros, as a source of the camera node."""

import time

import rclpy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.source import Clock, Frame, Opener, SourceLost
from genima_core.cameras import PinholeCamera
from genima_ros.messages import conversions
from genima_ros.messages.interfaces import NEWEST
from genima_ros.nodes.base import make_executor, unspun_node
from genima_ros.nodes.camera_node import CameraParameters

OPEN_S = 5.0
"""Discovery and the first picture take a moment."""


def camera_info_to_lens(message: CameraInfo, rectified: bool = False) -> Lens:
    """The lens of a picture that is as the camera took it, or of the rectified one."""
    if rectified:
        p = message.p
        return Lens(PinholeCamera(message.width, message.height, fx=p[0], fy=p[5], cx=p[2], cy=p[6]))
    k = message.k
    camera = PinholeCamera(message.width, message.height, fx=k[0], fy=k[4], cx=k[2], cy=k[5])
    return Lens(camera, message.distortion_model or "plumb_bob", tuple(map(float, message.d)))


def opener(parameters: CameraParameters, clock: Clock) -> Opener:
    """The camera node's source `topic`; of a topic named image_rect… the rectified camera."""
    topic = parameters.topic
    if not topic.startswith("/") or topic.count("/") < 2:
        valid = "a full name with a namespace, such as /camera/front/color/image_raw"
        raise ValueError(f"topic is {topic!r}; it must be {valid}")
    return lambda reset: TopicSource(topic, f"camera_{parameters.name}_inputs")  # the device belongs to somebody else


class TopicSource:
    """Subscribes to an image topic and the camera_info beside it.

    It has a ROS context of its own, spun by the thread that reads; a slow reader misses pictures.
    """

    live, warning = True, ""

    def __init__(self, topic: str, node_name: str) -> None:
        """Waits for the first picture; SourceLost if nothing comes, ValueError if the lens cannot be used."""
        base, _, name = topic.rpartition("/")
        info_topic, self._rectified = f"{base}/camera_info", name.startswith("image_rect")
        self._image: Image | None = None
        self._info: CameraInfo | None = None
        self._number = 0
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = unspun_node(node_name, self._context, use_global_arguments=False)
        self._executor = make_executor(self._context)
        self._executor.add_node(self._node)
        self._node.create_subscription(Image, topic, lambda message: setattr(self, "_image", message), NEWEST)
        self._node.create_subscription(CameraInfo, info_topic, lambda message: setattr(self, "_info", message), NEWEST)
        try:
            self._spin(OPEN_S, lambda: self._image is not None and self._info is not None)
            missing = [name for name, message in ((topic, self._image), (info_topic, self._info)) if message is None]
            if missing:
                remedy = "start the camera's driver, or correct the parameter topic"
                raise SourceLost(f"nothing arrives on {' and '.join(missing)}: {remedy}")
            self.lens = camera_info_to_lens(self._info, self._rectified)
        except (OSError, ValueError):
            self.close()
            raise

    def read(self, timeout_s: float) -> Frame | None:
        self._spin(timeout_s, lambda: self._image is not None)
        image, self._image = self._image, None
        if image is None:
            return None
        self._number += 1
        self.lens = camera_info_to_lens(self._info, self._rectified)
        return Frame(conversions.image_to_rgb(image), conversions.seconds(image.header.stamp), self._number, self.lens)

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin(self, timeout_s: float, done) -> None:
        end_s = time.monotonic() + timeout_s
        while not done() and (left_s := end_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left_s)
