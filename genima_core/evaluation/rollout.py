"""One closed-loop episode in simulation, without ROS: look, draw, act, stream."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from genima_core.environment import Environment, Wording
from genima_core.evaluation.sources import Draw
from genima_core.loop import ControlLoop, Ending, find_ending
from genima_core.pixels import tile
from genima_core.policy import Policy
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.states import State
from genima_core.streaming.streamer import Streamer
from genima_core.targets.gate import Gate
from genima_core.types import JointState, Observation

T = TypeVar("T")

ASYNC_LATENCY_S = 0.2
"""From capture to chunk in async mode, in simulated time: a drawing agent at 5 Hz."""
FRAMES_PER_S = 10
"""Of a recorded episode."""


@dataclass(frozen=True)
class Rollout:
    """What happened in one episode."""

    seed: int
    instruction: str
    ending: Ending
    duration_s: float
    """Simulated time until it ended."""
    drawings: int
    stage_ms: Mapping[str, list[float]]
    """Wall-clock time of each call: observe, draw, act (with the gate's check), stream (one streamer step)."""
    stops: Mapping[str, int]
    """Streamer stops by kind of reason, other than the end of a chunk."""
    rejected: Mapping[str, int]
    """Chunks that the streamer refused, by kind of reason."""
    pause_reason: str
    """Why the gate closed; empty if it did not."""
    limit_violations: int
    frames: list[np.ndarray]
    """Tiled observation beside tiled drawing, (height, width, 3), `FRAMES_PER_S`; empty unless asked for."""

    @property
    def success(self) -> bool:
        return self.ending == "success"


def roll_out(
    environment: Environment,
    policy: Policy,
    seed: int = 0,
    draw: Draw | None = None,
    timeout_s: float = 25.0,
    config: StreamerConfig | None = None,
    gate: Gate | None = None,
    latency_s: float | None = None,
    record: bool = False,
    wording: Wording = "seen",
    recording: Path | None = None,
) -> Rollout:
    """Resets the environment to scene `seed` and runs the policy until success, or until the loop gives up.

    The same `ControlLoop` and streamer as on an arm, on the simulation's clock. It gives up after `timeout_s`, and
    where a drawing closed the gate and the arm has come to rest, because nobody is here to resume.

    Args:
        draw: What draws in the agent's place (see `sources`).
        config: Of the streamer: execution, how many actions of a chunk, speed.
        latency_s: Simulated time from capture to chunk. By default none in sync mode, where the arm waits meanwhile,
            and `ASYNC_LATENCY_S` in async mode.
        record: Keep pictures of the episode.
        wording: How the instruction is put.
        recording: New folder for all that happens, in the form of `genima record`.
    """
    environment.reset(seed, wording=wording)
    draw, config = draw or policy.draw, config or StreamerConfig()
    if latency_s is None:
        latency_s = 0.0 if config.execution == "sync" else ASYNC_LATENCY_S
    streamer, loop = Streamer(environment.arm, config), ControlLoop(policy.controller, config.execution, gate)
    streamer.enable()
    loop.instruction = environment.instruction
    stage_ms: dict[str, list[float]] = defaultdict(list)
    observation: Observation | None = None
    drawing: np.ndarray | None = None
    ending: Ending | None = None
    frames: list[np.ndarray] = []
    hold, gripper, drawings, looks = environment.q, environment.gripper, 0, 0

    def timed(stage: str, call: Callable[..., T], *args: object) -> T:
        begin = time.perf_counter()
        result = call(*args)
        stage_ms[stage].append(1e3 * (time.perf_counter() - begin))
        return result

    begin_s = environment.time_s
    recorder = None
    if recording is not None:
        from genima_core.data.bags.simulated import SimulatedRecorder  # not at the top: nothing else needs its packages

        about = environment.rig, environment.name, environment.instruction, seed, FRAMES_PER_S, begin_s
        recorder = SimulatedRecorder(recording, *about)
    while ending is None:
        now_s = environment.time_s
        streamer.on_joint_state(JointState(environment.q, environment.dq, now_s), now_s)
        loop.on_joint_state(environment.q, environment.gripper, now_s)
        command = timed("stream", streamer.step, now_s)
        loop.on_wanted(command.wants_chunk, now_s)
        if recorder is not None:
            recorder.on_joint_state(environment.q, environment.dq, environment.gripper, now_s)
            recorder.on_command(command, now_s)
        if observation is None and loop.is_due(now_s):
            observation = timed("observe", environment.observe)
            drawing = timed("draw", draw, observation, seed * 1000 + drawings)
            drawings += 1
        if observation is not None and now_s >= observation.stamp_s + latency_s - 1e-9:
            chunk = timed("act", loop.act, drawing, observation.stamp_s, observation.views(environment.rig.names))
            if recorder is not None and drawing is not None:
                recorder.on_drawing(drawing, observation.stamp_s, now_s)
                recorder.on_gate(loop.status, now_s)
            if chunk is not None:
                chunk = loop.start(chunk, now_s)
                streamer.on_chunk(chunk, now_s)
                if recorder is not None:
                    recorder.on_chunk(chunk, now_s)
            observation = None
        if (record or recorder is not None) and now_s >= begin_s + looks / FRAMES_PER_S - 1e-6:
            looks += 1
            views = {name: environment.render(name) for name in environment.rig.names}
            if record and drawing is not None:
                frames.append(np.hstack([tile(list(views.values())), tile(drawing)]))
            if recorder is not None:
                recorder.on_images(views, now_s)
        hold = command.q if command.q is not None else hold
        if command.gripper_width_m is not None:
            gripper = environment.arm.gripper.to_opening(command.gripper_width_m)
        environment.step(hold, gripper, config.period_s)
        stuck = loop.paused and command.state is State.HOLDING
        ending = find_ending(environment.success(), environment.time_s - begin_s, timeout_s, stuck)
    if recorder is not None:
        recorder.finish(ending == "success", environment.time_s)
    counted = streamer.statistics(environment.time_s)
    stops, rejected = ({str(why): n for why, n in counts.items()} for counts in (counted.stops, counted.rejected))
    duration_s, violations, reason = environment.time_s - begin_s, counted.limit_violations, loop.status.text
    return Rollout(
        seed,
        environment.instruction,
        ending,
        duration_s,
        drawings,
        stage_ms,
        stops,
        rejected,
        reason,
        violations,
        frames,
    )
