"""franka-sim as a process: an FR3 with its hand, at an address of this computer, by the vendor's network protocol."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "run-franka-sim-server"
OWN = Path(".venv-franka-sim")
"""Environment that docs/hardware.md makes for it: it needs other versions of NumPy and MuJoCo."""
OURS = Path(__file__).with_name("simulated.py")
ADDRESS = "127.0.0.1"
READY = "Server ready for new client connection"
READY_S = 60.0
END_S = 20.0


@dataclass(frozen=True)
class SimulatedArm:
    process: subprocess.Popen
    address: str

    def tell(self, line: str) -> None:
        """What happens to it; see `simulated.py`."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


def find_server(given: Path | None = None) -> Path:
    """The program of franka-sim; RuntimeError where it is not installed."""
    if given is not None and not given.is_file():
        raise RuntimeError(f"{given} is not a file; give the path of {PROGRAM}")
    own = OWN / "bin" / PROGRAM
    for path in (given, own, Path(sys.prefix).parent / own, shutil.which(PROGRAM)):
        if path is not None and Path(path).is_file():
            return Path(path).absolute()
    install = f"python3 -m venv {OWN} && {OWN}/bin/pip install franka-sim==1.1.7"
    raise RuntimeError(f"franka-sim is not installed; it needs an environment of its own: {install}")


def find_errors(program: Path) -> list[str]:
    """The vendor's names of the errors that it knows."""
    return subprocess.run([*_command(program), "--errors"], check=True, capture_output=True, text=True).stdout.split()


@contextmanager
def running_server(
    program: Path, log: Path, address: str = ADDRESS, limits: bool = True, object_width_m: float | None = None
) -> Iterator[SimulatedArm]:
    """Runs it until the end of the context, from when it takes clients; what it says goes to `log`.

    With `limits` it aborts a motion for what goes beyond the vendor's limits, or for 20 lost packets in a row.
    RuntimeError where it ends at once, for instance because ports 1337 and 1338 of the address are taken.
    """
    from genima_core.franka.model import write_arm, write_hand  # MuJoCo: who only looks for the program needs none

    with tempfile.TemporaryDirectory() as folder:
        arm, hand = Path(folder) / "fr3.xml", Path(folder) / "hand.xml"
        write_arm(arm)
        write_hand(hand)
        environment = os.environ | {"FR3_MJCF": str(arm), "FRANKA_HAND_MJCF": str(hand), "PYTHONUNBUFFERED": "1"}
        command = [*_command(program), "--address", address, *(["--enforce"] if limits else [])]
        command += [] if object_width_m is None else ["--object-width", str(object_width_m)]
        with log.open("w") as file:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, text=True
            )
        try:
            _wait(process, log)
            yield SimulatedArm(process, address)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()


def _command(program: Path) -> list[str]:
    """Our way to start it, by the interpreter of its environment: its own program takes no address."""
    return [str(program.resolve().with_name("python")), str(OURS)]


def _wait(process: subprocess.Popen, log: Path) -> None:
    end_s = time.monotonic() + READY_S
    while READY not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > end_s:
            last = " ".join(log.read_text(errors="replace").split()[-40:])
            raise RuntimeError(f"franka-sim does not start: {last or 'it says nothing'}")
        time.sleep(0.05)
