"""What solving the cameras gave, as rows for machines and as a table of 80 columns for people."""

from typing import Any

import numpy as np
from rich.table import Table

from genima_core.calibration.drift import distance
from genima_core.calibration.solution import Solution
from genima_core.calibration.verdict import Verdict
from genima_core.cameras import CameraRig

UNITS = ("px", "mm", "deg")


def row_of(solution: Solution, verdict: Verdict, rig: CameraRig) -> dict[str, Any]:
    """One camera."""
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


def table_of(rows: list[dict[str, Any]]) -> Table:
    """A column for each camera; in brackets the worst view."""
    table = Table("", *(row["name"] for row in rows), box=None, padding=(0, 1, 0, 0))
    columns = [_column(row) for row in rows]
    for line in columns[0] if columns else ():
        table.add_row(line, *(column[line] for column in columns))
    return table


def _column(row: dict[str, Any]) -> dict[str, str]:
    return {
        "mounted on": row["mount"],
        "views, left out": f"{row['views']}, {len(row['left_out'])}",
        "rms px": f"{row['rms_px']:.2f}",
        **{
            f"leave one out {unit}": f"{row[f'leave_one_out_{unit}']:.2f} ({row[f'leave_one_out_{unit}_max']:.2f})"
            for unit in UNITS
        },
        "uncertain by mm": f"{row['uncertainty_mm']:.2f}",
        "uncertain by deg": f"{row['uncertainty_deg']:.3f}",
        "off the rig by mm": f"{row['moved_mm']:.1f}",
        "off the rig by deg": f"{row['moved_deg']:.2f}",
        "verdict": row["verdict"],
    }
