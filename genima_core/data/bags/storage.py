"""The files of a bag: metadata.yaml as ROS 2 Jazzy writes it, and MCAP files, even if cut off or damaged."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import yaml
import zstandard
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, DataEnd, Footer, McapRecord, Message, Schema, Statistics
from mcap.records import Metadata as Note
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.summary import Summary

from genima_core.config import from_overrides
from genima_core.files import explained, one_line, parse_yaml, read_yaml, sync, write_text

METADATA = "metadata.yaml"
_ROOT = "rosbag2_bagfile_information"
MAGIC = b"\x89MCAP0\r\n"
_OF_PYTHON = ValueError, EOFError, RuntimeError, LookupError, OverflowError, MemoryError, struct.error
UNREADABLE = (McapError, zstandard.ZstdError, *_OF_PYTHON)
"""What mcap and its decompressors raise on damaged bytes."""
MAX_CHUNK_BYTES = 256 << 20
"""Of a chunk's messages; writers begin a new one after some megabytes."""


@dataclass(frozen=True)
class TopicMetadata:
    name: str
    type: str
    serialization_format: str = "cdr"
    offered_qos_profiles: Any = ()
    type_description_hash: Any = ""


@dataclass(frozen=True)
class TopicCount:
    topic_metadata: TopicMetadata
    message_count: int


@dataclass(frozen=True)
class Duration:
    nanoseconds: int


@dataclass(frozen=True)
class Metadata:
    """Fields have rosbag2's names; those with a default are not needed to read a bag."""

    storage_identifier: str
    duration: Duration
    message_count: int
    topics_with_message_count: tuple[TopicCount, ...]
    relative_file_paths: tuple[str, ...]
    files: Any = ()
    starting_time: Any = None
    # MCAP compresses its chunks itself; these are for bags whose files are compressed as a whole.
    compression_format: Any = ""
    compression_mode: str = ""
    custom_data: Any = None
    version: Any = 9
    ros_distro: Any = "jazzy"

    def __post_init__(self) -> None:
        if not self.relative_file_paths:
            raise ValueError("it names no files")


def write_metadata(folder: Path, file: str, topics: tuple[TopicCount, ...], begin_ns: int, end_ns: int) -> None:
    """Writes metadata.yaml to the disk, which makes the bag a finished one; the times are those of reception."""
    begin, length = {"nanoseconds_since_epoch": begin_ns}, Duration(end_ns - begin_ns)
    total = sum(topic.message_count for topic in topics)
    one = {"path": file, "starting_time": begin, "duration": asdict(length), "message_count": total}
    metadata = Metadata("mcap", length, total, topics, (file,), files=[one], starting_time=begin)
    write_text(folder / METADATA, yaml.safe_dump({_ROOT: asdict(metadata)}, sort_keys=False))
    sync(folder)


def parse_profiles(qos: str) -> Any:
    """Value of offered_qos_profiles; an empty list if the text, from a publisher or another bag, is not YAML."""
    try:
        return parse_yaml(qos, "the QoS") or []
    except ValueError:
        return []


def read_metadata(folder: Path) -> Metadata:
    path = folder / METADATA
    with explained(f"{path} is damaged", remedy="genima bag repair rewrites it"):
        return from_overrides(Metadata, read_yaml(path).get(_ROOT, {}), "it", strict=False)


class McapFile:
    """One file; what cannot be read is left out, and passed to `report` as a sentence for each kind of damage."""

    def __init__(self, path: Path, finished: bool, report: Callable[[str], None]) -> None:
        """`finished`: whether the file should have an end; that of an interrupted bag has none."""
        self.path, self._finished, self._report = path, finished, report

    def messages(self) -> Iterator[tuple[Channel, Schema, Message]]:
        """In the order of the file."""
        # From the summary too: a damaged chunk may hold descriptions that are nowhere else in the file.
        schemas, channels = (dict(self._summary.schemas), dict(self._summary.channels)) if self._summary else ({}, {})
        for record in self._records():
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                channel = channels.get(record.channel_id)
                if channel is None or channel.schema_id not in schemas:
                    self._report(f"{self.path.name} has messages of a channel whose description is lost")
                    continue
                yield channel, schemas[channel.schema_id], record

    def notes(self) -> Iterator[Note]:
        return (record for record in self._records() if isinstance(record, Note))

    def statistics(self) -> Statistics | None:
        """The counts in the file's summary; None if there is no readable one, or it has none."""
        return self._summary.statistics if self._summary else None

    def message_count(self) -> int | None:
        """From the summary, or by reading the file where that does not say; None where its end is missing."""
        if statistics := self.statistics():
            return statistics.message_count
        return sum(1 for _ in self.messages()) if self._ending[1] else None

    @property
    def _summary(self) -> Summary | None:
        return self._ending[0]

    @cached_property
    def _ending(self) -> tuple[Summary | None, bool]:
        """The summary, which a file may lack, and whether the file's end can be read."""
        with self.path.open("rb") as file:
            try:
                return make_reader(file).get_summary(), True
            except (*UNREADABLE, OSError):
                return None, False

    def _records(self) -> Iterator[McapRecord]:
        """Records up to the end of the data, chunks unpacked. After damage, it continues at the next known chunk."""
        offsets = sorted(index.chunk_start_offset for index in self._summary.chunk_indexes) if self._summary else []
        size, read = self.path.stat().st_size, 0
        lost: list[Chunk] = []
        with self.path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                self._report(f"{self.path.name} does not begin like an MCAP file")
                return
            while True:
                start = file.tell()
                following = next((offset for offset in offsets if offset > start), None)
                try:
                    record = _read_record(file, size)
                except UNREADABLE as error:
                    if following is None:
                        if start < size or self._finished:
                            cut = f"{size - start} bytes after byte {start} are not a whole record"
                            self._report(f"{self.path.name} is cut off: {cut} ({one_line(error)})")
                        break
                    self._report(f"{self.path.name} is damaged: {following - start} bytes after byte {start}")
                    file.seek(following)
                    continue
                if file.tell() > (following or size) or (start in offsets and not isinstance(record, Chunk)):
                    # The kind or the length of a record is damaged; mcap passes over kinds that it does not know.
                    self._report(f"{self.path.name} is damaged at byte {start}")
                    file.seek(following or size)
                if isinstance(record, DataEnd | Footer):
                    break
                parts = [record]
                if isinstance(record, Chunk):
                    try:
                        parts = breakup_chunk(_unpacked(record), validate_crc=True)
                    except UNREADABLE:
                        lost.append(record)
                        continue
                read += sum(isinstance(part, Message) for part in parts)
                yield from parts
        if lost:
            told = statistics.message_count - read if (statistics := self.statistics()) else "the"
            seconds = 1e-9 * sum(max(0, chunk.message_end_time - chunk.message_start_time) for chunk in lost)
            chunks = f"{len(lost)} damaged chunk{'s' * (len(lost) > 1)}"
            self._report(f"{self.path.name} has {chunks}; {told} messages of {seconds:.2f} s are lost")


def _read_record(file: IO[bytes], size: int) -> McapRecord:
    return next(StreamReader(file, skip_magic=True, emit_chunks=True, record_size_limit=size).records)


def _unpacked(chunk: Chunk) -> Chunk:
    """With its data as they were before compression; ValueError where that would be more than `MAX_CHUNK_BYTES`."""
    if chunk.compression not in ("zstd", "lz4"):
        return chunk
    if chunk.compression == "lz4":
        import lz4.frame  # as mcap does, which needs it for such bags only

        data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, max_length=MAX_CHUNK_BYTES + 1)
    else:
        _check_chunk(size := max(chunk.uncompressed_size, zstandard.frame_content_size(chunk.data)))
        data = zstandard.decompress(chunk.data, size)
    _check_chunk(len(data))
    return replace(chunk, compression="", data=data)


def _check_chunk(size: int) -> None:
    if size > MAX_CHUNK_BYTES:
        raise ValueError(f"a chunk unpacks to more than {MAX_CHUNK_BYTES / 1e6:.0f} MB")
