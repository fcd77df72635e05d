"""The simulated leader from outside: where it is, and where it should be."""

import numpy as np
from sensor_msgs.msg import JointState

from genima_core.arm import PANDA, Arm
from genima_ros.clients.observer import Observer
from genima_ros.messages import conversions, interfaces

FOUND_S = 10.0


class LeaderClient(Observer):
    """Knows the leader's joints and moves it; see `leader_node`."""

    def __init__(self, domain: int, arm: Arm = PANDA) -> None:
        super().__init__(domain, "leader_client")
        self.arm = arm
        self.q = np.full(7, np.nan)
        """rad, of its newest joint state."""
        self.opening = 1.0
        self._names = (*arm.joint_names, *arm.gripper.joints)
        self._command = interfaces.publish(self.node, interfaces.LEADER_COMMAND)
        self.listen(interfaces.LEADER_JOINT_STATES, self._on_joint_state)

    @property
    def heard(self) -> bool:
        """Whether somebody takes what is sent."""
        return self._command.get_subscription_count() > 0

    def wait_ready(self, timeout_s: float = FOUND_S) -> None:
        """Returns when the leader is heard; RuntimeError if there is none."""
        problem = f"no simulated leader is there in ROS domain {self.domain}; start it: genima up teleop sim"
        self.wait_until(lambda: self.heard and np.isfinite(self.q).all(), timeout_s, problem)

    def send(self, q: np.ndarray, opening: float) -> None:
        """Where the leader should be: (7,) rad, and the gripper's opening."""
        positions = np.concatenate([q, self.arm.gripper.joint_positions(opening)])
        self._command.publish(conversions.to_joint_state(self._names, positions, self.now_s()))

    def _on_joint_state(self, message: JointState) -> None:
        if set(self._names) <= set(message.name):
            self.q = conversions.positions_by_name(message, self.arm.joint_names)
            self.opening = conversions.gripper_opening(message, self.arm.gripper)
