"""The controller node with its target gate on; the gate's judgement is a fake's, or a real one's on nothing drawn."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import Bool, String

from genima_core.arm import PANDA
from genima_core.loop import MOST_REFUSED
from genima_core.pixels import tile
from genima_core.streaming.states import State, Status
from genima_core.targets.gate import Gate
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.conversions import read_rig
from genima_ros.messages.status import status_to_message
from genima_ros.nodes.controller_node import ControllerNode

from .conftest import as_text

pytestmark = pytest.mark.ros

FINGERS = ("panda_finger_joint1", "panda_finger_joint2")
BAD = "no arm looks like this: the elbow sphere lies 12.0 cm from the nearest configuration"


@pytest.mark.parametrize("text", ["[" * 100_000, "", "null", "[]", '{"cameras": 3}', "NaN", '{"arm":' * 5000])
def test_a_camera_rig_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="camera_rig holds no rig"):
        read_rig(String(data=text))


class FakeController:
    dt_s = 0.05

    def act(self, targets, q, gripper, instruction):
        return q + 0.01 * np.arange(1, 21)[:, None], np.zeros(20)


class FakeGate:
    """Finds fault with what it is told to."""

    def __init__(self) -> None:
        self.reasons: tuple[str, ...] = ()
        self.calls: list[tuple] = []

    def check(self, drawing, q_now, observation=None):
        self.calls.append((drawing.copy(), q_now.copy(), observation.copy()))
        return SimpleNamespace(passed=not self.reasons, reasons=self.reasons)


class Graph:
    """A controller node behind a gate, a robot, a drawing agent and a streamer that wants chunks."""

    def __init__(self, bench, gate, execution: str, parameters: dict | None = None, make=None) -> None:
        self.bench = bench
        self.chunks = bench.listen(interfaces.ACTION_CHUNK)
        self.states = bench.listen(interfaces.GATE)
        self.diagnostics = bench.listen(interfaces.DIAGNOSTICS)
        node = bench.node(
            ControllerNode,
            lambda _: (
                FakeController(),
                SimpleNamespace(
                    gate=make or (lambda config, arm: gate),
                    unknown_instruction=lambda text: "",
                    rig=SimpleNamespace(cameras=(None,) * 4),
                ),
            ),
            parameters={"instruction": "push", **(parameters or {})},
        )
        told = status_to_message("streamer", Status(State.HOLDING), execution=execution)
        bench.talk(interfaces.STREAMER_STATE).publish(told)
        bench.settle("controller")
        assert node.parameters.gate == (not parameters)  # what is checked by default is a real arm
        self.joints = bench.talk(interfaces.JOINT_STATES)
        self.drawings, self.observations = bench.talk(interfaces.TARGETS), None
        if node.parameters.gate:
            self.observations = bench.talk(interfaces.OBSERVATION)
        bench.talk(interfaces.CHUNK_WANTED).publish(Bool(data=True))
        bench.settle("controller")

    def draw(self, drawing, observation, observation_first: bool = True) -> float:
        """Sends a drawing of now, and the joints; its stamp."""
        stamp_s = self.bench.now_s()
        self.joints.publish(
            conversions.to_joint_state((*PANDA.joint_names, *FINGERS), [*PANDA.home, 0.01, 0.01], stamp_s)
        )
        self.bench.settle("controller")
        pairs = [(self.observations, observation)] * bool(self.observations) + [(self.drawings, drawing)]
        for publisher, picture in pairs if observation_first else reversed(pairs):
            publisher.publish(conversions.rgb_to_image(tile(picture), stamp_s))
            self.bench.settle("controller")
        return stamp_s

    def gate_says(self, text: str) -> None:
        self.bench.until(lambda: self.states and as_text(self.states[-1]) == text)


@pytest.fixture
def gate():
    return FakeGate()


@pytest.fixture(params=["sync", "async"])
def graph(bench, gate, request):
    return Graph(bench, gate, request.param)


@pytest.mark.parametrize("observation_first", [True, False])
def test_a_good_drawing_is_followed(graph, gate, drawing, observation_first):
    graph.gate_says("open")
    graph.draw(drawing, drawing + 1, observation_first)
    graph.bench.until(lambda: graph.chunks)
    assert (gate.calls[0][0] == drawing).all()
    assert gate.calls[0][1] == pytest.approx(PANDA.home)
    assert (gate.calls[0][2] == drawing + 1).all()


def test_a_bad_drawing_pauses_the_policy_until_the_operator_resumes(graph, gate, drawing):
    gate.reasons = (BAD,)
    for _ in range(MOST_REFUSED - 1):
        graph.draw(drawing, drawing)
        graph.gate_says(f"open: {BAD}")
    graph.bench.until(
        graph.bench.problem("controller", graph.diagnostics, f"drawing refused, the next one is waited for: {BAD}")
    )
    graph.draw(drawing, drawing)
    graph.gate_says(f"closed: {BAD}")
    graph.bench.until(graph.bench.problem("controller", graph.diagnostics, f"the policy pauses: {BAD}"))
    gate.reasons = ()
    graph.draw(drawing, drawing)  # a good one does not open it
    assert not graph.chunks
    assert len(gate.calls) == MOST_REFUSED
    response = graph.bench.call("controller", "resume")
    assert response.success
    assert BAD in response.message
    graph.gate_says("open")
    assert not graph.chunks  # what was captured before does not count
    graph.draw(drawing, drawing)
    graph.bench.until(lambda: graph.chunks)
    assert graph.bench.call("controller", "resume").message == "the gate is open already"


def test_it_closes_again_while_the_cause_lasts(graph, gate, drawing):
    gate.reasons = BAD, "b", "c", "d", "e"
    for _ in range(MOST_REFUSED):
        graph.draw(drawing, drawing)
    graph.gate_says(f"closed: {BAD}; b; c; and 2 more")
    graph.bench.call("controller", "resume")
    graph.gate_says("open")
    for _ in range(MOST_REFUSED):
        graph.draw(drawing, drawing)
    graph.gate_says(f"closed: {BAD}; b; c; and 2 more")
    assert not graph.chunks


def test_switched_off_while_it_is_closed_it_opens_nothing_and_switched_on_it_checks_again(graph, gate, drawing):
    gate.reasons = (BAD,)
    for _ in range(MOST_REFUSED):
        graph.draw(drawing, drawing)
    graph.gate_says(f"closed: {BAD}")
    assert graph.bench.set("controller", "gate", False).successful
    graph.draw(drawing, drawing)
    assert not graph.chunks, "nobody has resumed"
    assert graph.bench.call("controller", "resume").success
    graph.draw(drawing, drawing)
    graph.bench.until(lambda: len(graph.chunks) == 1)
    assert len(gate.calls) == MOST_REFUSED
    assert graph.bench.set("controller", "gate", True).successful
    graph.draw(drawing, drawing)
    graph.gate_says(f"open: {BAD}")
    assert len(graph.chunks) == 1 and len(gate.calls) == MOST_REFUSED + 1
    assert "needs a bool" in graph.bench.set("controller", "gate", "maybe").reason


def test_cameras_that_can_have_none_have_it_refused(bench, drawing):
    def no_gate(config, arm):
        raise ValueError("a gate needs two cameras")

    graph = Graph(bench, None, "sync", {"gate": False}, no_gate)
    refused = graph.bench.set("controller", "gate", True)
    assert not refused.successful and refused.reason == "a gate needs two cameras"
    graph.draw(drawing, drawing)
    graph.bench.until(lambda: graph.chunks)


def test_what_cannot_be_checked_closes_it(bench, rig, drawing):
    graph = Graph(bench, Gate(rig, duration_s=1.0), "async")
    for _ in range(MOST_REFUSED):
        graph.draw(drawing, drawing[:, :32, :32])
    graph.bench.until(
        lambda: (
            graph.states
            and as_text(graph.states[-1]).startswith(
                "closed: the drawing cannot be checked: the observation is (4, 32, 32, 3)"
            )
        )
    )
    assert not graph.chunks


def test_a_drawing_without_what_it_was_drawn_over_waits(graph, gate, drawing):
    stamp_s = graph.bench.now_s()
    graph.joints.publish(conversions.to_joint_state((*PANDA.joint_names, *FINGERS), [*PANDA.home, 0.01, 0.01], stamp_s))
    graph.drawings.publish(conversions.rgb_to_image(tile(drawing), stamp_s))
    graph.observations.publish(conversions.rgb_to_image(tile(drawing), stamp_s - 0.05))
    graph.bench.settle("controller")
    assert not gate.calls
    assert not graph.chunks
