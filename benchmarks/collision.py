"""What it costs to keep commands out of contact, on one core.

    python benchmarks/collision.py --json collision.json

A check is of one configuration; a command is what the streamer pays more than without: both ways to rest, looked at
along demonstrations and along random motion near contacts.
"""

import os
import time
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from genima_core.arm import PANDA
from genima_core.files import write_json
from genima_core.sim.cell import Cell
from genima_core.sim.collision import ClearanceModel
from genima_core.sim.scene import default_rig
from genima_core.sim.task import DEFAULT_TASK, make_task
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.playback import Playback
from genima_core.streaming.reference import Blend, ChunkPath

CHUNK, DT_S = 20, 0.05


def main(scenes: int = 10, configurations: int = 20_000, seed: int = 0, json: Path | None = None) -> None:
    """Prints median, p99 and largest times.

    Args:
        scenes: demonstrations that are followed
        configurations: random ones within the joint limits
        seed: of scenes and configurations
        json: where to write the results for machines
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rng, model = np.random.default_rng(seed), ClearanceModel(PANDA)
    lower, upper = PANDA.limits.lower, PANDA.limits.upper
    everywhere = rng.uniform(lower, upper, (configurations, 7))
    cell = Cell(make_task(DEFAULT_TASK), default_rig(64, 64))
    demonstrations = [_demonstration(cell, seed + i) for i in range(scenes)]
    free = [q for q in everywhere[:2000] if model.check(q) is None]
    chunks = [
        q + np.linspace(0, 1, CHUNK)[:, None] * (other - q) / 4
        for q, other in zip(free[:-1:2], free[1::2], strict=False)
    ][:150]
    rows = [
        _row("check, random configurations", _check_ms(model, everywhere)),
        _row("check, demonstrations", _check_ms(model, np.concatenate(demonstrations))),
    ]
    for period_s in (0.02, 0.005):
        for name, paths in (("demonstrations", demonstrations), ("random motion", chunks)):
            rows.append(_row(f"command at {1 / period_s:.0f} Hz, {name}", _command_ms(model, paths, period_s)))
    write_json(json, {"rows": rows})
    table = Table("what", "n", "median ms", "p99 ms", "max ms")
    for row in rows:
        table.add_row(
            row["name"],
            str(row["count"]),
            f"{row['ours_ms']:.3f}",
            f"{row['p99_ms']:.3f}",
            f"{row['max_ms']:.2f}",
        )
    Console().print(table)


def _demonstration(cell: Cell, seed: int) -> np.ndarray:
    cell.reset(seed, "anywhere")
    return cell.plan(DT_S).q


def _check_ms(model: ClearanceModel, configurations: np.ndarray) -> list[float]:
    return [_timed_ms(model.check, q)[0] for q in configurations]


def _command_ms(model: ClearanceModel, paths: list[np.ndarray], period_s: float) -> list[float]:
    """Of the guard's look at each command; it runs inside of the playback, so here it is timed from within."""
    times_ms, config, watch = [], StreamerConfig(period_s=period_s), Stopwatch(model)
    for positions in paths:
        playback = Playback(PANDA, config, positions[0], 0.0, watch)
        playback.join(ChunkPath(positions, DT_S, 0.0, config.settle_s, from_rest=True), Blend(4.0, 0.2, 1.0))
        for k in range(1, int(playback.path.rest_s / period_s)):
            watch.spent_ms = 0.0
            playback.advance(k * period_s)
            if playback.contact is not None:
                break
            times_ms.append(watch.spent_ms)
    return times_ms


class Stopwatch:
    """A clearance model, and the time that it took."""

    def __init__(self, model: ClearanceModel) -> None:
        self._model, self.spent_ms = model, 0.0

    def find(self, *arguments):
        return self._timed(self._model.find, *arguments)

    def contacts(self, *arguments):
        return self._timed(self._model.contacts, *arguments)

    def _timed(self, call, *arguments):
        time_ms, result = _timed_ms(call, *arguments)
        self.spent_ms += time_ms
        return result


def _timed_ms(call, *arguments) -> tuple[float, object]:
    begin_s = time.thread_time()  # other processes take no part in it
    result = call(*arguments)
    return 1e3 * (time.thread_time() - begin_s), result


def _row(name: str, times_ms: list[float]) -> dict:
    median, p99, most = np.percentile(times_ms, [50, 99, 100])
    return {
        "name": name,
        "device": "1 CPU core",
        "count": len(times_ms),
        "ours_ms": float(median),
        "p99_ms": float(p99),
        "max_ms": float(most),
    }


if __name__ == "__main__":
    tyro.cli(main)
