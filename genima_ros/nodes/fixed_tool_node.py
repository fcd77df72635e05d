"""Stands in for the gripper of an arm that has none: a tool that is bolted on counts as a closed gripper."""

from dataclasses import dataclass

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from genima_ros.messages import conversions, interfaces
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.nodes.run import NODE_OPTIONS, run


@dataclass(frozen=True)
class FixedToolParameters:
    rate_hz: float = 50.0

    def __post_init__(self) -> None:
        if not self.rate_hz > 0:
            raise ValueError(f"rate_hz is {self.rate_hz}; it must be positive")


class FixedToolNode(Node):
    """Lets recorder and controller hear the state that they would wait for; commands of a width move nothing.

    Publishes: gripper/state (0 m), diagnostics.
    """

    def __init__(self, **options) -> None:
        super().__init__("gripper", **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, FixedToolParameters)
        self._state = interfaces.publish(self, interfaces.GRIPPER_STATE)
        self._diagnostics = Diagnostics(self)
        self._timer = self.create_timer(
            1 / self.parameters.rate_hz, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _tick(self) -> None:
        stamp_s = conversions.seconds(self.get_clock().now().to_msg())
        self._state.publish(conversions.to_joint_state((conversions.GRIPPER_JOINT,), [0.0], stamp_s))
        self._diagnostics.worked()


def main() -> None:
    run(FixedToolNode)


if __name__ == "__main__":
    main()
