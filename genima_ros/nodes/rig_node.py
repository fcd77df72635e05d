"""Publishes where the cameras of a real cell are, as the simulated cell does for its own."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.publisher import Publisher

from genima_core.arm import Arm
from genima_core.calibration.store import OPTICAL_FRAME
from genima_core.cameras import CameraRig
from genima_core.geometry import to_quat_xyzw
from genima_ros.messages import interfaces
from genima_ros.nodes.base import ArmParameters, GraphNode

TF_STATIC = "/tf_static"


@dataclass(frozen=True)
class RigParameters(ArmParameters):
    """The arm is the one whose base and hand carry the cameras."""

    rig: Path | None = None
    """rig.json, as `genima calibrate install` writes it."""
    tf: bool = True
    """Whether the cameras are frames of TF as well, where tf2_msgs is installed."""
    leave_out: tuple[str, ...] = ()
    """Cameras whose frame another node publishes."""


class RigNode(GraphNode[RigParameters]):
    """Publishes the rig once, latched: nodes that start later still receive it.

    Publishes: camera_rig, diagnostics, and where tf2_msgs is installed /tf_static.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("rig", RigParameters, **options)
        path = self.parameters.rig
        if path is None:
            raise ValueError("the rig node needs the parameter rig: the rig.json with where the cameras are")
        self._rig, arm = CameraRig.load(path), self.parameters.setup.arm
        self.announce(interfaces.CAMERA_RIG)
        self.say(interfaces.CAMERA_RIG, data=json.dumps(self._rig.to_dict()))
        if self.parameters.tf:
            self._frames = publish_frames(self, self._rig, arm, self.parameters.leave_out)
        self.get_logger().info(f"rig {self._rig.fingerprint()} from {path}")

    def values(self) -> dict[str, object]:
        return {"rig": self._rig.fingerprint()}


def publish_frames(node: Node, rig: CameraRig, arm: Arm, leave_out: Collection[str] = ()) -> Publisher | None:
    """Each camera in the frame of its mount, latched; keep what is returned. None without tf2_msgs.

    `leave_out` names cameras whose frame somebody else publishes: a frame has one parent.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        node.get_logger().info("the cameras are not frames of TF: tf2_msgs is not installed here")
        return None
    publisher = node.create_publisher(TFMessage, TF_STATIC, interfaces.LATCHED)
    mounts, stamp = {"base": arm.base_frame, "hand": arm.hand_frame}, node.get_clock().now().to_msg()
    transforms = [
        to_transform(camera.T_mount_cam, mounts[camera.mount], OPTICAL_FRAME.format(camera=camera.name), stamp)
        for camera in rig.cameras
        if camera.name not in leave_out
    ]
    publisher.publish(TFMessage(transforms=transforms))
    return publisher


def to_transform(T_parent_child: np.ndarray, parent: str, child: str, stamp: Time) -> TransformStamped:
    """The pose of frame `child` in frame `parent`."""
    x, y, z = map(float, T_parent_child[:3, 3])
    qx, qy, qz, qw = map(float, to_quat_xyzw(T_parent_child))
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, stamp
    message.transform.translation = Vector3(x=x, y=y, z=z)
    message.transform.rotation = Quaternion(x=qx, y=qy, z=qz, w=qw)
    return message
