"""The records of one MCAP file, also where it is cut off or damaged."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, DataEnd, McapRecord, Message, MessageIndex, Metadata, Schema, Statistics
from mcap.stream_reader import StreamReader, breakup_chunk
from zstandard import ZstdError

from genima_core.files import one_line

MAGIC = b"\x89MCAP0\r\n"
UNREADABLE = (
    McapError,
    ZstdError,
    ValueError,
    EOFError,
    RuntimeError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
    struct.error,
)
"""What mcap and its decompressors raise on bytes that are not theirs."""


class McapFile:
    """One file; what cannot be read of it is left out and told to `report`, once for each kind."""

    def __init__(self, path: Path, finished: bool, report: Callable[[str], None]) -> None:
        """`finished`: whether an end may be expected; the file of an interrupted bag has none."""
        self.path, self._finished, self._report = path, finished, report

    def messages(self) -> Iterator[tuple[Channel, Schema, Message]]:
        """In the order of the file."""
        summary = self._summary()
        # By the summary too, so that no damaged chunk takes along the descriptions that only it holds.
        schemas, channels = (dict(summary.schemas), dict(summary.channels)) if summary else ({}, {})
        for record in self._records(summary):
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

    def notes(self) -> Iterator[Metadata]:
        """The metadata records."""
        return (record for record in self._records(self._summary()) if isinstance(record, Metadata))

    def statistics(self) -> Statistics | None:
        """What the summary counts; None where there is none to be read."""
        summary = self._summary()
        return summary.statistics if summary else None

    def _summary(self):
        with self.path.open("rb") as file:
            try:
                return make_reader(file).get_summary()
            except (*UNREADABLE, OSError):
                return None

    def _records(self, summary) -> Iterator[McapRecord]:
        """Chunks opened, up to the end of the data. After damage, reading goes on at the next chunk of the summary."""
        offsets = sorted(index.chunk_start_offset for index in summary.chunk_indexes) if summary else []
        lost = _Lost()
        with self.path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                self._report(f"{self.path.name} does not begin like an MCAP file")
                return
            size = self.path.stat().st_size
            records = _records(file, size)
            while True:
                start, record = file.tell(), None
                try:
                    record = next(records)
                    parts = breakup_chunk(record, validate_crc=True) if isinstance(record, Chunk) else [record]
                except StopIteration:
                    break
                except UNREADABLE as error:
                    following = next((offset for offset in offsets if offset > start), None)
                    if record is None and following is None:
                        if start < size or self._finished:
                            self._report(
                                f"{self.path.name} is cut off: {size - start} bytes after byte {start} are not "
                                f"a whole record ({one_line(error)})"
                            )
                        break
                    if isinstance(record, Chunk):
                        lost.add(record)
                    else:
                        skipped = (size if following is None else following) - start
                        self._report(f"{self.path.name} is damaged: {skipped} bytes after byte {start}")
                    if following is not None and (record is None or file.tell() > following):
                        file.seek(following)
                        records = _records(file, size)
                    continue
                following = next((offset for offset in offsets if offset > start), size)
                if file.tell() > following or (start in offsets and not isinstance(record, Chunk)):
                    # The kind or the length of a record is damaged; mcap passes over kinds that it does not know.
                    self._report(f"{self.path.name} is damaged at byte {start}")
                    file.seek(following)
                    records = _records(file, size)
                if isinstance(record, DataEnd):
                    break
                lost.count(record)
                yield from parts
        if lost.chunks:
            self._report(f"{self.path.name} has {lost.chunks} damaged chunk{'s' * (lost.chunks > 1)}; {lost} are lost")


class _Lost:
    """What damaged chunks held, by the indexes that follow them."""

    def __init__(self) -> None:
        self.chunks = self.messages = self.ns = 0
        self._counting = False

    def __str__(self) -> str:
        return f"{self.messages or 'the'} messages of {self.ns * 1e-9:.2f} s"

    def add(self, chunk: Chunk) -> None:
        self.chunks += 1
        self.ns += max(0, chunk.message_end_time - chunk.message_start_time)
        self._counting = True

    def count(self, record: McapRecord) -> None:
        """Any record; the indexes of a chunk come right after it."""
        if self._counting and isinstance(record, MessageIndex):
            self.messages += len(record.records)
        else:
            self._counting = False


def _records(file, size: int) -> Iterator[McapRecord]:
    """From where the file is."""
    return StreamReader(file, skip_magic=True, emit_chunks=True, record_size_limit=size).records
