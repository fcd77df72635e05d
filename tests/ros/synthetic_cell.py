"""Publishers of small images, joint states and commands, as a cell has them."""

import os

import numpy as np
import rclpy

from genima_core.arm import PANDA
from genima_core.cameras import PinholeCamera
from genima_ros.messages import conversions, interfaces

CAMERAS = ("wrist", "front", "right_shoulder", "left_shoulder")
FPS = 20.0
SIZE = 32


class SyntheticCell:
    """Publishes at every `tick` what is due; streams can be silenced by name."""

    def __init__(self, node, seed: int = 0) -> None:
        self.node = node
        self.silent: set[str] = set()
        self.sent = dict.fromkeys((*CAMERAS, "joint_states", "leader_joint_states", "joint_commands"), 0)
        self._rng = np.random.default_rng(seed)
        self._images = {name: interfaces.publish(node, interfaces.camera_image(name)) for name in CAMERAS}
        self._infos = {name: interfaces.publish(node, interfaces.camera_info(name)) for name in CAMERAS}
        self.arms = {
            "joint_states": interfaces.publish(node, interfaces.JOINT_STATES),
            "leader_joint_states": interfaces.publish(node, interfaces.LEADER_JOINT_STATES),
            "joint_commands": interfaces.publish(node, interfaces.JOINT_COMMANDS),
        }
        self.joint_names = dict.fromkeys(self.arms, (*PANDA.joint_names, *PANDA.gripper.joints))
        self._intrinsics = PinholeCamera.from_fov(SIZE, SIZE, 1.0)
        self._next_frame_s = 0.0

    def tick(self) -> None:
        now_s = self.node.get_clock().now().nanoseconds * 1e-9
        for name, publisher in self.arms.items():
            if name not in self.silent:
                names = self.joint_names[name]
                publisher.publish(conversions.to_joint_state(names, np.resize(PANDA.home, len(names)), now_s))
                self.sent[name] += 1
        if now_s < self._next_frame_s:
            return
        self._next_frame_s = now_s + 1 / FPS
        for name in CAMERAS:
            if name not in self.silent:
                picture = self._rng.integers(40, 200, (SIZE, SIZE, 3), dtype=np.uint8)
                self._images[name].publish(conversions.rgb_to_image(picture, now_s, name))
                self._infos[name].publish(conversions.camera_to_camera_info(self._intrinsics, now_s, name))
                self.sent[name] += 1


def main() -> None:
    """Runs by itself until it is ended."""
    rclpy.init(args=[], domain_id=int(os.environ["ROS_DOMAIN_ID"]))
    node = rclpy.create_node("synthetic_cell")
    node.create_timer(0.01, SyntheticCell(node).tick)
    print("running", flush=True)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
