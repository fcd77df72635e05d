"""Memory and time of `genima convert agent` on networks of SD-Turbo's size, with random weights.

    python benchmarks/agent_conversion.py --json agent_conversion.json

The folders have the layout of the downloads: the base as its fp16 variant, and a ControlNet in full precision.
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from genima_core.files import write_json


def main(shrink: int = 1, json: Path | None = None) -> None:
    """Prints the peak of the conversion's process.

    Args:
        shrink: divides all channels, to try the benchmark itself
        json: where to write the results for machines
    """
    with tempfile.TemporaryDirectory() as scratch:
        base, trained = Path(scratch) / "sd-turbo", Path(scratch) / "trained" / "controlnet"
        # In a process of its own: the peak of a process that is started counts from the size of the one that starts it.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            parameters = pool.submit(save, base, trained, shrink).result()
        command = [sys.executable, "-m", "genima_ros.cli.main", "convert", "agent", str(trained.parent)]
        command += [str(Path(scratch) / "agent"), "--base", str(base)]
        begin_s = time.perf_counter()
        _, status, used = os.wait4(subprocess.Popen(command).pid, 0)
        if status:
            raise RuntimeError("the conversion failed")
        row = {
            "name": f"genima convert agent, {parameters / 1e6:.0f} M parameters",
            "device": f"{len(os.sched_getaffinity(0))} CPU cores",
            "seconds": round(time.perf_counter() - begin_s, 1),
            "memory_peak_mb": round(used.ru_maxrss / 1024),
        }
    write_json(json, {"rows": [row]})
    table = Table("", "seconds", "peak of memory")
    table.add_row(row["name"], str(row["seconds"]), f"{row['memory_peak_mb'] / 1000:.1f} GB")
    Console().print(table)


def save(base: Path, trained: Path, shrink: int) -> int:
    """Saves a base model and a ControlNet; how many parameters they have."""
    import torch
    from _sd_turbo import sd_turbo

    networks = sd_turbo("cpu", torch.float16, shrink=shrink)
    parts = networks.parts()
    for name, part in parts.items():
        if name == "controlnet":
            part.float().save_pretrained(trained)
        elif name in ("unet", "vae"):
            part.save_pretrained(base / name, variant="fp16")
    for encoder in networks.prompts.encoders:
        encoder.save(base)
    networks.scheduler.save_pretrained(base / "scheduler")
    return sum(p.numel() for part in parts.values() for p in part.parameters())


if __name__ == "__main__":
    tyro.cli(main)
