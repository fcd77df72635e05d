"""Scripted demonstrations in simulation, as a data set."""

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from genima_core.cameras import CameraRig
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.episode import Episode
from genima_core.data.origin import Origin, resume

Start = Literal["home", "anywhere", "mixed"]


@dataclass(frozen=True)
class Collection:
    """What decides which demonstrations end up in the data set, and what they look like."""

    task: str
    seed: int
    """Of the first attempt; attempt i uses seed + i."""
    size: int
    """Width and height of each view in pixels."""
    start: Start
    """Where the arm starts; `mixed` is home for even seeds and anywhere for odd ones."""
    keep_failures: bool

    def start_of(self, seed: int) -> Literal["home", "anywhere"]:
        if self.start == "mixed":
            return "anywhere" if seed % 2 else "home"
        return self.start


def collect(collection: Collection, episodes: int, out: Path, workers: int = 1) -> dict[str, Any]:
    """Records demonstrations until the data set in `out` holds this many; goes on with one of the same collection.

    Raises:
        ValueError: a task, number or folder that is not valid.
        RuntimeError: the expert fails more often than not.
    """
    from genima_core.sim.cell import default_rig
    from genima_core.sim.experts import DT_S
    from genima_core.sim.task import make_task

    task, size = collection.task, collection.size
    if episodes < 1 or workers < 1 or size < 16:
        raise ValueError(f"episodes {episodes}, workers {workers} and size {size} must be at least 1, 1 and 16")
    make_task(task)
    begun_s, failures, added = time.monotonic(), [], 0
    _, origin = resume(out, Origin("collected", asdict(collection)))
    with DatasetWriter(out, default_rig(size, size), fps=round(1 / DT_S)) as writer, _progress() as progress:
        origin.save(out)
        bar = progress.add_task(task, total=episodes, completed=len(writer))
        seeds = Dataset(out).seeds
        attempts = demonstrations(collection, max(seeds, default=collection.seed - 1) + 1, workers)
        try:
            while len(writer) < episodes:
                attempted_seed, episode = next(attempts)
                solved = episode is not None and episode.success
                if not solved:
                    failures.append(attempted_seed)
                    progress.console.print(
                        f"seed {attempted_seed}: the expert failed{'' if collection.keep_failures else ', skipped'}"
                    )
                if episode is not None and (solved or collection.keep_failures):
                    writer.add(episode)
                    added += 1
                    progress.update(bar, completed=len(writer))
                _check_worthwhile(task, failures, added)
        finally:
            attempts.close()
    dataset = Dataset(out)
    seconds = time.monotonic() - begun_s
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
    """Seed and demonstration (see `_Recorder.record`) for `first_seed` and all that follow, in order, without end."""
    if workers == 1:
        recorder = _Recorder(collection)
        try:
            seed = first_seed
            while True:
                yield seed, recorder.record(seed)
                seed += 1
        finally:
            recorder.close()
    # Spawned, not forked: a GL context does not survive a fork.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _limit_threads) as pool:
        ahead: deque[tuple[int, Future]] = deque()
        try:
            seed = first_seed
            while True:
                while len(ahead) < workers + 1:
                    ahead.append((seed, pool.submit(_record_in_worker, collection, seed)))
                    seed += 1
                done_seed, future = ahead.popleft()
                yield done_seed, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Recorder:
    """One cell, and what it records."""

    def __init__(self, collection: Collection) -> None:
        from genima_core.sim.cell import Cell, default_rig
        from genima_core.sim.task import make_task

        self._collection = collection
        self._rig: CameraRig = default_rig(collection.size, collection.size)
        self._cell = Cell(make_task(collection.task), self._rig)

    def record(self, seed: int) -> Episode | None:
        """The expert's demonstration of one scene, whether it succeeds or not; None where it finds no way."""
        from genima_core.sim.experts import follow, plan

        cell = self._cell
        cell.reset(seed, self._collection.start_of(seed))
        try:
            trajectory = plan(cell)
        except ValueError:  # a waypoint is out of reach
            return None
        observations, dq = [], []
        for _ in follow(cell, trajectory):
            observations.append(cell.observe())
            dq.append(cell.dq)
        stamps_s = np.array([o.stamp_s for o in observations])
        return Episode(
            stamps_s=stamps_s,
            image_stamps_s=np.repeat(stamps_s[:, None], len(self._rig.names), axis=1),
            images={name: np.stack([o.images[name] for o in observations]) for name in self._rig.names},
            q=np.stack([o.q for o in observations]),
            dq=np.stack(dq),
            gripper=np.array([o.gripper for o in observations]),
            action_q=trajectory.q,
            action_gripper=trajectory.gripper,
            instruction=cell.instruction,
            task=self._collection.task,
            seed=seed,
            success=cell.success(),
        )

    def close(self) -> None:
        self._cell.close()


def _limit_threads() -> None:
    # Else each worker's software renderer takes all cores; Mesa reads this when the first context is made.
    os.environ.setdefault("LP_NUM_THREADS", "1")


@cache
def _recorder_of_this_process(collection: Collection) -> _Recorder:
    return _Recorder(collection)


def _record_in_worker(collection: Collection, seed: int) -> Episode | None:
    return _recorder_of_this_process(collection).record(seed)


def _check_worthwhile(task: str, failures: list[int], successes: int) -> None:
    if len(failures) >= 20 and len(failures) > successes:
        raise RuntimeError(
            f"the expert of {task} failed on {len(failures)} seeds and solved {successes}; something "
            "is wrong with the task or its expert"
        )


def _progress() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
