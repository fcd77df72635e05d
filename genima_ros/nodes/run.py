"""Starts, spins and ends one node per process; every node's ``main`` is one line."""

import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from genima_ros.graph.transport import choose_transport

NODE_OPTIONS: dict[str, Any] = {"automatically_declare_parameters_from_overrides": True}
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


class _Stop:
    """SIGINT and SIGTERM: end the process while it starts, let the callback that runs finish once it spins.

    rclpy's own handlers would end the context, or raise KeyboardInterrupt, in the middle of a callback.
    """

    def __init__(self) -> None:
        self.asked = self.spinning = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.asked = True
        if not self.spinning:
            sys.exit(0)


def run(make_node: Callable[[], Node], sends_images: bool = False, regular: bool = False) -> None:
    """Spins the node that `make_node` builds until SIGINT or SIGTERM, then calls its `close` (if any) and destroys it.

    `regular` is for nodes whose timers must not be late: looking for garbage in a whole interpreter takes longer than a
    period may vary, and there is next to none. Ends the process: with status 0, or with 1 and one line on stderr when
    the node cannot be built.
    """
    stop = _Stop()
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
    stop.spinning = True
    executor = make_executor()
    executor.add_node(node)
    # Not executor.spin(): the EventsExecutor of the wheels never wakes from a wait without a limit.
    while rclpy.ok() and not stop.asked:
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
