"""Reads rosbag2 bags, ours and others': finished, interrupted or damaged ones."""

import fcntl
import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from genima_core.data.bags import episode_info
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.messages import Message
from genima_core.data.bags.storage import METADATA, McapFile, Metadata, read_metadata
from genima_core.files import one_line


@dataclass(frozen=True)
class Topic:
    type: str
    count: int


class Bag:
    """A bag to read from; see `open_bag`."""

    def __init__(self, folder: Path, files: tuple[Path, ...], metadata: Metadata | None = None) -> None:
        """Without metadata it counts as interrupted."""
        self.folder, self.files, self.metadata = folder, files, metadata
        self.damage = ""
        """What was found to be damaged while reading; "" if nothing."""

    @property
    def finished(self) -> bool:
        return self.metadata is not None

    @property
    def storage(self) -> str:
        """mcap or sqlite3, with a remark if the files are compressed as a whole."""
        if self.metadata is None:
            return "mcap"
        whole = self.metadata.compression_mode.lower()
        compressed = "" if whole in ("", "none") else f", its {whole}s compressed as a whole"
        return self.metadata.storage_identifier + compressed

    @cached_property
    def info(self) -> EpisodeInfo | None:
        """Contents of episode.json, ValueError if it is damaged; None if `genima record` did not make the bag."""
        return EpisodeInfo.load(self.folder) if (self.folder / episode_info.FILE).is_file() else None

    @property
    def topics(self) -> dict[str, Topic]:
        """Name to type and count: from metadata.yaml if the bag is finished, else by reading all of it."""
        return self._contents[0]

    @property
    def duration_s(self) -> float:
        """From the first message to the last; found in the same way as the topics."""
        return self._contents[1]

    @cached_property
    def _contents(self) -> tuple[dict[str, Topic], float]:
        if self.metadata is not None:
            told = self.metadata.topics_with_message_count
            topics = {t.topic_metadata.name: Topic(t.topic_metadata.type, t.message_count) for t in told}
            return topics, self.metadata.duration.nanoseconds * 1e-9
        types, counts, received_ns = dict[str, str](), Counter[str](), array("q")
        for message in self.messages():
            types[message.topic] = message.type
            counts[message.topic] += 1
            received_ns.append(message.received_ns)
        topics = {name: Topic(types[name], count) for name, count in counts.items()}
        return topics, 1e-9 * (max(received_ns) - min(received_ns)) if received_ns else 0.0

    @property
    def being_recorded(self) -> bool:
        """Whether a process is writing it at this moment."""
        if self.finished or not self.files:
            return False
        with self.files[-1].open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        """Messages in the order of the file; what cannot be read is left out, and `damage` says so afterwards."""
        self.damage = ""
        if self.storage != "mcap":
            yield from self._by_rosbags(topics)
            return
        for file in self.mcap_files():
            for channel, schema, message in file.messages():
                if topics is None or channel.topic in topics:
                    yield Message(channel.topic, schema.name, message.data, message.log_time, message.publish_time)

    def mcap_files(self) -> list[McapFile]:
        return [McapFile(path, self.finished, self._report) for path in self.files]

    def flaw(self) -> str:
        """What is wrong with a finished bag, as far as can be seen without reading all of it; "" if nothing."""
        if self.metadata is None or self.storage != "mcap":
            return ""
        found = 0
        for file in self.mcap_files():
            if (count := file.message_count()) is None:
                return f"the end of {file.path.name} is missing or damaged"
            found += count
        told = self.metadata.message_count
        return "" if told == found else f"{METADATA} lists {told} messages, its files hold {found}"

    def _report(self, damage: str) -> None:
        if damage not in self.damage:
            self.damage = f"{self.damage}; {damage}" if self.damage else damage

    def _by_rosbags(self, topics: Collection[str] | None) -> Iterator[Message]:
        import sqlite3

        from rosbags.rosbag2 import Reader, ReaderError

        try:
            with Reader(self.folder) as reader:
                chosen = [c for c in reader.connections if topics is None or c.topic in topics]
                for connection, received_ns, data in reader.messages(connections=chosen):
                    yield Message(connection.topic, connection.msgtype, bytes(data), received_ns, received_ns)
        except (ReaderError, sqlite3.Error) as error:
            self.damage = one_line(error)


def open_bag(folder: Path) -> Bag:
    """The bag in a folder, whatever its state.

    Raises:
        FileNotFoundError: there is no bag, or one of its files is missing.
        ValueError: its metadata.yaml is damaged, or it is stored as something else than mcap or sqlite3.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no bag {folder}; a bag is a folder, such as genima record writes")
    if (folder / METADATA).is_file():
        metadata = read_metadata(folder)
        if (storage := metadata.storage_identifier) not in ("mcap", "sqlite3"):
            raise ValueError(f"{folder} is stored as {storage!r}; readable are mcap and sqlite3: use ros2 bag convert")
        files = tuple(folder / Path(name).name for name in metadata.relative_file_paths)
        if missing := [path.name for path in files if not path.is_file()]:
            raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}, which its {METADATA} names")
        return Bag(folder, files, metadata)
    if not (files := mcap_files(folder)):
        remedy = ": ros2 bag reindex makes a bag of its .db3 files" if any(folder.glob("*.db3")) else ""
        raise FileNotFoundError(f"{folder} is not a bag: it has neither {METADATA} nor an MCAP file{remedy}")
    if len(files) > 1 and not _is_split(files):
        remedy = f"give each a folder, or make one bag of them: ros2 bag reindex {folder}"
        raise FileNotFoundError(f"{folder} holds {len(files)} MCAP files and no {METADATA}; {remedy}")
    return Bag(folder, files)


def mcap_files(folder: Path) -> tuple[Path, ...]:
    """By name, and those that end in numbers by these."""
    files = [path for path in folder.glob("*.mcap") if path.is_file()]
    return tuple(sorted(files, key=_name_and_number))


def _name_and_number(path: Path) -> tuple[str, int]:
    found = re.fullmatch(r"(.*)_(\d+)", path.stem)
    return (found[1], int(found[2])) if found else (path.stem, -1)


def _is_split(files: Collection[Path]) -> bool:
    """Whether these are the parts of one bag, which rosbag2 names alike and numbers from 0."""
    names, numbers = zip(*map(_name_and_number, files), strict=True)
    return len(set(names)) == 1 and numbers == tuple(range(len(files)))


def find_bags(path: Path) -> list[Path]:
    """`path` itself if it is a bag, else the bags in it, by name."""
    path = Path(path)
    return [path] if _is_bag(path) else sorted(filter(_is_bag, path.iterdir())) if path.is_dir() else []


def _is_bag(path: Path) -> bool:
    return path.is_dir() and ((path / METADATA).is_file() or bool(mcap_files(path)))
