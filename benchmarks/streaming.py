"""How closely and how smoothly commands follow chunks, beside simpler ways to stream them, and how long a step takes.

python benchmarks/streaming.py --json streaming.json
"""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from ruckig import InputParameter, OutputParameter, Result, Ruckig

from genima_core.arm import PANDA
from genima_core.files import write_json
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.playback import shaping_limits
from genima_core.streaming.streamer import Streamer
from genima_core.types import ActionChunk, JointState

PERIOD_S = 0.02
DT_S = 0.05
K = 20
LATENCY_S = 0.4
"""From an observation to its chunk; the next observation follows at once."""


@dataclass(frozen=True)
class Scenario:
    name: str
    noise_rad: float
    """Of each action, and 12 times as much of each chunk as a whole."""


SCENARIOS = (Scenario("exact chunks", 0.0), Scenario("chunks 50 mrad apart", 0.004))


def main(seconds: float = 12.0, seed: int = 10000, json: Path | None = None) -> None:
    """Follows a smooth motion of all joints, given as overlapping chunks.

    Args:
        seconds: length of the motion
        seed: of the noise
        json: where to write the results for machines
    """
    ways: dict[str, Callable] = {
        "streamer": _stream,
        "ruckig to each action, velocity 0": _ruckig_to_actions(False),
        "ruckig to each action, with velocity": _ruckig_to_actions(True),
        "linear interpolation": _interpolate,
    }
    rows = []
    for scenario in SCENARIOS:
        chunks = _chunks(scenario, seconds, np.random.default_rng(seed))
        for name, way in ways.items():
            q, step_ms = way(chunks, seconds)
            rows.append(
                {
                    "name": f"{scenario.name}: {name}",
                    "device": platform.processor() or platform.machine(),
                    **_score(q),
                    "step_ms_median": float(np.median(step_ms)),
                    "step_ms_p99": float(np.percentile(step_ms, 99)),
                }
            )
    write_json(json, {"rows": rows})
    _show(rows)


def motion(times_s: np.ndarray) -> np.ndarray:
    """Positions (n, 7): every joint at its own rhythm, up to about 1 rad/s and 2 rad/s²."""
    rates = np.array([1.2, 1.5, 1.0, 1.7, 2.0, 1.3, 2.2])
    direction = np.array([1.0, 0.8, -1.0, -0.6, 1.0, -0.7, 1.0])
    return PANDA.home + direction * 0.9 / rates * (1 - np.cos(rates * np.asarray(times_s)[:, None]))


def _chunks(scenario: Scenario, seconds: float, rng: np.random.Generator) -> list[tuple[float, float, np.ndarray]]:
    """(arrival, capture time, positions) of chunks, the first at the start."""
    captured = np.arange(0.0, seconds, LATENCY_S)
    return [
        (
            stamp_s if stamp_s == 0 else stamp_s + LATENCY_S,
            stamp_s,
            motion(stamp_s + DT_S * np.arange(K))
            + rng.normal(0.0, scenario.noise_rad, (K, 7))
            + rng.normal(0.0, 12 * scenario.noise_rad, 7) * (stamp_s > 0),
        )
        for stamp_s in captured
    ]


def _stream(chunks: list, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    streamer = Streamer(PANDA, StreamerConfig(execution="async"))
    streamer.enable()
    # The first step only takes up the measured position, so the motion begins with the second.
    streamer.on_joint_state(JointState(PANDA.home, None, -PERIOD_S), -PERIOD_S)
    streamer.step(-PERIOD_S)
    waiting, commands, step_ms = list(chunks), [], []
    for k in range(round(seconds / PERIOD_S)):
        now_s = k * PERIOD_S
        streamer.on_joint_state(JointState(commands[-1] if commands else PANDA.home, None, now_s), now_s)
        while waiting and waiting[0][0] <= now_s + 1e-9:
            _, stamp_s, positions = waiting.pop(0)
            refusal = streamer.on_chunk(ActionChunk(positions, None, DT_S, stamp_s, stamp_s), now_s)
            if refusal is not None:
                raise RuntimeError(refusal.text)
        begin = time.perf_counter()
        commands.append(streamer.step(now_s).q)
        step_ms.append(1e3 * (time.perf_counter() - begin))
    return np.array(commands), np.array(step_ms)


def _ruckig_to_actions(with_velocity: bool) -> Callable:
    """Online Ruckig towards the next due action."""

    def stream(chunks: list, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        limits = shaping_limits(PANDA.limits, StreamerConfig())
        ruckig, request, state = Ruckig(7, PERIOD_S), InputParameter(7), OutputParameter(7)
        request.max_velocity, request.max_acceleration = limits.velocity, limits.acceleration
        request.max_jerk, request.current_position = limits.jerk, PANDA.home
        commands, step_ms = [], []
        for k in range(round(seconds / PERIOD_S)):
            stamp_s, positions = _current(chunks, k * PERIOD_S)
            ahead = min(int(np.floor((k * PERIOD_S - stamp_s) / DT_S + 1e-9)) + 1, K - 1)
            begin = time.perf_counter()
            request.target_position = positions[ahead]
            if with_velocity:
                slope = np.gradient(positions, DT_S, axis=0)[ahead]
                request.target_velocity = np.clip(slope, -limits.velocity, limits.velocity)
            if ruckig.update(request, state) not in (Result.Working, Result.Finished):
                raise RuntimeError("Ruckig found no trajectory")
            state.pass_to_input(request)
            step_ms.append(1e3 * (time.perf_counter() - begin))
            commands.append(np.array(state.new_position))
        return np.array(commands), np.array(step_ms)

    return stream


def _interpolate(chunks: list, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    commands, step_ms = [], []
    for k in range(round(seconds / PERIOD_S)):
        stamp_s, positions = _current(chunks, k * PERIOD_S)
        begin = time.perf_counter()
        index = (k * PERIOD_S - stamp_s) / DT_S
        commands.append(np.array([np.interp(index, np.arange(K), column) for column in positions.T]))
        step_ms.append(1e3 * (time.perf_counter() - begin))
    return np.array(commands), np.array(step_ms)


def _current(chunks: list, now_s: float) -> tuple[float, np.ndarray]:
    arrived = [chunk for chunk in chunks if chunk[0] <= now_s + 1e-9]
    return arrived[-1][1:]


def _score(q: np.ndarray) -> dict[str, float]:
    times_s = PERIOD_S * np.arange(len(q))
    settled = times_s > 1.0
    error = np.abs(q - motion(times_s))[settled]
    lags_s = np.arange(-0.04, 0.2, 0.002)
    lag_s = lags_s[np.argmin([np.abs(q - motion(times_s - lag))[settled].mean() for lag in lags_s])]
    limits, broken = (PANDA.limits.velocity, PANDA.limits.acceleration, PANDA.limits.jerk), 0
    for order, most in enumerate(limits, start=1):
        broken += int((np.abs(np.diff(q, order, axis=0)) / PERIOD_S**order > most * (1 + 1e-6)).any(axis=1).sum())
    return {
        "error_rad_max": float(error.max()),
        "error_rad_median": float(np.median(error.max(axis=1))),
        "lag_ms": round(float(1e3 * lag_s), 3),
        "limit_violations": broken,
        "acceleration_rms": float(np.sqrt(np.mean((np.diff(q, 2, axis=0) / PERIOD_S**2) ** 2))),
        "acceleration_max": float(np.abs(np.diff(q, 2, axis=0)).max() / PERIOD_S**2),
        "jerk_rms": float(np.sqrt(np.mean((np.diff(q, 3, axis=0) / PERIOD_S**3) ** 2))),
    }


def _show(rows: list[dict]) -> None:
    table = Table(title="50 Hz commands from chunks of 20 actions at 20 Hz")
    columns = {
        "error max [mrad]": ("error_rad_max", 1e3),
        "median [mrad]": ("error_rad_median", 1e3),
        "lag [ms]": ("lag_ms", 1),
        "acc. max [rad/s²]": ("acceleration_max", 1),
        "acc. rms [rad/s²]": ("acceleration_rms", 1),
        "jerk rms [rad/s³]": ("jerk_rms", 1),
        "limits broken": ("limit_violations", 1),
        "step [ms]": ("step_ms_median", 1),
        "p99 [ms]": ("step_ms_p99", 1),
    }
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row["name"], *(f"{row[key] * scale:.3g}" for key, scale in columns.values()))
    Console(width=200).print(table)


if __name__ == "__main__":
    tyro.cli(main)
