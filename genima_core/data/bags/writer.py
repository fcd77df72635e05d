"""Writes a rosbag2 bag of one MCAP file that can be cut off at any moment."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from mcap.records import Schema
from mcap.writer import CompressionType, Writer

from genima_core.data.bags import messages
from genima_core.data.bags.storage import TopicCount, TopicMetadata, parse_profiles, write_metadata

Compression = Literal["zstd", "lz4", "none"]


class BagWriter:
    """One bag folder. What was written before the last `flush` survives the end of the process.

    Without metadata.yaml, which `close` writes, a bag counts as interrupted; `repair` mends those. After an OSError
    nothing more is written to the file, and `close` leaves the bag interrupted.
    """

    def __init__(self, folder: Path, compression: Compression = "zstd", chunk_bytes: int = 1 << 20) -> None:
        """
        Raises:
            FileExistsError: the folder exists; a bag is never written over.
        """
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
        """Adds one serialized message (the fields of a `Message`); MCAP's log time is when it was received.

        Raises:
            OSError: the disk is full or gone.
            ValueError: an unknown type, or another than the topic had before.
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
        """Adds a topic, also of a type that only `schema` knows; `write` does it for those of ROS 2 Jazzy.

        `details` are what rosbag2 notes of a channel: its QoS profiles, and the hash of its type.

        Raises:
            OSError: the disk is full or gone.
        """
        with self._guard():
            if schema.name not in self._schemas:
                self._schemas[schema.name] = self._writer.register_schema(schema.name, schema.encoding, schema.data)
            channel = self._writer.register_channel(topic, "cdr", self._schemas[schema.name], dict(details))
        profiles = parse_profiles(details.get("offered_qos_profiles", ""))
        known = TopicMetadata(topic, schema.name, "cdr", profiles, details.get("topic_type_hash", ""))
        self._channels[topic] = channel, known
        self.counts[topic] = 0

    def note(self, name: str, values: Mapping[str, str]) -> None:
        """Adds a metadata record to the file."""
        with self._guard():
            self._writer.add_metadata(name, dict(values))

    def flush(self) -> None:
        """Hands everything so far to the operating system."""
        with self._guard():
            self._writer.flush()
            self._file.flush()

    def close(self) -> None:
        """Finishes the file and the bag; does nothing the second time.

        Raises:
            OSError: it cannot be finished; it stays readable up to the last flush.
        """
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
        """Size of the file so far; also where the disk has gone."""
        if not self._file.closed:
            self._size = self._file.tell()
        return self._size

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Half a record may be in the file after an error: what followed it could not be read."""
        if self._broken:
            raise OSError(f"{self.path} could not be written before; the bag ends there")
        try:
            yield
        except OSError:
            self._broken = True
            raise
