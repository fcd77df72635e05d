"""How often the tasks' scripted experts succeed and how long they take, what the cameras see, how fast the cell is.

python benchmarks/expert.py push_button open_drawer --episodes 100 --workers 2 --json expert.json
"""

import time
from collections import defaultdict
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from genima_core.environment import DT_S, follow
from genima_core.evaluation.config import PAPER
from genima_core.evaluation.workers import run_jobs
from genima_core.files import write_json
from genima_core.geometry import invert, transform_points
from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task

STARTS = ("home", "anywhere", "replanned")
"""replanned: a new plan each second, from either start, as with true targets."""
CHUNK, LONGEST_S = 20, 20.0
SIMULATED_S = 4.0
"""How long the cell's speed is measured for each task."""


class Job(NamedTuple):
    """One scene, or (start "speed") how fast the cell is."""

    task: str
    start: str
    seed: int
    size: int


def main(
    tasks: tyro.conf.Positional[tuple[str, ...]] = PAPER,
    episodes: int = 100,
    seed: int = 20000,
    size: int = 64,
    workers: int = 1,
    json: Path | None = None,
) -> None:
    """Runs the experts from every start on the seeds from `seed` on.

    Args:
        tasks: names of the tasks
        episodes: number of seeds, for each of the starts
        seed: first seed
        size: width and height of a view in pixels, for the times of rendering
        workers: processes; leave it at one to measure the cell's speed
        json: where to write the results for machines
    """
    seeds = range(seed, seed + episodes)
    jobs = [Job(task, start, s, size) for task in tasks for start in STARTS for s in seeds]
    jobs += [Job(task, "speed", seed, size) for task in tasks]
    found: dict[tuple[str, str], list] = defaultdict(list)
    with Progress() as progress, closing(run_jobs(run, jobs, workers)) as results:
        bar = progress.add_task("", total=len(jobs))
        for job, result in results:
            progress.update(bar, advance=1, description=f"{job.task}, {job.start}")
            found[job.task, job.start].append(result)
    rows = [row(task, start, seeds, found[task, start]) for task in tasks for start in STARTS]
    speeds = {task: found[task, "speed"][0] for task in tasks}
    write_json(json, {"rows": rows, "times_real_time": speeds, "seed": seed, "size": size})
    show(rows, speeds)


def run(job: Job) -> dict | float:
    cell = _cell(job.task, job.size)
    if job.start == "speed":
        return speed(cell, job.seed)
    cell.reset(job.seed, ("home", "anywhere")[job.seed % 2] if job.start == "replanned" else job.start)
    peaks, inside, begin_s = [0.0], [], cell.time_s
    try:
        for _ in range(round(LONGEST_S / (CHUNK * DT_S)) if job.start == "replanned" else 1):
            for k in follow(cell, cell.plan()):
                peaks.append(float((np.abs(cell.dq) / cell.arm.limits.velocity).max()))
                if k % CHUNK == 0:
                    inside.append(targets_inside(cell))
                if job.start == "replanned" and k == CHUNK:
                    break
            if cell.success():
                break
        success, why = cell.success(), ""
    except ValueError as error:
        success, why = False, str(error)
    return {
        "success": success,
        "seconds": cell.time_s - begin_s,
        "peak": max(peaks),
        "inside": np.mean(inside, axis=0) if inside else None,
        "why": why,
    }


@cache
def _cell(task: str, size: int) -> Cell:
    return Cell(make_task(task), default_rig(size, size))


def targets_inside(cell: Cell) -> np.ndarray:
    """(cameras, frames) whether each drawn frame is in each view."""
    q, arm = cell.q, cell.arm
    T_base_hand, p_base = arm.frame_pose(q, "hand"), arm.target_poses(q)[:, :3, 3]
    return np.array(
        [
            c.intrinsics.contains(c.intrinsics.project(transform_points(invert(c.T_base_cam(T_base_hand)), p_base)))
            for c in cell.rig.cameras
        ]
    )


def speed(cell: Cell, seed: int) -> float:
    """Simulated seconds in a second, with all cameras at the rate of demonstrations."""
    cell.reset(seed)
    cell.observe()
    steps, begin_s = round(SIMULATED_S / DT_S), time.perf_counter()
    for _ in range(steps):
        cell.step(cell.arm.home, 1.0, DT_S)
        cell.observe()
    return round(steps * DT_S / (time.perf_counter() - begin_s), 2)


def row(task: str, start: str, seeds: range, results: list[dict]) -> dict:
    failed = {seed: result["why"] for seed, result in zip(seeds, results, strict=True) if not result["success"]}
    inside = np.mean([result["inside"] for result in results if result["inside"] is not None], axis=0)
    seconds = [result["seconds"] for result in results]
    return {
        "task": task,
        "start": start,
        "episodes": len(results),
        "success_rate": 1 - len(failed) / len(results),
        "failed_seeds": failed,
        "seconds_median": round(float(np.median(seconds)), 2),
        "seconds_max": round(float(np.max(seconds)), 2),
        "peak_speed_of_limit": round(max(result["peak"] for result in results), 3),
        "targets_in_view": inside.round(3).tolist(),
    }


def show(rows: list[dict], speeds: dict[str, float]) -> None:
    table = Table("task", "start", "solved", "s median / max", "peak speed of the limit", "x real time")
    for r in rows:
        table.add_row(
            r["task"],
            r["start"],
            f"{100 * r['success_rate']:.0f} %",
            f"{r['seconds_median']:.1f} / {r['seconds_max']:.1f}",
            f"{r['peak_speed_of_limit']:.2f}",
            f"{speeds[r['task']]:.1f}" if r["start"] == STARTS[0] else "",
        )
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
