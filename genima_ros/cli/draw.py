"""`genima draw`."""

from pathlib import Path
from typing import Any

import tyro

from genima_core.files import write_json


def draw(
    dataset: tyro.conf.Positional[Path],
    out: Path,
    count: int = 8,
    seed: int = 0,
    horizon: int = 20,
    size: int | None = None,
    textures: Path | None = None,
    look: str = "ours",
    json: Path | None = None,
) -> dict[str, Any]:
    """Writes what the models train on, as pictures.

    Each shows the observation, the same with targets, and the controller's input.

    Example: genima draw data/push_button --out pictures

    Args:
        dataset: Folder of the data set.
        out: Folder of the pictures; window_<i>.png, and episode_<n>.gif of one whole episode.
        count: How many windows, drawn at random.
        seed: Of the windows and of the backgrounds.
        horizon: How many rows ahead the targets lie.
        size: Width and height of a view in pixels; as recorded by default.
        textures: Folder of images for the controller's backgrounds; generated ones by default.
        look: What the targets look like: ours, or released as in the published models.
        json: File for what was drawn.
    """
    from genima_core.data.preview import draw_windows

    result = draw_windows(dataset, out, count, seed, horizon, size, textures, look)
    write_json(json, result)
    print(f"{out}: {count} pictures (observation | with targets | controller's input) and {Path(result['film']).name}")
    return result
