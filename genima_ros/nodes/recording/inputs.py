"""Serialized messages of many topics, taken in turns, each with the time at which it really arrived."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from genima_core.data.bags.messages import header_stamp_ns
from genima_core.data.bags.recording import Message
from genima_ros.messages.interfaces import Topic

QUEUE_S = 2.0
"""What arrives within this time is kept while nobody takes it."""
BEST_EFFORT, RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE


@dataclass(frozen=True)
class Input:
    topic: Topic
    fastest_hz: float
    """For the length of the queue."""


class StreamInputs:
    """Subscribes to topics by role; nothing is called back, `take` hands out what came.

    The subscriptions belong to a node of their own that no executor spins. That is for the time of reception: the
    middleware knows it, but the EventsExecutor does not pass it on to callbacks, and a callback would run late whenever
    the interpreter is busy. Taking many messages at a time needs less of the processor, too.
    """

    def __init__(self, node: Node, inputs: Mapping[str, Input]) -> None:
        self._inputs = dict(inputs)
        self._node = rclpy.create_node(
            f"{node.get_name()}_inputs",
            namespace=node.get_namespace(),
            context=node.context,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._subscriptions = {role: self._subscribe(source, BEST_EFFORT) for role, source in self._inputs.items()}
        self._types = {role: type_name(source.topic.type) for role, source in self._inputs.items()}
        self._qos = {role: offered_qos(source.topic.qos) for role, source in self._inputs.items()}

    @property
    def topics(self) -> dict[str, str]:
        """Role to the full name of its topic."""
        return {role: subscription.topic_name for role, subscription in self._subscriptions.items()}

    def take(self) -> Iterator[tuple[str, Message]]:
        """Role and message of all that came since the last time; in order within each role."""
        for role, subscription in self._subscriptions.items():
            source, name, kind = self._inputs[role], subscription.topic_name, self._types[role]
            while True:
                with subscription.handle:
                    taken = subscription.handle.take_message(source.topic.type, True)
                if taken is None:
                    break
                data, info = taken
                received_ns = info["received_timestamp"] or time.time_ns()  # some middlewares leave it at 0
                # Where no header says when it was captured, the time of sending comes closest.
                captured_ns = header_stamp_ns(data, kind) or info["source_timestamp"] or received_ns
                yield role, Message(name, kind, data, received_ns, captured_ns, self._qos[role])

    def publishers(self, role: str) -> int:
        """How many there are on the topic."""
        return self._node.count_publishers(self._subscriptions[role].topic_name)

    def adapt(self) -> None:
        """Reliable where all publishers offer that, else best effort. Switching may lose some messages."""
        for role, source in self._inputs.items():
            subscription = self._subscriptions[role]
            offers = self._node.get_publishers_info_by_topic(subscription.topic_name)
            wanted = (
                RELIABLE
                if offers and all(offer.qos_profile.reliability == RELIABLE for offer in offers)
                else BEST_EFFORT
            )
            if offers and wanted != subscription.qos_profile.reliability and not is_latched(source.topic.qos):
                self._node.destroy_subscription(subscription)
                self._subscriptions[role] = self._subscribe(source, wanted)

    def close(self) -> None:
        self._node.destroy_node()

    def _subscribe(self, source: Input, reliability: ReliabilityPolicy):
        qos = source.topic.qos
        if not is_latched(qos):
            qos = QoSProfile(
                history=HistoryPolicy.KEEP_LAST,
                depth=max(10, round(QUEUE_S * source.fastest_hz)),
                reliability=reliability,
            )
        return self._node.create_subscription(source.topic.type, source.topic.name, lambda _: None, qos, raw=True)


def is_latched(qos: QoSProfile) -> bool:
    return qos.durability == DurabilityPolicy.TRANSIENT_LOCAL


def type_name(kind: type) -> str:
    """As in "sensor_msgs/msg/Image"."""
    package, _, _ = kind.__module__.partition(".")
    return f"{package}/msg/{kind.__name__}"


def offered_qos(qos: QoSProfile) -> str:
    """What a bag says about a publisher so that players offer the same; "" for the usual."""
    if not is_latched(qos):
        return ""
    forever = "{sec: 9223372036, nsec: 854775807}"
    return "\n".join(
        [
            "- history: keep_last",
            f"  depth: {qos.depth}",
            "  reliability: reliable",
            "  durability: transient_local",
            f"  deadline: {forever}",
            f"  lifespan: {forever}",
            "  liveliness: automatic",
            f"  liveliness_lease_duration: {forever}",
            "  avoid_ros_namespace_conventions: false",
        ]
    )
