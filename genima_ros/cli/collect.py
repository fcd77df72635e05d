"""`genima collect`."""

from pathlib import Path
from typing import Any, Literal

import tyro

from genima_core.files import write_json


def collect(
    task: tyro.conf.Positional[str],
    episodes: int,
    seed: int,
    out: Path,
    size: int = 256,
    start: Literal["home", "anywhere", "mixed"] = "mixed",
    workers: int = 1,
    keep_failures: bool = False,
    json: Path | None = None,
) -> dict[str, Any]:
    """Records scripted demonstrations in simulation, as a data set.

    Continues where it left off when OUT already holds demonstrations collected with the same arguments.

    Example: genima collect push_button --episodes 50 --seed 0 --size 64 --out data/push_button

    Args:
        task: Name of the task, such as push_button.
        episodes: How many demonstrations the data set holds at the end.
        seed: Of the first demonstration; the next ones count up. Training uses 0 to 9999.
        out: Folder of the data set.
        size: Width and height of each view in pixels.
        start: Where the arm starts; mixed alternates between home and anywhere.
        workers: Processes that simulate; the result does not depend on it.
        keep_failures: Also record demonstrations that failed, marked as such.
        json: File for what was done.
    """
    from genima_core.evaluation import collect as core

    result = core.collect(core.Collection(task, seed, size, start, keep_failures), episodes, out, workers)
    write_json(json, result)
    print(
        f"{out}: {result['episodes']} episodes, {result['frames']} frames; {result['added']} new in "
        f"{result['seconds']:.0f} s, {len(result['failed_seeds'])} seeds failed\n"
        f"next: genima draw {out} --out pictures"
    )
    return result
