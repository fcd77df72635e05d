"""franka-sim as a process: an FR3 with its hand at 127.0.0.1 that speaks the vendor's network protocol."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRAM = "run-franka-sim-server"
OWN = Path(".venv-franka-sim")
"""Environment that docs/hardware.md makes for it: it needs other versions of NumPy and MuJoCo."""
ENFORCED = ("--enforce-motion-limits", "--enforce-comm-constraints")
"""Abort a motion for what goes beyond the vendor's limits, or for 20 lost packets in a row."""
READY = "Server ready for new client connection"
READY_S = 60.0
END_S = 20.0


def find_server(given: Path | None = None) -> Path:
    """The program; RuntimeError where it is not installed."""
    if given is not None and not given.is_file():
        raise RuntimeError(f"{given} is not a file; give the path of {PROGRAM}")
    own = OWN / "bin" / PROGRAM
    for path in (given, own, Path(sys.prefix).parent / own, shutil.which(PROGRAM)):
        if path is not None and Path(path).is_file():
            return Path(path).absolute()
    install = f"python3 -m venv {OWN} && {OWN}/bin/pip install franka-sim==1.1.7"
    raise RuntimeError(f"franka-sim is not installed; it needs an environment of its own: {install}")


@contextmanager
def running_server(
    program: Path, log: Path, options: Sequence[str] = ENFORCED, object_width_m: float | None = None
) -> Iterator[subprocess.Popen]:
    """Runs it until the end of the context, from when it takes clients; what it says goes to `log`.

    RuntimeError where it ends at once, for instance because its ports 1337 and 1338 are taken.
    """
    from genima_core.franka.model import write_arm, write_hand  # MuJoCo: who only looks for the program needs none

    with tempfile.TemporaryDirectory() as folder:
        arm, hand = Path(folder) / "fr3.xml", Path(folder) / "hand.xml"
        write_arm(arm)
        write_hand(hand)
        environment = os.environ | {"FR3_MJCF": str(arm), "FRANKA_HAND_MJCF": str(hand), "PYTHONUNBUFFERED": "1"}
        command = [str(program), "--gripper-physics", *options]
        command += [] if object_width_m is None else ["--gripper-object-width", str(object_width_m)]
        with log.open("w") as file:
            process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            _wait(process, log)
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()


def _wait(process: subprocess.Popen, log: Path) -> None:
    end_s = time.monotonic() + READY_S
    while READY not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > end_s:
            last = " ".join(log.read_text(errors="replace").split()[-40:])
            raise RuntimeError(f"franka-sim does not start: {last or 'it says nothing'}")
        time.sleep(0.05)
