"""Who meets whom: ROS domains, and the environment in which nodes find each other."""

import errno
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from genima_ros.graph.transport import choose_transport

DOMAINS = range(1, 102)
"""Usable on Linux without touching its ephemeral ports; 0 is where everybody is who sets none (docs.ros.org)."""
LAST_DOMAIN = 232
"""The ports of higher ones do not exist (docs.ros.org)."""
PARTICIPANTS = range(8)
"""Processes of a domain whose ports are looked at."""


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
    """Lets nodes of this process meet those that `genima up` starts: the same domain, and the same range.

    Without a `domain` that of ROS_DOMAIN_ID; see `current_domain`.
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
        raise RuntimeError(
            f"ROS domains {DOMAINS[0]} to {DOMAINS[-1]} are all in use on this machine: end some of "
            "their processes, or choose one with --domain"
        )


def _inhabited(domain: int) -> bool:
    """Whether a DDS participant listens where the standard puts its discovery (DDSI-RTPS 2.5, section 9.6.2.3)."""
    for participant in PARTICIPANTS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * domain + 2 * participant))
            except OSError:
                return True
    return False
