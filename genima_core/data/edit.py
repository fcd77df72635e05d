"""New data sets out of others: merged, split, some episodes dropped. What is read is never written to."""

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from genima_core.data.dataset import Dataset, DatasetWriter

LIMITS_RAD = 0.05
"""Measured joints may lie this far beyond the arm's limits; others are no angles in rad, or of another arm."""
RATE = 0.2
"""By which share the median time between rows may differ from the rate that the data set names."""


def copy(chosen: Sequence[tuple[Dataset, int]], out: Path, show_progress: bool = True) -> None:
    """Writes episodes, by data set and index, as a new data set; videos are copied where they need not be encoded anew.

    FileExistsError: there is something at `out`; ValueError: no episodes, or of other cameras, sizes or rates;
    FileNotFoundError, ValueError: a file is damaged. Nothing is left then.
    """
    check_absent(out)
    if not chosen:
        raise ValueError(f"no episodes are left for {out}")
    first, *others = dict.fromkeys(dataset for dataset, _ in chosen)
    for other in others:
        if other.fps != first.fps:
            rates = f"{first.root} has {first.fps} rows per second, {other.root} {other.fps}"
            raise ValueError(f"{rates}; convert or collect one of them again")
        if other.rig.fingerprint() != first.rig.fingerprint():
            different = "; ".join(first.rig.differences(other.rig)) or "targets of other sizes, or slightly moved"
            raise ValueError(f"{first.root} and {other.root} have different camera rigs ({different}): keep them apart")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        with DatasetWriter(temporary, first.rig, first.fps) as writer:
            for dataset, index in track(chosen, f"writing {out.name}", disable=not show_progress):
                writer.add(dataset.recorded(index))
        temporary.chmod(0o755)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_absent(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(f"{out} exists; name a new folder")


def shares(dataset: Dataset, parts: Mapping[str, float]) -> dict[str, list[int]]:
    """Which episodes go to which part, of each task alike; ValueError: shares that are not positive or not 1 in all."""
    if min(parts.values(), default=0.0) <= 0 or abs(sum(parts.values()) - 1) > 1e-6:
        raise ValueError(f"the shares are {dict(parts)}; each must be positive, all together 1")
    of_task: dict[str, list[int]] = defaultdict(list)
    for index, task in enumerate(dataset.tasks):
        of_task[task].append(index)
    result: dict[str, list[int]] = {name: [] for name in parts}
    for episodes in of_task.values():
        borders = np.rint(np.cumsum([0.0, *parts.values()]) * len(episodes)).astype(int)
        for name, begin, end in zip(parts, borders[:-1], borders[1:], strict=True):
            result[name] += episodes[begin:end]
    if empty := [name for name, episodes in result.items() if not episodes]:
        raise ValueError(f"{len(dataset)} episodes are too few for {', '.join(empty)}")
    return {name: sorted(episodes) for name, episodes in result.items()}


def problems(dataset: Dataset, show_progress: bool = True) -> Iterator[str]:
    """What is wrong with a data set, a sentence each; everything is read and decoded."""
    limits = dataset.rig.arm.limits
    for index in track(range(len(dataset)), "reading", disable=not show_progress):
        try:
            episode = dataset.recorded(index)
            for frames in episode.images.values():
                for _ in frames:
                    pass
        except (ValueError, FileNotFoundError) as error:
            yield f"episode {index}: {error}"
            continue
        beyond = np.maximum(limits.lower - episode.q, episode.q - limits.upper).max(axis=0)
        if (joint := int(beyond.argmax())) >= 0 and beyond[joint] > LIMITS_RAD:
            far = f"joint {joint + 1} is {beyond[joint]:.2f} rad beyond the limits of {dataset.rig.arm.name}"
            yield f"episode {index}: {far}"
        step_s = float(np.median(np.diff(episode.stamps_s))) if len(episode) > 1 else 1 / dataset.fps
        if abs(step_s * dataset.fps - 1) > RATE:
            yield f"episode {index}: rows are {step_s:.3f} s apart (median), not {1 / dataset.fps:.3f} s"


def describe(dataset: Dataset) -> dict[str, Any]:
    """What it holds, for a table or as JSON."""
    tasks: dict[str, Any] = {}
    for name, number in Counter(dataset.tasks).items():
        own = [index for index, task in enumerate(dataset.tasks) if task == name]
        tasks[name] = {
            "episodes": number,
            "successes": sum(dataset.successes[index] for index in own),
            "frames": sum(dataset.lengths[index] for index in own),
            "instructions": len({dataset.instructions[index] for index in own}),
        }
    return {
        "root": str(dataset.root),
        "arm": dataset.rig.arm.name,
        "fps": dataset.fps,
        "cameras": list(dataset.rig.names),
        "size": list(dataset.rig.size),
        "episodes": len(dataset),
        "frames": sum(dataset.lengths),
        "bytes": sum(path.stat().st_size for path in dataset.root.rglob("*") if path.is_file()),
        "fingerprint": dataset.fingerprint(),
        "tasks": tasks,
    }
