"""What the nodes share: parameters, clocks, diagnostics, and the process of each, which `run` spins and ends."""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

import numpy as np
import rclpy
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from genima_core.config import DataclassInstance, choices_of, from_overrides
from genima_core.streaming.states import Refusal
from genima_core.timing import ClockPair
from genima_ros.arms import ArmSetup, find_arm
from genima_ros.graph.domain import choose_transport
from genima_ros.graph.packages import remedy
from genima_ros.messages import interfaces
from genima_ros.messages.interfaces import Service, Topic
from genima_ros.messages.status import Diagnostics

P = TypeVar("P", bound=DataclassInstance)
NODE_OPTIONS: dict[str, Any] = {"automatically_declare_parameters_from_overrides": True}
"""What every node passes to `rclpy.node.Node`, see `declare_dataclass`."""
_OF_RCLPY = ("use_sim_time", "start_type_description_service", "qos_overrides.")
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
        return find_arm(self.arm)


class GraphNode(Node, Generic[P]):
    """A node whose parameters are a dataclass, and which says in `values` how it is."""

    sends_images = False
    regular = False
    """Whether its timers must not be late: looking for garbage in a whole interpreter takes longer than a period may
    vary, and there is next to none."""

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

    def take_changes(self, check: Callable[[P], object] = lambda parameters: None) -> None:
        """Lets the changeable parameters be set from now on; `check` raises ValueError for what is not valid."""

        def take(given: list[Parameter]) -> SetParametersResult:
            values = {parameter.name: parameter.value for parameter in given}
            try:
                typed = from_overrides(type(self.parameters), values, self.get_name())
                changed = replace(self.parameters, **{name: getattr(typed, name) for name in values})
                check(changed)
            except ValueError as error:
                return SetParametersResult(successful=False, reason=str(error))
            self.parameters = changed
            return SetParametersResult(successful=True)

        self.add_on_set_parameters_callback(take)

    def every(self, period_s: float, callback: Callable[[], object]) -> Timer:
        """By a steady clock: a timer of the wall clock is silent for as long as that was set back."""
        return self.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def serve(self, name: str, act: Callable[..., str | Refusal]) -> None:
        """`act` gets what the request holds, if anything; no is said by a `Refusal` or a RuntimeError."""
        service = interfaces.SERVICES[name]
        self.create_service(service.type, service.name, partial(self._answer, act))

    def _answer(self, act: Callable[..., str | Refusal], request: Any, response: Any) -> Any:
        try:
            said = act(*(getattr(request, name) for name in request.get_fields_and_field_types()))
        except RuntimeError as error:
            response.success, response.message = False, str(error)
        else:
            response.success = not isinstance(said, Refusal)
            response.message = said.text if isinstance(said, Refusal) else said
        return response

    def note(self, name: str, refusal: Refusal | None, stamp_s: float) -> None:
        """An input with this stamp in ROS time was used, or it was refused."""
        if refusal is None:
            self.diagnostics.received(name, stamp_s)
        else:
            self.diagnostics.warn(f"{name} not used: {refusal.text}", name)

    @contextmanager
    def using(self, what: str, key: str = "") -> Iterator[None]:
        """What is wrong with an input (ValueError) is told, and ends its use."""
        try:
            yield
        except ValueError as error:
            self.diagnostics.warn(f"{what} not used: {error}", key or what)


def declare_dataclass(node: Node, kind: type[P], changeable: Container[str] = ()) -> P:
    """Declares each field of a frozen dataclass as a parameter, and returns it with the values that were given.

    The node must be created with `NODE_OPTIONS`: only then can names that do not exist be told from names that do.
    All are read-only but those in `changeable`, which may be set to a value of any type: the node has to look at it
    ("1" on a command line is an integer and means 1.0). Path and Literal are strings on the ROS side, "" is None where
    a field may be None. ValueError for an unknown name, which lists the valid ones, or a value of another type.
    """
    names = [field.name for field in fields(kind)]
    given = [name for name in node.get_parameters_by_prefix("") if not name.startswith(_OF_RCLPY)]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"node {node.get_name()} has no parameter {', '.join(unknown)}; valid are {', '.join(names)}")
    overrides = {name: node.get_parameter(name).value for name in given}
    config = from_overrides(kind, overrides, node.get_name())
    hints = get_type_hints(kind)
    for name in names:
        if name in overrides:
            node.undeclare_parameter(name)
        choices = choices_of(hints[name])
        descriptor = ParameterDescriptor(
            read_only=name not in changeable,
            dynamic_typing=name in changeable,
            additional_constraints=(f"one of {', '.join(choices)}" if choices else ""),
        )
        node.declare_parameter(name, _to_ros(getattr(config, name)), descriptor, ignore_override=True)
    return config


def _to_ros(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return [_to_ros(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def unspun_node(name: str, context: rclpy.Context, **options: Any) -> Node:
    """A part of a node or a source that the node's executor does not spin, without a log and parameters of its own."""
    return rclpy.create_node(name, context=context, enable_rosout=False, start_parameter_services=False, **options)


def make_executor(context: rclpy.Context | None = None):
    """The EventsExecutor where rclpy has it (Jazzy and later; it needs less CPU time), else the single-threaded one."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def run(name: str) -> None:
    """Spins the node of the file `name` until SIGINT or SIGTERM, then calls its `close` (if any) and destroys it.

    Ends the process: with status 0, or with 1 and one line on stderr when the node cannot be built.
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
    try:
        module = import_module(f"genima_ros.nodes.{name}")
        kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, GraphNode)]
        kind: Any = next(kind for kind in kinds if kind.__module__ == module.__name__)
        choose_transport(os.environ, kind.sends_images)
        rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
        node = kind()
    except FATAL as error:
        if os.environ.get("GENIMA_TRACEBACK") == "1":
            raise
        text = f"{error}; {remedy(error.name or '')}" if isinstance(error, ModuleNotFoundError) else str(error)
        print(f"{name} cannot start: {' '.join(text.split())}", file=sys.stderr, flush=True)
        _exit(1)
    if kind.regular:
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
