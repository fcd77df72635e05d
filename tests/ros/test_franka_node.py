"""The driver's node around a stand-in for the connection; tests/ros/test_franka_sim.py meets the real protocol."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import Float64
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from genima_core.arm import FR3
from genima_core.arm_status import ArmStatus, Level
from genima_core.franka.link import Reading
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.franka_node import FrankaNode

pytestmark = pytest.mark.ros


class Gripper:
    width_m = 0.06

    def read_once(self):
        return SimpleNamespace(width=self.width_m)

    def move(self, width_m, speed):
        self.width_m = width_m
        return True

    grasp = homing = lambda self, *_: True


class Link:
    """Holds an arm at home; its clock begins at 5 s."""

    def __init__(self, clock_s) -> None:
        self.robot = SimpleNamespace(gripper=Gripper)
        self.status, self.sent, self.aborted = ArmStatus(Level.OK, "", "move"), SimpleNamespace(shares={}), {}
        self.followed, self.recovered, self._clock_s, self._begin_s = [], 0, clock_s, clock_s()

    @property
    def reading(self) -> Reading:
        now_s = self._clock_s()
        return Reading(FR3.home, np.zeros(7), now_s - self._begin_s + 5.0, now_s, 1.0)

    def follow(self, times_s, q, dq):
        if np.abs(q[0] - FR3.home).max() > 0.2:
            raise ValueError("joint 1 is told to be 0.50 rad from where it is")
        self.followed.append((times_s, q, dq))

    def recover(self) -> str:
        if self.status.level is Level.OK:
            return "there was no error"
        raise RuntimeError("not recovered: release the user stop")

    def close(self) -> None:
        pass


class Graph:
    def __init__(self, bench, **parameters) -> None:
        self.bench = bench
        self.node = bench.node(
            FrankaNode,
            lambda p: Link(time.monotonic),
            parameters={"arm": "fr3_fci", "robot_ip": "192.0.2.1", **parameters},
        )
        self.joints = bench.listen(interfaces.JOINT_STATES)
        self.status = bench.listen(interfaces.ARM_STATUS)
        self.diagnostics = bench.listen(interfaces.DIAGNOSTICS)
        self.trajectories = bench.talk(interfaces.ARM_TRAJECTORY)

    def send(self, q) -> None:
        point = JointTrajectoryPoint(positions=list(q), velocities=[0.0] * 7)
        point.time_from_start = conversions.to_duration(0.1)
        self.trajectories.publish(JointTrajectory(joint_names=list(FR3.joint_names), points=[point]))


@pytest.fixture
def graph(bench):
    return Graph(bench)


def test_it_says_where_arm_and_fingers_are_by_the_arms_own_clock(graph):
    graph.bench.until(lambda: graph.joints and len(graph.joints[-1].name) == 9)
    message = graph.joints[-1]
    assert tuple(message.name) == FR3.all_joints
    assert np.array(message.position) == pytest.approx([*FR3.home, 0.03, 0.03])
    assert conversions.seconds(message.header.stamp) == pytest.approx(graph.bench.now_s(), abs=5.0)
    graph.bench.until(lambda: graph.status)
    assert graph.status[-1].level == bytes([Level.OK])


def test_a_trajectory_is_handed_on_and_what_is_wrong_with_one_is_said(graph):
    graph.send(FR3.home + 0.01)
    graph.bench.until(lambda: graph.node.link.followed)
    times_s, q, dq = graph.node.link.followed[0]
    assert times_s == pytest.approx([0.1]) and q[0] == pytest.approx(FR3.home + 0.01) and (dq == 0).all()
    graph.send(FR3.home + 0.5)
    graph.bench.until(
        graph.bench.problem("franka", graph.diagnostics, "trajectory not followed: joint 1 is told to be 0.50 rad")
    )
    graph.trajectories.publish(JointTrajectory(joint_names=["elbow"]))
    graph.bench.until(graph.bench.problem("franka", graph.diagnostics, "trajectory not followed: "))
    assert len(graph.node.link.followed) == 1


def test_two_commanders_are_both_not_followed(graph):
    second = graph.bench.talk(interfaces.ARM_TRAJECTORY)
    graph.bench.until(lambda: graph.node.commanders == 2)
    graph.send(FR3.home)
    graph.bench.until(graph.bench.problem("franka", graph.diagnostics, "2 nodes publish /arm_controller"))
    assert not graph.node.link.followed
    graph.bench.probe.destroy_publisher(second)


def test_an_arm_that_must_not_be_moved_says_why_and_how_to_go_on(graph):
    graph.node.link.status = ArmStatus(Level.ERROR, "reflex with joint_reflex: it touched something", "reflex")
    graph.bench.until(graph.bench.problem("franka", graph.diagnostics, "must not be moved: reflex with joint_reflex"))
    graph.bench.until(lambda: graph.status[-1].level == bytes([Level.ERROR]))
    response = graph.bench.call("franka", "error_recovery")
    assert (response.success, response.message) == (False, "not recovered: release the user stop")


def test_the_hand_goes_to_the_newest_width_and_is_homed_on_demand(graph):
    widths = graph.bench.talk(interfaces.GRIPPER_COMMAND)
    widths.publish(Float64(data=0.08))
    graph.bench.until(lambda: graph.joints and sum(graph.joints[-1].position[7:]) == pytest.approx(0.08))
    widths.publish(Float64(data=0.5))
    graph.bench.until(graph.bench.problem("franka", graph.diagnostics, "gripper/command not used: a width of 0.5 m"))
    assert graph.bench.call("franka", "homing").message == "the hand knows its range"


def test_an_arm_with_a_fixed_tool_has_no_hand(bench, tmp_path):
    file = tmp_path / "bare.yaml"
    file.write_text("arm: fr3\nnode: franka\ngripper:\n  kind: none\n  joints: []\n")
    graph = Graph(bench, arm=str(file))
    graph.bench.until(lambda: graph.joints)
    assert tuple(graph.joints[-1].name) == FR3.joint_names and graph.node.hand is None
