"""How well the extrinsics of each simulated camera are recovered from 15 views with 0.3 px of noise.

python benchmarks/calibration.py --seeds 20 --json calibration.json
"""

import time
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from genima_core.arm import PANDA
from genima_core.calibration.board import Board
from genima_core.calibration.simulated import board_for, simulate
from genima_core.calibration.solution import solve
from genima_core.calibration.verdict import judge
from genima_core.cameras import RigCamera
from genima_core.files import write_json
from genima_core.geometry import distance
from genima_core.sim.scene import default_rig


def main(
    seeds: int = 20,
    seed: int = 30000,
    views: int = 15,
    noise_px: float = 0.3,
    width: int = 640,
    height: int = 480,
    json: Path | None = None,
) -> None:
    """Prints median and worst errors by camera.

    Args:
        seeds: how many calibrations of each camera
        seed: first seed
        views: of each calibration
        noise_px: standard deviation in each coordinate of a corner
        width: of an image in pixels
        height: of an image in pixels
        json: where to write the results for machines
    """
    rig = default_rig(width, height)
    rows = [_measure(camera, range(seed, seed + seeds), views, noise_px) for camera in rig.cameras]
    write_json(json, {"rows": rows})
    _show(rows)


def _measure(camera: RigCamera, seeds: range, views: int, noise_px: float) -> dict:
    board = Board()
    errors_mm, errors_deg, uncertainty_mm, left_out, times_s, grades = [], [], [], 0, [], []
    for seed in track(seeds, camera.name):
        samples = simulate(PANDA, camera, board, board_for(camera, board), np.random.default_rng(seed), views, noise_px)
        begin_s = time.perf_counter()
        solution = solve(camera, samples)
        times_s.append(time.perf_counter() - begin_s)
        mm, deg = distance(solution.T_mount_cam, camera.T_mount_cam)
        errors_mm.append(mm)
        errors_deg.append(deg)
        uncertainty_mm.append(solution.uncertainty_mm)
        left_out += len(solution.left_out)
        grades.append(judge(solution).grade)
    return {
        "name": camera.name,
        "device": "cpu",
        "mount": camera.mount,
        "seeds": len(seeds),
        "views": views,
        "error_mm": round(max(errors_mm), 3),
        "error_deg": round(max(errors_deg), 4),
        "error_mm_median": round(float(np.median(errors_mm)), 3),
        "error_deg_median": round(float(np.median(errors_deg)), 4),
        "uncertainty_mm_median": round(float(np.median(uncertainty_mm)), 3),
        "views_left_out": left_out,
        "grades": {grade: grades.count(grade) for grade in sorted(set(grades))},
        "ours_ms": round(1e3 * float(np.median(times_s)), 1),
    }


def _show(rows: list[dict]) -> None:
    table = Table("camera", "error_mm", "error_deg", "own estimate, mm", "verdicts", "ms")
    for row in rows:
        verdicts = ", ".join(f"{count} {grade}" for grade, count in row["grades"].items())
        table.add_row(
            row["name"],
            f"{row['error_mm']:.2f} ({row['error_mm_median']:.2f})",
            f"{row['error_deg']:.3f} ({row['error_deg_median']:.3f})",
            f"({row['uncertainty_mm_median']:.2f})",
            verdicts,
            f"{row['ours_ms']:.0f}",
        )
    Console().print(table)
    print("distance to the true position and angle to the true orientation: the worst of all seeds (median)")


if __name__ == "__main__":
    tyro.cli(main)
