"""`genima collect`."""

from pathlib import Path
from typing import Any

import tyro

from genima_core.evaluation.config import Collection, Workers
from genima_core.files import write_json


def collect(
    collection: tyro.conf.OmitArgPrefixes[Collection],
    where: tyro.conf.OmitArgPrefixes[Workers],
    episodes: int,
    out: Path,
    json: Path | None = None,
) -> dict[str, Any]:
    """Records scripted demonstrations in simulation, as a data set.

    Continues where it left off when OUT already holds demonstrations collected with the same arguments.

    Example: genima collect push_button --episodes 50 --seed 0 --size 64 --out data/push_button

    genima collect --suite demo --episodes 80 --size 64 --workers 2 --out data/demo

    Args:
        episodes: How many demonstrations of each task the data set holds at the end.
        out: Folder of the data set.
        json: File for what was done.
    """
    from genima_core.evaluation import collect as core

    result = core.collect(collection, episodes, out, where)
    write_json(json, result)
    failed = sum(map(len, result["failed_seeds"].values()))
    print(
        f"{out}: {result['episodes']} episodes, {result['frames']} frames; {result['added']} new in "
        f"{result['seconds']:.0f} s, {failed} seeds failed\n"
        f"next: genima draw {out} --out pictures"
    )
    return result
