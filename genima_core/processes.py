"""Processes for work that others wait for: none outlives the one that started it."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # opened here, so that a child between fork and exec need not


def end_with_parent() -> None:
    """Has the kernel kill this process, on Linux, when the thread that started it ends, however that comes about."""
    if sys.platform == "linux":
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_threads() -> None:
    """Gives this process's software renderer one core."""
    # Else each worker's software renderer takes all cores; Mesa reads this when the first context is made.
    os.environ.setdefault("LP_NUM_THREADS", "1")


def spawned(workers: int, begin: Callable[[], None]) -> ProcessPoolExecutor:
    """Processes that first call `begin`; not forked, as neither threads nor a GL context survive that."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (begin,))


def rendering_processes(workers: int) -> ProcessPoolExecutor:
    """Processes that may render, with a core each."""
    return spawned(workers, limit_threads)


def _begin(begin: Callable[[], None]) -> None:
    end_with_parent()
    begin()
