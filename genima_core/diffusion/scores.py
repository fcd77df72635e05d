"""How well held-out windows are drawn."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genima_core.data.cache import WindowCache
from genima_core.diffusion.agent import DiffusionAgent
from genima_core.targets.detect import score_drawing
from genima_core.targets.draw import over_observation
from genima_core.tiling import tile
from genima_core.training.report import write_pictures


@dataclass(frozen=True)
class DrawingScores:
    """Of some windows together."""

    found: float
    """Share of the visible spheres that are drawn near their true centre."""
    error_px_median: float
    error_px_p90: float


def score_agent(
    agent: DiffusionAgent, cache: WindowCache, picture: Path | None = None, count: int = 16, steps: int | None = None
) -> DrawingScores:
    """Draws held-out windows; `picture` gets observation, drawing and truth of the first eight."""
    windows = np.linspace(cache.windows("val").start, cache.windows("val").stop - 1, count).astype(int)
    rows, visible, errors = [], 0, []
    for w in windows:
        images = np.array(cache.images[w])
        drawing = agent.draw(images, cache.instructions[cache.episode_index[w]], seed=int(w), steps=steps)
        views = cache.views(w)
        score = score_drawing(drawing, views, images, bool(cache.gripper_target[w] > 0.1))
        visible += int(score.visible.sum())
        errors.append(score.error_px[score.found])
        rows.append((tile(images), tile(drawing), tile(over_observation(views, images))))
    if picture is not None:
        write_pictures(picture, rows[:: max(1, len(rows) // 8)][:8])
    error = np.concatenate(errors)
    median, p90 = (float(np.quantile(error, q)) if len(error) else float(agent.size[0]) for q in (0.5, 0.9))
    return DrawingScores(len(error) / max(visible, 1), median, p90)
