import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")

from genima_core.arm import PANDA
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_diagnostics
from genima_ros.nodes.streamer_node import StreamerNode
from genima_ros.nodes.teleop_node import TeleopNode

from .conftest import as_text

pytestmark = pytest.mark.ros

TOLERANT = {"leader_timeout_s": 5.0, "follower_timeout_s": 5.0}
"""Of a machine that has no time for a test; the time limits themselves are tested on a simulated clock."""


class Arm:
    """Says at 100 Hz where it is: where it was put, or where the last of `commands` wants it."""

    def __init__(self, bench, topic, q=PANDA.home, names=PANDA.joint_names, fingers_m=None, commands=None):
        self.bench, self.q, self.names, self.fingers_m = bench, np.array(q), tuple(names), fingers_m
        self.commands = commands
        self.publisher = interfaces.publish(bench.probe, topic)
        self.timer = bench.probe.create_timer(0.01, self.say)

    def say(self):
        if self.commands:
            self.q = np.array(self.commands[-1].position)
        names, q = self.names, self.q
        if self.fingers_m is not None:
            names, q = (*names, *PANDA.gripper.joints), [*q, *self.fingers_m]
        self.publisher.publish(conversions.to_joint_state(names, q, self.bench.now_s(), np.zeros(len(names))))

    def fall_silent(self):
        self.timer.cancel()


@pytest.fixture
def cell(bench):
    """Both nodes, a follower and (after `leader`) a leader; everything that is said."""

    class Cell:
        def __init__(self):
            self.states, self.streamer_states = [], []
            interfaces.subscribe(bench.probe, interfaces.TELEOP_STATE, lambda m: self.states.append(as_text(m)))
            interfaces.subscribe(
                bench.probe, interfaces.STREAMER_STATE, lambda m: self.streamer_states.append(as_text(m))
            )
            self.targets, self.widths = bench.listen(interfaces.JOINT_TARGET), bench.listen(interfaces.GRIPPER_COMMAND)
            self.commands, self.diagnostics = (
                bench.listen(interfaces.JOINT_COMMANDS),
                bench.listen(interfaces.DIAGNOSTICS),
            )

        def start(self, enabled=True, **parameters):
            self.follower = Arm(bench, interfaces.JOINT_STATES, commands=self.commands)
            bench.node(
                StreamerNode,
                parameters={
                    "enabled": enabled,
                    "period_s": 0.005,
                    "target_timeout_s": 1.0,
                    "joint_state_timeout_s": 5.0,
                    "joint_state_fault_s": 9.0,
                    "max_gap_s": 5.0,
                },
            )
            bench.node(TeleopNode, parameters={**TOLERANT, **parameters})
            bench.until(lambda: self.states and self.streamer_states)
            return self

        def leader(self, q=PANDA.home + 0.1, **options):
            return Arm(bench, interfaces.LEADER_JOINT_STATES, q, **options)

        def engage(self):
            """Engages as soon as everybody was heard."""
            bench.until(lambda: bench.call("teleop", "engage").success)

        def refused(self, words):
            bench.until(lambda: words in bench.call("teleop", "engage").message)

        def until(self, state):
            bench.until(lambda: self.states[-1].partition(":")[0] == state)

    return Cell()


def test_the_follower_approaches_and_mirrors_arm_and_gripper(cell, bench):
    cell.start()
    leader = cell.leader(fingers_m=(0.02, 0.02))
    assert cell.states[-1] == "idle: Engage to begin."
    cell.engage()
    cell.until("mirroring")
    percent = [float(line.split()[1]) for line in cell.states if line.startswith("approaching")]
    assert percent == sorted(percent) and len({round(value, -1) for value in percent}) >= 3
    leader.q = leader.q + 0.01
    bench.until(lambda: np.abs(np.array(cell.commands[-1].position) - leader.q).max() < 1e-3)
    assert set(cell.targets[-1].name) == {*PANDA.joint_names, conversions.GRIPPER_JOINT}
    bench.until(lambda: cell.widths and cell.widths[-1].data == pytest.approx(0.04))
    bench.until(
        lambda: any(
            read_diagnostics(m).get("streamer", {}).get("follow_latency_ms_p99", 0) > 0 for m in cell.diagnostics
        )
    )
    bench.until(
        lambda: any(read_diagnostics(m).get("teleop", {}).get("state") == "mirroring" for m in cell.diagnostics)
    )
    values = [read_diagnostics(m)["teleop"] for m in cell.diagnostics if "teleop" in read_diagnostics(m)][-1]
    assert {"progress", "distance_rad", "leader_age_ms", "follower_age_ms"} <= set(values)
    assert bench.call("teleop", "pause").success
    cell.until("paused")
    assert not bench.call("teleop", "pause").success
    cell.engage()
    cell.until("mirroring")
    assert bench.call("teleop", "stop").success
    cell.until("stopped")


def test_engaging_is_refused_with_the_reason(cell, bench):
    cell.start(enabled=False, leader_timeout_s=0.5)
    cell.refused("leader")
    first = cell.leader()
    cell.refused("genima enable")
    first.names = tuple(f"fr3_joint{i}" for i in range(1, 8))
    cell.refused("it has fr3_joint1")
    first.names = PANDA.joint_names
    _second = interfaces.publish(bench.probe, interfaces.LEADER_JOINT_STATES)
    cell.refused("all but one")
    assert not cell.targets


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda bench, leader: setattr(leader, "q", leader.q + 0.4), "jumped"),
        (
            lambda bench, leader: setattr(leader, "names", PANDA.joint_names[:6]) or setattr(leader, "q", leader.q[:6]),
            "lacks",
        ),
        (lambda bench, leader: interfaces.publish(bench.probe, interfaces.LEADER_JOINT_STATES), "2 publish"),
        (lambda bench, leader: bench.call("streamer", "stop"), "disabled"),
    ],
)
def test_what_ends_it_is_said_and_nothing_restarts_by_itself(cell, bench, spoil, words):
    cell.start()
    leader = cell.leader(PANDA.home + 0.02)
    cell.engage()
    cell.until("mirroring")
    spoil(bench, leader)
    cell.until("stopped")
    assert words in cell.states[-1]
    bench.until(bench.problem("teleop", cell.diagnostics, words))
    assert cell.states[-1].startswith("stopped")


def test_a_silent_leader_is_noticed(cell, bench):
    cell.start(leader_timeout_s=0.5)
    leader = cell.leader(PANDA.home + 0.02)
    cell.engage()
    cell.until("mirroring")
    leader.fall_silent()
    cell.until("stopped")


def test_a_wrong_parameter_is_refused(bench):
    with pytest.raises(FileNotFoundError, match="no arm 'ur5'; valid are"):
        bench.node(TeleopNode, parameters={"leader_arm": "ur5"})


def test_nothing_heavy_is_imported():
    code = (
        "import sys, genima_ros.nodes.teleop_node; heavy = {'torch', 'mujoco', 'pyrender', 'diffusers', 'cv2'} "
        "& set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
