"""What a training run shows and writes besides its weights."""

import json
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress
from torch import nn

from genima_core.training.run import Run


def progress_bar(show_progress: bool) -> Progress:
    return Progress(console=Console(quiet=not show_progress), disable=not show_progress)


def line(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())


def write_picture(path: Path, rows: list[tuple[np.ndarray, ...]]) -> None:
    """Rows of tiled pictures (2H, 2W, 3), two rows beside each other, enlarged to be looked at."""
    strips = [np.hstack(row) for row in rows]
    if len(strips) % 2:
        strips.append(np.zeros_like(strips[0]))
    sheet = np.vstack([np.hstack(strips[i : i + 2]) for i in range(0, len(strips), 2)])
    factor = max(1, 2400 // sheet.shape[1])
    sheet = cv2.resize(sheet, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def write_scores(out: Path, run: Run, batch_size: int, score: dict[str, float], model: nn.Module) -> None:
    """scores.json: how long, how fast, how good."""
    summary = {
        "steps": run.step,
        "minutes": run.elapsed_s / 60,
        "samples_per_s": run.step * batch_size / max(run.elapsed_s, 1e-9),
        "parameters": sum(p.numel() for p in model.parameters()),
        "scores": score,
    }
    (out / "scores.json").write_text(json.dumps(summary, indent=2) + "\n")
