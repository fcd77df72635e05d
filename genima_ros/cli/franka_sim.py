"""`genima franka-sim`: an FR3 that speaks the vendor's network protocol, to rehearse on."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = "run-franka-sim-server"
OWN = Path(".venv-franka-sim") / "bin" / SERVER
"""Where docs/hardware.md installs it: it needs other versions of NumPy and MuJoCo."""


def franka_sim(server: Path | None = None, object_width_m: float | None = None, limits: bool = True) -> int:
    """Simulates a Franka Research 3 with its hand at 127.0.0.1, by franka-sim, until Ctrl-C.

    It aborts motions for the reasons that the arm does. Then, in another terminal: genima up real arm:=fr3_fci
    robot_ip:=127.0.0.1 cameras:=sim

    Args:
        server: The program run-franka-sim-server; by default that of .venv-franka-sim, or on the PATH.
        object_width_m: Width of an object that is always between the fingers.
        limits: Whether a command beyond the vendor's limits, or 20 lost packets in a row, abort a motion.
    """
    program = find_server(server)
    with tempfile.TemporaryDirectory() as folder:
        options = ["--gripper-physics"]
        options += ["--enforce-motion-limits", "--enforce-comm-constraints"] if limits else []
        options += [] if object_width_m is None else ["--gripper-object-width", str(object_width_m)]
        environment = os.environ | write_models(Path(folder))
        print(f"an FR3 at 127.0.0.1 ({program}); Ctrl-C ends it", flush=True)
        try:
            return subprocess.run([program, *options], env=environment, check=False).returncode
        except KeyboardInterrupt:
            return 0


def find_server(given: Path | None = None) -> str:
    """The program's path; RuntimeError where it is not installed."""
    if given is not None and not given.is_file():
        raise RuntimeError(f"{given} is not a file; give the path of {SERVER}")
    beside = Path(sys.prefix).parent / OWN
    found = next((path for path in (given, OWN, beside) if path is not None and path.is_file()), None)
    if found is None and (on_path := shutil.which(SERVER)):
        found = Path(on_path)
    if found is None:
        install = f"python3 -m venv {OWN.parents[1]} && {OWN.parent}/pip install franka-sim"
        raise RuntimeError(f"franka-sim is not installed; it needs an environment of its own: {install}")
    return str(found.absolute())


def write_models(folder: Path) -> dict[str, str]:
    """The arm and the hand as files, and the variables by which franka-sim finds them."""
    from genima_core.franka.model import write_arm, write_hand  # not at the top: `--help` answers at once

    arm, hand = folder / "fr3.xml", folder / "hand.xml"
    write_arm(arm)
    write_hand(hand)
    return {"FR3_MJCF": str(arm), "FRANKA_HAND_MJCF": str(hand)}
