import os
import subprocess
import sys

LIMIT_S = 60.0
"""Reached only by a test that fails."""
PARENT = """
import os, signal
from genima_core.processes import rendering_processes
with rendering_processes(1) as pool:
    print(pool.submit(os.getpid).result(), pool.submit(os.getenv, "LP_NUM_THREADS").result(), flush=True)
    signal.pause()
"""


def test_workers_end_with_the_process_that_started_them():
    environment = {k: v for k, v in os.environ.items() if k != "LP_NUM_THREADS"}
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        worker, threads = parent.stdout.readline().split()
        assert int(worker) != parent.pid and threads == "1"
        parent.kill()
        parent.communicate(timeout=LIMIT_S)  # until nobody is left who could write
