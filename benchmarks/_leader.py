"""A leader in a process of its own: all joints move smoothly, each at its own rhythm, with peaks of 1 rad/s.

Stands still until it is mirrored for a second. `benchmarks/mirroring.py` starts and ends it.
"""

import signal
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
import tyro
from rclpy.signals import SignalHandlerOptions

sys.path.insert(0, str(Path(__file__).parents[1]))
from genima_core.arm import PANDA
from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.states import Status
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import to_joint_state
from genima_ros.messages.status import read_status
from genima_ros.nodes.base import make_executor

RATES = np.array([1.2, 2.0, 1.0, 1.7, 2.0, 1.3, 2.2])
SPEED = np.array([1.0, -0.9, -1.0, 1.0, 1.0, 1.0, 1.0])
EASE_S = 2.0
"""How long it takes until it moves at full speed."""


def motion(time_s: float) -> tuple[np.ndarray, np.ndarray]:
    """q, dq (7,) at a time after the beginning; at rest before."""
    if time_s <= 0:
        return PANDA.home, np.zeros(7)
    eased = time_s - EASE_S / 2 if time_s > EASE_S else time_s**2 / (2 * EASE_S)
    return (
        PANDA.home + SPEED / RATES * (1 - np.cos(RATES * eased)),
        SPEED * np.sin(RATES * eased) * min(time_s / EASE_S, 1.0),
    )


def main(rate_hz: float = 100.0) -> None:
    """Publishes until it is ended.

    Args:
        rate_hz: of joint states
    """
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("synthetic_leader")
    states: list[Status | None] = []
    interfaces.subscribe(node, interfaces.TELEOP_STATE, lambda message: states.append(read_status(message, Mirroring)))
    publisher = interfaces.publish(node, interfaces.LEADER_JOINT_STATES)
    executor = make_executor()
    executor.add_node(node)
    begin_s, due_s = None, time.time()
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    while not asked:
        executor.spin_once(timeout_sec=0.0)
        if begin_s is None and states and states[-1] and states[-1].state is Mirroring.MIRRORING:
            begin_s = due_s + 1.0
        # The stamp is when it is there; published at once.
        now_s = time.time()
        q, dq = motion(-1.0 if begin_s is None else now_s - begin_s)
        publisher.publish(to_joint_state(PANDA.joint_names, q, now_s, dq))
        due_s = max(due_s + 1 / rate_hz, now_s - 1 / rate_hz)
        time.sleep(max(0.0, due_s - time.time()))


if __name__ == "__main__":
    tyro.cli(main)
