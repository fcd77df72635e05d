"""`python -m genima_ros.clients.ready "NEXT STEP" NODE ...`, for launch files: says when every node is ready.

A process of its own, so that nothing but launch handles signals and blocks in the process of launch.
"""

import os
import signal
import sys

from genima_ros.clients.observer import Observer
from genima_ros.graph.description import READY_S, ready_text
from genima_ros.graph.domain import current_domain


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    next_step, *names = sys.argv[1:]
    domain = current_domain()
    with Observer(domain) as observer:
        try:
            observer.wait_for_nodes(names, READY_S)
        except RuntimeError as error:
            print(error, flush=True)
            return 1
    print(ready_text(names, domain, next_step), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
