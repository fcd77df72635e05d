"""Serialized messages of many topics, taken in turns, each with the time at which it really arrived."""

import time
from collections.abc import Iterator, Mapping

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from genima_core.data.bags.messages import Message, header_stamp_ns
from genima_ros.messages.interfaces import Topic
from genima_ros.nodes.base import unspun_node

QUEUE_S = 2.0
"""What arrives within this time is kept while nobody takes it."""
FASTEST_HZ = 1000.0
"""Of what is no camera's, for the length of the queue."""
BEST_EFFORT, RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE
_FOREVER = "{sec: 9223372036, nsec: 854775807}"
LATCHED_QOS = f"""\
- history: keep_last
  depth: 1
  reliability: reliable
  durability: transient_local
  deadline: {_FOREVER}
  lifespan: {_FOREVER}
  liveliness: automatic
  liveliness_lease_duration: {_FOREVER}
  avoid_ros_namespace_conventions: false"""
"""What a bag says about a publisher of `interfaces.LATCHED`, so that players offer the same."""


class StreamInputs:
    """Subscribes to topics by role; nothing is called back, `take` hands out what came.

    The subscriptions belong to a node of their own that no executor spins, for the time of reception: the middleware
    knows it, but the EventsExecutor does not pass it on to callbacks, which run late when the interpreter is busy.
    """

    def __init__(self, node: Node, streams: Mapping[str, Topic], fps: float) -> None:
        """`fps` is the rate of the cameras."""
        self._streams, self._fps = dict(streams), fps
        self._node = unspun_node(f"{node.get_name()}_inputs", node.context, namespace=node.get_namespace())
        self._subscriptions = {role: self._subscribe(role, BEST_EFFORT) for role in self._streams}

    @property
    def topics(self) -> dict[str, str]:
        """Role to the full name of its topic."""
        return {role: subscription.topic_name for role, subscription in self._subscriptions.items()}

    def take(self) -> Iterator[tuple[str, Message]]:
        """Role and message of all that came since the last time; in order within each role."""
        for role, subscription in self._subscriptions.items():
            topic, name = self._streams[role], subscription.topic_name
            kind, qos = type_name(topic.type), LATCHED_QOS if is_latched(topic.qos) else ""
            while True:
                with subscription.handle:
                    taken = subscription.handle.take_message(topic.type, True)
                if taken is None:
                    break
                data, info = taken
                received_ns = info["received_timestamp"] or time.time_ns()  # some middlewares leave it at 0
                # Where no header says when it was captured, the time of sending comes closest.
                captured_ns = header_stamp_ns(data, kind) or info["source_timestamp"] or received_ns
                yield role, Message(name, kind, data, received_ns, captured_ns, qos)

    def publishers(self, role: str) -> int:
        """How many there are on the topic."""
        return self._node.count_publishers(self._subscriptions[role].topic_name)

    def adapt(self) -> None:
        """Reliable where all publishers offer that, else best effort. Switching may lose some messages."""
        for role, subscription in self._subscriptions.items():
            offers = self._node.get_publishers_info_by_topic(subscription.topic_name)
            reliable = all(offer.qos_profile.reliability == RELIABLE for offer in offers)
            wanted = RELIABLE if reliable else BEST_EFFORT
            current = subscription.qos_profile.reliability
            if offers and wanted != current and not is_latched(self._streams[role].qos):
                self._node.destroy_subscription(subscription)
                self._subscriptions[role] = self._subscribe(role, wanted)

    def close(self) -> None:
        self._node.destroy_node()

    def _subscribe(self, role: str, reliability: ReliabilityPolicy):
        topic = self._streams[role]
        rate_hz = self._fps if role.startswith("camera") else FASTEST_HZ
        depth = max(10, round(QUEUE_S * rate_hz))
        own = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability)
        qos = topic.qos if is_latched(topic.qos) else own
        return self._node.create_subscription(topic.type, topic.name, lambda _: None, qos, raw=True)


def is_latched(qos: QoSProfile) -> bool:
    return qos.durability == DurabilityPolicy.TRANSIENT_LOCAL


def type_name(kind: type) -> str:
    """As in "sensor_msgs/msg/Image"."""
    package, _, _ = kind.__module__.partition(".")
    return f"{package}/msg/{kind.__name__}"
