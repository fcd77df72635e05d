"""Listens to a running graph from outside: for `genima up`, `genima demo` and tests."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import rclpy
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from genima_ros.graph.transport import choose_transport
from genima_ros.messages import interfaces
from genima_ros.messages.diagnostics import read_diagnostics
from genima_ros.nodes.run import make_executor


class Observer:
    """A node in its own context that keeps the newest diagnostics of every node; use it as a context manager."""

    def __init__(self, domain: int, name: str = "observer", remappings: Iterable[tuple[str, str]] = ()) -> None:
        self.diagnostics: dict[str, dict[str, float | str]] = {}
        """Node name to its newest values."""
        choose_transport(os.environ)
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)  # not our command line: it is not ROS's
        renamed = [option for old, new in remappings for option in ("-r", f"{old}:={new}")]
        self.node: Node = rclpy.create_node(name, context=self.context, cli_args=["--ros-args", *renamed])
        self._executor = make_executor(self.context)
        self._executor.add_node(self.node)
        interfaces.subscribe(
            self.node, interfaces.DIAGNOSTICS, lambda message: self.diagnostics.update(read_diagnostics(message))
        )

    def __enter__(self) -> "Observer":
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
        clock = self.node.get_clock()
        end_s = clock.now().nanoseconds * 1e-9 + timeout_s
        while not condition():
            left_s = end_s - clock.now().nanoseconds * 1e-9
            if left_s <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(left_s, 0.1))
        return True

    def call(self, node: str, service: str, timeout_s: float, **request: object) -> Trigger.Response | SetBool.Response:
        """Calls one of `interfaces.SERVICES` of a node by its name and returns the response.

        Raises:
            RuntimeError: no answer in time, or the answer is no success.
        """
        kind: Any = interfaces.SERVICES[service].type
        client = self.node.create_client(kind, f"{node}/{service}")
        try:
            if not self.spin_until(client.service_is_ready, timeout_s):
                raise RuntimeError(f"no service {client.srv_name}; is node {node} running?")
            future = client.call_async(kind.Request(**request))
            if not self.spin_until(future.done, timeout_s):
                raise RuntimeError(f"service {client.srv_name} gave no answer within {timeout_s:.0f} s")
            response: Trigger.Response | SetBool.Response = future.result()
            if not response.success:
                raise RuntimeError(f"service {client.srv_name} refused: {response.message}")
            return response
        finally:
            self.node.destroy_client(client)
