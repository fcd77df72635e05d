"""The real nodes: an operator takes over from a policy and gives back; judged where the arm listens."""

from itertools import groupby
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from genima_core.arm import PANDA
from genima_core.loop import MOST_REFUSED
from genima_core.pixels import tile
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import values_of
from genima_ros.nodes.controller_node import ControllerNode
from genima_ros.nodes.streamer_node import StreamerNode
from genima_ros.nodes.teleop_node import TeleopNode

from .conftest import as_text
from .received import Received
from .test_controller_gate import FakeGate
from .test_teleop_node import TOLERANT, Arm

pytestmark = pytest.mark.ros

PATIENT = {
    "target_timeout_s": 1.0,
    "joint_state_timeout_s": 5.0,
    "joint_state_fault_s": 9.0,
    "max_gap_s": 5.0,
    "max_observation_age_s": 30.0,
}
"""Of a machine that has no time for a test."""


class Swing:
    """A policy that turns each joint to and fro about home."""

    dt_s = 0.05

    def __init__(self) -> None:
        self.acted = 0

    def act(self, targets, q, gripper, instruction):
        self.acted += 1
        goal = PANDA.home + (0.15 if self.acted % 2 else -0.15)
        return q + np.linspace(0.05, 1.0, 20)[:, None] * (goal - q), np.zeros(20)


@pytest.fixture
def cell(bench, drawing):
    """Streamer, teleoperation, a policy that draws ten times a second, a follower and a leader."""

    class Cell:
        def __init__(self):
            self.received = Received(bench.probe)
            self.streamer, self.teleop, self.commanders = {}, "", []
            interfaces.subscribe(bench.probe, interfaces.STREAMER_STATE, self.on_streamer)
            interfaces.subscribe(bench.probe, interfaces.TELEOP_STATE, lambda m: setattr(self, "teleop", as_text(m)))
            self.commands, self.chunks = bench.listen(interfaces.JOINT_COMMANDS), bench.listen(interfaces.ACTION_CHUNK)
            self.proposals, self.gates = bench.listen(interfaces.PROPOSAL), bench.listen(interfaces.GATE)
            self.policy, self.gate, self.drawn = Swing(), FakeGate(), 0

        def start(self, execution="sync", enabled=True, gate=False, leader=PANDA.home + 0.2):
            Arm(bench, interfaces.JOINT_STATES, commands=self.commands, fingers_m=(0.02, 0.02))
            self.leader = Arm(bench, interfaces.LEADER_JOINT_STATES, leader)
            bench.node(StreamerNode, parameters={"execution": execution, "enabled": enabled, **PATIENT})
            self.start_controller(gate)
            bench.node(TeleopNode, parameters=TOLERANT)
            self.drawings = bench.talk(interfaces.TARGETS)
            self.observations = bench.talk(interfaces.OBSERVATION) if gate else None
            bench.probe.create_timer(0.1, self.draw)
            return self

        def start_controller(self, gate=False):
            checkpoint = SimpleNamespace(
                gate=lambda config, arm: self.gate,
                unknown_instruction=lambda text: "",
                rig=SimpleNamespace(cameras=(None,) * 4),
            )
            parameters = {"instruction": "swing", "gate": gate}
            bench.node(ControllerNode, lambda _: (self.policy, checkpoint), parameters=parameters)

        def draw(self):
            message = conversions.rgb_to_image(tile(drawing), bench.now_s())
            if self.observations is not None:
                self.observations.publish(message)
            self.drawings.publish(message)
            self.drawn += 1

        def on_streamer(self, message):
            self.streamer = values_of(message)
            self.commanders.append(self.streamer["commander"])

        @property
        def speed(self):
            return np.abs(self.commands[-1].velocity).max() if self.commands else 0.0

        def until_policy_moves(self):
            bench.until(lambda: self.streamer.get("commander") == "policy" and self.speed > 0.1)

        def engage(self):
            bench.until(lambda: bench.call("teleop", "engage").success)

        def until_mirroring(self):
            bench.until(lambda: self.teleop.startswith("mirroring") and self.streamer["commander"] == "human")

        def lead(self, offset):
            """In steps that are no jumps, however late they are noticed."""
            goal = self.leader.q + offset
            while np.abs(goal - self.leader.q).max() > 1e-9:
                self.leader.q = self.leader.q + np.clip(goal - self.leader.q, -0.003, 0.003)
                bench.until(lambda: np.abs(np.array(self.commands[-1].position) - self.leader.q).max() < 2e-3)

        def after_drawings(self, count=10):
            end = self.drawn + count
            bench.until(lambda: self.drawn >= end)
            bench.settle("controller")
            bench.settle("streamer")

        def nothing_is_acted_upon(self):
            acted = self.policy.acted
            self.after_drawings()
            assert self.policy.acted == acted

    return Cell()


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_the_operator_takes_over_in_mid_chunk_and_gives_back(cell, bench, execution):
    cell.start(execution)
    cell.until_policy_moves()
    cell.engage()
    cell.until_mirroring()
    for offset in (0.01, -0.01, 0.01):
        cell.lead(offset)
    cell.nothing_is_acted_upon()
    assert bench.call("teleop", "disengage").success
    assert not bench.call("teleop", "disengage").success
    cell.until_policy_moves()
    turns = [name for name, _ in groupby(cell.commanders)]
    assert turns[turns.index("policy") :] == ["policy", "none", "human", "none", "policy"]
    cell.received.check(late_periods=1)


def test_a_leader_that_dies_leaves_the_arm_to_the_operator(cell, bench):
    cell.start(leader=PANDA.home + 0.05)
    cell.until_policy_moves()
    cell.engage()
    cell.until_mirroring()
    cell.leader.fall_silent()
    bench.until(lambda: cell.teleop.startswith("stopped") and cell.streamer["state"] == "holding")
    before = np.array(cell.commands[-1].position)
    cell.nothing_is_acted_upon()
    np.testing.assert_allclose(np.array(cell.commands[-1].position), before, atol=1e-9)
    assert cell.streamer["taken_over"] == "true" and cell.streamer["commander"] == "none"
    assert bench.call("teleop", "disengage").success
    cell.until_policy_moves()
    cell.received.check(late_periods=1)


def test_taking_over_while_a_chunk_waits_for_approval(cell, bench):
    cell.start("confirm", leader=PANDA.home)
    bench.until(lambda: cell.proposals and cell.proposals[-1].points)
    cell.engage()
    cell.until_mirroring()
    bench.until(lambda: not cell.proposals[-1].points)
    assert not bench.call("controller", "approve", load_namespace="Ada").success and not cell.chunks
    cell.lead(0.02)
    cell.nothing_is_acted_upon()
    assert bench.call("teleop", "disengage").success
    bench.until(lambda: cell.proposals[-1].points)
    assert bench.call("controller", "approve", load_namespace="Ada").success
    cell.until_policy_moves()
    cell.received.check(late_periods=1)


def test_a_gate_that_paused_the_policy_stays_closed_and_counts_nothing_meanwhile(cell, bench):
    cell.gate.reasons = ("noise",)
    cell.start(gate=True, leader=PANDA.home + 0.05)
    bench.until(lambda: cell.gates and as_text(cell.gates[-1]).startswith("closed"))
    assert len(cell.gate.calls) == MOST_REFUSED
    cell.engage()
    cell.until_mirroring()
    cell.after_drawings()
    assert bench.call("teleop", "disengage").success
    bench.until(lambda: cell.streamer["taken_over"] == "false" and cell.streamer["state"] == "holding")
    cell.after_drawings()
    assert len(cell.gate.calls) == MOST_REFUSED and not cell.chunks, "giving back is no look at the drawing"
    cell.gate.reasons = ()
    assert bench.call("controller", "resume").success
    cell.until_policy_moves()
    cell.received.check(late_periods=1)


def test_execution_is_switched_while_the_policy_moves_the_arm(cell, bench):
    cell.start("sync", leader=PANDA.home)
    cell.until_policy_moves()
    assert bench.set("streamer", "execution", "async").successful
    chunks = len(cell.chunks)
    bench.until(lambda: len(cell.chunks) > chunks + 3 and cell.speed > 0.1)
    assert bench.set("streamer", "execution", "confirm").successful
    bench.until(lambda: cell.streamer["execution"] == "confirm" and cell.streamer["state"] == "holding")
    bench.until(lambda: cell.proposals and cell.proposals[-1].points)
    before, chunks = np.array(cell.commands[-1].position), len(cell.chunks)
    cell.nothing_is_acted_upon()
    np.testing.assert_allclose(np.array(cell.commands[-1].position), before, atol=1e-9)
    assert len(cell.chunks) == chunks
    assert bench.call("controller", "approve", load_namespace="Ada").success
    bench.until(lambda: len(cell.chunks) > chunks and cell.streamer["commander"] == "policy")
    assert conversions.read_chunk(cell.chunks[-1], PANDA).approved
    bench.until(lambda: cell.proposals[-1].points)  # the next one
    assert bench.set("streamer", "execution", "sync").successful
    bench.until(lambda: not cell.proposals[-1].points)
    cell.until_policy_moves()
    cell.received.check(late_periods=1)


def test_a_controller_that_comes_back_asks_as_the_one_before_did(cell, bench):
    cell.start("sync", leader=PANDA.home)
    cell.until_policy_moves()
    assert bench.set("streamer", "execution", "confirm").successful
    bench.end("controller")
    bench.until(lambda: cell.streamer["state"] == "holding")
    chunks = len(cell.chunks)
    cell.start_controller()
    bench.until(lambda: cell.proposals and cell.proposals[-1].points)
    before = np.array(cell.commands[-1].position)
    cell.nothing_is_acted_upon()
    np.testing.assert_allclose(np.array(cell.commands[-1].position), before, atol=1e-9)
    assert not any(conversions.read_chunk(chunk, PANDA).approved for chunk in cell.chunks[chunks:])


def test_a_disabled_arm_is_not_taken_over(cell, bench):
    cell.start(enabled=False)
    bench.until(lambda: "genima enable" in bench.call("teleop", "engage").message)
    assert cell.streamer["taken_over"] == "false" and not cell.commands
    assert bench.call("streamer", "enable", data=True).success
    cell.until_policy_moves()
