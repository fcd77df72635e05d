"""`genima bench`: runs the scripts of benchmarks/ and collects what they measured."""

import json as json_format
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import tyro

from genima_core.files import write_json

FOLDER = Path(__file__).parents[2] / "benchmarks"
NETWORKS = ("diffusion", "controller", "training")
"""Benchmarks that take a device."""


def bench(
    names: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME ...]"), tyro.conf.Positional] = (),
    device: str | None = None,
    json: Path | None = None,
) -> int:
    """Runs the benchmarks of benchmarks/, all of them if none is named.

    They measure and report. Exit status 1 if one did not run to its end, or if the streamer did what it must not do.

    Example: genima bench streaming collision --json bench.json

    Args:
        names: Scripts of benchmarks/, without .py. For a script's own options: python benchmarks/NAME.py --help
        device: cpu or cuda, for those that run networks; by default cuda where there is one.
        json: File for the results of all, under the key rows.
    """
    known = benchmarks()
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"no benchmark {', '.join(unknown)}; valid are {', '.join(known)}")
    rows, failed = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names or known:
            print(f"== {name}", flush=True)
            results = Path(scratch) / f"{name}.json"
            # A process each: GL contexts, thread counts and peak memory of one must not colour the next.
            options = ["--device", device] if device and name in NETWORKS else []
            if subprocess.run([sys.executable, str(known[name]), "--json", str(results), *options]).returncode:
                failed.append(name)
            if results.is_file():
                rows += rows_of(name, json_format.loads(results.read_text()))
    write_json(json, {"rows": rows, "failed": failed})
    if failed:
        print(f"genima: did not run to the end: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def benchmarks() -> dict[str, Path]:
    """Name to script; FileNotFoundError from an installed package without the source tree."""
    scripts = {path.stem: path for path in sorted(FOLDER.glob("[!_]*.py"))}
    if not scripts:
        raise FileNotFoundError(f"no benchmarks in {FOLDER}; they are part of the source tree: run genima from a clone")
    return scripts


def rows_of(name: str, results: dict) -> list[dict]:
    """A script's rows, each marked with its benchmark, and what it could not run; a script without rows is one row."""
    not_run = [{"not_run": line} for line in results.get("not_run", [])]
    return [{"benchmark": name, **row} for row in (*results.get("rows", [results]), *not_run)]
