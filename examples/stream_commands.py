"""Streams a chunk of joint positions to anything that takes a command 50 times a second.

The streamer knows no robot: give it joint states and chunks, call `step` once a period and send on what it returns.
Here the sink is a stand-in that follows exactly; replace `SimpleArm` by your driver.

python examples/stream_commands.py
"""

import time
from collections.abc import Callable

import numpy as np
import tyro

import genima_core as genima


class SimpleArm:
    """Is wherever it was sent last."""

    def __init__(self) -> None:
        self.q, self.dq = genima.PANDA.home.copy(), np.zeros(7)

    def command(self, q: np.ndarray, dq: np.ndarray) -> None:
        self.q, self.dq = q, dq


def stream(
    arm: SimpleArm, chunk: np.ndarray, seconds: float, clock_s: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """Executes `chunk` (K, 7) rad, one action every 0.05 s, within the arm's limits of speed, acceleration and jerk."""
    streamer = genima.Streamer(genima.PANDA)
    streamer.enable()
    begin_s, sent = clock_s(), False
    for tick in range(round(seconds / streamer.config.period_s)):
        sleep(max(0.0, begin_s + tick * streamer.config.period_s - clock_s()))
        now_s = clock_s()
        streamer.on_joint_state(genima.JointState(arm.q, arm.dq, now_s), now_s)
        command = streamer.step(now_s)
        if command.wants_chunk and not sent:
            actions = genima.ActionChunk(chunk, np.ones(len(chunk)), 0.05, now_s + 0.05, now_s)
            sent = streamer.on_chunk(actions, now_s) is None
        if command.q is not None and command.dq is not None:
            arm.command(command.q, command.dq)


def main(seconds: float = 3.0) -> None:
    """Swings joint 1 to one side."""
    arm = SimpleArm()
    swing = np.linspace(0, 0.5, 20)[:, None] * np.eye(7)[0]
    stream(arm, arm.q + swing, seconds, time.monotonic, time.sleep)
    print(f"the arm is at {np.round(arm.q, 3).tolist()} rad")


if __name__ == "__main__":
    tyro.cli(main)
