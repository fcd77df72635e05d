"""What the nodes of the graph share: parameters, two clocks, diagnostics, and short ways to listen and to answer."""

import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from genima_core.config import DataclassInstance
from genima_core.streaming.states import Refusal
from genima_core.timing import ClockPair
from genima_ros.messages import interfaces
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.interfaces import Service, Topic
from genima_ros.messages.parameters import declare_dataclass
from genima_ros.nodes.run import NODE_OPTIONS

P = TypeVar("P", bound=DataclassInstance)


class GraphNode(Node, Generic[P]):
    """A node whose parameters are a dataclass, and which says in `values` how it is."""

    def __init__(
        self,
        name: str,
        kind: type[P],
        clock_s: Callable[[], float] = time.monotonic,
        changeable: Container[str] = (),
        **options: Any,
    ) -> None:
        """`changeable`: parameters that may be set while it runs."""
        super().__init__(name, **NODE_OPTIONS, **options)
        self.parameters = declare_dataclass(self, kind, changeable)
        self.clock_s = clock_s
        self._speakers: dict[str, Publisher] = {}
        self.clocks = ClockPair(clock_s, self.ros_now_s)
        self.diagnostics = Diagnostics(self, (), self.values)

    def values(self) -> dict[str, object]:
        """What the diagnostics say of this node beside rate, latency and age of its inputs."""
        return {}

    def ros_now_s(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def announce(self, *topics: Topic) -> None:
        """Topics that it speaks on, and may be found by from now on."""
        self._speakers |= {topic.name: interfaces.publish(self, topic) for topic in topics}

    def say(self, topic: Topic, message: Any = None, **fields: Any) -> None:
        """Publishes a message, or one with these fields, on a topic that was announced."""
        self._speakers[topic.name].publish(topic.type(**fields) if message is None else message)

    def full_name(self, what: Topic | Service) -> str:
        return self.resolve_topic_name(what.name)

    def is_heard(self, topic: Topic) -> bool:
        return self._speakers[topic.name].get_subscription_count() > 0

    def subscribe(self, topic: Topic, callback: Callable[[Any], object]) -> Subscription:
        return interfaces.subscribe(self, topic, callback)

    def every(self, period_s: float, callback: Callable[[], object]) -> Timer:
        """By a steady clock: a timer of the wall clock is silent for as long as that was set back."""
        return self.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def serve(self, name: str, act: Callable[..., str | Refusal]) -> None:
        """`act` gets the data of the request, if it has any; no is said by a `Refusal` or a RuntimeError."""
        service = interfaces.SERVICES[name]
        self.create_service(service.type, service.name, partial(self._answer, act))

    def _answer(self, act: Callable[..., str | Refusal], request: Any, response: Any) -> Any:
        try:
            said = act(request.data) if hasattr(request, "data") else act()
        except RuntimeError as error:
            response.success, response.message = False, str(error)
        else:
            response.success = not isinstance(said, Refusal)
            response.message = said.text if isinstance(said, Refusal) else said
        return response

    @contextmanager
    def using(self, what: str, key: str = "") -> Iterator[None]:
        """What is wrong with an input (ValueError) is told, and ends its use."""
        try:
            yield
        except ValueError as error:
            self.diagnostics.warn(f"{what} not used: {error}", key or what)
