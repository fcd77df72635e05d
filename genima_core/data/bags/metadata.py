"""metadata.yaml, with which a folder is a rosbag2 bag; as ROS 2 Jazzy writes it."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

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
                        "offered_qos_profiles": yaml.safe_load(topic.qos) or [] if topic.qos else [],
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
    temporary = folder / f".{FILE}.part"
    try:
        with temporary.open("w") as stream:
            yaml.safe_dump(content, stream, sort_keys=False)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    os.replace(temporary, folder / FILE)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Brings the names of its files down to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
