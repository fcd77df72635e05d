"""Two ways of doing the same, timed in turns, so that what else the machine does hits both alike."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from genima_core.files import write_json


def alternate_ms(ways: dict[str, Callable[[], object]], repeats: int, warmup: int = 2) -> dict[str, float]:
    """Median milliseconds of each way; each returns only when its result is there."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(warmup + repeats):
        for name, way in ways.items():
            begin_s = time.perf_counter()
            way()
            if i >= warmup:
                times[name].append(1e3 * (time.perf_counter() - begin_s))
    return {name: float(np.median(values)) for name, values in times.items()}


def row(name: str, device: str, stock_ms: float, ours_ms: float, **more: object) -> dict:
    """One line of the results."""
    return {
        "name": name,
        "device": device,
        "stock_ms": round(stock_ms, 2),
        "ours_ms": round(ours_ms, 2),
        "ratio": round(stock_ms / ours_ms, 2),
        "rate_hz": round(1e3 / ours_ms, 1),
        **more,
    }


def report(rows: list[dict], missing: list[str], json: Path | None) -> None:
    """Prints and writes the rows, and what was not run."""
    table = Table(
        "what",
        "stock ms",
        "ours ms",
        "ours Hz",
        "ratio",
        "PSNR dB",
        title=", ".join(dict.fromkeys(r["device"] for r in rows)),
    )
    for r in rows:
        table.add_row(
            r["name"],
            f"{r['stock_ms']:.1f}",
            f"{r['ours_ms']:.1f}",
            f"{r['rate_hz']:.1f}",
            f"{r['ratio']:.2f}",
            f"{r['psnr_db']:.0f}" if "psnr_db" in r else "",
        )
    console = Console()
    console.print(table)
    for line in missing:
        console.print(f"not run: {line}", highlight=False)
    write_json(json, {"rows": rows, "not_run": missing})


def device_name(device: str) -> str:
    """What stands in the table."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads"
