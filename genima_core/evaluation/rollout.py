"""One closed-loop episode in simulation, without ROS: observe, draw, act, stream."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from genima_core.policy import Policy
from genima_core.sim.cell import Cell
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.streamer import Streamer
from genima_core.tiling import tile
from genima_core.types import JointState, Observation

T = TypeVar("T")
Draw = Callable[[Observation, int], np.ndarray]
"""From an observation and a seed to four views (4, H, W, 3) uint8 with targets; see `sources`."""


@dataclass(frozen=True)
class Rollout:
    """What happened in one episode."""

    seed: int
    success: bool
    duration_s: float
    """Simulated time until success or until the time limit."""
    drawings: int
    stage_ms: dict[str, list[float]]
    """Wall-clock time of each call: observe, draw, act, stream (one streamer step)."""
    stops: dict[str, int]
    """Streamer stops by kind of reason, other than the end of a chunk."""
    limit_violations: int
    frames: list[np.ndarray]
    """Pictures (2H, 4W, 3): the tiled observation beside the tiled drawing, 10 a second; empty unless asked for."""


def roll_out(
    cell: Cell, policy: Policy, draw: Draw, seed: int, timeout_s: float, config: StreamerConfig, record: bool = False
) -> Rollout:
    """Runs the policy in the cell's present scene until success or `timeout_s` of simulated time.

    The clock is the simulation's: drawing takes no simulated time. All motion goes through the streamer.
    """
    streamer = Streamer(cell.arm, config)
    streamer.enable()
    stage_ms: dict[str, list[float]] = defaultdict(list)
    start_s, hold, gripper, drawing, drawings, frames = cell.time_s, cell.q, cell.gripper, None, 0, []

    def timed(stage: str, call: Callable[..., T], *args: object) -> T:
        begin = time.perf_counter()
        result = call(*args)
        stage_ms[stage].append(1e3 * (time.perf_counter() - begin))
        return result

    period_s, ticks = config.period_s, round(0.1 / config.period_s)
    for tick in range(round(timeout_s / period_s)):
        now_s = cell.time_s
        streamer.on_joint_state(JointState(cell.q, cell.dq, now_s), now_s)
        command = timed("stream", streamer.step, now_s)
        if command.wants_chunk:
            observation = timed("observe", cell.observe)
            drawing = timed("draw", draw, observation, seed * 1000 + drawings)
            chunk = timed("act", policy.act, drawing, observation, now_s + policy.checkpoint.info.dt_s)
            drawings += 1
            streamer.on_chunk(chunk, now_s)
        if record and drawing is not None and tick % ticks == 0:
            images = [cell.render(name) for name in cell.rig.names]
            frames.append(np.hstack([tile(images), tile(list(drawing))]))
        hold = command.q if command.q is not None else hold
        if command.gripper_width_m is not None:
            gripper = command.gripper_width_m / cell.arm.gripper.max_width_m
        cell.step(hold, float(np.clip(gripper, 0.0, 1.0)), period_s)
        if cell.success():
            break
    statistics = streamer.statistics(cell.time_s)
    return Rollout(
        seed,
        cell.success(),
        cell.time_s - start_s,
        drawings,
        dict(stage_ms),
        {str(reason): count for reason, count in statistics.stops.items()},
        statistics.limit_violations,
        frames,
    )
