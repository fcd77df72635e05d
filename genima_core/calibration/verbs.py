"""`genima calibrate board`, `solve` and `install`: what needs no running cell."""

import json as json_format
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from genima_core.calibration.board import MARGIN_SQUARES, Board
from genima_core.calibration.drift import distance
from genima_core.calibration.reprojection import pose_views
from genima_core.calibration.samples import SampleSet
from genima_core.calibration.solution import Solution, load_solutions, save_solutions, solve
from genima_core.calibration.store import Calib, check_intrinsics, keep_old, placed
from genima_core.calibration.verdict import Verdict, disagreements, judge, unseen
from genima_core.cameras import CameraRig

DEFAULT_BOARD = Board()
INCH_M = 0.0254
UNITS = ("px", "mm", "deg")


def print_board(out: Path, dpi: int, board: Board) -> None:
    """Writes the board as a picture, to be printed at its own size."""
    picture = board.picture(dpi / INCH_M)
    out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(out), picture):
        raise OSError(f"cannot write {out}; the name must end in .png")
    width, height = (1e3 * (size + 2 * MARGIN_SQUARES * board.square_m) for size in board.size_m)
    print(
        f"{out}: print it {width:.0f} x {height:.0f} mm ({dpi} dpi) onto something stiff and flat, then measure a "
        f"square: {1e3 * board.square_m:.1f} mm is what is assumed"
    )


def solve_cameras(samples: Path, rig: Path, cameras: tuple[str, ...], out: Path | None, json: Path | None) -> int:
    """Solves and judges where the cameras are; 0 if none is missing and no verdict is "bad"."""
    taken, known = SampleSet.load(samples), CameraRig.load(rig)
    wanted = cameras or known.names
    mounts = {name: known[name].mount for name in wanted}
    solutions, problems = {}, list(unseen(taken, wanted))
    for name, mount in mounts.items():
        seen = taken.seen_by(name)
        if not seen:
            continue
        try:
            solutions[name] = solve(name, mount, seen[0].views[name].camera, pose_views(taken, name, mount))
        except ValueError as error:
            problems.append(f"camera {name!r}: {error}")
    problems += disagreements(solutions)
    verdicts = {name: judge(solution) for name, solution in solutions.items()}
    _show(solutions, verdicts, known)
    for line in (*(f"{name}: {line}" for name, verdict in verdicts.items() for line in verdict.advice), *problems):
        print(line)
    if solutions:
        out = out or samples / "solution.json"
        save_solutions(solutions, out)
        print(f"solution: {out}\nnext: genima calibrate install {out} --rig {rig}", flush=True)
    if json is not None:
        rows = [_row(solution, verdicts[name], known) for name, solution in solutions.items()]
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(json_format.dumps({"rows": rows, "problems": problems}, indent=2) + "\n")
    return 1 if problems or any(verdict.grade == "bad" for verdict in verdicts.values()) else 0


def install(sources: tuple[Path, ...], rig: Path, out: Path | None, calib: Path | None, force: bool) -> None:
    """Puts solved extrinsics into a rig file, and writes them as .calib files of easy_handeye2."""
    if not sources:
        raise ValueError("nothing to install; give a solution.json or .calib files")
    before = CameraRig.load(rig)
    poses: dict[str, tuple[str, np.ndarray]] = {}
    for source in sources:
        if source.suffix == ".calib":
            stored = Calib.load(source)
            poses[stored.name] = (stored.mount, stored.T_mount_cam())
            continue
        for name, solution in load_solutions(source).items():
            verdict = judge(solution)
            if verdict.grade == "bad" and not force:
                raise ValueError(
                    f"{source}: the solution of camera {name!r} is bad: {'; '.join(verdict.advice)} "
                    "(--force installs it all the same)"
                )
            check_intrinsics(before, {name: solution.intrinsics})
            poses[name] = (solution.mount, solution.T_mount_cam)
    after, out = placed(before, poses), out or rig
    if out == rig and after.fingerprint() != before.fingerprint():
        print(f"the old rig is kept: {keep_old(rig, before)}")
    after.save(out)
    for name in poses:
        mm, deg = distance(before[name].T_mount_cam, after[name].T_mount_cam)
        file = (calib or out.parent) / f"{name}.calib"
        Calib.of(after[name], after.arm).save(file)
        print(f"{name}: moved by {mm:.1f} mm, {deg:.2f} degrees; {file}")
    print(f"{out}: fingerprint {before.fingerprint()} became {after.fingerprint()}")


def _row(solution: Solution, verdict: Verdict, rig: CameraRig) -> dict:
    used = solution.used
    mm, deg = distance(rig[solution.camera].T_mount_cam, solution.T_mount_cam)
    return {
        "name": solution.camera,
        "mount": solution.mount,
        "views": len(used),
        "method": solution.method,
        "left_out": [residual.name for residual in solution.left_out],
        "rms_px": solution.rms_px,
        **{f"leave_one_out_{unit}": float(np.median([getattr(r, unit) for r in used])) for unit in UNITS},
        **{f"leave_one_out_{unit}_max": max(getattr(r, unit) for r in used) for unit in UNITS},
        "uncertainty_mm": solution.uncertainty_mm,
        "uncertainty_deg": solution.uncertainty_deg,
        "moved_mm": mm,
        "moved_deg": deg,
        "verdict": verdict.grade,
        "advice": list(verdict.advice),
    }


def _show(solutions: Mapping[str, Solution], verdicts: Mapping[str, Verdict], rig: CameraRig) -> None:
    table = Table(
        "camera",
        "on",
        "views",
        "left out",
        "rms px",
        "leave one out: px",
        "mm",
        "deg",
        "uncertain by mm",
        "deg",
        "from the rig mm",
        "deg",
        "verdict",
    )
    for name, solution in solutions.items():
        row = _row(solution, verdicts[name], rig)
        table.add_row(
            name,
            solution.mount,
            str(row["views"]),
            str(len(row["left_out"])),
            f"{row['rms_px']:.2f}",
            *(f"{row[f'leave_one_out_{unit}']:.2f} (max {row[f'leave_one_out_{unit}_max']:.2f})" for unit in UNITS),
            f"{row['uncertainty_mm']:.2f}",
            f"{row['uncertainty_deg']:.3f}",
            f"{row['moved_mm']:.1f}",
            f"{row['moved_deg']:.2f}",
            row["verdict"],
        )
    if solutions:
        Console().print(table)
