"""Mends bags that were cut off: a killed recorder, a full disk, half a copy."""

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from genima_core.data.bags.reader import Bag, mcap_files, open_bag
from genima_core.data.bags.storage import METADATA
from genima_core.data.bags.writer import BagWriter
from genima_core.files import sync

KEPT = ".broken"
"""Ending of an original that could not be read completely."""
SCRATCH = ".repair"
"""Folder in the bag, in which the new one grows."""


@dataclass(frozen=True)
class Repair:
    """What was done to a bag."""

    changed: bool
    messages: int
    damage: str
    """What could not be read; "" for nothing."""


def repair(folder: Path) -> Repair:
    """Makes a finished bag of what can be read; a bag that is whole stays as it is, byte for byte.

    The new file is written beside the old one and takes its place when it is on the disk. An original with bytes that
    could not be read is kept beside it, with the ending .broken.

    Raises:
        FileNotFoundError, ValueError: no bag there; it is being recorded; nothing in it can be read; its storage is
            sqlite3.
        OSError: it cannot be written.
    """
    bag = _open(Path(folder))
    if bag.storage != "mcap" or len(bag.files) != 1:
        raise ValueError(
            f"{bag.folder} holds {len(bag.files)} files of {bag.storage}; repaired are bags of one MCAP "
            "file, as genima record writes them: use ros2 bag reindex"
        )
    if bag.being_recorded:
        raise ValueError(f"{bag.folder} is being recorded; repair it when that has ended")
    found = Counter(message.topic for message in bag.messages())
    whole = bag.finished and not bag.damage and not bag.flaw()
    if whole and {name: topic.count for name, topic in bag.topics.items() if topic.count} == found:
        return Repair(False, found.total(), "")
    if not found and (bag.damage or bag.mcap_files()[0].statistics() is None):
        raise ValueError(f"nothing can be read from {bag.folder}: {bag.damage or 'it ends before the first message'}")
    scratch = bag.folder / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        writer = _copy(bag, scratch / bag.folder.name)
        _swap(bag, writer)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Repair(True, sum(writer.counts.values()), bag.damage)


def _copy(bag: Bag, folder: Path) -> BagWriter:
    """A finished bag, down to the disk, of what can be read."""
    writer = BagWriter(folder)
    (file,) = bag.mcap_files()
    for channel, schema, message in file.messages():
        if channel.topic not in writer.counts:
            if channel.message_encoding != "cdr":
                raise ValueError(
                    f"{channel.topic} of {bag.folder} is encoded as {channel.message_encoding!r}; "
                    "messages of ROS 2 are 'cdr'"
                )
            writer.declare(channel.topic, schema, channel.metadata)
        writer.write(channel.topic, schema.name, message.data, message.log_time, message.publish_time)
    for note in file.notes():
        writer.note(note.name, note.metadata)
    writer.close()
    return writer


def _swap(bag: Bag, writer: BagWriter) -> None:
    """Replaces the old file by the new one; whenever it is killed, one of them is left under a name that is found."""
    (old,) = bag.files
    if bag.damage:
        _keep(old)
    os.replace(writer.path, bag.folder / writer.path.name)
    os.replace(writer.folder / METADATA, bag.folder / METADATA)
    if old.name != writer.path.name:
        old.unlink()
    sync(bag.folder)


def _keep(file: Path) -> None:
    """Gives the file a second name with the ending .broken, which no earlier one has."""
    names = (file.with_name(f"{file.name}{f'.{n}' if n > 1 else ''}{KEPT}") for n in count(1))
    kept = next(name for name in names if not name.exists())
    try:
        os.link(file, kept)
    except OSError:  # a file system without links
        shutil.copyfile(file, kept)


def _open(folder: Path) -> Bag:
    """The bag; one whose metadata.yaml is damaged or names another file counts as interrupted."""
    try:
        return open_bag(folder)
    except (ValueError, FileNotFoundError):
        if not (files := mcap_files(folder)):
            raise
        return Bag(folder, files)
