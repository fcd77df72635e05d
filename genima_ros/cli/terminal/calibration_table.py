"""What solving the cameras gave, as rows for machines and as a table of 80 columns for people."""

from typing import Any

import numpy as np
from rich.table import Table

from genima_core.calibration.solution import Solution
from genima_core.calibration.verdict import Verdict
from genima_core.cameras import CameraRig
from genima_core.geometry import distance

UNITS = ("px", "mm", "deg")
LINES = {
    "mounted on": "{mount}",
    "views, left out": "{views}, {out}",
    "rms px": "{rms_px:.2f}",
    **{f"leave one out {u}": f"{{leave_one_out_{u}:.2f}} ({{leave_one_out_{u}_max:.2f}})" for u in UNITS},
    "uncertain by mm": "{uncertainty_mm:.2f}",
    "uncertain by deg": "{uncertainty_deg:.3f}",
    "off the rig by mm": "{moved_mm:.1f}",
    "off the rig by deg": "{moved_deg:.2f}",
    "verdict": "{verdict}",
}
"""Label of each line of the table, and how it shows a row."""


def row_of(solution: Solution, verdict: Verdict, rig: CameraRig) -> dict[str, Any]:
    used = solution.used
    mm, deg = distance(rig[solution.camera].T_mount_cam, solution.T_mount_cam)
    return {
        "name": solution.camera,
        "mount": solution.mount,
        "views": len(used),
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
    for label, cell in LINES.items():
        table.add_row(label, *(cell.format(**row, out=len(row["left_out"])) for row in rows))
    return table
