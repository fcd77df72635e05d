"""Scripted demonstrations in simulation, as a data set."""

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from genima_core import gl
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.episode import Episode
from genima_core.data.origin import Origin, resume
from genima_core.environment import DT_S
from genima_core.evaluation.config import Collection
from genima_core.sim.cell import Cell
from genima_core.sim.experts import follow, plan
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task


def collect(collection: Collection, episodes: int, out: Path, workers: int = 1) -> dict[str, Any]:
    """Records demonstrations until the data set in `out` holds this many; goes on with one of the same collection.

    ValueError: a task, number or folder that is not valid; RuntimeError: the expert fails more often than not.
    """
    task, size = collection.task, collection.size
    if episodes < 1 or workers < 1 or size < 16:
        raise ValueError(f"episodes {episodes}, workers {workers} and size {size} must be at least 1, 1 and 16")
    make_task(task)
    begun_s, failures, added = time.monotonic(), [], 0
    _, origin = resume(out, Origin("collected", asdict(collection)))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with DatasetWriter(out, default_rig(size, size), fps=round(1 / DT_S)) as writer, Progress(*columns) as progress:
        origin.save(out)
        bar = progress.add_task(task, total=episodes, completed=len(writer))
        first_seed = max(Dataset(out).seeds, default=collection.seed - 1) + 1
        with closing(demonstrations(collection, first_seed, workers)) as attempts:
            while len(writer) < episodes:
                seed, episode = next(attempts)
                solved = episode is not None and episode.success
                if not solved:
                    failures.append(seed)
                    skipped = "" if collection.keep_failures else ", skipped"
                    progress.console.print(f"seed {seed}: the expert failed{skipped}")
                if episode is not None and (solved or collection.keep_failures):
                    writer.add(episode)
                    added += 1
                    progress.update(bar, completed=len(writer))
                if len(failures) >= 20 and len(failures) > added:
                    raise RuntimeError(
                        f"the expert of {task} failed on {len(failures)} seeds and solved {added}; something is wrong "
                        "with the task or its expert"
                    )
    dataset, seconds = Dataset(out), time.monotonic() - begun_s
    return {
        "task": task,
        "out": str(out),
        "episodes": len(dataset),
        "added": added,
        "frames": sum(dataset.lengths),
        "seeds": list(dataset.seeds),
        "failed_seeds": failures,
        "seconds": round(seconds, 2),
        "seconds_per_episode": round(seconds / added, 3) if added else None,
        "fingerprint": dataset.fingerprint(),
    }


def demonstrations(
    collection: Collection, first_seed: int, workers: int = 1
) -> Generator[tuple[int, Episode | None], None, None]:
    """Seed and demonstration (see `record`) for `first_seed` and all that follow, in order, without end."""
    seeds = count(first_seed)
    if workers == 1:
        with closing(_make_cell(collection)) as cell:
            for seed in seeds:
                yield seed, record(cell, collection, seed)
    ahead: deque[tuple[int, Future[Episode | None]]] = deque()
    with gl.rendering_processes(workers) as pool:
        try:
            for seed in seeds:
                ahead.append((seed, pool.submit(_record_in_worker, collection, seed)))
                if len(ahead) > workers:
                    done_seed, future = ahead.popleft()
                    yield done_seed, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def record(cell: Cell, collection: Collection, seed: int) -> Episode | None:
    """The expert's demonstration of one scene, whether it succeeds or not; None where it finds no way."""
    cell.reset(seed, collection.start_of(seed))
    try:
        trajectory = plan(cell)
    except ValueError:  # a waypoint is out of reach
        return None
    observations, dq = [], []
    for _ in follow(cell, trajectory):
        observations.append(cell.observe())
        dq.append(cell.dq)
    stamps_s, names = np.array([o.stamp_s for o in observations]), cell.rig.names
    return Episode(
        stamps_s=stamps_s,
        image_stamps_s=np.repeat(stamps_s[:, None], len(names), axis=1),
        images={name: np.stack([o.images[name] for o in observations]) for name in names},
        q=np.stack([o.q for o in observations]),
        dq=np.stack(dq),
        gripper=np.array([o.gripper for o in observations]),
        action_q=trajectory.q,
        action_gripper=trajectory.gripper,
        instruction=cell.instruction,
        task=collection.task,
        seed=seed,
        success=cell.success(),
    )


def _make_cell(collection: Collection) -> Cell:
    return Cell(make_task(collection.task), default_rig(collection.size, collection.size))


_cell_of_this_process = cache(_make_cell)


def _record_in_worker(collection: Collection, seed: int) -> Episode | None:
    return record(_cell_of_this_process(collection), collection, seed)
