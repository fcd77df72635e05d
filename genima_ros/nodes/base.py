"""What the nodes share: parameters, clocks, diagnostics, and the process of each, which `run` spins and ends."""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Generic, TypeVar

import numpy as np
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from genima_core.config import DataclassInstance
from genima_core.streaming.states import Refusal
from genima_core.timing import ClockPair
from genima_ros.arms import ArmSetup, find_arm
from genima_ros.graph.transport import choose_transport
from genima_ros.messages import interfaces
from genima_ros.messages.diagnostics import Diagnostics
from genima_ros.messages.interfaces import Service, Topic
from genima_ros.messages.parameters import declare_dataclass

P = TypeVar("P", bound=DataclassInstance)
NODE_OPTIONS: dict[str, Any] = {"automatically_declare_parameters_from_overrides": True}
"""What every node passes to `rclpy.node.Node`, see `parameters`."""
WAKE_S = 0.5
FATAL = (ValueError, OSError, RuntimeError, ImportError)
"""Errors at start that are the user's to solve: one line, no traceback."""


@dataclass(frozen=True)
class ArmParameters:
    """Of a node that must know the arm."""

    arm: str = "sim"
    """Name in config/arms, or a file like those."""

    @cached_property
    def setup(self) -> ArmSetup:
        """The arm with its driver."""
        return find_arm(self.arm)


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
        self.diagnostics = Diagnostics(self, self.values)

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


def make_executor(context: rclpy.Context | None = None):
    """The EventsExecutor where rclpy has it (Jazzy and later; it needs less CPU time), else the single-threaded one."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def run(make_node: Callable[[], Node], sends_images: bool = False, regular: bool = False) -> None:
    """Spins the node that `make_node` builds until SIGINT or SIGTERM, then calls its `close` (if any) and destroys it.

    `regular` is for nodes whose timers must not be late: looking for garbage in a whole interpreter takes longer than a
    period may vary, and there is next to none. Ends the process: with status 0, or with 1 and one line on stderr when
    the node cannot be built.
    """
    asked = spinning = False

    def on_signal(*_: object) -> None:
        """Ends the process while it starts, lets the callback that runs finish once it spins."""
        nonlocal asked
        asked = True
        if not spinning:
            sys.exit(0)

    # rclpy's own handlers would end the context, or raise KeyboardInterrupt, in the middle of a callback.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    choose_transport(os.environ, sends_images)
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make_node()
    except FATAL as error:
        if os.environ.get("GENIMA_TRACEBACK") == "1":
            raise
        name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        print(f"{name} cannot start: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        _exit(1)
    if regular:
        np.seterr(all="ignore")
        gc.collect()
        gc.freeze()
        gc.disable()
    spinning = True
    executor = make_executor()
    executor.add_node(node)
    # Not executor.spin(): the EventsExecutor of the wheels never wakes from a wait without a limit.
    while rclpy.ok() and not asked:
        executor.spin_once(timeout_sec=WAKE_S)
    executor.remove_node(node)
    executor.shutdown()
    if hasattr(node, "close"):
        node.close()
    node.destroy_node()
    _exit(0)


def _exit(status: int) -> None:
    """Ends now: native libraries (GL, torch, nanobind) complain or crash when the interpreter takes them apart."""
    rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
