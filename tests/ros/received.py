"""What an arm's controller gets, judged there."""

import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy

from genima_core.arm import PANDA
from genima_ros.clients.demo_observer import PERIOD_S, CommandSet
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import seconds

SLACK = 1 + 1e-6
EVERY = QoSProfile(depth=20000, reliability=ReliabilityPolicy.RELIABLE)


class Received:
    """Every trajectory that reaches a node, and the time that its first set point is meant for."""

    def __init__(self, node) -> None:
        self.trajectories: list = []
        self.times_s: list[float] = []
        for topic, keep in (
            (interfaces.ARM_TRAJECTORY, self.trajectories.append),
            (interfaces.JOINT_COMMANDS, lambda m: self.times_s.append(seconds(m.header.stamp))),
        ):
            node.create_subscription(topic.type, topic.name, keep, EVERY)

    @property
    def stream(self) -> list[CommandSet]:
        """The first set point of each trajectory; both topics are sent together, and the first ones may be missed."""
        count = min(len(self.trajectories), len(self.times_s))
        firsts = [message.points[0] for message in self.trajectories[-count:]]
        stamped = zip(self.times_s[-count:], firsts, strict=True)
        return [CommandSet(stamp_s, np.array(p.positions), np.array(p.velocities)) for stamp_s, p in stamped]

    def check(self, late_periods: int = 0) -> None:
        """Positions, velocities and accelerations are within limits from one message to the next and in each, and each
        ends at rest. A streamer whose steps are late moves on by whole periods, up to `late_periods` more than the
        times say.
        """
        stream, limits = self.stream, PANDA.limits
        times_s, q, dq = (np.array([getattr(c, name) for c in stream]) for name in ("stamp_s", "q", "dq"))
        periods_s = PERIOD_S * (np.maximum(1, np.rint(np.diff(times_s) / PERIOD_S)) + late_periods)[:, None]
        assert len(stream) > 100 and ((q >= limits.lower) & (q <= limits.upper)).all()
        assert (np.abs(np.diff(q, axis=0)) <= limits.velocity * periods_s * SLACK).all()
        assert (np.abs(np.diff(dq, axis=0)) <= limits.acceleration * periods_s * SLACK).all()
        for message in self.trajectories:
            speeds, rates = (
                np.array([getattr(p, name) for p in message.points]) for name in ("velocities", "accelerations")
            )
            assert (np.abs(speeds) <= limits.velocity * SLACK).all() and not speeds[-1].any()
            assert (np.abs(rates) <= limits.acceleration * SLACK).all()
