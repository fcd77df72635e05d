"""Scripted demonstrations in simulation, as a data set."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from genima_core.checkpoint import COLLECTED
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.episode import Episode
from genima_core.data.origin import Origin, resume
from genima_core.environment import DT_S, Environment, Trajectory, follow
from genima_core.environments.make import check_environment, make_environment
from genima_core.environments.rlbench.environment import PREFIX
from genima_core.evaluation.config import Collection, Workers, tasks_of
from genima_core.evaluation.workers import check_cluster, run_jobs
from genima_core.sim.perturbations import choose
from genima_core.sim.scene import default_rig

MOST_FAILURES = 20
"""A task whose expert failed on so many seeds, and on more than it solved, is broken."""
PUSHES = 1
"""Sets their random numbers apart from those of the scene."""
PUSH_RAD, PUSH_SAMPLES = 0.05, 12
"""Deviation of the largest pushes, of each joint: some 4 cm at the gripper; and how long they take."""


class Attempt(NamedTuple):
    """One scene of a task."""

    collection: Collection
    task: str
    seed: int


def collect(collection: Collection, episodes: int, out: Path, where: Workers = Workers()) -> dict[str, Any]:  # noqa: B008
    """Records demonstrations until the data set holds this many of each task; goes on with one of the same collection.

    ValueError: a task, number or folder that is not valid; RuntimeError: an expert fails more often than not.
    """
    tasks, size = tasks_of(collection.tasks, collection.suite), collection.size
    if episodes < 1 or size < 16:
        raise ValueError(f"episodes {episodes} and size {size} must be at least 1 and 16")
    choose(collection.perturb)
    for task in tasks:
        if task.startswith(PREFIX):
            raise ValueError(
                f"{task}: RLBench's demonstrations are recorded by its own generator; then genima convert rlbench"
            )
        check_environment(task)
    if where.ray is not None:
        check_cluster(where.ray)
    begun_s = time.monotonic()
    failures: dict[str, list[int]] = {task: [] for task in tasks}
    added = dict.fromkeys(tasks, 0)
    _, origin = resume(out, Origin(COLLECTED, asdict(collection)))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with DatasetWriter(out, default_rig(size, size), fps=round(1 / DT_S)) as writer, Progress(*columns) as progress:
        origin.save(out)
        known = Dataset(out)
        held = {task: known.tasks.count(task) for task in tasks}
        bar = progress.add_task("collecting", total=episodes * len(tasks), completed=sum(held.values()))
        jobs = attempts(collection, _first_seeds(collection, tasks, known), held, episodes)
        with closing(run_jobs(record_attempt, jobs, where.workers, where.ray)) as results:
            for job, episode in results:
                if held[job.task] >= episodes:  # it was under way when the last one came
                    continue
                kept = episode is not None and (episode.success or collection.keep_failures)
                if episode is None or not episode.success:
                    failures[job.task].append(job.seed)
                    skipped = "" if kept else ", skipped"
                    progress.console.print(f"{job.task}, seed {job.seed}: the expert failed{skipped}")
                if episode is not None and kept:
                    writer.add(episode)
                    added[job.task] += 1
                    held[job.task] += 1
                    progress.update(bar, advance=1, description=job.task)
                failed = len(failures[job.task])
                if failed >= MOST_FAILURES and failed > added[job.task]:
                    raise RuntimeError(
                        f"the expert of {job.task} failed on {failed} seeds and solved {added[job.task]}; something is "
                        "wrong with the task or its expert"
                    )
    _environment.cache_clear()
    dataset, seconds, total = Dataset(out), time.monotonic() - begun_s, sum(added.values())
    return {
        "tasks": {task: dataset.tasks.count(task) for task in tasks},
        "out": str(out),
        "episodes": len(dataset),
        "added": total,
        "frames": sum(dataset.lengths),
        "seeds": list(dataset.seeds),
        "failed_seeds": {task: seeds for task, seeds in failures.items() if seeds},
        "seconds": round(seconds, 2),
        "seconds_per_episode": round(seconds / total, 3) if total else None,
        "fingerprint": dataset.fingerprint(),
    }


def _first_seeds(collection: Collection, tasks: tuple[str, ...], known: Dataset) -> dict[str, int]:
    """Each task's seed after those in the data set."""
    used = {task: [s for s, t in zip(known.seeds, known.tasks, strict=True) if t == task] for task in tasks}
    return {task: max(seeds, default=collection.seed - 1) + 1 for task, seeds in used.items()}


def attempts(
    collection: Collection, first_seeds: Mapping[str, int], held: Mapping[str, int], episodes: int
) -> Iterator[Attempt]:
    """Scenes of all tasks in turn, of each for as long as it has not enough; `held` is read as they are asked for."""
    for i in count():
        wanted = [task for task in first_seeds if held[task] < episodes]
        if not wanted:
            return
        yield from (Attempt(collection, task, first_seeds[task] + i) for task in wanted)


def record_attempt(attempt: Attempt) -> Episode | None:
    """The demonstration of one scene, in this process; see `record`."""
    collection = attempt.collection
    environment = _environment(attempt.task, collection.size, collection.perturb)
    return record(environment, attempt.seed, collection)


def record(environment: Environment, seed: int, collection: Collection) -> Episode | None:
    """The expert's demonstration of one scene, whether it succeeds or not; None where it finds no way."""
    environment.reset(seed, collection.start_of(seed))
    rng = np.random.default_rng([seed, PUSHES])
    try:
        if rng.random() < collection.disturbed:
            disturb(environment, rng)
        trajectory = environment.plan()
    except ValueError:  # a waypoint is out of reach
        return None
    observations, dq = [], []
    for _ in follow(environment, trajectory):
        observations.append(environment.observe())
        dq.append(environment.dq)
    stamps_s, names = np.array([o.stamp_s for o in observations]), environment.rig.names
    return Episode(
        stamps_s=stamps_s,
        image_stamps_s=np.repeat(stamps_s[:, None], len(names), axis=1),
        images={name: np.stack([o.images[name] for o in observations]) for name in names},
        q=np.stack([o.q for o in observations]),
        dq=np.stack(dq),
        gripper=np.array([o.gripper for o in observations]),
        action_q=trajectory.q,
        action_gripper=trajectory.gripper,
        instruction=environment.instruction,
        task=environment.name,
        seed=seed,
        success=environment.success(),
    )


def disturb(environment: Environment, rng: np.random.Generator) -> None:
    """Carries out the expert's plan up to a random moment, and then pushes the arm off its way.

    ValueError: the expert finds no way.
    """
    plan = environment.plan()
    pushed_at, push_rad = rng.integers(1, len(plan) + 1), rng.uniform() * rng.normal(0.0, PUSH_RAD, 7)
    begun = Trajectory(plan.q[:pushed_at], plan.gripper[:pushed_at], plan.dt_s)
    s = np.arange(1, PUSH_SAMPLES + 1)[:, None] / PUSH_SAMPLES
    off = environment.arm.clip(begun.q[-1] + s * s * (3 - 2 * s) * push_rad)
    for part in (begun, Trajectory(off, np.full(len(off), begun.gripper[-1]), plan.dt_s)):
        for _ in follow(environment, part):
            pass


@cache
def _environment(task: str, size: int, perturb: str) -> Environment:
    return make_environment(task, default_rig(size, size), choose(perturb))
