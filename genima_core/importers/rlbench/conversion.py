"""RLBench demonstrations become a data set."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from genima_core.cameras import CameraRig
from genima_core.data.conversion import Conversion
from genima_core.data.episode import Episode
from genima_core.data.origin import Origin
from genima_core.importers.rlbench import layout
from genima_core.importers.rlbench.demo import Demo, read_demo
from genima_core.importers.rlbench.layout import DemoFolder
from genima_core.pixels import USUAL_VIEWS

if TYPE_CHECKING:
    from genima_core.importers.rlbench.rig import ArmFit

FITTED_ROWS = 32
"""Rows of each episode that base and cameras are found from; enough of them to see a camera move."""


@dataclass(frozen=True)
class Options:
    """What decides what ends up in the data set."""

    cameras: tuple[str, ...] = layout.CAMERAS[:USUAL_VIEWS]
    """Names of the cameras, in tile order."""
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
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            given = ", ".join(self.cameras) or "none"
            raise ValueError(f"cameras are {given}; name at least one of {', '.join(layout.CAMERAS)}, each once")
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
    folders = layout.find_demos(source, options.tasks, options.episodes)
    origin = Origin("converted from RLBench", {"source": str(Path(source).resolve()), **asdict(options)})
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Conversion(source, out, origin) as conversion, Progress(*columns, disable=not show_progress) as progress:
        if gone := set(conversion.done) - {folder.name for folder in folders}:
            raise ValueError(
                f"{out} holds {', '.join(sorted(gone))}, which {source} no longer has; choose another folder"
            )
        if all(folder.name in conversion.done for folder in folders):
            print(f"{out} holds all {conversion.known} episodes of {source} already; there is nothing to do")
            return _summary(conversion)
        demos = {}
        for folder in progress.track(folders, description="reading numbers"):
            with conversion.leaving_out(folder.name):
                demos[folder] = _examine(folder, options)
        arm, rig, size, report = _frames(demos, options, conversion.left_out)
        if (before := conversion.rig) is not None:
            if different := before.differences(rig):
                raise ValueError(f"its cameras are not those of {out}: {'; '.join(different)}; choose another folder")
            rig = before
        conversion.report = report
        waiting = [folder for folder in demos if folder.name not in (*conversion.done, *conversion.left_out)]
        for folder in progress.track(waiting, description="converting"):
            with conversion.leaving_out(folder.name):
                conversion.add(folder.name, _episode(folder, options, arm, rig, size), rig, options.fps)
    return _summary(conversion)


def _examine(folder: DemoFolder, options: Options) -> tuple[Demo, tuple[int, int]]:
    """Some rows of an episode and the size of its pictures; checks all that can be checked quickly."""
    demo = read_demo(folder.path, options.cameras)
    layout.read_instruction(folder.path, options.description)
    return demo.some(FITTED_ROWS), layout.image_size(folder.path, options.cameras, len(demo))


def _frames(
    examined: Mapping[DemoFolder, tuple[Demo, tuple[int, int]]], options: Options, skipped: dict[str, str]
) -> tuple["ArmFit", CameraRig, tuple[int, int], dict[str, Any]]:
    """The arm, the rig of the data set, the size of the recorded pictures, and how well it all fits.

    Adds to `skipped` the episodes that do not fit to most others, with the reasons; ValueError if none is left.
    """
    from genima_core.importers.rlbench.rig import find_rig, fit_arm  # not at the top: `--help` answers at once

    demos = {folder: demo for folder, (demo, _) in examined.items()}

    def leave_out(reasons: Iterable[str]) -> None:
        for folder, reason in zip(tuple(demos), reasons, strict=True):
            if reason:
                skipped[folder.name] = reason
                del demos[folder]
        if not demos:
            raise ValueError(f"no episode can be converted: {'; '.join(dict.fromkeys(skipped.values()))}")

    leave_out([""] * len(demos))
    sizes = [size for _, size in examined.values()]
    ((width, height), _), *_ = Counter(sizes).most_common(1)
    apart = f"those of most episodes {width}x{height}; convert them into separate data sets"
    leave_out("" if (w, h) == (width, height) else f"its pictures are {w}x{h}, {apart}" for w, h in sizes)
    arm, reasons = fit_arm([*demos.values()])
    leave_out(reasons)
    if any(reasons):
        arm, _ = fit_arm([*demos.values()])
    rig, cameras, reasons = find_rig([*demos.values()], options.cameras, (width, height), arm)
    leave_out(reasons)
    assert rig is not None, "an episode is left"
    if options.size is not None:
        rig = rig.resize(options.size, options.size)
    commanded = sum(demo.command is not None for demo in demos.values())
    report = {"arm": arm.report, "cameras": cameras, "episodes_with_commands": commanded}
    return arm, rig, (width, height), report


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
        dq=np.gradient(q, 1 / options.fps, axis=0),  # recorded velocities are doubled in some data sets
        gripper=demo.gripper,
        action_q=action[:, :7],
        action_gripper=action[:, 7],
        instruction=layout.read_instruction(folder.path, options.description),
        task=folder.task,
        seed=-1,
        success=True,
    )


def _summary(conversion: Conversion) -> dict[str, Any]:
    arm = conversion.report["arm"]
    print(
        f"The recorded gripper is within {arm['residual_mm_median']:.1f} mm (median; {arm['residual_mm_max']:.1f} at "
        f"most) of ours, with {arm['joint4_zero_deg']:.2f}° added to joint 4"
    )
    return conversion.summary(**conversion.report)
