"""Reads rosbag2 bags: finished, interrupted or damaged ones, ours and anybody's."""

import struct
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import yaml
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, McapRecord, Schema
from mcap.records import Message as McapMessage
from mcap.stream_reader import StreamReader, breakup_chunk
from zstandard import ZstdError

from genima_core.data.bags import about, metadata

MAGIC = b"\x89MCAP0\r\n"
UNREADABLE = (McapError, ZstdError, ValueError, EOFError, RuntimeError, KeyError, IndexError, struct.error)
"""What mcap and its decompressors raise on bytes that are not theirs."""


class Message(NamedTuple):
    """One message as it was stored."""

    topic: str
    type: str
    data: bytes
    received_ns: int
    published_ns: int


@dataclass(frozen=True)
class Topic:
    """One topic of a bag."""

    type: str
    count: int
    qos: str = ""


class Bag:
    """A bag to read from; see `open_bag`."""

    def __init__(self, folder: Path, storage: str, files: tuple[Path, ...], finished: bool) -> None:
        self.folder, self.storage, self.files, self.finished = folder, storage, files, finished
        self.damage = ""
        """What was found to be wrong while reading; "" for nothing."""

    @cached_property
    def about(self) -> about.About | None:
        """None where `genima record` did not make the bag.

        Raises:
            ValueError: the file is damaged.
        """
        return about.About.load(self.folder) if (self.folder / about.FILE).is_file() else None

    @cached_property
    def topics(self) -> Mapping[str, Topic]:
        """Name to type and count; by metadata.yaml where the bag is finished, else by reading all of it."""
        if self.finished:
            return {t["topic_metadata"]["name"]: Topic(t["topic_metadata"]["type"], t["message_count"])
                    for t in read_metadata(self.folder)["topics_with_message_count"]}
        types, counts = {}, Counter()
        for message in self.messages():
            types[message.topic] = message.type
            counts[message.topic] += 1
        return {name: Topic(types[name], count) for name, count in counts.items()}

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files)

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        """Messages in the order of the file; what cannot be read is left out, and `damage` says so afterwards."""
        self.damage = ""
        if self.storage == "sqlite3":
            yield from self._by_rosbags(topics)
            return
        for path in self.files:
            for channel, schema, message in self._records(path):
                if topics is None or channel.topic in topics:
                    yield Message(channel.topic, schema.name, message.data, message.log_time, message.publish_time)

    def channels(self) -> dict[str, tuple[str, str]]:
        """Topic to type and offered_qos_profiles, of an MCAP bag."""
        return {channel.topic: (schema.name, channel.metadata.get("offered_qos_profiles", ""))
                for path in self.files for channel, schema, _ in self._records(path)}

    def _records(self, path: Path) -> Iterator[tuple[Channel, Schema, McapMessage]]:
        """Of one MCAP file; a damaged chunk is left out, and what follows it is read."""
        schemas, channels = _described(path)
        for record in self._chunks(path):
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, McapMessage):
                channel = channels.get(record.channel_id)
                if channel is None or channel.schema_id not in schemas:
                    self._report(f"{path.name} has messages of a channel whose description is lost")
                    continue
                yield channel, schemas[channel.schema_id], record

    def _chunks(self, path: Path) -> Iterator[McapRecord]:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                self._report(f"{path.name} does not begin like an MCAP file")
                return
            file.seek(0)
            records = StreamReader(file, emit_chunks=True, record_size_limit=path.stat().st_size).records
            while True:
                try:
                    record = next(records)
                except StopIteration:
                    return
                except UNREADABLE as error:
                    self._report(f"{path.name} is cut off after {file.tell()} bytes ({_line(error)})")
                    return
                if not isinstance(record, Chunk):
                    yield record
                    continue
                try:
                    parts = breakup_chunk(record, validate_crc=True)
                except UNREADABLE as error:
                    self._report(f"a chunk of {path.name} is damaged; it held what was received in "
                                 f"{(record.message_end_time - record.message_start_time) * 1e-9:.2f} s "
                                 f"({_line(error)})")
                    continue
                yield from parts

    def _report(self, damage: str) -> None:
        if damage not in self.damage:
            self.damage = f"{self.damage}; {damage}" if self.damage else damage

    def _by_rosbags(self, topics: Collection[str] | None) -> Iterator[Message]:
        from rosbags.rosbag2 import Reader, ReaderError

        try:
            with Reader(self.folder) as reader:
                chosen = [c for c in reader.connections if topics is None or c.topic in topics]
                for connection, received_ns, data in reader.messages(connections=chosen):
                    yield Message(connection.topic, connection.msgtype, bytes(data), received_ns, received_ns)
        except ReaderError as error:
            self.damage = _line(error)


def open_bag(folder: Path) -> Bag:
    """The bag in a folder, whatever state it is in.

    Raises:
        FileNotFoundError: there is none.
        ValueError: metadata.yaml is damaged or names another storage.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no bag {folder}; a bag is a folder, such as genima record writes")
    if (folder / metadata.FILE).is_file():
        about_bag = read_metadata(folder)
        storage = about_bag["storage_identifier"]
        if storage not in ("mcap", "sqlite3"):
            raise ValueError(f"{folder} is stored as {storage!r}; readable are mcap and sqlite3: convert it with ros2 "
                             "bag convert")
        files = tuple(folder / Path(name).name for name in about_bag["relative_file_paths"])
        if missing := [path.name for path in files if not path.is_file()]:
            raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}, which its {metadata.FILE} names")
        return Bag(folder, storage, files, finished=True)
    files = tuple(sorted(folder.glob("*.mcap")))
    if not files:
        raise FileNotFoundError(f"{folder} is no bag: it has neither {metadata.FILE} nor an MCAP file")
    return Bag(folder, "mcap", files, finished=False)


def find_bags(path: Path) -> list[Path]:
    """`path` itself if it is a bag, else the bags in it, by name."""
    path = Path(path)
    return [path] if _is_bag(path) else sorted(p for p in path.iterdir() if _is_bag(p)) if path.is_dir() else []


def read_metadata(folder: Path) -> dict:
    """The content of metadata.yaml.

    Raises:
        ValueError: damaged.
    """
    path = folder / metadata.FILE
    try:
        content = yaml.safe_load(path.read_text())["rosbag2_bagfile_information"]
        content["storage_identifier"], content["relative_file_paths"], content["topics_with_message_count"]
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({_line(error)}); genima bag repair writes it anew") from error
    return content


def _described(path: Path) -> tuple[dict[int, Schema], dict[int, Channel]]:
    """Schemas and channels by the summary at the end of a whole file, so that no damaged chunk takes them along."""
    with path.open("rb") as file:
        try:
            summary = make_reader(file).get_summary()
        except (*UNREADABLE, OSError):
            summary = None
    return (dict(summary.schemas), dict(summary.channels)) if summary else ({}, {})


def _is_bag(path: Path) -> bool:
    return path.is_dir() and ((path / metadata.FILE).is_file() or any(path.glob("*.mcap")))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
