"""Turns recordings into a data set."""

import hashlib
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from genima_core.data.bags.episode_info import FILE as ABOUT
from genima_core.data.bags.episodes import Options, read_episode
from genima_core.data.bags.reader import find_bags
from genima_core.data.bags.storage import METADATA
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.episode import Episode
from genima_core.data.origin import Origin, resume

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
    begun_s, bags = time.monotonic(), find_bags(source)
    origin = Origin("converted from recordings", {"source": str(Path(source).resolve()), **options.arguments()})
    known, before = resume(out, origin)
    done, added, left_out = list(before.episodes[:known]), [], {}
    waiting = _waiting(bags, done, out)
    rig, writer = Dataset(out).rig if known else None, None
    with ExitStack() as stack, Progress(*COLUMNS, disable=not show_progress) as progress:
        bar = progress.add_task("reading")
        for number, bag in enumerate(waiting, 1):
            progress.reset(bar, total=None, description=f"{bag.name} ({number} of {len(waiting)})")
            try:
                episode, views = read_episode(bag, options, lambda: progress.advance(bar))
                rig = rig or views
                if rig.fingerprint() != views.fingerprint():
                    raise ValueError(f"its camera rig differs from that of {out}; convert it into a separate data set")
            except (ValueError, FileNotFoundError) as error:
                left_out[bag.name] = str(error)
                continue
            if writer is None:
                writer = stack.enter_context(DatasetWriter(out, rig, fps=options.fps))
                if len(writer) != len(done):
                    raise RuntimeError(f"another process has added to {out} meanwhile; run this again")
            # Before the episode, so that a kill in between leaves a name too many and none too few.
            replace(origin, episodes=(*done, _tag(bag))).save(out)
            progress.update(bar, total=len(episode) * len(rig.names))
            try:
                writer.add(episode)
            except ValueError as error:
                left_out[bag.name] = str(error)
                continue
            done.append(_tag(bag))
            added.append(episode)
    if not done:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"nothing of {source} could be converted: {reasons or 'it holds no recordings'}")
    return _summary(source, out, added, left_out, options.fps, time.monotonic() - begun_s)


def _waiting(bags: list[Path], done: list[str], out: Path) -> list[Path]:
    """The bags that are not in the data set yet; ValueError if one that is in it has changed since."""
    tags = {bag: _tag(bag) for bag in bags}
    names = {tag.partition(" ")[0] for tag in done}
    if changed := [bag.name for bag in bags if bag.name in names and tags[bag] not in done]:
        raise ValueError(f"{', '.join(changed)} changed after being converted into {out}; choose another folder")
    return [bag for bag in bags if tags[bag] not in done]


def _tag(bag: Path) -> str:
    """Name of a recording, and twelve hex digits that change when it is recorded again or relabelled."""
    name = bag.name.replace(" ", "_")
    file = next((path for path in (bag / ABOUT, bag / METADATA) if path.is_file()), None)
    return name if file is None else f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def _summary(source: Path, out: Path, added: list[Episode], left_out: dict[str, str], fps: int, seconds: float) -> dict:
    dataset = Dataset(out)
    frames = sum(map(len, added))
    skew_ms = None
    if added:
        late_ms = np.concatenate([1e3 * np.abs(e.image_stamps_s - e.stamps_s[:, None]).ravel() for e in added])
        p50, p99, most = np.percentile(late_ms, [50, 99, 100]).round(2).tolist()
        skew_ms = {"p50": p50, "p99": p99, "max": most}
    for name, reason in left_out.items():
        print(f"left out {name}: {reason}")
    ratio = round(frames / fps / seconds, 2) if added else None
    speed = f" ({ratio:g} x real time)" if added else ""
    new = f"{len(added)} new in {seconds:.0f} s{speed}, {len(left_out)} left out"
    print(f"{out}: {len(dataset)} episodes, {sum(dataset.lengths)} frames; {new}")
    return {
        "source": str(source),
        "out": str(out),
        "episodes": len(dataset),
        "added": len(added),
        "skipped": left_out,
        "frames": sum(dataset.lengths),
        "seconds": round(seconds, 2),
        "real_time_ratio": ratio,
        "skew_ms": skew_ms,
        "fingerprint": dataset.fingerprint(),
    }
