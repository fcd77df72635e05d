"""Writes a rosbag2 bag of one MCAP file that may be cut off at any moment, and repairs one that was."""

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from mcap.records import Schema
from mcap.writer import CompressionType, Writer

from genima_core.data.bags import messages
from genima_core.data.bags.reader import Bag, mcap_files, open_bag
from genima_core.data.bags.storage import METADATA, TopicCount, TopicMetadata, parse_profiles, write_metadata
from genima_core.files import sync

Compression = Literal["zstd", "lz4", "none"]
KEPT = ".broken"
"""Ending of the name of an original that could not be read completely."""
SCRATCH = ".repair"


class BagWriter:
    """One bag folder. What was written before the last `flush` survives the end of the process.

    Without metadata.yaml, which `close` writes, a bag counts as interrupted; `repair` finishes those. After an OSError
    nothing more is written to the file, and `close` leaves the bag interrupted.
    """

    def __init__(self, folder: Path, compression: Compression = "zstd", chunk_bytes: int = 1 << 20) -> None:
        """FileExistsError if the folder exists: a bag is never overwritten."""
        self.folder = Path(folder)
        self.counts: dict[str, int] = {}
        """Topic to its messages so far."""
        self.folder.mkdir(parents=True)
        self.path = self.folder / f"{self.folder.name}_0.mcap"
        self._file = self.path.open("xb")
        fcntl.flock(self._file, fcntl.LOCK_EX)  # until it is closed, or this process dies: see `Bag.being_recorded`
        self._size = 0
        self._writer = Writer(self._file, chunk_size=chunk_bytes, compression=CompressionType[compression.upper()])
        self._writer.start(profile="ros2", library="genima")
        self._channels: dict[str, tuple[int, TopicMetadata]] = {}
        self._schemas: dict[str, int] = {}
        self._begin_ns: int | None = None
        self._end_ns = 0
        self._broken = False

    def write(self, topic: str, type: str, data: bytes, received_ns: int, published_ns: int, qos: str = "") -> None:
        """Adds a message, given by the fields of `Message`.

        Raises:
            OSError: the disk is full.
            ValueError: the type is unknown, or another one than before on this topic.
        """
        if topic not in self._channels:
            details = {"offered_qos_profiles": qos, "topic_type_hash": messages.type_hash(type)}
            self.declare(topic, Schema(0, messages.definition(type).encode(), "ros2msg", type), details)
        channel, known = self._channels[topic]
        if type != known.type:
            raise ValueError(f"{topic} carries {known.type}, not {type}; a topic of a bag has one type")
        with self._guard():  # MCAP has no time before 1970
            self._writer.add_message(channel, max(received_ns, 0), data, max(published_ns, 0))
        self.counts[topic] += 1
        self._begin_ns = received_ns if self._begin_ns is None else min(self._begin_ns, received_ns)
        self._end_ns = max(self._end_ns, received_ns)

    def declare(self, topic: str, schema: Schema, details: Mapping[str, str]) -> None:
        """Adds a topic, with QoS and type hash in `details`; `write` does this itself for the types of ROS 2."""
        with self._guard():
            if schema.name not in self._schemas:
                self._schemas[schema.name] = self._writer.register_schema(schema.name, schema.encoding, schema.data)
            channel = self._writer.register_channel(topic, "cdr", self._schemas[schema.name], dict(details))
        profiles = parse_profiles(details.get("offered_qos_profiles", ""))
        known = TopicMetadata(topic, schema.name, "cdr", profiles, details.get("topic_type_hash", ""))
        self._channels[topic] = channel, known
        self.counts[topic] = 0

    def note(self, name: str, values: Mapping[str, str]) -> None:
        """Adds a metadata record."""
        with self._guard():
            self._writer.add_metadata(name, dict(values))

    def flush(self) -> None:
        """Hands everything written so far to the operating system."""
        with self._guard():
            self._writer.flush()
            self._file.flush()

    def close(self) -> None:
        """Finishes file and bag, once; OSError if that fails: then they stay readable up to the last flush."""
        if self._file.closed:
            return
        try:
            if self._broken:
                return
            with self._guard():
                self._writer.finish()
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._size = self.bytes_written
            with suppress(OSError):  # of a broken one the buffer cannot be written any more
                self._file.close()
        topics = tuple(TopicCount(known, self.counts[name]) for name, (_, known) in self._channels.items())
        begin_ns = self._begin_ns or 0
        write_metadata(self.folder, self.path.name, topics, begin_ns, max(self._end_ns, begin_ns))

    @property
    def bytes_written(self) -> int:
        """Size of the file so far, even if the disk has gone."""
        if not self._file.closed:
            self._size = self._file.tell()
        return self._size

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Allows no more writing after an error: half a record may be in the file, behind which nothing can be read."""
        if self._broken:
            raise OSError(f"{self.path} could not be written before; the bag ends there")
        try:
            yield
        except OSError:
            self._broken = True
            raise


@dataclass(frozen=True)
class Repair:
    changed: bool
    messages: int
    damage: str
    """What could not be read; "" for nothing."""


def repair(folder: Path) -> Repair:
    """Makes a finished bag of one file of what can be read, which replaces the old one when it is on the disk.

    An old file is kept as .broken if parts of it could not be read. A complete bag stays as it is, byte for byte.

    Raises:
        FileNotFoundError: there is no bag.
        ValueError: it is being recorded, nothing in it can be read, or it is not stored as MCAP.
    """
    bag = _open(Path(folder))
    if bag.storage != "mcap":
        raise ValueError(f"{bag.folder} is stored as {bag.storage}; only MCAP can be repaired: use ros2 bag reindex")
    if bag.being_recorded:
        raise ValueError(f"{bag.folder} is being recorded; repair it when that has ended")
    found = Counter(message.topic for message in bag.messages())
    whole = bag.finished and not bag.damage and not bag.flaw()
    if whole and {name: topic.count for name, topic in bag.topics.items() if topic.count} == found:
        return Repair(False, found.total(), "")
    if not found and (bag.damage or any(file.statistics() is None for file in bag.mcap_files())):
        raise ValueError(f"nothing can be read from {bag.folder}: {bag.damage or 'it ends before the first message'}")
    scratch = bag.folder / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        # A name of its own beside several files, so that none is overwritten before all is done.
        writer = _copy(bag, scratch / (bag.folder.name if len(bag.files) == 1 else f"{bag.folder.name}_whole"))
        _swap(bag, writer)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Repair(True, sum(writer.counts.values()), bag.damage)


def _copy(bag: Bag, folder: Path) -> BagWriter:
    """Copies what can be read into a finished bag, and makes sure that it is on the disk."""
    writer = BagWriter(folder)
    for file in bag.mcap_files():
        for channel, schema, message in file.messages():
            if channel.topic not in writer.counts:
                if channel.message_encoding != "cdr":
                    encoded = f"{channel.topic} is encoded as {channel.message_encoding!r}"
                    raise ValueError(f"{encoded}; valid is ROS 2's cdr")
                writer.declare(channel.topic, schema, channel.metadata)
            writer.write(channel.topic, schema.name, message.data, message.log_time, message.publish_time)
        for note in file.notes():
            writer.note(note.name, note.metadata)
    writer.close()
    return writer


def _swap(bag: Bag, writer: BagWriter) -> None:
    """Replaces the old files by the new one; whenever this is interrupted, either is left where it is found."""
    if bag.damage:
        for old in bag.files:
            _keep(old)
    # The metadata first: until the file that they name is there, the old files count.
    os.replace(writer.folder / METADATA, bag.folder / METADATA)
    os.replace(writer.path, bag.folder / writer.path.name)
    for old in bag.files:
        if old.name != writer.path.name:
            old.unlink()
    sync(bag.folder)


def _keep(file: Path) -> None:
    """Gives the file a second name, which ends in .broken and is not taken yet."""
    names = (file.with_name(f"{file.name}{f'.{n}' if n > 1 else ''}{KEPT}") for n in count(1))
    kept = next(name for name in names if not name.exists())
    try:
        os.link(file, kept)
    except OSError:  # a file system without links
        shutil.copyfile(file, kept)


def _open(folder: Path) -> Bag:
    """The bag; it counts as interrupted if its metadata.yaml is damaged or names another file."""
    try:
        return open_bag(folder)
    except (ValueError, FileNotFoundError):
        if not (files := mcap_files(folder)):
            raise
        return Bag(folder, files)
