"""`genima demo`: the whole graph on the simulated cell, watched from outside."""

import math
import os
import time
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import psutil

from genima_core.files import write_json
from genima_core.sim.task import make_task
from genima_ros.cli.up import terminate_as_interrupt
from genima_ros.graph import graph
from genima_ros.graph.domain import own_domain
from genima_ros.graph.graph import READY_S, describe_graph
from genima_ros.graph.processes import RunningGraph
from genima_ros.share import find_checkpoint

if TYPE_CHECKING:
    from genima_ros.clients.demo_observer import DemoObserver, Episode

CALL_S = 10.0
REST_S = 5.0
SETTLE_S = 0.4
MEMORY_EVERY_S = 2.0
SPIN_S = 0.1
SHOWN = ("press_switch", "turn_tap", "take_lid_off_saucepan", "pick_up_cup")
"""The tasks that are done if none is asked for."""
AFTERWARDS_S = 1.0
"""The film goes on for this long after success."""
OF_STREAMER = (
    *("accepted", "rejected", "stops", "limit_violations", "jitter_ms_p50", "jitter_ms_p99", "gap_ms_max"),
    *("tracking_jitter_ms_p50", "tracking_jitter_ms_p99", "tracking_gap_ms_max"),
)
"""Of the streamer's diagnostics, what the summary holds."""


def demo(
    task: str | None = None,
    episodes: int = 1,
    seed: int = 20000,
    checkpoint: Path = Path("checkpoints/demo"),
    out: Path = Path("runs/demo"),
    execution: Literal["sync", "async"] = "sync",
    timeout_s: float = 25.0,
    domain: int | None = None,
    json: Path | None = None,
) -> None:
    """Runs the shipped checkpoint on the simulated cell as a ROS 2 graph.

    One task follows the other, each told by a sentence.

    Writes videos, drawings and measurements. Succeeds when the graph worked, whether or not the policy solved its
    task: `genima eval` measures that.

    Example: genima demo --task push_button --episodes 3 --execution async

    Args:
        task: What to do; by default four of the tasks that the checkpoint knows.
        episodes: Scenes of each task to try.
        seed: First scene.
        checkpoint: Folder with the trained models.
        out: Each run gets its own folder in here.
        execution: sync: execute a chunk, then look again; async: splice in the next chunk.
        timeout_s: Seconds an episode may take; unlike in `genima eval`, drawing takes time here.
        domain: ROS domain; by default one that is not in use, never that of a real cell.
        json: Another file for the summary.
    """
    for name, value in (("episodes", episodes), ("seed", seed)):
        if value < 1:
            raise ValueError(f"--{name} is {value}; at least 1 is needed")
    from genima_core.checkpoint import Checkpoint  # not at the top: `--help` answers at once, and works without ROS
    from genima_ros.clients.demo_film import write_films
    from genima_ros.clients.demo_observer import DemoObserver
    from genima_ros.clients.demo_recording import DemoRecorder
    from genima_ros.clients.running import start, wait_ready

    opened = Checkpoint.open(find_checkpoint(checkpoint))
    rig, tasks = opened.rig, choose_tasks(task, opened.info.tasks)
    values = graph.argument_values(
        "sim", {"checkpoint": str(checkpoint), "execution": execution, "task": tasks[0], "seed": str(seed - 1)}
    )  # every episode begins with a reset to the next
    description = describe_graph("sim", values)
    folder = Path(out) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder.mkdir(parents=True)
    log_file = folder / "nodes.log"
    began_s = time.monotonic()
    with terminate_as_interrupt(), ExitStack() as stack:
        log = stack.enter_context(log_file.open("w"))
        domain = stack.enter_context(own_domain()) if domain is None else domain
        running, observer = start(description, stack, domain, lambda domain: DemoObserver(domain, rig.names), log)
        count = len(running.processes)
        print(f"starting {count} nodes in ROS domain {domain}; their output goes to {log_file}", flush=True)
        wait_ready(running, observer, READY_S)
        print(f"all nodes are ready after {time.monotonic() - began_s:.0f} s", flush=True)
        memory = Memory(running)
        recorder = DemoRecorder(observer.node, rig, observer.parameters("sim", ("fps",), CALL_S)["fps"])
        stack.callback(recorder.close)
        results, films = [], []
        for scene, name in enumerate((name for name in tasks for _ in range(episodes)), seed):
            observer.set_parameters("sim", CALL_S, task=name)
            reset(observer)
            recorder.begin(name, observer.instruction, scene)
            result, episode = run_episode(observer, running, memory, timeout_s)
            recorder.end(result["success"])
            results.append({"task": name, "scene": scene, **result})
            films.append((f"{name}_{scene}", episode, result["success"]))
            print(
                f"  {episode.instruction}: {'success' if result['success'] else 'no success'} after "
                f"{result['duration_s']:.1f} s, {result['drawings']} drawings",
                flush=True,
            )
        observer.call("streamer", "stop", CALL_S)
        observer.spin(1.5)  # one more diagnostics message of every node
        summary = summarise(results, observer) | {
            "memory_peak_mb": memory.peak_mb,
            "execution": execution,
            "tasks": list(tasks),
            "checkpoint": str(checkpoint),
            "seeds": [result["scene"] for result in results],
            "wall_s": time.monotonic() - began_s,
        }
    recorder.write(folder / "recordings")  # only now: encoding would take the processors from the nodes
    write_films(folder, films)
    for file in (folder / "summary.json", json):
        write_json(file, summary)
    drawings, chunks = (sum(result[key] for result in results) for key in ("drawings", "chunks"))
    if not drawings or not chunks:
        raise RuntimeError(f"the graph ran, but made {drawings} drawings and {chunks} chunks; see {log_file}")
    print_summary(summary, folder)


def choose_tasks(task: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The one that is asked for, or some that the checkpoint knows."""
    if task is not None:
        make_task(task)
        return (task,)
    return tuple(name for name in SHOWN if name in known) or known[: len(SHOWN)]


def reset(observer: "DemoObserver") -> None:
    """Lays out the next scene, the arm at its start and at rest."""
    observer.call("streamer", "stop", CALL_S)
    if not observer.spin_until(observer.arm_is_quiet, REST_S):
        raise RuntimeError("the streamer did not stop commanding the arm")
    if observer.diagnostics["streamer"]["state"] == "fault":
        observer.call("streamer", "reset_fault", CALL_S)
    observer.call("sim", "reset", CALL_S)
    # The arm is somewhere else now. The streamer starts from where it was measured last, so let that be news first.
    placed_s = observer.joint_stamp_s
    if not observer.spin_until(lambda: observer.joint_stamp_s > placed_s + SETTLE_S, CALL_S):
        raise RuntimeError("no joint states from the simulated cell")


def run_episode(
    observer: "DemoObserver", running: RunningGraph, memory: "Memory", timeout_s: float
) -> tuple[dict, "Episode"]:
    """One scene until success or time-out: what is told of it, and its pictures."""
    from genima_core.loop import find_ending

    episode = observer.begin_episode()
    observer.call("streamer", "enable", CALL_S, data=True)
    begin_s = time.monotonic()
    while find_ending(episode.succeeded, time.monotonic() - begin_s, timeout_s) is None:
        observer.spin_until(lambda: episode.succeeded, SPIN_S)
        running.check()
        memory.sample()
    duration_s = time.monotonic() - begin_s
    success, episode.counting = episode.succeeded, False
    observer.spin(AFTERWARDS_S)
    counts = {"drawings": episode.drawings, "chunks": episode.chunks}
    return {"instruction": episode.instruction, "success": success, "duration_s": duration_s, **counts}, episode


class Memory:
    """Peak of what all nodes hold together, MB; pages that several share are counted once."""

    def __init__(self, running: RunningGraph) -> None:
        self._running = running
        self._next_s = 0.0
        self.peak_mb = 0.0

    def sample(self) -> None:
        """Looks, if it is time again."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + MEMORY_EVERY_S
        total = 0
        for pid in self._running.pids.values():
            with suppress(psutil.Error):  # it ended just now, or the kernel does not tell
                total += psutil.Process(pid).memory_full_info().pss
        self.peak_mb = max(self.peak_mb, total / 2**20)


def summarise(results: list[dict], observer: "DemoObserver") -> dict:
    """Everything measured. Jitter and gaps are by the streamer's clock; the observer, busy as it is, adds its own."""
    diagnostics, commands = observer.diagnostics, observer.command_statistics()

    def stage(node: str) -> dict:
        return {"median": diagnostics[node].get("latency_ms_median"), "p95": diagnostics[node].get("latency_ms_p95")}

    def measured(key: str) -> float | None:
        """A number, or None where nothing could be measured: JSON has no NaN."""
        value = diagnostics["streamer"].get(key)
        return value if isinstance(value, float) and math.isfinite(value) else None

    return {
        "episodes": len(results),
        "successes": sum(result["success"] for result in results),
        "target_rate_hz": sum(r["drawings"] for r in results) / sum(r["duration_s"] for r in results),
        "command_rate_hz": commands["rate_hz"],
        "command_jitter_p99_ms": measured("tracking_jitter_ms_p99"),
        "command_gap_max_ms": measured("tracking_gap_ms_max"),
        "limit_violations": commands["limit_violations"],
        "latency_ms": {
            "render_and_physics": stage("sim"),
            "draw": stage("diffusion"),
            "act": stage("controller"),
            "stream": stage("streamer"),
            "capture_to_drawing": quantiles(observer.drawing_latencies_s),
            "capture_to_chunk": quantiles(observer.chunk_latencies_s),
            "capture_to_command": quantiles(observer.command_latency.values_s),
        },
        "observer": commands,
        "streamer": {key: measured(key) for key in OF_STREAMER},
        "simulation_slip_s": diagnostics["sim"]["slip_s"],
        "cpu_count": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "runs": results,
    }


def quantiles(values_s: list[float]) -> dict:
    """Median and p95 in ms; None without values."""
    if not values_s:
        return {"median": None, "p95": None}
    median, p95 = np.percentile(values_s, [50, 95]) * 1e3
    return {"median": float(median), "p95": float(p95)}


def print_summary(summary: dict, folder: Path) -> None:
    draw_ms, act_ms = (number(summary["latency_ms"][stage]["median"]) for stage in ("draw", "act"))
    reflected_ms = number(summary["latency_ms"]["capture_to_command"]["median"])
    jitter_ms, gap_ms = number(summary["command_jitter_p99_ms"]), number(summary["command_gap_max_ms"])
    print(
        f"""
{summary["successes"]} of {summary["episodes"]} scenes solved, in {summary["wall_s"]:.0f} s altogether
  targets drawn      {summary["target_rate_hz"]:6.2f} Hz   (a drawing takes {draw_ms} ms, its chunk {act_ms} ms)
  commands           {summary["command_rate_hz"]:6.2f} Hz   (jitter p99 {jitter_ms} ms, longest gap {gap_ms} ms)
  camera to command  {reflected_ms:>6} ms   (median, from the exposure to the first command that reflects it)
  limits exceeded    {summary["limit_violations"]:6d}
  memory             {summary["memory_peak_mb"]:6.0f} MB
look at
  {folder}/demo.gif, episode_*.mp4  left what the cameras see, right the targets drawn onto it
  {folder}/episode_*_targets_*.png  the drawings that were followed
  {folder}/summary.json             all measurements
  genima view {folder}              all of it on a timeline, with the arm in 3-D""",
        flush=True,
    )


def number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"
