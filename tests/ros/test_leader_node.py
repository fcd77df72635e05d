from concurrent.futures import Future

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import Bool, Int64
from std_srvs.srv import Trigger

from genima_core.arm import PANDA
from genima_core.environment import Trajectory
from genima_core.sim.operator import START_FROM_HOME_RAD
from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.states import Status
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import status_to_message
from genima_ros.nodes.leader_node import LeaderNode, LeaderParameters, make_planner

START = PANDA.home + START_FROM_HOME_RAD

pytestmark = pytest.mark.ros

GOAL = START + 0.05


class FakePlanner:
    """Plans a short way to `GOAL`."""

    def __init__(self) -> None:
        self.scenes: list[int] = []

    def __call__(self, seed: int, q: np.ndarray, opening: float) -> "Future[Trajectory]":
        self.scenes.append(seed)
        s = np.linspace(0, 1, 26)[1:, None]
        future: Future[Trajectory] = Future()
        future.set_result(Trajectory(q + (GOAL - q) * s * s * (3 - 2 * s), np.zeros(25), 0.02))
        return future


@pytest.fixture
def planner() -> FakePlanner:
    return FakePlanner()


def start(bench, planner, **parameters) -> LeaderNode:
    return bench.node(LeaderNode, lambda _: planner, parameters=parameters)


def at(states: list, q: np.ndarray, tolerance: float = 1e-4) -> bool:
    return bool(states) and np.abs(conversions.positions_by_name(states[-1], PANDA.joint_names) - q).max() < tolerance


def test_it_speaks_like_an_arm_and_starts_away_from_home(bench, planner):
    states = bench.listen(interfaces.LEADER_JOINT_STATES)
    start(bench, planner)
    bench.until(lambda: len(states) >= 5)
    assert at(states, START)
    assert 0.1 < np.abs(START - PANDA.home).max() < 0.4
    assert conversions.gripper_opening(states[-1], PANDA.gripper) == 1.0
    assert len(states[-1].velocity) == 9
    stamps_s = [conversions.seconds(message.header.stamp) for message in states]
    assert stamps_s == sorted(set(stamps_s))


def test_it_demonstrates_while_recorded_and_mirrored_then_asks_for_the_next_scene(bench, planner):
    states, resets = bench.listen(interfaces.LEADER_JOINT_STATES), []

    def reset(_, response):
        resets.append(True)
        response.success = True
        return response

    bench.probe.create_service(Trigger, "sim/reset", reset)
    start(bench, planner)
    scene, recording, teleop = map(bench.talk, (interfaces.SCENE, interfaces.RECORDING, interfaces.TELEOP_STATE))
    scene.publish(Int64(data=1000))
    recording.publish(Bool(data=True))
    bench.settle("leader")
    assert not planner.scenes
    teleop.publish(status_to_message("teleop", Status(Mirroring.MIRRORING)))
    bench.until(lambda: at(states, GOAL))
    assert planner.scenes == [1000]
    recording.publish(Bool(data=False))
    bench.until(lambda: resets and at(states, PANDA.home, 0.15))
    scene.publish(Int64(data=1001))
    recording.publish(Bool(data=True))
    bench.until(lambda: planner.scenes == [1000, 1001])


def test_sliders_move_it(bench, planner):
    states = bench.listen(interfaces.LEADER_JOINT_STATES)
    start(bench, planner)
    sliders = bench.talk(interfaces.LEADER_COMMAND)
    sliders.publish(
        conversions.to_joint_state((*PANDA.joint_names, *PANDA.gripper.joints), [*(START + 0.1), 0.01, 0.01], 0.0)
    )
    bench.until(lambda: at(states, START + 0.1))
    bench.until(lambda: conversions.gripper_opening(states[-1], PANDA.gripper) == pytest.approx(0.25))


@pytest.mark.parametrize(
    ("names", "q"),
    [
        (PANDA.joint_names, np.full(7, 9.0)),
        (PANDA.joint_names[1:], PANDA.home[1:]),
        (PANDA.joint_names, np.full(7, np.nan)),
    ],
)
def test_a_bad_command_moves_nothing(bench, planner, names, q):
    diagnostics, states = bench.listen(interfaces.DIAGNOSTICS), bench.listen(interfaces.LEADER_JOINT_STATES)
    start(bench, planner)
    bench.until(lambda: states)
    bench.talk(interfaces.LEADER_COMMAND).publish(conversions.to_joint_state(names, q, 0.0))
    bench.until(bench.problem("leader", diagnostics, "leader/joint_command not used"))
    assert at(states, START)


def test_performing_needs_a_scene(bench, planner):
    states = bench.listen(interfaces.LEADER_JOINT_STATES)
    start(bench, planner)
    assert "no scene" in bench.call("leader", "perform").message
    bench.talk(interfaces.SCENE).publish(Int64(data=3))
    bench.settle("leader")
    assert bench.call("leader", "perform").message == "will perform scene 3"
    bench.until(lambda: at(states, GOAL))


def test_a_recording_without_a_cell_is_a_warning(bench, planner):
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    start(bench, planner)
    recording = bench.talk(interfaces.RECORDING)
    recording.publish(Bool(data=True))
    bench.settle("leader")
    recording.publish(Bool(data=False))
    bench.until(bench.problem("leader", diagnostics, "no service"))


def test_without_a_task_it_waits_where_the_arm_is_and_holds_still_while_it_is_followed(bench):
    states = bench.listen(interfaces.LEADER_JOINT_STATES)
    bench.node(LeaderNode, parameters={"task": "", "speed_rad_s": 5.0})
    arm, teleop = bench.talk(interfaces.JOINT_STATES), bench.talk(interfaces.TELEOP_STATE)

    stands_at = [(PANDA.home - 0.1, 0.25)]

    def say() -> None:
        q, opening = stands_at[-1]
        q = np.append(q, PANDA.gripper.joint_positions(opening))
        arm.publish(conversions.to_joint_state(PANDA.all_joints, q, bench.now_s()))

    timer = bench.probe.create_timer(0.02, say)
    bench.until(lambda: at(states, PANDA.home - 0.1, 5e-3))
    bench.until(lambda: conversions.gripper_opening(states[-1], PANDA.gripper) == pytest.approx(0.25))
    teleop.publish(status_to_message("teleop", Status(Mirroring.APPROACHING)))
    bench.settle("leader")
    stands_at.append((PANDA.home, 1.0))
    count = len(states)
    bench.until(lambda: len(states) > count + 50)
    assert at(states, PANDA.home - 0.1, 5e-3)
    teleop.publish(status_to_message("teleop", Status(Mirroring.PAUSED)))
    bench.until(lambda: at(states, PANDA.home, 5e-3))
    timer.cancel()
    assert not bench.probe.count_subscribers("recording") and not bench.probe.count_services("leader/perform")


def test_it_plans_in_a_process_of_its_own():
    planner = make_planner(LeaderParameters())
    planned = planner(1000, START, 1.0).result()
    planner.close()
    assert planned.q[0] == pytest.approx(START, abs=0.02)
    assert planned.gripper[-1] == 0.0


def test_wrong_parameters_are_explained(bench, planner):
    with pytest.raises(ValueError, match="must be positive"):
        start(bench, planner, rate_hz=0.0)
    with pytest.raises(ValueError, match="push_button"):
        make_planner(LeaderParameters(task="juggle"))


def test_a_scene_that_no_seed_makes_is_refused(bench, planner):
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    start(bench, planner)
    bench.talk(interfaces.SCENE).publish(Int64(data=-1))
    bench.until(bench.problem("leader", diagnostics, "scene -1 not used"))
