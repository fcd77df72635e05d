import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import Bool

from genima_core.arm import PANDA
from genima_core.pixels import tile
from genima_core.streaming.states import Reason, State, Status
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import status_to_message, values_of
from genima_ros.nodes.controller_node import ControllerNode, ControllerParameters, load_controller

pytestmark = pytest.mark.ros

FINGERS = ("panda_finger_joint1", "panda_finger_joint2")


class FakeController:
    """Goes on by 0.01 rad an action."""

    dt_s = 0.05

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def act(self, targets, q, gripper, instruction):
        self.calls.append((targets.copy(), q.copy(), gripper, instruction))
        return q + 0.01 * np.arange(1, 21)[:, None], np.zeros(20)


class Graph:
    """A controller node, a robot, a drawing agent and a streamer."""

    def __init__(self, bench, controller) -> None:
        self.bench, self.controller = bench, controller
        self.chunks = bench.listen(interfaces.ACTION_CHUNK)
        self.diagnostics = bench.listen(interfaces.DIAGNOSTICS)

    def start(self, execution: str, clock_s=time.monotonic, cameras: int = 4, **parameters) -> None:
        self.bench.node(
            ControllerNode,
            lambda _: (
                self.controller,
                SimpleNamespace(
                    unknown_instruction=lambda text: text * ("milk" in text),
                    rig=SimpleNamespace(cameras=(None,) * cameras),
                ),
            ),
            clock_s=clock_s,
            parameters={"instruction": "push", "gate": False, **parameters},
        )
        self.streams = self.bench.talk(interfaces.STREAMER_STATE)
        self.execute(execution)
        self.states = self.bench.talk(interfaces.JOINT_STATES)
        self.drawings = self.bench.talk(interfaces.TARGETS)
        self.streamer = self.bench.talk(interfaces.CHUNK_WANTED)

    def execute(self, execution: str) -> None:
        """What the streamer says of it."""
        status = Status(State.HOLDING, Reason.WAITING)
        self.streams.publish(status_to_message("streamer", status, execution=execution))
        self.bench.settle("controller")

    def want(self, wanted: bool = True) -> None:
        self.streamer.publish(Bool(data=wanted))
        self.bench.settle("controller")

    def feel(self, stamp_s: float, q=PANDA.home, names=(*PANDA.joint_names, *FINGERS)) -> None:
        positions = np.array([*q, 0.01, 0.01])[: len(names)]
        self.states.publish(conversions.to_joint_state(names, positions, stamp_s))
        self.bench.settle("controller")

    def draw(self, drawing, stamp_s: float) -> None:
        self.drawings.publish(conversions.rgb_to_image(tile(drawing), stamp_s))


@pytest.fixture
def graph(bench):
    return Graph(bench, FakeController())


@pytest.mark.parametrize("cameras", [1, 2, 5])
def test_the_views_of_any_rig_reach_the_controller(graph, drawing, cameras):
    views = np.concatenate([drawing, 255 - drawing])[:cameras]
    graph.start("async", cameras=cameras)
    graph.want()
    t_s = graph.bench.now_s()
    graph.feel(t_s)
    graph.draw(views, t_s)
    graph.bench.until(lambda: graph.controller.calls)
    assert (graph.controller.calls[0][0] == views).all()


def test_in_confirm_mode_a_chunk_waits_for_a_yes_and_who_said_it_is_kept(graph, drawing):
    proposals, approvals = graph.bench.listen(interfaces.PROPOSAL), graph.bench.listen(interfaces.APPROVAL)
    graph.start("confirm")
    graph.want()
    for answer, said in (("reject", "rejected; the next drawing"), ("approve", "approved: 'push', the gripper to (")):
        t_s = graph.bench.now_s()
        graph.feel(t_s)
        graph.draw(drawing, t_s)
        graph.bench.until(lambda: proposals and proposals[-1].points)
        assert len(proposals[-1].points) == 20 and not graph.chunks
        response = graph.bench.call("controller", answer, load_namespace=f" Ada\n{answer}s ")
        assert response.success and response.message.startswith(said)
        graph.bench.until(lambda: not proposals[-1].points)
    graph.bench.until(lambda: graph.chunks and len(approvals) == 2)
    assert [values_of(message) for message in approvals] == [
        {"decision": "rejected", "by": "Ada rejects"},
        {"decision": "approved", "by": "Ada approves"},
    ]
    assert conversions.read_chunk(graph.chunks[0], PANDA).approved
    assert approvals[1].message.startswith("approved by Ada approves: 'push', the gripper to (")
    assert len(graph.controller.calls) == 2
    assert not graph.bench.call("controller", "approve").success


def test_it_follows_the_streamer_into_confirm_and_out_again(graph, drawing):
    proposals = graph.bench.listen(interfaces.PROPOSAL)

    def see() -> None:
        graph.want()
        t_s = graph.bench.now_s()
        graph.feel(t_s)
        graph.draw(drawing, t_s)

    graph.start("async")
    see()
    graph.bench.until(lambda: len(graph.chunks) == 1)
    graph.execute("confirm")
    see()
    graph.bench.until(lambda: proposals and proposals[-1].points)
    graph.execute("sync")
    graph.bench.until(lambda: not proposals[-1].points)
    refused = graph.bench.call("controller", "approve")
    assert not refused.success and "chunks do not wait for approval in sync mode" in refused.message
    assert len(graph.chunks) == 1
    see()
    graph.bench.until(lambda: len(graph.chunks) == 2)
    assert not any(conversions.read_chunk(message, PANDA).approved for message in graph.chunks)


def test_a_chunk_that_nobody_approves_of_is_forgotten(graph, drawing):
    proposals = graph.bench.listen(interfaces.PROPOSAL)
    graph.start("confirm", confirm_timeout_s=0.1)
    graph.want()
    t_s = graph.bench.now_s()
    graph.feel(t_s)
    graph.draw(drawing, t_s)
    graph.bench.until(lambda: any(message.points for message in proposals))
    graph.bench.until(lambda: not proposals[-1].points)
    assert not graph.bench.call("controller", "approve").success and not graph.chunks


def test_async_acts_with_the_joints_of_the_capture_time(graph, drawing):
    graph.start("async")
    graph.want()
    t_s = graph.bench.now_s()
    graph.feel(t_s, PANDA.home + 0.1)
    graph.feel(t_s + 0.05, PANDA.home + 0.2)
    graph.draw(drawing, t_s + 0.01)
    graph.bench.until(lambda: graph.chunks)
    targets, q, gripper, instruction = graph.controller.calls[0]
    assert (targets == drawing).all()
    assert q == pytest.approx(PANDA.home + 0.1)
    assert (gripper, instruction) == (pytest.approx(0.25), "push")
    chunk = conversions.read_chunk(graph.chunks[0], PANDA)
    assert chunk.stamp_s == pytest.approx(t_s + 0.01)
    assert chunk.start_s == pytest.approx(t_s + 0.01 + 0.05, abs=1e-6)
    assert chunk.positions[0] == pytest.approx(PANDA.home + 0.11)


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_a_clock_that_was_set_back_silences_nothing(graph, drawing, execution):
    ahead_s = 0.0
    graph.start(execution, lambda: time.monotonic() + ahead_s)
    graph.want()
    now_s = graph.bench.now_s()
    graph.feel(now_s + 30.0)
    graph.draw(drawing, now_s + 30.0)  # the wall clock was that far ahead
    graph.bench.until(lambda: len(graph.chunks) == 1)
    ahead_s = 30.0  # as seen from the steady clock, it has been set back
    now_s = graph.bench.now_s()
    graph.feel(now_s)
    graph.want(False)
    graph.want()
    now_s = graph.bench.now_s()
    graph.feel(now_s)
    graph.draw(drawing, now_s)
    graph.bench.until(lambda: len(graph.chunks) == 2)
    graph.bench.until(graph.bench.problem("controller", graph.diagnostics, "the wall clock was set by -30.0 s"))


def test_sync_acts_once_on_a_drawing_of_the_arm_at_rest(graph, drawing):
    graph.start("sync")
    before_s = graph.bench.now_s()
    graph.feel(before_s)
    graph.want()
    graph.draw(drawing, before_s)  # seen before the arm came to rest
    graph.bench.settle("controller")
    assert not graph.controller.calls
    now_s = graph.bench.now_s()
    graph.feel(now_s)
    graph.draw(drawing, now_s)
    graph.bench.until(lambda: graph.chunks)
    chunk = conversions.read_chunk(graph.chunks[0], PANDA)
    assert chunk.stamp_s == pytest.approx(now_s)
    assert chunk.start_s > now_s + 0.05
    graph.draw(drawing, now_s + 0.001)  # seen before this chunk can have been carried out
    graph.bench.settle("controller")
    assert len(graph.controller.calls) == 1


@pytest.mark.parametrize(
    ("names", "q", "words"),
    [
        (PANDA.joint_names, PANDA.home, "panda_finger_joint1"),
        ((*(f"fr3_joint{i}" for i in range(1, 8)), *FINGERS), PANDA.home, "lacks panda_joint1"),
        ((*PANDA.joint_names, *FINGERS), np.full(7, np.nan), "must be finite"),
    ],
)
def test_bad_joint_states_are_explained(graph, drawing, names, q, words):
    graph.start("async")
    graph.want()
    graph.feel(graph.bench.now_s(), q, names)
    graph.bench.until(graph.bench.problem("controller", graph.diagnostics, words))
    assert not graph.chunks


def test_stale_joint_states_are_explained(graph, drawing):
    graph.start("async")
    graph.want()
    now_s = graph.bench.now_s()
    graph.feel(now_s - 1.0)
    graph.draw(drawing, now_s)
    graph.bench.until(graph.bench.problem("controller", graph.diagnostics, "joint state nearest to the images"))
    assert not graph.chunks


def test_a_missing_streamer_is_reported(graph):
    graph.start("sync")
    states = graph.bench.probe.create_timer(
        0.1,
        lambda: graph.states.publish(
            conversions.to_joint_state((*PANDA.joint_names, *FINGERS), [*PANDA.home, 0.0, 0.0], graph.bench.now_s())
        ),
    )
    graph.bench.until(graph.bench.problem("controller", graph.diagnostics, "no /chunk_wanted: is the streamer"))
    states.cancel()


def test_an_instruction_that_was_never_taught_is_reported(graph):
    graph.start("sync", instruction="pour a glass of milk")
    graph.bench.until(graph.bench.problem("controller", graph.diagnostics, "pour a glass of milk"))


def test_missing_checkpoint_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="the shipped checkpoints/demo"):
        load_controller(ControllerParameters(checkpoint=tmp_path))
