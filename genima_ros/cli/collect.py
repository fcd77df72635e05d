"""`genima collect`."""

from pathlib import Path
from typing import Any

import tyro

from genima_core.evaluation.config import Collection
from genima_core.files import write_json


def collect(
    collection: tyro.conf.OmitArgPrefixes[Collection],
    episodes: int,
    out: Path,
    workers: int = 1,
    json: Path | None = None,
) -> dict[str, Any]:
    """Records scripted demonstrations in simulation, as a data set.

    Continues where it left off when OUT already holds demonstrations collected with the same arguments.

    Example: genima collect push_button --episodes 50 --seed 0 --size 64 --out data/push_button

    Args:
        episodes: How many demonstrations the data set holds at the end.
        out: Folder of the data set.
        workers: Processes that simulate; the result does not depend on it.
        json: File for what was done.
    """
    from genima_core.evaluation import collect as core

    result = core.collect(collection, episodes, out, workers)
    write_json(json, result)
    print(
        f"{out}: {result['episodes']} episodes, {result['frames']} frames; {result['added']} new in "
        f"{result['seconds']:.0f} s, {len(result['failed_seeds'])} seeds failed\n"
        f"next: genima draw {out} --out pictures"
    )
    return result
