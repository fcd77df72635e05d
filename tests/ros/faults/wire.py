"""What lies between the nodes: passes their messages on, or does to them what a fault wants."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message

from genima_ros.messages import interfaces
from genima_ros.messages.interfaces import Topic

PREFIX = "wire/"
"""Before the names under which receivers get the topics."""
QUEUE = 20
RELEASE_EVERY_S = 0.005

Change = Callable[[object], object | None]
"""A message to what arrives instead; None for nothing."""


@dataclass(frozen=True)
class _Spoilt:
    change: Change
    late_s: float


class Wire:
    """Passes topics on under other names; nothing is changed until `spoil`, and nothing any more after `mend`.

    Messages that nobody changes or listens to are passed on as they came, as bytes.
    """

    def __init__(self, node: Node, topics: Iterable[Topic]) -> None:
        self._node = node
        self._topics = {topic.name: topic for topic in topics}
        self._spoilt: dict[str, _Spoilt] = {}
        self._listeners: dict[str, list[Callable[[object], None]]] = {name: [] for name in self._topics}
        self._receivers: dict[str, list[Callable[[object], None]]] = {name: [] for name in self._topics}
        self._late: list[tuple[float, str, bytes]] = []
        self._usual: dict[str, Change] = {}
        self._publishers = {
            name: interfaces.publish(node, Topic(PREFIX + name, topic.type, topic.qos))
            for name, topic in self._topics.items()
        }
        for name, topic in self._topics.items():
            qos = QoSProfile(
                history=topic.qos.history,
                depth=QUEUE,
                reliability=topic.qos.reliability,
                durability=topic.qos.durability,
            )
            node.create_subscription(topic.type, name, lambda data, name=name: self._pass_on(name, data), qos, raw=True)
        node.create_timer(RELEASE_EVERY_S, self._release, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def remappings(self, *topics: Topic) -> tuple[tuple[str, str], ...]:
        """For a node that receives these topics."""
        return tuple((topic.name, PREFIX + topic.name) for topic in topics)

    def usually(self, topic: Topic, change: Change) -> None:
        """Changes every message, faults or not."""
        self._usual[topic.name] = change

    def listen(self, topic: Topic, callback: Callable[[object], None]) -> None:
        """Hears what is sent, before any fault."""
        self._listeners[topic.name].append(callback)

    def receive(self, topic: Topic, callback: Callable[[object], None]) -> None:
        """Hears what arrives, after any fault; not what is late."""
        self._receivers[topic.name].append(callback)

    def spoil(self, topic: Topic, change: Change, late_s: float = 0.0) -> None:
        """From now on each message of the topic becomes `change(message)`, late by late_s."""
        self._spoilt[topic.name] = _Spoilt(change, late_s)

    def mend(self) -> None:
        """From now on everything is as it was; what is late is lost."""
        self._spoilt.clear()
        self._late.clear()

    def send(self, topic: Topic, message: object) -> None:
        """A message of our own, to those who receive the topic."""
        self._publishers[topic.name].publish(message)

    def _pass_on(self, name: str, data: bytes) -> None:
        spoilt, usual, listeners = self._spoilt.get(name), self._usual.get(name), self._listeners[name]
        if spoilt is None and usual is None and not listeners and not self._receivers[name]:
            self._publishers[name].publish(data)
            return
        message = deserialize_message(data, self._topics[name].type)
        for callback in listeners:
            callback(message)
        if usual is not None and (message := usual(message)) is None:
            return
        if spoilt is not None:
            if (message := spoilt.change(message)) is None:
                return
            if spoilt.late_s:
                self._late.append((time.monotonic() + spoilt.late_s, name, serialize_message(message)))
                return
        for callback in self._receivers[name]:
            callback(message)
        self._publishers[name].publish(data if spoilt is None and usual is None else message)

    def _release(self) -> None:
        now_s = time.monotonic()
        while self._late and self._late[0][0] <= now_s:
            _, name, data = self._late.pop(0)
            self._publishers[name].publish(data)
