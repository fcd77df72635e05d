"""metadata.yaml, with which a folder is a rosbag2 bag; as ROS 2 Jazzy writes it."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from genima_core.config import from_overrides
from genima_core.files import parse_yaml, read_yaml, sync_folder, write_text

FILE = "metadata.yaml"
VERSION = 9
DISTRO = "jazzy"


@dataclass(frozen=True)
class TopicCount:
    """One topic of a bag."""

    name: str
    type: str
    qos: str
    """offered_qos_profiles, YAML; may be ""."""
    count: int
    hash: str
    """RIHS01_..., or "" where it is not known."""


def write_metadata(folder: Path, file: str, topics: list[TopicCount], begin_ns: int, end_ns: int) -> None:
    """Writes it at once and down to the disk; from then on the bag counts as finished.

    Args:
        folder: The bag.
        file: Name of the MCAP file in it.
        topics: What it holds.
        begin_ns, end_ns: When the first and the last message were received.
    """
    begin, length = {"nanoseconds_since_epoch": begin_ns}, {"nanoseconds": end_ns - begin_ns}
    total = sum(topic.count for topic in topics)
    content = {
        "rosbag2_bagfile_information": {
            "version": VERSION,
            "storage_identifier": "mcap",
            "duration": length,
            "starting_time": begin,
            "message_count": total,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.type,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": _profiles(topic.qos),
                        "type_description_hash": topic.hash,
                    },
                    "message_count": topic.count,
                }
                for topic in topics
            ],
            # MCAP compresses its chunks itself; these are for bags whose files are compressed as a whole.
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [file],
            "files": [{"path": file, "starting_time": begin, "duration": length, "message_count": total}],
            "custom_data": None,
            "ros_distro": DISTRO,
        }
    }
    write_text(folder / FILE, yaml.safe_dump(content, sort_keys=False))
    sync_folder(folder)


def _profiles(qos: str) -> object:
    """offered_qos_profiles; none where what a publisher or another bag said is not YAML."""
    try:
        return parse_yaml(qos, "the QoS") or []
    except ValueError:
        return []


@dataclass(frozen=True)
class _Named:
    name: str
    type: str


@dataclass(frozen=True)
class _Counted:
    topic_metadata: _Named
    message_count: int


@dataclass(frozen=True)
class _Duration:
    nanoseconds: int


@dataclass(frozen=True)
class Metadata:
    """What is read of metadata.yaml."""

    storage_identifier: str
    duration: _Duration
    message_count: int
    topics_with_message_count: tuple[_Counted, ...]
    relative_file_paths: tuple[str, ...]
    compression_mode: str = ""

    def __post_init__(self) -> None:
        if not self.relative_file_paths:
            raise ValueError("it names no files")


def read_metadata(folder: Path) -> Metadata:
    """
    Raises:
        FileNotFoundError, ValueError: no metadata.yaml; damaged.
    """
    path = folder / FILE
    try:
        content = read_yaml(path).get("rosbag2_bagfile_information", {})
        return from_overrides(Metadata, content, "it", strict=False)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); genima bag repair rewrites it") from error
