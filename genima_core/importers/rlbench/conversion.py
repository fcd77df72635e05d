"""RLBench demonstrations become a data set."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from genima_core.cameras import CameraRig
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.episode import Episode
from genima_core.data.origin import Origin, resume
from genima_core.importers.rlbench import layout
from genima_core.importers.rlbench.demo import Demo, read_demo
from genima_core.importers.rlbench.layout import DemoFolder

if TYPE_CHECKING:
    from genima_core.importers.rlbench.rig import ArmFit

FITTED_ROWS = 32
"""Rows of each episode that base and cameras are found from; enough of them to see a camera move."""


@dataclass(frozen=True)
class Options:
    """What decides what ends up in the data set."""

    cameras: tuple[str, str, str, str] = layout.CAMERAS[:4]
    """Names of four cameras, in tile order."""
    size: int | None = None
    """Width and height of each view in pixels; RLBench's by default."""
    tasks: tuple[str, ...] | None = None
    """Names of the tasks to convert; all by default."""
    episodes: int | None = None
    """Convert at most this many episodes of each variation; all by default."""
    fps: int = 20
    """Rows per second; RLBench's simulation steps by 0.05 s."""
    description: int = 0
    """Which of the sentences that describe a variation becomes the instruction, counted from 0."""

    def __post_init__(self) -> None:
        if unknown := [camera for camera in self.cameras if camera not in layout.CAMERAS]:
            raise ValueError(f"unknown camera {', '.join(unknown)}; RLBench has {', '.join(layout.CAMERAS)}")
        if len(self.cameras) != 4 or len(set(self.cameras)) != 4:
            raise ValueError(f"cameras {', '.join(self.cameras)}: 4 different ones are needed")
        if self.tasks is not None and not self.tasks:
            raise ValueError("tasks is empty; leave it out to convert all")
        for name, least in (("size", 16), ("episodes", 1), ("fps", 1), ("description", 0)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")


def convert_rlbench(source: Path, out: Path, options: Options, show_progress: bool = True) -> dict[str, Any]:
    """Writes RLBench's demonstrations as a data set, or continues where that was interrupted; returns a summary.

    All numbers are read and checked before anything is written; an episode that is damaged is left out, with its
    reason. Actions are as `Demo.action` says; the last row repeats its predecessor's. All joint positions are in the
    vendor's convention afterwards, from which RLBench's differs (see `fit_arm`). RLBench keeps only successes, and
    nothing from which a scene could be drawn again here, so no episode has a seed.

    Args:
        source: Folder of the data set, of a task or of a variation.
        out: Folder of the new data set.
        options: What to convert, and how.
        show_progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: `source` is not RLBench's, or holds no episodes.
        ValueError: no episode can be converted, the arm is another one, or `out` holds something else.
    """
    begun_s = time.monotonic()
    folders = layout.find_demos(source, options.tasks, options.episodes)
    origin = Origin("converted from RLBench", {"source": str(Path(source).resolve()), **asdict(options)})
    known, before = resume(out, origin)
    done, report = list(before.episodes[:known]), dict(before.report)
    if gone := set(done) - {folder.name for folder in folders}:
        raise ValueError(f"{out} holds {', '.join(sorted(gone))}, which {source} no longer has; choose another folder")
    skipped = dict[str, str]()
    if all(folder.name in done for folder in folders):
        print(f"{out} holds all {known} episodes of {source} already; there is nothing to do")
        return _summary(source, out, report, 0, skipped, time.monotonic() - begun_s)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not show_progress) as progress:
        demos = {}
        for folder in progress.track(folders, description="reading numbers"):
            try:
                demos[folder] = _examine(folder, options)
            except (ValueError, OSError) as error:
                skipped[folder.name] = str(error)
        if not demos:
            raise ValueError(f"nothing of {source} can be converted: {'; '.join(skipped.values())}")
        arm, rig, size, report = _frames(demos, options)
        if known:
            found, rig = rig, Dataset(out).rig
            if different := rig.differences(found):
                raise ValueError(f"its cameras are not those of {out}: {'; '.join(different)}; choose another folder")
        with DatasetWriter(out, rig, fps=options.fps) as writer:
            if len(writer) != known:
                raise RuntimeError(f"another process has added to {out} meanwhile; run this again")
            waiting = [folder for folder in demos if folder.name not in done]
            for folder in progress.track(waiting, description="converting"):
                # Before the episode, so that a kill in between leaves a name too many and none too few.
                replace(origin, episodes=(*done, folder.name), report=report).save(out)
                try:
                    writer.add(_episode(folder, options, arm, rig, size))
                except (ValueError, OSError) as error:
                    skipped[folder.name] = str(error)
                    continue
                done.append(folder.name)
            replace(origin, episodes=tuple(done), report=report).save(out)
    return _summary(source, out, report, len(done) - known, skipped, time.monotonic() - begun_s)


def _examine(folder: DemoFolder, options: Options) -> tuple[Demo, tuple[int, int]]:
    """Some rows of an episode and the size of its pictures; checks all that can be checked quickly."""
    demo = read_demo(folder.path, options.cameras)
    layout.read_instruction(folder.path, options.description)
    return demo.some(FITTED_ROWS), layout.image_size(folder.path, options.cameras, len(demo))


def _frames(
    examined: Mapping[DemoFolder, tuple[Demo, tuple[int, int]]], options: Options
) -> tuple["ArmFit", CameraRig, tuple[int, int], dict[str, Any]]:
    """The arm, the rig of the data set, the size of the recorded pictures, and how well it all fits."""
    from genima_core.importers.rlbench.rig import find_rig, fit_arm  # not at the top: `--help` answers at once

    demos = [demo for demo, _ in examined.values()]
    (first, (_, size)), *others = examined.items()
    for folder, (_, other) in others:
        if other != size:
            there = f"those of {first.path} {size[0]}x{size[1]}; convert them into separate data sets"
            raise ValueError(f"the pictures of {folder.path} are {other[0]}x{other[1]}, {there}")
    arm = fit_arm(demos)
    rig, cameras = find_rig(demos, options.cameras, size, arm)
    if options.size is not None:
        rig = rig.resize(options.size, options.size)
    commanded = sum(demo.command is not None for demo in demos)
    return arm, rig, size, {"arm": arm.report, "cameras": cameras, "episodes_with_commands": commanded}


def _episode(folder: DemoFolder, options: Options, arm: "ArmFit", rig: CameraRig, size: tuple[int, int]) -> Episode:
    from genima_core.data.cache import resized  # not at the top: `genima convert --help` answers at once

    demo = read_demo(folder.path, options.cameras)
    T, q = len(demo), demo.q + arm.q_zero
    action = np.vstack([demo.action, demo.action[-1:]]) + np.append(arm.q_zero, 0.0)
    stamps_s = np.arange(T) / options.fps
    return Episode(
        stamps_s=stamps_s,
        image_stamps_s=np.repeat(stamps_s[:, None], len(options.cameras), axis=1),
        images={name: resized(layout.read_images(folder.path, name, T, size), rig.size) for name in options.cameras},
        q=q,
        dq=np.gradient(q, 1 / options.fps, axis=0) if demo.dq is None else demo.dq,
        gripper=demo.gripper,
        action_q=action[:, :7],
        action_gripper=action[:, 7],
        instruction=layout.read_instruction(folder.path, options.description),
        task=folder.task,
        seed=-1,
        success=True,
    )


def _summary(
    source: Path, out: Path, report: dict[str, Any], added: int, skipped: dict[str, str], seconds: float
) -> dict[str, Any]:
    dataset = Dataset(out)
    arm, tasks = report["arm"], Counter(dataset.tasks)
    for name, reason in skipped.items():
        print(f"left out {name}: {reason}")
    print(
        f"{out}: {len(dataset)} episodes of {len(tasks)} tasks, {sum(dataset.lengths)} frames; {added} new in "
        f"{seconds:.0f} s. The recorded joints are within {arm['residual_mm_median']:.1f} mm (median; "
        f"{arm['residual_mm_max']:.1f} at most) of ours, with {arm['joint4_zero_deg']:.2f}° added to joint 4"
    )
    return {
        "source": str(source),
        "out": str(out),
        "episodes": len(dataset),
        "added": added,
        "skipped": skipped,
        "frames": sum(dataset.lengths),
        "tasks": dict(tasks),
        **report,
        "seconds": round(seconds, 2),
        "fingerprint": dataset.fingerprint(),
    }
