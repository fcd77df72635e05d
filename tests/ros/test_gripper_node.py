"""The gripper node against real action servers: widths become goals, and nothing waits for whatever a gripper does."""

from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")

import rclpy
from std_msgs.msg import Float64

from genima_core.arm import PANDA
from genima_core.types import ActionChunk
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.gripper_node import GripperNode
from genima_ros.nodes.streamer_node import StreamerNode

pytestmark = pytest.mark.ros

FINGERS = ("fr3_finger_joint1", "fr3_finger_joint2")
QUICK = {"accept_s": 0.3, "finish_s": 0.6, "cancel_s": 0.3, "retry_s": 0.05, "retry_longest_s": 0.1}
ROBOTIQ = {
    "kind": "parallel_gripper_command",
    "action": "gripper_cmd",
    "joints": ["finger_joint"],
    "open_position": 0.0,
    "closed_position": 0.695,
    "max_width_m": 0.14,
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the arms' files lie."""
    monkeypatch.chdir(tmp_path)


def an_arm(arm: str = "fr3", **gripper) -> str:
    """The file of an arm with this gripper."""
    Path(f"{arm}.yaml").write_text(yaml.safe_dump({"arm": arm, "gripper": gripper}))
    return f"{arm}.yaml"


class Server:
    """Serves one action in a context and a thread of its own, as a driver does; `behaviour` says how."""

    def __init__(self, kind: type, name: str, domain: int, result) -> None:
        from rclpy.action import ActionServer, CancelResponse, GoalResponse
        from rclpy.callback_groups import ReentrantCallbackGroup
        from rclpy.executors import MultiThreadedExecutor

        self.behaviour, self.goals, self.cancelled = "succeed", [], 0
        self._result, self._kind, self._ended = result, kind, Event()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = rclpy.create_node(f"server_{name.replace('/', '_')}", context=self._context)

        def cancel(_) -> CancelResponse:
            self.cancelled += 1
            return CancelResponse.REJECT if self.behaviour == "hang" else CancelResponse.ACCEPT

        self._server = ActionServer(
            self._node,
            kind,
            name,
            self._execute,
            callback_group=ReentrantCallbackGroup(),
            cancel_callback=cancel,
            goal_callback=lambda _: GoalResponse.REJECT if self.behaviour == "reject" else GoalResponse.ACCEPT,
        )
        self._executor = MultiThreadedExecutor(4, context=self._context)
        self._executor.add_node(self._node)
        self._thread = Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def _execute(self, handle):
        self.goals.append(handle.request)
        while self.behaviour in ("hang", "slow") and not handle.is_cancel_requested:
            if self._ended.wait(0.005):
                break
        if handle.is_cancel_requested:
            handle.canceled()
        elif self.behaviour == "abort":
            handle.abort()
        else:
            handle.succeed()
        return self._result(self.behaviour)

    def close(self) -> None:
        self._ended.set()
        self._executor.shutdown()
        self._thread.join()  # a node that is still spun may hang when it is destroyed
        self._server.destroy()  # node.destroy_node() does not
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def serve(bench, interface_packages):
    """Starts servers, and ends them."""
    import os

    servers = []

    def begin(kind: type, name: str, result) -> Server:
        servers.append(Server(kind, name, int(os.environ["ROS_DOMAIN_ID"]), result))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


@pytest.fixture
def robotiq(serve):
    from control_msgs.action import ParallelGripperCommand

    def result(behaviour: str):
        return ParallelGripperCommand.Result(
            reached_goal=behaviour in ("succeed", "slow"), stalled=behaviour == "stall"
        )

    return lambda: serve(ParallelGripperCommand, "gripper_cmd", result)


class Cell:
    """A gripper node, its joint states, and who asks for widths."""

    def __init__(self, bench, gripper: dict, **parameters) -> None:
        self.bench = bench
        self.states = bench.listen(interfaces.GRIPPER_STATE)
        self.diagnostics = bench.listen(interfaces.DIAGNOSTICS)
        self.node = bench.node(GripperNode, parameters=QUICK | {"arm": an_arm(**gripper)} | parameters)
        self.control = self.node.control
        self.joints = bench.talk(interfaces.GRIPPER_JOINT_STATES)
        self.command = bench.talk(interfaces.GRIPPER_COMMAND)

    def ask(self, width_m: float) -> None:
        self.command.publish(Float64(data=width_m))

    def measure(self, names, positions) -> None:
        self.joints.publish(conversions.to_joint_state(names, np.array(positions), self.bench.now_s()))

    def says(self, text: str) -> None:
        self.bench.until(self.bench.problem("gripper", self.diagnostics, text))


def start_robotiq(bench) -> Cell:
    return Cell(bench, ROBOTIQ)


def test_a_width_becomes_a_position_of_the_joint(bench, robotiq):
    server = robotiq()
    cell = start_robotiq(bench)
    cell.ask(0.07)
    bench.until(lambda: cell.control.state == "idle" and server.goals)
    assert list(server.goals[-1].command.name) == ["finger_joint"]
    assert server.goals[-1].command.position[0] == pytest.approx(0.3475)
    cell.measure(["finger_joint"], [0.695])
    bench.until(lambda: cell.states)
    assert list(cell.states[-1].name) == ["gripper"]
    assert cell.states[-1].position[0] == pytest.approx(0.0)


def test_the_command_of_older_distributions(bench, serve):
    from control_msgs.action import GripperCommand

    server = serve(GripperCommand, "gripper_cmd", lambda _: GripperCommand.Result(reached_goal=True))
    cell = Cell(bench, ROBOTIQ | {"kind": "gripper_command"}, force_n=15.0)
    cell.ask(0.0)
    bench.until(lambda: cell.control.state == "idle" and server.goals)
    assert server.goals[-1].command.position == pytest.approx(0.695)
    assert server.goals[-1].command.max_effort == 15.0


def test_the_franka_hand_grasps_to_close_and_moves_to_open(bench, serve):
    from franka_msgs.action import Grasp, Move

    move = serve(Move, "franka_gripper/move", lambda _: Move.Result(success=True))
    grasp = serve(Grasp, "franka_gripper/grasp", lambda _: Grasp.Result(success=True))
    cell = Cell(bench, {"kind": "franka_hand", "action": "franka_gripper"})
    cell.measure(FINGERS, [0.04, 0.04])
    bench.until(lambda: cell.states)
    assert cell.states[-1].position[0] == pytest.approx(0.08)
    cell.ask(0.02)
    bench.until(lambda: cell.control.state == "idle" and grasp.goals)
    assert (grasp.goals[-1].width, grasp.goals[-1].epsilon.outer) == (0.02, 0.08)
    assert not move.goals
    cell.measure(FINGERS, [0.01, 0.01])
    bench.until(lambda: cell.states[-1].position[0] == pytest.approx(0.02))
    cell.ask(0.08)
    bench.until(lambda: move.goals)
    assert move.goals[-1].width == 0.08
    assert len(grasp.goals) == 1


def test_an_object_between_the_fingers_is_held_not_an_error(bench, robotiq):
    server = robotiq()
    server.behaviour = "stall"
    cell = start_robotiq(bench)
    cell.measure(["finger_joint"], [0.3])
    bench.until(lambda: cell.states)
    cell.ask(0.0)
    bench.until(lambda: cell.control.holding)
    assert cell.control.problem == ""


def test_many_commands_become_few_goals_and_the_last_one_wins(bench, robotiq):
    server = robotiq()
    cell = start_robotiq(bench)
    widths = np.linspace(0.0, 0.14, 500)
    for width_m in widths:
        cell.ask(float(width_m))
        bench.executor.spin_once(timeout_sec=0.001)
    bench.until(
        lambda: (
            server.goals
            and server.goals[-1].command.position[0] == pytest.approx(0.0, abs=1e-9)
            and cell.control.state == "idle"
        )
    )
    assert len(server.goals) < 100


def test_a_newer_width_breaks_off_a_slow_motion(bench, robotiq):
    server = robotiq()
    server.behaviour = "slow"
    cell = start_robotiq(bench)
    cell.ask(0.14)
    bench.until(lambda: server.goals)
    server.behaviour = "succeed" if cell.control.state == "idle" else "slow"
    cell.ask(0.0)
    bench.until(lambda: server.cancelled >= 1)
    server.behaviour = "succeed"
    bench.until(lambda: len(server.goals) >= 2 and cell.control.state == "idle")
    assert server.goals[-1].command.position[0] == pytest.approx(0.695)


def test_a_gripper_that_hangs_is_said_and_tried_again(bench, robotiq):
    server = robotiq()
    server.behaviour = "hang"
    cell = start_robotiq(bench)
    cell.ask(0.14)
    cell.says("it hangs")
    assert cell.control.hanging
    server.behaviour = "succeed"
    bench.until(lambda: cell.control.state == "idle" and not cell.control.hanging)


def test_the_arm_never_waits_for_a_gripper_that_hangs(bench, robotiq):
    """A chunk with the gripper in it is executed to its end."""
    server = robotiq()
    server.behaviour = "hang"
    cell = start_robotiq(bench)
    commands, wanted = bench.listen(interfaces.JOINT_COMMANDS), bench.listen(interfaces.CHUNK_WANTED)
    joints = interfaces.publish(bench.probe, interfaces.JOINT_STATES)
    bench.probe.create_timer(
        0.01,
        lambda: joints.publish(
            conversions.to_joint_state(
                PANDA.joint_names, commands[-1].position if commands else PANDA.home, bench.now_s(), np.zeros(7)
            )
        ),
    )
    bench.node(StreamerNode, parameters={"enabled": True, "arm": an_arm("panda", **ROBOTIQ)})
    chunks = bench.talk(interfaces.ACTION_CHUNK)
    cell.ask(0.0)
    bench.until(lambda: cell.control.hanging and wanted and wanted[-1].data)
    goal = PANDA.home + np.linspace(0.1, 1, 10)[:, None] * np.array([0.2, 0, 0, 0, 0, 0, 0])
    now_s = bench.now_s()
    chunks.publish(
        conversions.chunk_to_trajectory(
            ActionChunk(goal, np.ones(10), 0.05, now_s, now_s),
            replace(PANDA, gripper=replace(PANDA.gripper, max_width_m=0.14)),
        )
    )
    bench.until(lambda: commands and abs(commands[-1].position[0] - PANDA.home[0] - 0.2) < 1e-3)
    assert cell.control.wanted_m == pytest.approx(0.14)
    assert cell.control.hanging or cell.control.problem or server.goals


@pytest.mark.parametrize(("behaviour", "words"), [("reject", "refused the goal"), ("abort", "has failed")])
def test_what_a_gripper_refuses_is_said_and_tried_again(bench, robotiq, behaviour, words):
    server = robotiq()
    server.behaviour = behaviour
    cell = start_robotiq(bench)
    cell.ask(0.14)
    cell.says(words)
    server.behaviour = "succeed"
    bench.until(lambda: cell.control.state == "idle" and server.goals)


def test_a_gripper_that_comes_later_gets_the_newest_width(bench, robotiq):
    cell = start_robotiq(bench)
    cell.ask(0.1)
    cell.ask(0.07)
    cell.says("there is no gripper")
    server = robotiq()
    bench.until(lambda: server.goals and cell.control.state == "idle")
    assert server.goals[-1].command.position[0] == pytest.approx(0.3475)


@pytest.mark.parametrize("width_m", [float("nan"), -0.05, 0.5])
def test_a_width_that_cannot_be_is_refused(bench, robotiq, width_m):
    server = robotiq()
    cell = start_robotiq(bench)
    cell.ask(width_m)
    cell.says("valid is 0 to 0.14 m")
    assert not server.goals


def test_without_its_messages_the_error_says_what_to_install(bench, monkeypatch):
    import sys

    for package, kind in (("control_msgs", "gripper_command"), ("franka_msgs", "franka_hand")):
        monkeypatch.setitem(sys.modules, f"{package}.action", None)
        gripper = ROBOTIQ if kind == "gripper_command" else {"action": "gripper"}
        with pytest.raises(RuntimeError, match=f"ros-jazzy-{package.replace('_', '-')}"):
            bench.node(GripperNode, parameters={"arm": an_arm(**gripper | {"kind": kind})})


def test_a_force_must_be_positive(bench):
    with pytest.raises(ValueError, match="force_n"):
        bench.node(GripperNode, lambda *_: None, parameters={"arm": an_arm(**ROBOTIQ), "force_n": 0.0})


def test_a_fixed_tool_says_that_it_is_closed(bench):
    began_s = bench.now_s()
    bench.node(GripperNode, parameters={"arm": an_arm(kind="none")})
    heard = bench.listen(interfaces.GRIPPER_STATE)
    bench.until(lambda: len(heard) > 2)
    stamps_s = [conversions.seconds(message.header.stamp) for message in heard]
    assert began_s < stamps_s[0] < stamps_s[-1] <= bench.now_s()
    assert [*heard[-1].name] == [conversions.GRIPPER_JOINT] and [*heard[-1].position] == [0.0]
