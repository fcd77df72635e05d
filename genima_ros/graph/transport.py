"""How a process sends over DDS: on loopback only where the range is LOCALHOST, with shared memory for images."""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

from genima_ros.share import share_folder

PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
FILES = {
    # (loopback only, sends images): in config/
    (False, False): None,
    (False, True): "fastdds.xml",
    (True, False): "fastdds_loopback.xml",
    (True, True): "fastdds_loopback_images.xml",
}
SHM = Path("/dev/shm")
NEEDED_BYTES = 40 << 20
"""Free in /dev/shm; where there is less, Fast DDS's own small segment is safer than none."""
SEGMENT = re.compile(r"fastrtps_[0-9a-f]{16}")
YOUNG_S = 60.0
"""Segments that are younger may not be locked by their process yet."""


def choose_transport(environment: MutableMapping[str, str], sends_images: bool = False, shm: Path = SHM) -> None:
    """Makes Fast DDS use one of our files of profiles, unless the user has one; to be called before rclpy.init.

    By itself it listens on all addresses also where the range is LOCALHOST, and gives a process 512 kB of shared
    memory, with which, of 2650 images that a busy machine sent, 32 did not arrive; with our 16 MB all did.
    """
    given = environment.get(PROFILES)
    if given and Path(given).name not in FILES.values():
        return
    try:
        roomy = sends_images and shutil.disk_usage(shm).free >= NEEDED_BYTES
        file = FILES[environment.get(RANGE) == "LOCALHOST", roomy]
        if file is not None:
            environment[PROFILES] = str(share_folder() / "config" / file)
        elif given and Path(given).name != FILES[False, True]:
            del environment[PROFILES]  # inherited from a process in another range
    except FileNotFoundError:
        return  # no such file system, or not installed: then as Fast DDS does it by itself


def abandoned_segments(shm: Path = SHM) -> Iterator[Path]:
    """Segments of this user that no process holds: those of killed ones.

    A process locks a file beside its segment for as long as it lives.
    """
    for path in sorted(shm.glob("fastrtps_*")):
        with suppress(OSError):  # gone meanwhile, somebody else's, or held
            about = path.stat()
            if not SEGMENT.fullmatch(path.name) or about.st_uid != os.getuid() or _age_s(about) < YOUNG_S:
                continue
            with _lock_file(path).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path


def remove_abandoned(shm: Path = SHM) -> int:
    """Removes what `abandoned_segments` finds; returns its size in bytes."""
    size = 0
    for path in abandoned_segments(shm):
        with suppress(OSError):
            size += path.stat().st_size
            path.unlink()
            _lock_file(path).unlink()
    return size


def _lock_file(segment: Path) -> Path:
    return segment.with_name(f"{segment.name}_el")


def _age_s(about: os.stat_result) -> float:
    return time.time() - about.st_mtime
