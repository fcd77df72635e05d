"""`genima rehearse`: arms that speak the vendor's network protocol, to rehearse on."""

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from genima_core.franka.server import SimulatedArm, find_server, running_server
from genima_ros.cli.up import terminate_as_interrupt

LOOK_S = 0.5
MOST_ARMS = 9
SHOWN = ("ERROR", "violat", "not understood")
"""In what franka-sim says."""


def rehearse(
    server: Path | None = None, arms: int = 1, object_width_m: float | None = None, limits: bool = True
) -> int:
    """Simulates one FR3 or several on this computer, by franka-sim, until Ctrl-C.

    With their hands, at 127.0.0.1, 127.0.0.2 and so on. They abort motions for the reasons that the arm does. What
    else happens at an arm is typed in, a line each: user_stopped, guiding, idle; reflex joint_velocity_violation (any
    of the vendor's errors); push 4 2.0 (a torque in Nm at joint 4, to lead a guided arm); with several arms the arm's
    number goes before it: 2 push 4 2.0.

    Example: genima rehearse

    then, in another terminal: genima up real arm:=fr3_fci robot_ip:=127.0.0.1 cameras:=sim

    Args:
        server: The program run-franka-sim-server; by default that of .venv-franka-sim, or on the PATH.
        arms: How many; a follower and a leader are two.
        object_width_m: Width of an object that is always between the fingers.
        limits: Whether a command beyond the vendor's limits, or 20 lost packets in a row, aborts a motion.
    """
    program = find_server(server)
    if not 1 <= arms <= MOST_ARMS:
        raise RuntimeError(f"arms is {arms}; valid are 1 to {MOST_ARMS}")
    with terminate_as_interrupt(), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            logs, running = [], []
            for number in range(1, arms + 1):
                address, log = f"127.0.0.{number}", folder / f"log{number}"
                running.append(stack.enter_context(running_server(program, log, address, limits, object_width_m)))
                logs.append(stack.enter_context(log.open()))
                print(f"an FR3 answers at {address}{'; Ctrl-C ends it' if number == arms else ''}", flush=True)
            threading.Thread(target=_pass_on, args=(running,), daemon=True).start()
            while all(arm.process.poll() is None for arm in running):
                for arm, log_lines in zip(running, logs, strict=True):
                    for line in log_lines:
                        if any(word in line for word in SHOWN):
                            print(f"{arm.address}: {line.rstrip()}", flush=True)
                time.sleep(LOOK_S)
        except KeyboardInterrupt:
            return 0
    raise RuntimeError(f"franka-sim ended with status {[arm.process.returncode for arm in running]}")


def _pass_on(arms: Sequence[SimulatedArm]) -> None:
    """Tells the arms what is typed in."""
    for line in sys.stdin:
        number, _, words = line.strip().partition(" ")
        if not number.isdigit():
            number, words = "1", line.strip()
        if words and 1 <= int(number) <= len(arms):
            arms[int(number) - 1].tell(words)
        elif words:
            print(f"there is no arm {number}; valid are 1 to {len(arms)}", flush=True)
