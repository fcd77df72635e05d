"""Turns recordings into a data set."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from genima_core.data.bags.episode_info import FILE as INFO_FILE
from genima_core.data.bags.episodes import Options, open_recording
from genima_core.data.bags.reader import find_bags
from genima_core.data.bags.storage import METADATA
from genima_core.data.conversion import Conversion
from genima_core.data.episode import Episode
from genima_core.data.origin import Origin

COLUMNS = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())


def convert_recordings(source: Path, out: Path, options: Options, show_progress: bool = True) -> dict:
    """Writes recorded episodes as a data set; continues an interrupted conversion, and adds what was recorded since.

    Rows lie 1 / fps apart, from the first to the last moment that all cameras, joints and fingers cover. A row has the
    image next to its time of each camera, and the joints and their velocities as they were then, interpolated. Its
    action is what was commanded for the time of the next row: interpolated between set points, the gripper's last
    command held; where nothing was commanded, what was measured then.

    An episode counts as a success unless it is labelled a failure; one without a label, unless the cell itself said at
    its end that the task was not done. Failures and suspect episodes are left out unless asked for; so is, with its
    reason, what cannot be converted.

    Args:
        source: Folder of a bag, or a folder of bags.
        out: Folder of the data set.
        options: What is converted, and how.
        show_progress: Whether to show a progress bar.

    Returns:
        What was done, for `--json`.

    Raises:
        ValueError: there are no recordings, none can be converted, or `out` holds something else.
    """
    bags, split = find_bags(source), options.splits
    origin = Origin("converted from recordings", {"source": str(Path(source).resolve()), **options.arguments()})
    added: list[Episode] = []
    with Conversion(source, out, origin) as conversion, Progress(*COLUMNS, disable=not show_progress) as progress:
        bar = progress.add_task("reading")
        waiting = _waiting(bags, conversion.done, out, split)
        rig = conversion.rig
        for number, bag in enumerate(waiting, 1):
            progress.reset(bar, total=None, description=f"{bag.name} ({number} of {len(waiting)})")
            with conversion.leaving_out(bag.name):
                recorded = open_recording(bag, options)
                rig = rig or recorded.framed_rig
                if rig.fingerprint() != recorded.framed_rig.fingerprint():
                    raise ValueError(f"its camera rig differs from that of {out}; convert it into a separate data set")
                for part, span in enumerate(recorded.spans):
                    tag = f"{_tag(bag)} {part}" if split else _tag(bag)
                    if tag in conversion.done:
                        continue
                    with conversion.leaving_out(f"{bag.name} part {part}" if split else bag.name):
                        episode = recorded.episode(span, lambda: progress.advance(bar))
                        progress.reset(bar, total=len(episode) * len(rig.names))
                        conversion.add(tag, episode, rig, options.fps)
                        added.append(episode)
    return _summary(conversion, added)


def _waiting(bags: list[Path], done: list[str], out: Path, split: bool) -> list[Path]:
    """The bags that are not in the data set yet, or perhaps in part; ValueError if one that is has changed since."""
    tags = {bag: _tag(bag) for bag in bags}
    known = {tag.rpartition(" ")[0] if split else tag for tag in done}
    names = {tag.partition(" ")[0] for tag in known}
    if changed := [bag.name for bag in bags if _spaceless(bag) in names and tags[bag] not in known]:
        raise ValueError(f"{', '.join(changed)} changed after being converted into {out}; choose another folder")
    return [bag for bag in bags if split or tags[bag] not in known]


def _tag(bag: Path) -> str:
    """Name of a recording, and twelve hex digits that change when it is recorded again or relabelled."""
    name = _spaceless(bag)
    file = next((path for path in (bag / INFO_FILE, bag / METADATA) if path.is_file()), None)
    return name if file is None else f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def _spaceless(bag: Path) -> str:
    return bag.name.replace(" ", "_")


def _summary(conversion: Conversion, added: list[Episode]) -> dict[str, Any]:
    if not added:
        return conversion.summary(skew_ms=None)
    late_ms = np.concatenate([1e3 * np.abs(e.image_stamps_s - e.stamps_s[:, None]).ravel() for e in added])
    p50, p99, most = np.percentile(late_ms, [50, 99, 100]).round(2).tolist()
    return conversion.summary(skew_ms={"p50": p50, "p99": p99, "max": most})
