"""Independent jobs on many processes of this machine, or on a Ray cluster; results come in the order of the jobs."""

import logging
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from genima_core.files import explained
from genima_core.processes import limit_threads, rendering_processes

Job = TypeVar("Job")
Result = TypeVar("Result")

DEATHS = 3
"""A job that so many workers died of is given up."""
ANSWER_S = 5.0
"""A cluster that does not answer within this time is not there."""
AHEAD = 1
"""Jobs for each worker that wait behind the one that runs."""


class _Pool(Protocol):
    workers: int

    def submit(self, function: Callable[[Job], Result], job: Job) -> Any: ...

    def result(self, ticket: Any) -> Any: ...

    def close(self) -> None: ...


def run_jobs(
    function: Callable[[Job], Result], jobs: Iterable[Job], workers: int = 1, ray: str | None = None
) -> Generator[tuple[Job, Result], None, None]:
    """Each job with its result, in order. With one worker and no cluster everything happens in this process.

    `function` and jobs must be picklable; what a worker needs again it keeps for itself. Close the generator to end
    early. A worker that dies, say because the machine had no memory left, costs the time of its job, which another
    does again. `ray` is the address of a cluster ("auto": the one this machine belongs to, "local": a new one here).

    ValueError: no cluster there; RuntimeError: `DEATHS` workers died of one job, or Ray is not installed; what
    `function` raises is raised here.
    """
    if ray is None and workers == 1:
        for job in jobs:
            yield job, function(job)
        return
    pool: _Pool = _Processes(workers) if ray is None else _Cluster(ray)
    waiting: deque[tuple[Job, Any]] = deque()
    try:
        for job in jobs:
            waiting.append((job, pool.submit(function, job)))
            if len(waiting) > pool.workers * (1 + AHEAD):
                first, ticket = waiting.popleft()
                yield first, pool.result(ticket)
        while waiting:
            first, ticket = waiting.popleft()
            yield first, pool.result(ticket)
    finally:
        pool.close()


class _Processes:
    """Worker processes that may render, each an executor of its own: one that dies takes no other with it."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executors = [rendering_processes(1) for _ in range(workers)]
        self._queued = [0] * workers

    def submit(self, function: Callable[[Job], Result], job: Job) -> tuple[Callable, Any, int, Future]:
        worker = min(range(self.workers), key=self._queued.__getitem__)
        self._queued[worker] += 1
        return function, job, worker, self._begin(worker, function, job)

    def _begin(self, worker: int, function: Callable[[Job], Result], job: Job) -> Future:
        try:
            return self._executors[worker].submit(function, job)
        except BrokenProcessPool:
            self._executors[worker] = rendering_processes(1)
            return self._executors[worker].submit(function, job)

    def result(self, ticket: tuple[Callable, Any, int, Future]) -> Any:
        function, job, worker, future = ticket
        for _ in range(DEATHS):
            try:
                result = future.result()
                self._queued[worker] -= 1
                return result
            except BrokenProcessPool:
                future = self._begin(worker, function, job)
        raise RuntimeError(
            f"{DEATHS} worker processes died of {job}; if the machine ran out of memory, use fewer --workers"
        )

    def close(self) -> None:
        for executor in self._executors:
            executor.shutdown(cancel_futures=True)


class _Cluster:
    """A Ray cluster: a job is a task of one CPU, which Ray itself does again where a worker dies."""

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise RuntimeError("Ray is not installed: pip install 'genima_ros[ray]'") from error
        self._ray = ray
        check_cluster(address)
        with _answering(address):
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def submit(self, function: Callable[[Job], Result], job: Job) -> Any:
        task: Any = self._ray.remote(num_cpus=1, max_retries=DEATHS - 1)(_on_cluster)
        return task.remote(function, job)

    def result(self, ticket: Any) -> Any:
        try:
            return self._ray.get(ticket)
        except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.OutOfMemoryError) as error:
            raise RuntimeError(f"{DEATHS} workers of the Ray cluster died of one job: {error}") from error
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error

    def close(self) -> None:
        self._ray.shutdown()


def check_cluster(address: str) -> None:
    """ValueError: nobody listens there, or it names no port. Ray itself would try for minutes."""
    if address not in ("auto", "local"):
        with _answering(address):
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=ANSWER_S).close()


def _answering(address: str) -> AbstractContextManager[None]:
    kinds, remedy = (OSError, ValueError, RuntimeError), "start one with `ray start --head`"
    return explained(f"no Ray cluster answers at {address!r}", kinds, remedy)


def _on_cluster(function: Callable[[Job], Result], job: Job) -> Result:
    limit_threads()
    return function(job)
