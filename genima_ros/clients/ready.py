"""`python -m genima_ros.clients.ready "TEXT" NODE ...`, for launch files: says when every node is ready.

A process of its own, so that nothing but launch handles signals and blocks in the process of launch.
"""

import os
import signal
import sys

from genima_ros.clients.observer import Observer
from genima_ros.graph.domain import current_domain
from genima_ros.graph.graph import READY_S


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    text, *names = sys.argv[1:]
    with Observer(current_domain()) as observer:
        try:
            observer.wait_for_nodes(names, READY_S)
        except RuntimeError as error:
            sys.exit(str(error))
    print(text, flush=True)


if __name__ == "__main__":
    main()
