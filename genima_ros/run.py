"""Starts, spins and ends one node per process; every node's ``main`` is one line."""

import os
import sys
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

NODE_OPTIONS = {"automatically_declare_parameters_from_overrides": True}
"""What every node passes to `rclpy.node.Node`, see `parameters`."""

WAKE_S = 0.5

FATAL = (ValueError, OSError, RuntimeError, ImportError)
"""Errors at start that are the user's to solve: one line, no traceback."""


def make_executor(context: rclpy.Context | None = None):
    """The EventsExecutor where rclpy has it (Jazzy and later; it needs less CPU time), else the single-threaded one."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def run(make_node: Callable[[], Node]) -> None:
    """Spins the node that `make_node` builds until SIGINT or SIGTERM, then calls its `close` (if any) and destroys it.

    Exits with status 1 and one line on stderr when the node cannot be built.
    """
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    rclpy.init(args=sys.argv)
    node = None
    try:
        try:
            node = make_node()
        except FATAL as error:
            if not rclpy.ok():
                return  # told to stop while starting
            if os.environ.get("GENIMA_TRACEBACK") == "1":
                raise
            print(f"{name} cannot start: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
            sys.exit(1)
        executor = make_executor()
        executor.add_node(node)
        try:
            # Not executor.spin(): the EventsExecutor of the wheels never wakes from a wait without a limit.
            while rclpy.ok():
                executor.spin_once(timeout_sec=WAKE_S)
        finally:
            executor.remove_node(node)
            executor.shutdown()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if node is not None:
            close = getattr(node, "close", None)
            if close is not None:
                close()
            node.destroy_node()
        rclpy.try_shutdown()
