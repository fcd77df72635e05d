"""Faults injected into the simulated cell while the arm moves: the table of docs/safety.md.

    python benchmarks/faults.py --only clock --json faults.json

The nodes run as processes, with the limits of a real arm; their messages go through this process, which spoils them.
"still" is measured by the simulator's own joint states, which no fault touches: from the fault until no joint is faster
than 0.02 rad/s any more, until the fault ends. "limit" is when a watchdog notices, by the numbers of the configuration.
"""

import gc
import os
import re
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from genima_core.files import write_json

ROOT = Path(__file__).parents[1]


def main(
    only: str = "", checkpoint: Path = ROOT / "checkpoints/demo", json: Path | None = None, log: Path | None = None
) -> None:
    """Prints each fault's figures; exits with 1 if an arm was not still 0.3 s after the limit, or did not go on.

    Args:
        only: a regular expression for the faults' names
        checkpoint: moves the arm where the models are the point
        json: where to write the results for machines
        log: where to write what the nodes say
    """
    sys.path.insert(0, str(ROOT))  # the faults are those of the tests
    from genima_ros.graph.domain import node_environment, own_domain
    from tests.ros.faults.catalogue import FAULTS
    from tests.ros.faults.real_graph import running_cell
    from tests.ros.faults.trial import run_trial

    chosen = [fault for fault in FAULTS if re.search(only, fault.name)]
    if not chosen:
        raise SystemExit(f"no fault matches {only!r}; there are: {', '.join(fault.name for fault in FAULTS)}")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ["AMENT_PREFIX_PATH"] = node_environment(os.environ)["AMENT_PREFIX_PATH"]
    gc.freeze()
    rows = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = node_environment({**os.environ, "PYTHONPATH": str(ROOT)}, stack.enter_context(own_domain()))
        out = stack.enter_context((log or scratch / "nodes.log").open("w"))
        cell = stack.enter_context(running_cell(checkpoint, scratch, environment, out))
        for fault in track(chosen, "injecting"):
            row = {
                "name": fault.name,
                "device": "cpu",
                "limit": fault.limit.source if fault.limit else "does not stop",
                "go_on": fault.go_on.words,
            }
            try:
                outcome = run_trial(cell, fault)
            except (TimeoutError, AssertionError, RuntimeError) as error:
                rows.append({**row, "passed": False, "error": str(error)})
                print(f"FAILED {fault.name}: {error}", flush=True)
                continue
            rows.append({**row, **asdict(outcome), "after_limit_s": outcome.after_limit_s, "passed": outcome.passed})
    write_json(json, {"rows": rows})
    _show(rows)
    if not all(row["passed"] for row in rows):
        sys.exit(1)


def _show(rows: list[dict]) -> None:
    table = Table("fault", "rad/s", "watchdog's limit", "s", "still s", "after limit", "shown", "to go on", "goes on s")
    for row in rows:
        if "still_s" in row:
            figures = [
                "" if row[key] is None else f"{row[key]:.2f}"
                for key in ("speed", "limit_s", "still_s", "after_limit_s", "resumed_s")
            ]
            table.add_row(
                row["name"],
                figures[0],
                row["limit"],
                *figures[1:4],
                row["message"],
                row["go_on"],
                figures[4],
                style="" if row["passed"] else "red",
            )
        else:
            table.add_row(row["name"], "", row["limit"], "", "", "", row["error"], row["go_on"], "", style="red")
    Console(width=220).print(table)


if __name__ == "__main__":
    tyro.cli(main)
