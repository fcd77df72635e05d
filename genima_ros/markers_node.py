"""Shows in RViz where the arm is about to be."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from rclpy.node import Node
from std_msgs.msg import ColorRGBA
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker, MarkerArray

from genima_core.geometry import to_quat_xyzw
from genima_core.panda import JOINT_NAMES, target_poses
from genima_core.targets.palette import TARGET_NAMES, target_colours
from genima_core.types import ActionChunk
from genima_ros import conversions, interfaces
from genima_ros.diagnostics import Diagnostics
from genima_ros.parameters import declare_dataclass
from genima_ros.run import NODE_OPTIONS, run

FAINTEST = 0.15


@dataclass(frozen=True)
class MarkersParameters:
    base_frame: str = "panda_link0"
    joint_names: tuple[str, ...] = JOINT_NAMES
    radius_m: float = 0.065
    rate_hz: float = 10.0
    fade_s: float = 2.0
    """A plan grows fainter over this time after it came, and then disappears."""


class MarkersNode(Node):
    """Shows the four target frames at the end of the newest chunk in the colours of the drawing.

    Needs no TF: all markers are in the base frame.

    Publishes: targets/markers, diagnostics. Subscribes: action_chunk.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic, **options) -> None:
        super().__init__("markers", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, MarkersParameters)
        self._clock_s = clock_s
        self._chunk: ActionChunk | None = None
        self._arrived_s = 0.0
        self._markers = interfaces.publish(self, interfaces.TARGET_MARKERS)
        self._diagnostics = Diagnostics(self, ("action_chunk",))
        interfaces.subscribe(self, interfaces.ACTION_CHUNK, self._on_chunk)
        self._timer = self.create_timer(1 / self.parameters.rate_hz, self._show)

    def _on_chunk(self, message: JointTrajectory) -> None:
        try:
            self._chunk = conversions.trajectory_to_chunk(message, self.parameters.joint_names)
        except ValueError as error:
            self._diagnostics.warn(f"action_chunk not shown: {error}", "action_chunk")
            return
        self._arrived_s = self._clock_s()
        self._diagnostics.received("action_chunk", self._chunk.stamp_s)
        self._show()

    def _show(self) -> None:
        age_s = self._clock_s() - self._arrived_s
        if self._chunk is None or age_s > self.parameters.fade_s:
            return
        alpha = max(FAINTEST, 1.0 - age_s / self.parameters.fade_s)
        self._markers.publish(target_markers(self._chunk, self.parameters, alpha, self.get_clock().now().to_msg()))
        self._diagnostics.worked()


def target_markers(chunk: ActionChunk, parameters: MarkersParameters, alpha: float, stamp: Time) -> MarkerArray:
    """Four spheres where the chunk ends; they disappear by themselves when they are not renewed."""
    message = MarkerArray()
    colours = target_colours(float(chunk.gripper[-1]))
    for i, T_base_target in enumerate(target_poses(chunk.positions[-1])):
        x, y, z = map(float, T_base_target[:3, 3])
        qx, qy, qz, qw = map(float, to_quat_xyzw(T_base_target))
        r, g, b = (channel / 255 for channel in colours[i].light)
        marker = Marker(ns=TARGET_NAMES[i], id=i, type=Marker.SPHERE, action=Marker.ADD,
                        pose=Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw)),
                        scale=Vector3(**dict.fromkeys("xyz", 2 * parameters.radius_m)),
                        color=ColorRGBA(r=r, g=g, b=b, a=float(np.clip(alpha, 0.0, 1.0))),
                        lifetime=conversions.to_duration(3 / parameters.rate_hz))
        marker.header.frame_id, marker.header.stamp = parameters.base_frame, stamp
        message.markers.append(marker)
    return message


def main() -> None:
    run(MarkersNode)


if __name__ == "__main__":
    main()
