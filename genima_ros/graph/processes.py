"""The nodes of a graph as child processes: started, watched, and all of them ended."""

import contextlib
import itertools
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self, TextIO

from genima_core.processes import end_with_parent
from genima_ros.graph.graph import RESPAWN_AFTER_S, NodeProcess

PROBLEMS = ("WARN", "ERROR", "FATAL", "cannot start", "ended with")
COLOURS = (36, 33, 35, 32, 34, 31)
PATIENCE_S = ((signal.SIGTERM, 8.0), (signal.SIGKILL, 5.0))
"""Not SIGINT, at which a node that still imports would print a traceback."""
LAST_LINES = 15
READ_S = 1.0
"""Within this the last lines of a process that has ended are read."""


class ProcessOutput:
    """Prints the lines of several processes, each with its name before it; with a `log`, only problems are shown."""

    def __init__(self, stream: TextIO, names: Collection[str], log: TextIO | None = None) -> None:
        self._stream, self._log, self._lock = stream, log, threading.Lock()
        self._width = max(map(len, names), default=0)
        self._colours = dict(zip(names, itertools.cycle(COLOURS), strict=False)) if stream.isatty() else {}
        self._unseen: dict[str, deque[str]] = {name: deque(maxlen=LAST_LINES) for name in names}

    def line(self, name: str, text: str) -> None:
        prefix = f"[{name}]".ljust(self._width + 2)
        if name in self._colours:
            prefix = f"\033[{self._colours[name]}m{prefix}\033[0m"
        with self._lock, contextlib.suppress(ValueError, OSError):  # the stream may be gone at the very end
            if self._log is not None:
                self._log.write(f"[{name}] {text}\n")
                if not any(mark in text for mark in PROBLEMS):
                    self._unseen[name].append(text)
                    return
            self._stream.write(f"{prefix} {text}\n")
            self._stream.flush()

    def show_last(self, name: str) -> None:
        """Prints the last lines of a process that only the log has."""
        unseen, self._log = self._unseen[name], None
        while unseen:
            self.line(name, unseen.popleft())


@dataclass
class _Child:
    popen: subprocess.Popen[str]
    reader: threading.Thread
    started_s: float
    due_s: float | None = None
    """When to start the next one, once this has ended."""


class RunningGraph:
    """Context manager: starts the processes on entry and ends every one of them on exit.

    The thread that enters must live as long as the graph: the kernel ends the children when it dies.
    """

    def __init__(
        self,
        processes: Iterable[NodeProcess],
        environment: Mapping[str, str],
        line: Callable[[str, str], None],
        show_last: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.processes, self._environment = tuple(processes), dict(environment)
        self._line, self._show_last = line, show_last
        self._children: dict[str, _Child] = {}

    def __enter__(self) -> Self:
        try:
            for process in self.processes:
                self._start(process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Node name to process id, of those that run."""
        return {name: child.popen.pid for name, child in self._children.items() if child.popen.poll() is None}

    def check(self) -> None:
        """Starts again what died and may be, and is called often; RuntimeError for what the graph cannot do without."""
        now_s = time.monotonic()
        for process in self.processes:
            child = self._children[process.name]
            if (status := child.popen.poll()) is None:
                continue
            if child.due_s is None:
                child.reader.join(READ_S)
                try:
                    text = process.after_end(status, now_s - child.started_s)
                except RuntimeError:
                    self._show_last(process.name)
                    raise
                self._line(process.name, text)
                child.due_s = now_s + RESPAWN_AFTER_S
            elif now_s >= child.due_s:
                self._start(process)

    def stop(self) -> None:
        """Asks all to end, then insists; returns when none is left."""
        children = self._children.values()
        for ask, patience_s in PATIENCE_S:
            deadline_s = time.monotonic() + patience_s
            for child in children:
                child.popen.send_signal(ask)  # nothing where it has ended
            for child in children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.popen.wait(max(0.0, deadline_s - time.monotonic()))
        for child in children:
            child.reader.join(READ_S)

    def _start(self, process: NodeProcess) -> None:
        parent = os.getpid()

        def prepare() -> None:
            end_with_parent()
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)
            os.nice(process.niceness)

        popen = subprocess.Popen(
            process.command(),
            env={**self._environment, **process.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A group of its own: Ctrl-C reaches it through us only, once. Not a session of its own: the kernel
            # shares out CPU time by session first, and niceness would mean nothing.
            process_group=0,
            preexec_fn=prepare,
        )
        assert popen.stdout is not None  # it is a pipe
        reader = threading.Thread(target=self._read, args=(process.name, popen.stdout), daemon=True)
        reader.start()
        self._children[process.name] = _Child(popen, reader, time.monotonic())

    def _read(self, name: str, stdout: TextIO) -> None:
        with stdout as lines:
            for text in lines:
                self._line(name, text.rstrip("\n"))
