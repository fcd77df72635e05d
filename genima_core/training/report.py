"""What a training run shows: scores as one line, curves and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np


def line(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())


def write_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Smoothed curves as PNG."""
    if not history:
        return
    from matplotlib.figure import Figure  # takes a while, and only training needs it

    figure = Figure(figsize=(8, 5))
    axes = figure.add_subplot()
    width = max(1, len(history) // 200)
    chunks = [history[i : i + width] for i in range(0, len(history), width)]
    for name in history[0]:
        if name not in ("step", "learning_rate"):
            axes.plot([c[-1]["step"] for c in chunks], [sum(h[name] for h in c) / len(c) for c in chunks], label=name)
    axes.set(xlabel="step", yscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def write_pictures(path: Path, rows: Sequence[tuple[np.ndarray, ...]]) -> None:
    """Rows of tiled pictures (2H, 2W, 3), two rows beside each other, enlarged to be looked at."""
    strips = [np.hstack(row) for row in rows]
    if len(strips) % 2:
        strips.append(np.zeros_like(strips[0]))
    table = np.vstack([np.hstack(strips[i : i + 2]) for i in range(0, len(strips), 2)])
    factor = max(1, 2400 // table.shape[1])
    table = cv2.resize(table, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(path), cv2.cvtColor(table, cv2.COLOR_RGB2BGR))
