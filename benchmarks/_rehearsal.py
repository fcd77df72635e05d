"""Commands an arm through the streamer and our own driver, and sees what comes of it; for benchmarks and tests."""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import yaml
from sensor_msgs.msg import JointState

from genima_core.arm import Arm
from genima_core.arm_status import ArmStatus
from genima_core.streaming.states import Refusal, State, Status
from genima_core.types import ActionChunk
from genima_ros.arms import find_arm
from genima_ros.clients.observer import Observer
from genima_ros.clients.running import start, wait_ready
from genima_ros.graph.graph import READY_S, argument_values, describe_graph
from genima_ros.graph.processes import RunningGraph
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_arm_status, read_status

NODES = ("franka", "streamer")
ADDRESS = "127.0.0.1"
DT_S, ACTIONS = 0.05, 20
"""Of a chunk, as of the shipped checkpoint."""
ANSWER_S = 30.0
KEPT = 60_000
"""Joint states: four minutes at 250 Hz."""


class Seen(NamedTuple):
    """A joint state."""

    arrived_s: float
    stamp_s: float
    q: np.ndarray
    dq: np.ndarray


class Rehearsal(Observer):
    """Stands where the controller node and the teleop node stand."""

    arm: Arm

    def __init__(self, domain: int) -> None:
        super().__init__(domain, "rehearsal")
        self.arm = find_arm("fr3_fci").arm
        self.joints: deque[Seen] = deque(maxlen=KEPT)
        self.commands: deque[Seen] = deque(maxlen=KEPT)
        self.status: ArmStatus | None = None
        self.streamer: Status | None = None
        self.wanted = False
        self.listen(interfaces.JOINT_STATES, lambda message: self._keep(self.joints, message))
        self.listen(interfaces.JOINT_COMMANDS, lambda message: self._keep(self.commands, message))
        self.listen(interfaces.ARM_STATUS, self._on_status)
        self.listen(interfaces.STREAMER_STATE, lambda m: setattr(self, "streamer", read_status(m, State)))
        self.listen(interfaces.CHUNK_WANTED, lambda m: setattr(self, "wanted", m.data))
        self._chunks = interfaces.publish(self.node, interfaces.ACTION_CHUNK)
        self._targets = interfaces.publish(self.node, interfaces.JOINT_TARGET)

    @property
    def q(self) -> np.ndarray:
        """(7,) rad, as last measured."""
        return self.joints[-1].q

    @property
    def level(self) -> int | None:
        return None if self.status is None else int(self.status.level)

    def send_chunk(self, positions: np.ndarray, width_m: float = 0.08) -> float:
        """Sends actions (n, 7) rad, the first one due a step from now; when, in ROS time."""
        now_s = self.now_s()
        gripper = np.full(len(positions), width_m / self.arm.gripper.max_width_m)
        chunk = ActionChunk(positions, gripper, DT_S, now_s + DT_S, now_s)
        self._chunks.publish(conversions.chunk_to_trajectory(chunk, self.arm))
        return now_s

    def send_target(self, q: np.ndarray, dq: np.ndarray, width_m: float = 0.08) -> None:
        """Sends where the follower of teleoperation is to be now, (7,) rad and rad/s."""
        names = (*self.arm.joint_names, conversions.GRIPPER_JOINT)
        message = conversions.to_joint_state(names, np.append(q, width_m), self.now_s(), np.append(dq, 0.0))
        self._targets.publish(message)

    def enable(self) -> None:
        """RuntimeError where the streamer refuses."""
        self.call("streamer", "enable", ANSWER_S, again=True, data=True)

    def _keep(self, kept: "deque[Seen]", message: JointState) -> None:
        names = list(message.name)
        columns = [names.index(name) for name in self.arm.joint_names]
        q, dq = (np.array(values, np.float64)[columns] for values in (message.position, message.velocity))
        kept.append(Seen(self.now_s(), conversions.seconds(message.header.stamp), q, dq))

    def _on_status(self, message: object) -> None:
        status = read_arm_status(message)
        if not isinstance(status, Refusal):
            self.status = status


@contextmanager
def rehearsing(
    folder: Path, domain: int, log: TextIO | None = None, arm: str = "fr3_fci", address: str = ADDRESS, **franka: object
) -> Iterator[tuple[Rehearsal, RunningGraph]]:
    """Streamer and driver as processes, at full speed, ready and disabled; `franka` are parameters of the driver."""
    config = folder / "rehearsal.yaml"
    sections = {"streamer": {"velocity_scale": 1.0, "check_collisions": False}, "franka": franka}
    config.write_text(yaml.safe_dump({node: {"ros__parameters": values} for node, values in sections.items()}))
    values = argument_values(
        "teleop_real",
        {"arm": arm, "leader_arm": "sim", "robot_ip": address, "config": str(config), "execution": "sync"},
    )
    with ExitStack() as stack:
        running, rehearsal = start(describe_graph("teleop_real", values, NODES), stack, domain, Rehearsal, log)
        wait_ready(running, rehearsal, READY_S)
        yield rehearsal, running


def ramp(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Actions (20, 7) from rest to rest."""
    x = np.arange(1, ACTIONS + 1)[:, None] / ACTIONS
    return start + (end - start) * x**3 * (10 - 15 * x + 6 * x * x)
