"""Who meets whom, and how: ROS domains, and the environment in which nodes find each other and send over DDS."""

import errno
import fcntl
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from genima_ros.share import share_folder

DOMAINS = range(1, 102)
"""Usable on Linux without touching its ephemeral ports; 0 is where everybody is who sets none (docs.ros.org)."""
LAST_DOMAIN = 232
"""The ports of higher ones do not exist (docs.ros.org)."""
PARTICIPANTS = range(8)
"""Processes of a domain whose ports are looked at."""

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


def current_domain() -> int:
    """The ROS domain of this process; ValueError where ROS_DOMAIN_ID is none."""
    text = os.environ.get("ROS_DOMAIN_ID") or "0"
    if not text.isdecimal() or int(text) > LAST_DOMAIN:
        raise ValueError(f"ROS_DOMAIN_ID is {text!r}; set it to a number from 0 to {LAST_DOMAIN}, or unset it")
    return int(text)


def node_environment(base: Mapping[str, str], domain: int | None = None) -> dict[str, str]:
    """What nodes need to find each other and their packages, added to `base` where it says nothing."""
    environment = {
        "AMENT_PREFIX_PATH": sys.prefix,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "RCUTILS_CONSOLE_OUTPUT_FORMAT": "{severity} {message}",
        "PYTHONUNBUFFERED": "1",
        # Threads that wait for work must not spin on cores that other nodes need.
        "OMP_WAIT_POLICY": "PASSIVE",
        "TRANSFORMERS_VERBOSITY": "error",  # it would like torchvision, which nothing here needs
        **base,
    }
    if domain is not None:
        environment["ROS_DOMAIN_ID"] = str(domain)
    choose_transport(environment)
    return environment


def join_domain(domain: int | None = None) -> int:
    """Lets nodes of this process meet those that `genima up` starts: the same domain, by default `current_domain`, and
    the same range.
    """
    environment = node_environment(os.environ)
    os.environ.update({key: environment[key] for key in ("AMENT_PREFIX_PATH", "ROS_AUTOMATIC_DISCOVERY_RANGE")})
    return current_domain() if domain is None else domain


@contextmanager
def claim(purpose: str, domain: int) -> Iterator[bool]:
    """Whether nobody else has claimed a domain for this; then nobody can until the end of the context.

    The claim is the name of a socket, so it holds for as far as local discovery reaches (one network namespace, all
    users), and ends with the process, however that ends.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as held:
        try:
            held.bind(f"\0genima-{purpose}-{domain}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            yield False
        else:
            yield True


@contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain without any other node on this machine, for us and our children; RuntimeError if all are in use."""
    with ExitStack() as stack:
        for i in range(len(DOMAINS)):
            domain = DOMAINS[(os.getpid() + i) % len(DOMAINS)]
            if not _inhabited(domain) and stack.enter_context(claim("own", domain)):
                yield domain
                return
        all_used = "are all in use on this machine: end some of their processes, or choose one with --domain"
        raise RuntimeError(f"ROS domains {DOMAINS[0]} to {DOMAINS[-1]} {all_used}")


def _inhabited(domain: int) -> bool:
    """Whether a DDS participant listens where the standard puts its discovery (DDSI-RTPS 2.5, section 9.6.2.3)."""
    for participant in PARTICIPANTS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * domain + 2 * participant))
            except OSError:
                return True
    return False


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
    """Segments of killed processes of this user: one that lives holds a lock on a file beside its segment."""
    for path in sorted(shm.glob("fastrtps_*")):
        with suppress(OSError):  # gone meanwhile, somebody else's, or held
            info = path.stat()
            young = time.time() - info.st_mtime < YOUNG_S
            if not SEGMENT.fullmatch(path.name) or info.st_uid != os.getuid() or young:
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
