"""`genima rehearse`: an FR3 that speaks the vendor's network protocol, to rehearse on."""

import tempfile
import time
from pathlib import Path

from genima_core.franka.server import ENFORCED, find_server, running_server
from genima_ros.cli.up import terminate_as_interrupt

LOOK_S = 0.5


def rehearse(server: Path | None = None, object_width_m: float | None = None, limits: bool = True) -> int:
    """Simulates an FR3 with its hand at 127.0.0.1, by franka-sim, until Ctrl-C.

    It aborts motions for the reasons that the arm does.

    Example: genima rehearse

    then, in another terminal: genima up real arm:=fr3_fci robot_ip:=127.0.0.1 cameras:=sim

    Args:
        server: The program run-franka-sim-server; by default that of .venv-franka-sim, or on the PATH.
        object_width_m: Width of an object that is always between the fingers.
        limits: Whether a command beyond the vendor's limits, or 20 lost packets in a row, aborts a motion.
    """
    program = find_server(server)
    with terminate_as_interrupt(), tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        try:
            with running_server(program, log, ENFORCED if limits else (), object_width_m) as process:
                print("an FR3 answers at 127.0.0.1; Ctrl-C ends it", flush=True)
                with log.open() as file:
                    while process.poll() is None:
                        for line in file:
                            if "ERROR" in line or "violat" in line:
                                print(line.rstrip(), flush=True)
                        time.sleep(LOOK_S)
        except KeyboardInterrupt:
            return 0
    raise RuntimeError(f"franka-sim ended with status {process.returncode}")
