"""Mirroring a leader that moves all joints with peaks of 1 rad/s: latency, error, regularity, and what it costs.

python benchmarks/mirroring.py --seconds 60 --json mirroring.json
"""

import os
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import JointState

from genima_core.arm import PANDA
from genima_core.files import write_json
from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.states import Status
from genima_ros.clients.observer import Observer
from genima_ros.graph.domain import node_environment
from genima_ros.graph.graph import NodeProcess
from genima_ros.graph.processes import PROBLEMS, RunningGraph
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import positions_by_name, seconds
from genima_ros.messages.status import read_status

LEADER = Path(__file__).with_name("_leader.py")
PERIOD_S = 0.005
READY_S = 60.0
SPIN_S = 0.02
TICKS_HZ = os.sysconf("SC_CLK_TCK")
NODES = (
    NodeProcess("sim", "sim_node", {"fps": 0.01, "rate_hz": 100.0, "size": 16}, (), (), 2, False),
    NodeProcess("streamer", "streamer_node", {"enabled": True, "period_s": PERIOD_S}, (), (), 0, False),
    NodeProcess("teleop", "teleop_node", {}, (), (), 0, False),
)


@dataclass(frozen=True)
class Log:
    """Joint states as they came: stamps (n,) s, receive times (n,) s, positions (n, 7)."""

    stamps_s: np.ndarray
    received_s: np.ndarray
    q: np.ndarray

    def at(self, times_s: np.ndarray) -> np.ndarray:
        return np.column_stack([np.interp(times_s, self.stamps_s, column) for column in self.q.T])


def main(seconds: float = 60.0, domain: int = 78, json: Path | None = None) -> None:
    """Engages, mirrors, measures.

    Args:
        seconds: how long to mirror
        domain: ROS domain
        json: where to write the results for machines
    """
    environment = node_environment(os.environ, domain)
    os.environ.update({key: environment[key] for key in ("AMENT_PREFIX_PATH", "ROS_AUTOMATIC_DISCOVERY_RANGE")})
    with ExitStack() as stack:
        watch = stack.enter_context(Watch(domain, "mirroring_bench"))
        graph = stack.enter_context(RunningGraph(NODES, environment, _show_problem))
        leader = subprocess.Popen([sys.executable, str(LEADER)], env=environment)
        stack.callback(leader.wait)
        stack.callback(leader.terminate)
        row = measure(watch, graph, seconds)
    write_json(json, {"rows": [row]})
    table = Table("", "", title=row["name"], show_header=False)
    for key, value in row.items():
        if key != "name":
            table.add_row(key, f"{value:.3g}" if isinstance(value, float) else str(value))
    Console().print(table)


class Watch(Observer):
    """Keeps what the leader, the streamer and the follower say."""

    def __init__(self, domain: int, name: str) -> None:
        super().__init__(domain, name)
        self.teleop: Status | None = None
        self.leader: list[tuple] = []
        self.targets: list[tuple] = []
        self.commands: list[tuple] = []
        self.follower: list[tuple] = []
        interfaces.subscribe(self.node, interfaces.TELEOP_STATE, self._on_teleop)
        for topic, log in (
            (interfaces.LEADER_JOINT_STATES, self.leader),
            (interfaces.JOINT_TARGET, self.targets),
            (interfaces.JOINT_COMMANDS, self.commands),
            (interfaces.JOINT_STATES, self.follower),
        ):
            interfaces.subscribe(self.node, topic, lambda message, log=log: self._keep(message, log))

    def _on_teleop(self, message) -> None:
        self.teleop = read_status(message, Mirroring)

    @property
    def mirrors(self) -> bool:
        return self.teleop is not None and self.teleop.state is Mirroring.MIRRORING

    def _keep(self, message: JointState, log: list) -> None:
        log.append((seconds(message.header.stamp), time.time(), positions_by_name(message, PANDA.joint_names)))


def measure(watch: Watch, graph: RunningGraph, seconds: float) -> dict:
    """What comes out of mirroring for so long."""
    if not watch.spin_until(lambda: {"sim", "streamer", "teleop"} <= set(watch.diagnostics) and watch.leader, READY_S):
        raise RuntimeError(f"only heard of {', '.join(watch.diagnostics) or 'no node'} within {READY_S:.0f} s")
    watch.spin(2.0)
    watch.call("teleop", "engage", READY_S)
    if not watch.spin_until(lambda: watch.mirrors, READY_S):
        raise RuntimeError(f"not mirroring: {watch.teleop}")
    watch.spin(4.0)  # the leader begins to move, and comes to its full speed
    logs = watch.leader, watch.targets, watch.commands, watch.follower
    for log in logs:
        log.clear()
    before, begin_s = {name: _cpu_s(pid) for name, pid in graph.pids.items()}, time.time()
    while time.time() - begin_s < seconds and watch.mirrors:
        watch.spin(SPIN_S)
        graph.check()
    duration_s = time.time() - begin_s
    cores = {name: (_cpu_s(pid) - before[name]) / duration_s for name, pid in graph.pids.items()}
    if watch.teleop != "mirroring":
        raise RuntimeError(f"{watch.teleop} (after {duration_s:.0f} s)")
    leader, targets, commands, follower = (Log(*map(np.array, zip(*log, strict=True))) for log in logs)
    diagnostics = watch.diagnostics["streamer"]
    error = np.abs(follower.q - leader.at(follower.stamps_s))[_covered(follower.stamps_s, leader.stamps_s)]
    offset = np.abs(commands.q - leader.at(commands.stamps_s))[_covered(commands.stamps_s, leader.stamps_s)]
    received_ms = 1e3 * _latencies(targets, commands)
    # The streamer counts to the beginning of the step; the command is out when that has done its work.
    latency_ms = {
        key: diagnostics[f"follow_latency_ms_{key}"] + diagnostics[f"latency_ms_{work}"]
        for key, work in (("p50", "median"), ("p99", "p95"), ("max", "p95"))
    }
    return {
        "name": "mirroring at 1 rad/s",
        "device": platform.processor() or platform.machine(),
        "seconds": duration_s,
        **{f"latency_ms_{key}": value for key, value in latency_ms.items()},
        **{f"received_ms_p{share}": float(np.percentile(received_ms, share)) for share in (50, 99)},
        "error_rad_max": float(error.max()),
        "error_rad_p99": float(np.percentile(error.max(axis=1), 99)),
        "command_error_rad_max": float(offset.max()),
        "command_error_rad_p99": float(np.percentile(offset.max(axis=1), 99)),
        "leader_speed_max": float(
            np.percentile(np.abs(np.diff(leader.q, axis=0)) / np.diff(leader.stamps_s)[:, None], 99.9)
        ),
        "leader_rate_hz": len(leader.q) / duration_s,
        "command_rate_hz": len(commands.q) / duration_s,
        "command_gap_ms_max": 1e3 * float(np.diff(commands.stamps_s).max()),
        "limit_violations": int(diagnostics["limit_violations"]),
        "teleop_cores": cores["teleop"],
        "streamer_cores": cores["streamer"],
        "sim_cores": cores["sim"],
    }


def _latencies(targets: Log, commands: Log) -> np.ndarray:
    """From each of the leader's stamps (which its target carries on) to the receipt, here, of a command that used it.

    That is the first one stamped after the target was received here too; this process waits for the processor as well.
    """
    index = np.searchsorted(commands.stamps_s, targets.received_s)
    known = index < len(commands.stamps_s)
    return commands.received_s[index[known]] - targets.stamps_s[known]


def _covered(times_s: np.ndarray, by_s: np.ndarray) -> np.ndarray:
    """Where there is something to interpolate between."""
    return (times_s >= by_s[0]) & (times_s <= by_s[-1])


def _show_problem(name: str, line: str) -> None:
    if any(mark in line for mark in PROBLEMS):
        print(f"[{name}] {line}", flush=True)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_HZ


if __name__ == "__main__":
    tyro.cli(main)
