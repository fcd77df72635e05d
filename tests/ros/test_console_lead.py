"""Leading the arm by the console's handle: taking over, dragging, what is out of reach, and a viewer that goes."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")
pytest.importorskip("mink")

from genima_core.arm import PANDA
from genima_core.sim.collision import ClearanceModel
from genima_core.sim.margins import Margins
from genima_core.streaming.mirror import Mirroring
from genima_ros.messages import interfaces
from genima_ros.nodes.console.handle import HandleSolver
from genima_ros.nodes.console_node import ConsoleNode
from genima_ros.nodes.leader_node import LeaderNode
from genima_ros.nodes.teleop_node import TeleopNode

from .console_cell import says, viewers

pytestmark = [pytest.mark.ros, pytest.mark.slow]
HANDLE = "/handle"


def no_plan(seed, q, opening):
    raise AssertionError("nobody asked for a demonstration")


@pytest.fixture
def teleop(bench, cell):
    bench.node(LeaderNode, lambda parameters: no_plan)
    # One interpreter runs all of them and a viewer: give it time.
    patience = {"leader_timeout_s": 1.0, "follower_timeout_s": 1.0, "max_lag_s": 5.0}
    return bench.node(TeleopNode, parameters=patience)


@pytest.fixture
def console(bench, teleop):
    return bench.node(ConsoleNode)


@pytest.fixture
def viewer(bench, console):
    with viewers.Viewer(console.address) as viewer:
        bench.until(lambda: console.watch.leader_q is not None and console.watch.q is not None)
        yield viewer


def state(teleop) -> Mirroring:
    return Mirroring(teleop._output.status.state)


def take_over(bench, teleop, viewer) -> None:
    viewer.press("Take over", group="arm")
    bench.until(lambda: state(teleop) is Mirroring.MIRRORING)
    bench.until(lambda: viewer.elements[HANDLE].get("SetSceneNodeVisibilityMessage", {}).get("visible"))


def drag(viewer, position) -> None:
    viewer.begin_drag(HANDLE)
    viewer.drag(HANDLE, tuple(map(float, position)), (0.0, 1.0, 0.0, 0.0))


def tip(cell) -> np.ndarray:
    return PANDA.frame_pose(cell.q, "tcp")[:3, 3]


def test_the_arm_goes_where_the_handle_is_dragged_and_is_given_back(bench, cell, teleop, viewer):
    before = tip(cell)
    take_over(bench, teleop, viewer)
    wanted = before + [0.05, 0.06, -0.08]
    drag(viewer, wanted)
    viewer.end_drag(HANDLE)
    bench.until(lambda: np.linalg.norm(tip(cell) - wanted) < 0.003)
    viewer.press("Give back", group="arm")
    bench.until(lambda: state(teleop) not in (Mirroring.MIRRORING, Mirroring.APPROACHING))


def test_dragged_out_of_reach_or_through_the_table_it_stops_before_and_says_so(bench, cell, teleop, viewer):
    before = tip(cell)
    take_over(bench, teleop, viewer)
    drag(viewer, before + [0.6, 0.0, 0.0])
    bench.until(says(viewer, "the arm stops at what is reachable", "out of the arm"))
    bench.until(lambda: tip(cell)[0] > before[0] + 0.05)
    drag(viewer, before - [0.0, 0.0, 0.7])
    bench.until(says(viewer, "the arm stops at what is reachable", "table"))
    bench.until(lambda: 0.0 < tip(cell)[2] < 0.05)
    assert ClearanceModel(PANDA, Margins()).check(cell.q, 1.0) is None


def test_a_viewer_that_goes_in_the_middle_of_a_drag_stops_the_arm(bench, cell, teleop, console):
    targets = bench.listen(interfaces.JOINT_TARGET)
    viewer = viewers.Viewer(console.address)
    bench.until(lambda: console.watch.leader_q is not None and console.watch.q is not None)
    before = tip(cell)
    take_over(bench, teleop, viewer)
    drag(viewer, before + [0.1, 0.2, -0.1])
    bench.until(lambda: np.linalg.norm(tip(cell) - before) > 0.02)
    viewer.close()
    bench.until(lambda: state(teleop) is Mirroring.PAUSED)
    count, where = len(targets), tip(cell)
    bench.until(lambda: cell.streamer.status.state.value == "holding")
    assert len(targets) - count < 40
    assert np.linalg.norm(tip(cell) - where) < 0.1


def test_only_who_took_over_leads(bench, cell, teleop, console, viewer):
    before = tip(cell)
    take_over(bench, teleop, viewer)
    with viewers.Viewer(console.address) as other:
        other.press("Take over", group="arm")
        bench.until(says(other, "somebody else leads the arm already"))
        drag(other, before + [0.0, 0.2, 0.0])
        drag(viewer, before + [0.04, 0.0, 0.0])
        bench.until(lambda: np.linalg.norm(tip(cell) - before - [0.04, 0.0, 0.0]) < 0.003)


def test_without_a_leader_the_page_says_where_there_is_one(bench, cell):
    console = bench.node(ConsoleNode)
    with viewers.Viewer(console.address) as viewer:
        bench.until(lambda: console.watch.q is not None)
        viewer.press("Take over", group="arm")
        bench.until(says(viewer, "no leader is there", "leader:=true"))


@pytest.mark.parametrize("way", [[0.02, 0.0, 0.0], [0.15, 0.1, -0.2], [-0.05, -0.3, 0.1]])
def test_a_pose_that_can_be_reached_is(way):
    wanted = PANDA.frame_pose(PANDA.home, "tcp")
    wanted[:3, 3] += way
    q, why = HandleSolver(PANDA).solve(wanted, PANDA.home, 1.0)
    assert why == ""
    np.testing.assert_allclose(PANDA.frame_pose(q, "tcp"), wanted, atol=5e-3)


@pytest.mark.parametrize(
    ("way", "why"), [([1.0, 0.0, 0.0], "out of the arm's reach"), ([0.0, 0.0, -0.6], "table come too close")]
)
def test_on_the_way_to_one_that_cannot_it_stops_near_the_last_that_can(way, why):
    begin = PANDA.frame_pose(PANDA.home, "tcp")
    wanted = begin.copy()
    wanted[:3, 3] += way
    q, said = HandleSolver(PANDA).solve(wanted, PANDA.home, 1.0)
    assert why in said
    gone = PANDA.frame_pose(q, "tcp")[:3, 3] - begin[:3, 3]
    assert 0.1 < np.linalg.norm(gone) < np.linalg.norm(way)
    assert np.linalg.norm(np.cross(gone, way)) < 0.01 * np.linalg.norm(way)
    assert ((PANDA.limits.lower <= q) & (q <= PANDA.limits.upper)).all()
