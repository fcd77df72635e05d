"""Mends bags that were cut off: a killed recorder, a full disk, half a copy."""

import os
import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from genima_core.data.bags import metadata
from genima_core.data.bags.reader import Bag, mcap_files, open_bag
from genima_core.data.bags.writer import BagWriter, Description
from genima_core.files import sync_folder

KEPT = ".broken"
"""Ending of an original that could not be read completely."""
SCRATCH = ".repair"
"""Folder in the bag, in which the new file grows."""


@dataclass(frozen=True)
class Repair:
    """What was done to a bag."""

    folder: Path
    done: str
    """"nothing", or what."""
    messages: int
    damage: str
    """What could not be read; "" for nothing."""

    @property
    def changed(self) -> bool:
        return self.done != "nothing"


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
    found: dict[str, int] = {}
    for message in bag.messages():
        found[message.topic] = found.get(message.topic, 0) + 1
    if bag.finished and not bag.damage and not bag.flaw() and _agrees(bag, found):
        return Repair(bag.folder, "nothing", sum(found.values()), "")
    if not found and (bag.damage or bag.mcap_files()[0].statistics() is None):
        raise ValueError(f"nothing can be read from {bag.folder}: {bag.damage or 'it ends before the first message'}")
    scratch = bag.folder / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        writer = _copy(bag, scratch / bag.folder.name)
        _swap(bag, writer)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Repair(bag.folder, "written again", sum(writer.counts.values()), bag.damage)


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
            description = Description(
                schema.name, schema.encoding, schema.data, channel.metadata.get("topic_type_hash", "")
            )
            writer.declare(channel.topic, description, channel.metadata.get("offered_qos_profiles", ""))
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
    os.replace(writer.folder / metadata.FILE, bag.folder / metadata.FILE)
    if old.name != writer.path.name:
        old.unlink()
    sync_folder(bag.folder)


def _keep(file: Path) -> None:
    """Gives the file a second name with the ending .broken, which no earlier one has."""
    for number in count(1):
        name = f"{file.name}{f'.{number}' if number > 1 else ''}{KEPT}"
        try:
            os.link(file, file.with_name(name))
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            if file.with_name(name).exists():
                continue
            shutil.copyfile(file, file.with_name(name))
        return


def _open(folder: Path) -> Bag:
    """The bag; one whose metadata.yaml is damaged or names another file counts as interrupted."""
    try:
        return open_bag(folder)
    except (ValueError, FileNotFoundError):
        if not (files := mcap_files(folder)):
            raise
        return Bag(folder, "mcap", files, finished=False)


def _agrees(bag: Bag, found: dict[str, int]) -> bool:
    told = {
        t.topic_metadata.name: t.message_count for t in metadata.read_metadata(bag.folder).topics_with_message_count
    }
    return {name: count for name, count in told.items() if count} == found
