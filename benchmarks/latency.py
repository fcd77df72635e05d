"""From exposure to command, and how regularly commands come, where somebody stands who only listens.

    python benchmarks/latency.py --seconds 60 --json latency.json

The whole graph of the simulated cell runs with the checkpoint. This process hears chunks, set points and success, and
nothing else, so that it delays nobody; it lays out the next scene when one is solved or has taken too long.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from genima_core.files import write_json
from genima_core.timing import PeriodMeter
from genima_core.types import Execution
from genima_ros.clients.latency import MOVING_RAD_S, CommandLatency
from genima_ros.clients.observer import Observer
from genima_ros.clients.running import start, wait_ready
from genima_ros.graph.graph import READY_S, argument_values, describe_graph
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import seconds as to_seconds

PERIOD_S = 0.02
SCENE_S, CALL_S, SPIN_S = 20.0, 30.0, 0.2


class Listener(Observer):
    def __init__(self, domain: int) -> None:
        super().__init__(domain, "latency_listener")
        self.latency, self.periods, self.solved = CommandLatency(), PeriodMeter(PERIOD_S, 10**6), False
        self.listen(interfaces.ACTION_CHUNK, lambda m: self.latency.on_chunk(to_seconds(m.header.stamp)))
        self.listen(interfaces.JOINT_COMMANDS, self._on_command)
        self.listen(interfaces.SUCCESS, lambda m: setattr(self, "solved", m.data))

    def _on_command(self, message: Any) -> None:
        now_s, fastest = self.now_s(), max(map(abs, message.velocity))
        self.latency.on_command(fastest, now_s)
        if fastest > MOVING_RAD_S:
            self.periods.tick(now_s)
        else:
            self.periods.pause()


def main(
    checkpoint: Path = Path("checkpoints/demo"),
    seconds: float = 60.0,
    task: str = "press_switch",
    domain: int = 80,
    json: Path | None = None,
) -> None:
    """Prints percentiles.

    Args:
        checkpoint: what draws and acts
        seconds: for each of the execution modes
        task: what it does, scene after scene
        domain: ROS domain that nobody else uses
        json: where to write the results for machines
    """
    rows = [measure(checkpoint, execution, task, seconds, domain) for execution in ("sync", "async")]
    write_json(json, {"rows": rows})
    table = Table("execution", "camera to command, ms: p50 / p99 / most", "period, ms: p50 / p99 / most", "commands")
    for row in rows:
        table.add_row(
            row["name"],
            *(" / ".join(f"{x:.1f}" for x in row[key]) for key in ("camera_to_command_ms", "period_ms")),
            str(row["commands"]),
        )
    Console().print(table)


def measure(checkpoint: Path, execution: Execution, task: str, seconds: float, domain: int) -> dict:
    values = argument_values("sim", {"checkpoint": str(checkpoint), "execution": execution, "task": task})
    description = describe_graph("sim", values)
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile("w"))
        running, listener = start(description, stack, domain, Listener, log)
        wait_ready(running, listener, READY_S)
        begin_s = scene_s = listener.now_s()
        while listener.now_s() - begin_s < seconds:
            listener.spin(SPIN_S)
            running.check()
            if listener.solved or listener.now_s() - scene_s > SCENE_S:
                listener.call("sim", "reset", CALL_S)
                scene_s, listener.solved = listener.now_s(), False
    periods_ms = 1e3 * np.array(listener.periods.periods_s)
    latency_ms = 1e3 * np.array(listener.latency.values_s)
    return {
        "name": execution,
        "device": f"{len(os.sched_getaffinity(0))} CPU cores",
        "camera_to_command_ms": np.percentile(latency_ms, [50, 99, 100]).round(1).tolist(),
        "chunks": len(latency_ms),
        "period_ms": np.percentile(periods_ms, [50, 99, 100]).round(2).tolist(),
        "commands": len(periods_ms),
    }


if __name__ == "__main__":
    tyro.cli(main)
