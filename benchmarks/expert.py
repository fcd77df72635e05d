"""How often a task's scripted expert succeeds, how long it takes, what the cameras see of it, and how fast the cell is.

python benchmarks/expert.py push_button --episodes 100 --json expert.json
"""

import time
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from genima_core.arm import PANDA
from genima_core.environment import follow
from genima_core.files import write_json
from genima_core.geometry import invert, transform_points
from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task


def main(
    task: tyro.conf.Positional[str] = "push_button",
    episodes: int = 100,
    seed: int = 20000,
    size: int = 64,
    json: Path | None = None,
) -> None:
    """Runs the expert from both starts on the seeds from `seed` on.

    Args:
        task: name of the task
        episodes: number of seeds, for each of the two starts
        seed: first seed
        size: width and height of a view in pixels, for the times of rendering
        json: where to write the results for machines
    """
    cell = Cell(make_task(task), default_rig(size, size))
    results = {"task": task, "episodes": episodes, "seed": seed}
    for start in ("home", "anywhere"):
        results[start] = _run(cell, range(seed, seed + episodes), start)
    results["render_4_views_ms"] = _render_ms(cell)
    cell.close()
    write_json(json, results)
    _show(results)


def _run(cell: Cell, seeds: range, start: str) -> dict:
    failures, lengths, peaks, inside = [], [], [], {name: [] for name in cell.rig.names}
    busy_s = simulated_s = 0.0
    for seed in track(seeds, f"expert from {start}"):
        cell.reset(seed, start)
        trajectory = cell.plan()
        speeds = []
        begin_s = time.perf_counter()
        for _ in follow(cell, trajectory):
            busy_s += time.perf_counter() - begin_s
            speeds.append(np.abs(cell.dq).max())
            for name, seen in _targets_inside(cell).items():
                inside[name].append(seen)
            begin_s = time.perf_counter()
        busy_s += time.perf_counter() - begin_s
        simulated_s += trajectory.duration_s
        lengths.append(len(trajectory))
        peaks.append(max(speeds))
        if not cell.success():
            failures.append(seed)
    return {
        "successes": len(seeds) - len(failures),
        "failed_seeds": failures,
        "length_min_median_max": [int(np.min(lengths)), float(np.median(lengths)), int(np.max(lengths))],
        "peak_joint_speed_rad_s": round(float(np.max(peaks)), 3),
        "physics_times_real_time": round(simulated_s / busy_s, 1),
        "targets_in_view": {
            name: dict(zip(PANDA.drawn_frames, np.mean(seen, axis=0).round(4).tolist(), strict=True))
            for name, seen in inside.items()
        },
    }


def _targets_inside(cell: Cell) -> dict[str, np.ndarray]:
    q = cell.q
    T_base_hand, p_base = PANDA.frame_pose(q, "hand"), PANDA.target_poses(q)[:, :3, 3]
    return {
        c.name: c.intrinsics.contains(c.intrinsics.project(transform_points(invert(c.T_base_cam(T_base_hand)), p_base)))
        for c in cell.rig.cameras
    }


def _render_ms(cell: Cell, repeats: int = 20) -> float:
    cell.observe()
    begin_s = time.perf_counter()
    for _ in range(repeats):
        cell.observe()
    return round(1e3 * (time.perf_counter() - begin_s) / repeats, 2)


def _show(results: dict) -> None:
    table = Table("start", "solved", "frames min / median / max", "peak rad/s", "x real time")
    views = Table("start", "camera", *(f"{frame} in view" for frame in PANDA.drawn_frames))
    for start in ("home", "anywhere"):
        row = results[start]
        low, median, high = row["length_min_median_max"]
        table.add_row(
            start,
            f"{row['successes']}/{results['episodes']}",
            f"{low} / {median:g} / {high}",
            f"{row['peak_joint_speed_rad_s']:.2f}",
            f"{row['physics_times_real_time']:g}",
        )
        for name, shares in row["targets_in_view"].items():
            views.add_row(start, name, *(f"{share:.1%}" for share in shares.values()))
    console = Console()
    console.print(table, views)
    console.print(f"four views rendered in {results['render_4_views_ms']} ms")


if __name__ == "__main__":
    tyro.cli(main)
