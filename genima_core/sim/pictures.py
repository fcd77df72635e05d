"""Pictures for documents: each task with its expert at work, and each perturbation."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from genima_core.environment import follow
from genima_core.sim.cell import Cell
from genima_core.sim.perturbations import ALL, PERTURBATIONS
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task, task_names

SIZE_PX, SUPERSAMPLE = 256, 2
TASK_SEED, TASK_VIEWS, AT_WORK = 20002, ("front", "right_shoulder"), 0.75
"""Side by side; the share of the expert's time after which the picture is taken."""
PERTURBED_TASK, PERTURBED_SEED, PERTURBED_VIEW = "take_lid_off_saucepan", 20006, "front"
COLOURS = 160
"""Of a picture's palette, so that it stays small."""


def save_pictures(folder: Path) -> Iterator[Path]:
    """Writes ``tasks/NAME.png`` and ``perturbations/NAME.png`` into a folder; yields each file when it is there."""
    for name in task_names():
        yield _save(folder / "tasks" / f"{name}.png", at_work(name))
    for name in ("none", *PERTURBATIONS, ALL):
        yield _save(folder / "perturbations" / f"{name}.png", perturbed(name))


def at_work(task: str) -> np.ndarray:
    """(SIZE_PX, 2 SIZE_PX, 3) RGB of an expert shortly before it is done."""
    with closing(_cell(task)) as cell:
        cell.reset(TASK_SEED)
        trajectory = cell.plan()
        for k in follow(cell, trajectory):
            if k >= AT_WORK * len(trajectory):
                break
        return np.hstack([_render(cell, view) for view in TASK_VIEWS])


def perturbed(name: str) -> np.ndarray:
    """(SIZE_PX, SIZE_PX, 3) RGB of a scene as a perturbation makes it; ``none`` leaves it."""
    with closing(_cell(PERTURBED_TASK, "" if name == "none" else name)) as cell:
        cell.reset(PERTURBED_SEED)
        return _render(cell, PERTURBED_VIEW)


def _cell(task: str, perturbations: str = "") -> Cell:
    return Cell(make_task(task), default_rig(SUPERSAMPLE * SIZE_PX, SUPERSAMPLE * SIZE_PX), perturbations=perturbations)


def _render(cell: Cell, view: str) -> np.ndarray:
    return cv2.resize(cell.render(view), (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)


def _save(path: Path, rgb: np.ndarray) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path
