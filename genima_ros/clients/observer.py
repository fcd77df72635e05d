"""Listens to a running graph from outside: for `genima up`, `genima demo` and tests."""

import getpass
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Self

import rclpy
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.task import Future
from std_srvs.srv import Trigger

from genima_ros.graph.domain import choose_transport, current_domain
from genima_ros.graph.graph import READY_S
from genima_ros.messages import interfaces
from genima_ros.messages.status import read_diagnostics
from genima_ros.nodes.base import make_executor

CALLS = 10
"""Of a service that may be called more than once: a middleware on busy cores loses an answer now and then."""


def user_name() -> str:
    """Who asks: the user, and the machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # in a container without names
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


class Absent(RuntimeError):
    """Nobody is there whom a call is for."""


class Observer:
    """A node in its own context that keeps the newest diagnostics of every node; use it as a context manager."""

    def __init__(self, domain: int, name: str = "observer", remappings: Iterable[tuple[str, str]] = ()) -> None:
        self.domain = domain
        self.diagnostics: dict[str, dict[str, float | str]] = {}
        """Node name to its newest values."""
        choose_transport(os.environ)
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)  # not our command line: it is not ROS's
        renamed = [option for old, new in remappings for option in ("-r", f"{old}:={new}")]
        self.node: Node = rclpy.create_node(name, context=self.context, cli_args=["--ros-args", *renamed])
        self._executor = make_executor(self.context)
        self._executor.add_node(self.node)
        self.listen(interfaces.DIAGNOSTICS, lambda message: self.diagnostics.update(read_diagnostics(message)))

    def listen(self, topic: interfaces.Topic, callback: Callable[[Any], object]) -> None:
        interfaces.subscribe(self.node, topic, callback)

    def now_s(self) -> float:
        """ROS time, which stamps are in."""
        return self.node.get_clock().now().nanoseconds * 1e-9

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.remove_node(self.node)
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def spin(self, duration_s: float) -> None:
        """Handles what arrives within this time."""
        self.spin_until(lambda: False, duration_s)

    def spin_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Handles what arrives until the condition holds; False if it does not within the time."""
        end_s = self.now_s() + timeout_s
        while not condition():
            left_s = end_s - self.now_s()
            if left_s <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(left_s, 0.1))
        return True

    def wait_until(self, condition: Callable[[], bool], timeout_s: float, problem: str) -> None:
        """As `spin_until`, but RuntimeError, which says the problem, where the condition does not hold in time."""
        if not self.spin_until(condition, timeout_s):
            raise RuntimeError(problem)

    def wait_for_nodes(
        self, names: Collection[str], timeout_s: float, check: Callable[[], object] = lambda: None
    ) -> None:
        """Returns when each node has published diagnostics, which it does once it has loaded everything; RuntimeError
        if one was not heard of in time. `check` is called meanwhile, and ends the wait by what it raises.
        """

        def ready() -> bool:
            check()
            return set(names) <= set(self.diagnostics)

        if not self.spin_until(ready, timeout_s):
            missing = ", ".join(name for name in names if name not in self.diagnostics)
            raise RuntimeError(f"not ready after {timeout_s:.0f} s: {missing}; see the output above")

    def call(self, node: str, service: str, timeout_s: float, again: bool = False, **request: object) -> Any:
        """The response of a service of a node, by its name; RuntimeError if none comes in time, or it is no success."""
        kind: Any = interfaces.SERVICES[service].type if service in interfaces.SERVICES else Trigger
        response = self.ask(kind, f"{node}/{service}", kind.Request(**request), timeout_s, again)
        if not response.success:
            raise RuntimeError(f"service {node}/{service} refused: {response.message}")
        return response

    def parameters(self, node: str, names: Sequence[str], timeout_s: float) -> dict[str, Any]:
        """Those of the named parameters that a node has, with their values; RuntimeError if it does not answer."""
        listed = self.ask(ListParameters, f"{node}/list_parameters", ListParameters.Request(), timeout_s).result.names
        known = [name for name in names if name in listed]
        answer = self.ask(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=known), timeout_s)
        return {name: parameter_value_to_python(value) for name, value in zip(known, answer.values, strict=True)}

    def set_parameters(self, node: str, timeout_s: float, **values: Any) -> None:
        """ValueError where the node refuses a value; RuntimeError if it does not answer."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        request = SetParameters.Request(parameters=parameters)
        for result in self.ask(SetParameters, f"{node}/set_parameters", request, timeout_s).results:
            if not result.successful:
                raise ValueError(f"{node} refuses {values}: {result.reason}")

    def ask(
        self, kind: Any, name: str, request: Any, timeout_s: float, again: bool = False, found_s: float | None = None
    ) -> Any:
        """The response of a service of this type; Absent where nobody offers it, RuntimeError if none comes in time.
        `again`: a request without an answer is sent anew.
        """
        client = self.node.create_client(kind, name)
        try:
            if not self.spin_until(client.service_is_ready, timeout_s if found_s is None else found_s):
                where = f"in ROS domain {self.domain}; is a graph running there whose node offers it?"
                raise Absent(f"nobody offers the service {client.srv_name} {where}")
            calls: list[Any] = []
            for _ in range(times := CALLS if again else 1):
                calls.append(client.call_async(request))
                if self.spin_until(lambda: any(call.done() for call in calls), timeout_s / times):
                    return next(call.result() for call in calls if call.done())
            raise RuntimeError(f"service {client.srv_name} gave no answer within {timeout_s:g} s")
        finally:
            self.node.destroy_client(client)

    def wait_for(self, future: Future, name: str, timeout_s: float) -> Any:
        """The result of a call; RuntimeError if none comes in time."""
        self.wait_until(future.done, timeout_s, f"{name} gave no answer within {timeout_s:g} s")
        return future.result()


def main() -> None:
    """`python -m genima_ros.clients.observer TEXT NODE ...`, for launch files: says TEXT when every node is ready.

    A process of its own, so that nothing but launch handles signals and blocks in the process of launch.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    text, *names = sys.argv[1:]
    with Observer(current_domain()) as observer:
        try:
            observer.wait_for_nodes(names, READY_S)
        except RuntimeError as error:
            sys.exit(str(error))
    print(text, flush=True)


if __name__ == "__main__":
    main()
