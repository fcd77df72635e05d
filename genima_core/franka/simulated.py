"""Run by franka-sim's own interpreter, where Genima is not installed: its FR3 at an address of this computer.

    python simulated.py --address 127.0.0.2 --enforce --object-width 0.03

What happens to an arm is typed in, one line each: a mode (`user_stopped`, `guiding`, `idle`), `reflex NAME` of the
vendor's name of an error, `push JOINT NM` for a torque from outside, `refuse` or `accept` for clients that come.
"""

import argparse
import logging
import os
import signal
import sys
import threading

import numpy as np
from franka_sim import ConnectStatus, FrankaSimServer, RobotMode
from franka_sim.limits.tables import ERROR_NAMES

MODES = {"user_stopped": RobotMode.kUserStopped, "guiding": RobotMode.kGuiding, "idle": RobotMode.kIdle}
ERRORS = {name: index for index, name in ERROR_NAMES.items()}


class SimulatedArm(FrankaSimServer):
    """An FR3 to which things happen."""

    refuses = False

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(
            host=options.address,
            gripper_physics=True,
            gripper_object_width=options.object_width,
            enforce_comm_constraints=options.enforce,
            enforce_motion_limits=options.enforce,
        )
        self.push_nm, drive = np.zeros(7), self.physics_sim.arm_control_torque
        self.physics_sim.arm_control_torque = lambda: drive() + self.push_nm

    def send_response(self, client_socket, command, command_id, status, version):
        """The answer to a client that connects."""
        if self.refuses:
            status, version = ConnectStatus.kIncompatibleLibraryVersion, version + 1
        super().send_response(client_socket, command, command_id, status, version)

    def obey(self) -> None:
        """Does what is typed in."""
        for line in sys.stdin:
            try:
                self._do(*line.split())
            except (KeyError, ValueError, TypeError, IndexError) as error:
                print(f"{line.strip()!r} is not understood ({error})", flush=True)

    def _do(self, word: str, *values: str) -> None:
        if word == "reflex":
            self._abort_with_error(ERRORS[values[0]], values[0])
        elif word == "push":
            self.push_nm[int(values[0]) - 1] = float(values[1])
        elif word in ("refuse", "accept"):
            self.refuses = word == "refuse"
        else:
            self.robot_state.set_robot_mode(MODES[word])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--enforce", action="store_true", help="abort motions as the arm does")
    parser.add_argument("--object-width", type=float, help="m, of an object that is always between the fingers")
    parser.add_argument("--errors", action="store_true", help="list the errors that it can have")
    options = parser.parse_args()
    if options.errors:
        print(*sorted(ERRORS), sep="\n")
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    arm = SimulatedArm(options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=arm.obey, daemon=True).start()
    try:
        arm.start()
    except KeyboardInterrupt:
        pass
    finally:
        arm.stop()
        sys.stdout.flush()
        os._exit(0)  # threads of its servers would keep the process


if __name__ == "__main__":
    main()
