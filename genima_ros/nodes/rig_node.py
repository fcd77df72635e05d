"""Says where the cameras of a real cell are, as the simulated one says it of its own."""

import json
from dataclasses import dataclass
from pathlib import Path

from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.node import Node
from std_msgs.msg import String

from genima_core.calibration.store import OPTICAL_FRAME
from genima_core.cameras import CameraRig, RigCamera
from genima_core.geometry import to_quat_xyzw
from genima_ros.arms import find_arm
from genima_ros.messages import interfaces
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.nodes.run import NODE_OPTIONS, run

TF_STATIC = "/tf_static"


@dataclass(frozen=True)
class RigParameters:
    rig: Path | None = None
    """rig.json, as `genima calibrate install` writes it."""
    arm: str = "sim"
    """Name in config/arms, or a file like those: whose base and hand carry the cameras."""
    tf: bool = True
    """Whether the cameras are frames of TF as well, where tf2_msgs is installed."""
    leave_out: tuple[str, ...] = ()
    """Cameras whose frame somebody else publishes: a frame has one parent."""

    def __post_init__(self) -> None:
        if self.rig is None:
            raise ValueError("the rig node needs the parameter rig: the rig.json with where the cameras are")


class RigNode(Node):
    """Speaks once, latched: who comes later still hears it.

    Publishes: camera_rig, and where tf2_msgs is installed /tf_static.
    """

    def __init__(self, **options) -> None:
        super().__init__("rig", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, RigParameters)
        rig = CameraRig.load(self.parameters.rig)
        self._rig = interfaces.publish(self, interfaces.CAMERA_RIG)
        self._rig.publish(String(data=json.dumps(rig.to_dict())))
        self._frames = self._publish_frames(rig) if self.parameters.tf else None
        self.get_logger().info(f"rig {rig.fingerprint()} from {self.parameters.rig}")

    def _publish_frames(self, rig: CameraRig):
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self.get_logger().info("the cameras are no frames of TF: tf2_msgs is not installed here")
            return None
        publisher = self.create_publisher(TFMessage, TF_STATIC, interfaces.LATCHED)
        arm = find_arm(self.parameters.arm).arm
        stamp = self.get_clock().now().to_msg()
        mounts = {"base": arm.base_frame, "hand": arm.hand_frame}
        transforms = [
            to_transform(camera, mounts[camera.mount])
            for camera in rig.cameras
            if camera.name not in self.parameters.leave_out
        ]
        for transform in transforms:
            transform.header.stamp = stamp
        publisher.publish(TFMessage(transforms=transforms))
        return publisher


def to_transform(camera: RigCamera, parent: str) -> TransformStamped:
    """The camera in the frame of its mount, `parent`."""
    x, y, z = map(float, camera.T_mount_cam[:3, 3])
    qx, qy, qz, qw = map(float, to_quat_xyzw(camera.T_mount_cam))
    message = TransformStamped(child_frame_id=OPTICAL_FRAME.format(camera=camera.name))
    message.header.frame_id = parent
    message.transform.translation = Vector3(x=x, y=y, z=z)
    message.transform.rotation = Quaternion(x=qx, y=qy, z=qz, w=qw)
    return message


def main() -> None:
    run(RigNode)


if __name__ == "__main__":
    main()
