"""Where the page is served: decided before it is, so that whoever starts a graph can say it first."""

import socket
from collections.abc import Callable

PORTS = range(8080, 8180)
"""The first that is free, where none is asked for."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::")


def choose_port(host: str, port: int, wish: bool = False, reserve: Callable[[int], bool] = lambda _: True) -> int:
    """`port`, or for 0 the first of PORTS that is free and can be reserved, and likewise where `port` is but a `wish`.

    ValueError where it is taken, or the host is not ours.
    """
    elsewhere = PORTS if wish or not port else ()
    for candidate in ((port,) if port else ()) + tuple(elsewhere):
        try:
            family = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0][0]
            with socket.create_server((host, candidate), family=family):
                if candidate == port or reserve(candidate):
                    return candidate
        except OSError as error:
            why = error.strerror or str(error)
            if not isinstance(error, socket.gaierror) and elsewhere and "in use" in why:
                continue
            remedy = "choose another with port, or 0 for one that is free; host is an address of this machine"
            raise ValueError(f"the console cannot listen on {host} port {candidate} ({why}): {remedy}") from error
    raise ValueError(f"ports {PORTS[0]} to {PORTS[-1]} are all in use: end what uses them, or choose another with port")


def address_of(host: str, port: int, token: str = "") -> str:
    """What to open in a browser."""
    shown = socket.gethostname() if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/{f'?token={token}' if token else ''}"
