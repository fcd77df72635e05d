"""Mends bags that were cut off: a killed recorder, a full disk, half a copy."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from genima_core.data.bags import metadata
from genima_core.data.bags.reader import Bag, open_bag, read_metadata
from genima_core.data.bags.writer import BagWriter

KEPT = ".broken"
"""Ending of an original that could not be read to its end."""


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
        FileNotFoundError, ValueError: no bag there; nothing in it can be read; its storage is sqlite3.
        OSError: it cannot be written.
    """
    bag = _open(Path(folder))
    if bag.storage != "mcap" or len(bag.files) != 1:
        raise ValueError(f"{bag.folder} holds {len(bag.files)} files of {bag.storage}; repaired are bags of one MCAP "
                         "file, as genima record writes them: use ros2 bag reindex")
    found: dict[str, int] = {}
    for message in bag.messages():
        found[message.topic] = found.get(message.topic, 0) + 1
    if bag.finished and not bag.damage and _agrees(bag, found):
        return Repair(bag.folder, "nothing", sum(found.values()), "")
    if not found and bag.damage:
        raise ValueError(f"nothing can be read from {bag.folder}: {bag.damage}")
    return _rewrite(bag)


def _rewrite(bag: Bag) -> Repair:
    (old,) = bag.files
    scratch = bag.folder / ".repair"
    shutil.rmtree(scratch, ignore_errors=True)
    channels = bag.channels()
    writer = BagWriter(scratch / bag.folder.name)
    for message in bag.messages():
        writer.write(message.topic, message.type, message.data, message.received_ns, message.published_ns,
                     channels[message.topic][1])
    writer.close()
    damage = bag.damage
    if damage:
        os.replace(old, old.with_name(old.name + KEPT))
    os.replace(writer.path, bag.folder / writer.path.name)
    os.replace(writer.folder / metadata.FILE, bag.folder / metadata.FILE)
    if not damage and old.name != writer.path.name:
        old.unlink()
    shutil.rmtree(scratch)
    return Repair(bag.folder, "written anew", sum(writer.counts.values()), damage)


def _open(folder: Path) -> Bag:
    """The bag; one whose metadata.yaml is damaged counts as interrupted."""
    try:
        return open_bag(folder)
    except ValueError:
        return Bag(folder, "mcap", tuple(sorted(folder.glob("*.mcap"))), finished=False)


def _agrees(bag: Bag, found: dict[str, int]) -> bool:
    told = {t["topic_metadata"]["name"]: t["message_count"]
            for t in read_metadata(bag.folder)["topics_with_message_count"]}
    return {name: count for name, count in told.items() if count} == found
