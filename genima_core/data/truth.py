"""True drawings of a data set's windows: what an agent that draws without a fault would have drawn."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from genima_core.cameras import CameraRig
from genima_core.data.cache import resized, window_target
from genima_core.data.dataset import Dataset
from genima_core.targets.draw import TargetViews, over_observation
from genima_core.targets.look import Look
from genima_core.targets.renderer import TargetRenderer


@dataclass(frozen=True)
class TrueDrawing:
    q: np.ndarray
    """(7,) rad at capture."""
    observation: np.ndarray
    """(V, H, W, 3) uint8 RGB."""
    views: TargetViews
    """What is to be drawn over it."""

    @property
    def drawing(self) -> np.ndarray:
        """(V, H, W, 3) uint8 RGB."""
        return over_observation(self.views, self.observation)


def random_windows(data: Dataset, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Episodes and rows, sorted; ValueError: there are no episodes."""
    if len(data) == 0:
        raise ValueError(f"{data.root} holds no episodes yet; record or collect some")
    return sorted((int(e), int(rng.integers(data.lengths[e]))) for e in rng.integers(len(data), size=count))


def true_drawings(
    data: Dataset, rig: CameraRig, look: Look, horizon: int, windows: Iterable[tuple[int, int]]
) -> Iterator[TrueDrawing]:
    """Of windows (episode, row), in views of `rig`, which is the data set's, resized; `horizon` rows ahead."""
    read_episode = lru_cache(1)(data.episode)
    with closing(TargetRenderer(rig, look=look)) as targets:
        for index, t in windows:
            episode = read_episode(index)
            images = np.concatenate([resized(episode.frames(name)[t : t + 1], rig.size) for name in rig.names])
            views = targets.render(episode.q[t], *window_target(episode, t, horizon))
            yield TrueDrawing(episode.q[t], images, views)
