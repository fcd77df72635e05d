"""What can be shown of a path: recordings, a data set, the run of a demo; what went wrong first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from genima_core.cameras import CameraRig
from genima_core.data import layout
from genima_core.data.bags.reader import find_bags
from genima_core.files import one_line
from genima_core.view import datasets, recordings
from genima_core.view.log import EpisodeLog

T = TypeVar("T")

RECORDINGS = "recordings"
"""Folder in which the run of a demo keeps them."""
REMEDY = "give an episode of genima record, a folder of such, a data set, or a run of genima demo or eval --record"


@dataclass(frozen=True)
class Shown:
    """One episode that can be shown."""

    number: int
    name: str
    failed: bool
    suspect: bool
    rig: CameraRig
    drawn: bool
    """Whether it has drawings."""
    write: Callable[[Callable[[], EpisodeLog]], None]
    """Opens the log once it knows that there is something to show; ValueError, with the reason: it is damaged."""

    @property
    def title(self) -> str:
        flaws = (word for word, there in (("failure", self.failed), ("suspect", self.suspect)) if there)
        return ", ".join((self.name, *flaws))

    @property
    def trouble(self) -> int:
        """The higher, the earlier it is looked at."""
        return 2 * self.failed + self.suspect


def find_shown(path: Path, numbers: Sequence[int]) -> tuple[list[Shown], list[str]]:
    """Episodes by how badly they went, then by number; and why others cannot be shown.

    `numbers` are of those that are wanted; none for all. FileNotFoundError, NotADirectoryError, ValueError: there is
    nothing to show, or not a number.
    """
    left_out: list[str] = []
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {REMEDY}")
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is not a folder; {REMEDY}")
    if (path / layout.INFO).is_file():
        found = _of_dataset(path, numbers)
    else:
        found = _of_recordings(_recordings_in(path), numbers, left_out)
    if not found:
        raise ValueError(f"no episode of {path} can be shown{': ' * bool(left_out)}{'; '.join(left_out)}")
    return sorted(found, key=lambda shown: (-shown.trouble, shown.number)), left_out


def _recordings_in(path: Path) -> list[Path]:
    """Those of the folder, or of the newest run that it holds."""
    if bags := find_bags(path) or find_bags(path / RECORDINGS):
        return bags
    runs = sorted(run for run in path.iterdir() if find_bags(run / RECORDINGS))
    if not runs:
        raise ValueError(f"there is nothing to show in {path}; {REMEDY}")
    return find_bags(runs[-1] / RECORDINGS)


def _of_recordings(bags: Sequence[Path], numbers: Sequence[int], left_out: list[str]) -> list[Shown]:
    found = []
    for number, folder in _wanted(recordings.numbered(bags), numbers):
        try:
            about = recordings.about(folder)
        except (ValueError, OSError) as error:
            left_out.append(f"{folder.name}: {one_line(error)}")
            continue
        failed, suspect = about.info.label == "failure", bool(about.info.suspect)
        write = partial(recordings.write, about)
        task = about.info.task
        name = f"{folder.name}, {task}" if task and task not in folder.name else folder.name
        found.append(Shown(number, name, failed, suspect, about.rig, about.drawn, write))
    return found


def _of_dataset(root: Path, numbers: Sequence[int]) -> list[Shown]:
    from genima_core.data.dataset import Dataset

    data, found = Dataset(root), []
    for index, _ in _wanted({index: index for index in range(len(data))}, numbers):
        name, write = f"episode {index}, {data.tasks[index]}", partial(datasets.write, data, index)
        found.append(Shown(index, name, not data.successes[index], False, data.rig, False, write))
    return found


def _wanted(there: dict[int, T], numbers: Sequence[int]) -> list[tuple[int, T]]:
    """ValueError for a number that is not there."""
    if missing := [number for number in numbers if number not in there]:
        valid = f"{min(there)} to {max(there)}" if there else "none"
        raise ValueError(f"--episodes {missing[0]}: there is no such episode; valid are {valid}")
    return [(number, there[number]) for number in dict.fromkeys(numbers or there)]
