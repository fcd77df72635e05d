"""Our driver and the streamer, as processes, against franka-sim: another project's side of the vendor's protocol.

It aborts motions for the reasons that the arm does. A loaded machine loses packets, and then it aborts for that: such a
motion is recovered from and done again, as an operator would do; any other reason is a fault of ours.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("franka")

from _rehearsal import Rehearsal, ramp, rehearsing

from genima_core.arm import FR3, PANDA
from genima_core.arm_status import Level
from genima_core.franka.config import FrankaConfig
from genima_core.franka.link import FrankaLink, connect
from genima_core.franka.server import find_server, running_server
from genima_core.streaming.states import State
from genima_ros.arms import find_arm
from genima_ros.clients.recovery_client import RecoveryLink
from genima_ros.graph.processes import RunningGraph
from genima_ros.messages import interfaces

pytestmark = [pytest.mark.ros, pytest.mark.slow]

PATIENCE_S = 60.0
"""Reached only by a test that fails."""
TRIES = 10
RESEND_S = 2.0
"""A chunk takes a second."""
LOST = "communication_constraints_violation"
DOMAIN = int(os.environ.get("ROS_DOMAIN_ID", "0"))
AWAY = 0.1 * np.array([1.0, 0.5, -1.0, 0.5, 1.0, 1.0, -1.0])


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return find_server()
    except RuntimeError as error:
        pytest.skip(str(error))


class Session:
    """An FR3 of franka-sim with our graph on it."""

    def __init__(self, program: Path, folder: Path, stack: ExitStack, **franka) -> None:
        self.program, self.folder, self._server = program, folder, ExitStack()
        stack.callback(self._server.close)
        self.start_server()
        self.rehearsal: Rehearsal
        self.graph: RunningGraph
        log = stack.enter_context((folder / "graph.log").open("w"))
        self.rehearsal, self.graph = stack.enter_context(rehearsing(folder, DOMAIN, log, **franka))

    def start_server(self) -> None:
        self.arm = self._server.enter_context(running_server(self.program, self.folder / "server.log"))

    def stop_server(self) -> None:
        self._server.close()

    def wait(self, condition: Callable[[], bool], what: str) -> None:

        def checked() -> bool:
            self.graph.check()
            return condition()

        r = self.rehearsal
        if not r.spin_until(checked, PATIENCE_S):
            nodes = {name: r.diagnostics.get(name) for name in ("franka", "streamer")}
            raise RuntimeError(f"{what}; arm {r.status}, streamer {r.streamer}, wanted {r.wanted}, {nodes}")

    def held(self) -> None:
        self.wait(lambda: self.rehearsal.level == Level.OK, "the arm is not held")

    def recover(self) -> None:
        with RecoveryLink(DOMAIN) as link:
            outcomes = list(link.recover(find_arm("fr3_fci")))
        assert outcomes[-1].ok, outcomes

    def attempt(self, act: Callable[[], None]) -> None:
        """Does it, enabled; again where the machine lost packets meanwhile."""
        for _ in range(TRIES):
            self.held()
            try:
                self.rehearsal.enable()
                self.wait(lambda: self.rehearsal.wanted or self.lost(), "no chunk is wanted")
                act()
            except (AssertionError, RuntimeError):
                self.rehearsal.spin(1.0)
                if not self.lost():
                    raise
            if not self.lost():
                return
            self.recover()
        pytest.skip(f"this machine lost packets in {TRIES} attempts")

    def lost(self) -> bool:
        status = self.rehearsal.status
        if status is None or status.level is Level.OK:
            return False
        assert "reflex" not in status.message or LOST in status.message, f"a motion was aborted: {status}"
        return LOST in status.message

    def move(self, goal: np.ndarray, width_m: float = 0.08, done: Callable[[], bool] | None = None) -> None:
        """Chunks to `goal`, sent whenever one is wanted, until it is reached (or `done` says so)."""
        r, sent_s = self.rehearsal, -np.inf

        def reached() -> bool:
            nonlocal sent_s
            if self.lost() or (done() if done else np.abs(r.q - goal).max() < 0.01):
                return True
            if r.wanted and r.now_s() - sent_s > RESEND_S:  # what it wants may have changed on the way here
                sent_s = r.send_chunk(ramp(r.q, goal), width_m)
            return False

        self.wait(reached, f"{goal} is not reached")


@pytest.fixture(scope="module")
def session(program, tmp_path_factory) -> Iterator[Session]:
    with ExitStack() as stack:
        yield Session(program, tmp_path_factory.mktemp("fci"), stack)


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "what the test waits for did not happen"
        time.sleep(0.01)


def test_where_nobody_answers_the_remedy_is_said(program):
    """Before the server is started."""
    with closing(FrankaLink(FrankaConfig(robot_ip="127.0.0.1"), FR3)) as link:
        until(lambda: link.status.level is Level.ERROR)
        assert "127.0.0.1 is not reached" in link.status.message and "activate FCI in Desk" in link.status.message
        with pytest.raises(RuntimeError, match=r"not recovered: 127.0.0.1 is not reached"):
            link.recover()


def test_a_guided_arm_goes_where_it_is_pushed_and_stays_there(program, tmp_path):
    """A leader, at an address of its own."""
    with (
        running_server(program, tmp_path / "leader.log", "127.0.0.2") as arm,
        closing(FrankaLink(FrankaConfig(robot_ip="127.0.0.2", guided=True), FR3)) as link,
    ):
        until(lambda: link.status.mode == "guiding" and link.controlled)
        before = link.reading.q
        arm.tell("push 4 2.0")
        until(lambda: link.reading.q[3] > before[3] + 0.1)
        arm.tell("push 4 0.0")
        until(lambda: np.abs(link.reading.dq).max() < 1e-3)
        assert link.reading.q[3] > before[3] + 0.1 and link.controlled
        with pytest.raises(ValueError, match="guided by hand"):
            link.follow(np.array([1.0]), before[None], None)


def test_a_rehearsal_has_several_arms_and_takes_what_is_typed(program):
    command = [sys.executable, "-m", "genima_ros.cli.main", "rehearse", "--arms", "2", "--server", str(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            answers = [process.stdout.readline() for _ in range(2)]
            assert answers == ["an FR3 answers at 127.0.0.1\n", "an FR3 answers at 127.0.0.2; Ctrl-C ends it\n"]
            robots = [connect(FrankaConfig(robot_ip=f"127.0.0.{k}")) for k in (1, 2)]
            assert os.sched_getscheduler(0) == os.SCHED_OTHER, "what this process starts would take the cores"
            process.stdin.write("2 user_stopped\n7 guiding\nfall over\n")
            process.stdin.flush()
            assert process.stdout.readline() == "there is no arm 7; valid are 1 to 2\n"
            assert "'fall over' is not understood" in process.stdout.readline()
            until(lambda: robots[1].read_once().robot_mode == "user_stopped")
            assert robots[0].read_once().robot_mode == "idle"
        finally:
            process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_what_an_operator_does_at_the_arm_is_respected(program, tmp_path):
    """User stop, guiding by the vendor's buttons, and a system version that is not ours."""
    with running_server(program, tmp_path / "arm.log", "127.0.0.2") as arm:
        arm.tell("refuse")
        with closing(FrankaLink(FrankaConfig(robot_ip="127.0.0.2"), FR3)) as link:
            until(lambda: link.status.level is Level.ERROR)
            assert "Incompatible library version" in link.status.message
            assert "its system version and this franka-rs do not fit" in link.status.message
            arm.tell("accept")
            until(lambda: link.controlled and link.status.level is Level.OK)
            arm.tell("user_stopped")
            until(lambda: not link.controlled)
            assert link.status.level is Level.ERROR
            for mode, words in (("user_stopped", "user stop"), ("guiding", "guid")):
                arm.tell(mode)
                until(lambda mode=mode: link.status.mode == mode)
                assert not link.controlled and link.status.level is not Level.OK
                with pytest.raises(RuntimeError, match=words):
                    link.recover()
                with pytest.raises(ValueError, match="the arm is not controlled"):
                    link.follow(np.array([1.0]), FR3.home[None], None)
            arm.tell("idle")
            until(lambda: link.status.mode == "idle")
            assert not link.controlled, "it begins again only when it is told to"
            assert link.recover() == "recovered: it holds where it is"


def test_the_arm_is_held_and_nothing_moves_before_it_is_enabled(session):
    session.held()
    r, before = session.rehearsal, session.rehearsal.q
    r.send_chunk(ramp(before, before + AWAY))
    count = len(r.joints)
    session.wait(lambda: len(r.joints) > count + 400, "joint states stop")
    assert np.abs(r.q - before).max() < 1e-3
    stamps = np.array([seen.stamp_s for seen in list(r.joints)[count:]])
    assert (np.diff(stamps) > 0).all(), "each state is sent once"
    periods = np.diff(stamps)
    assert np.median(periods) < 1 / 200


def test_a_whole_chunk_is_followed_and_another_one_after_it(session):
    home = session.rehearsal.q

    def there_and_back():
        session.move(home + AWAY)
        session.move(home)

    session.attempt(there_and_back)


def test_the_hand_opens_and_closes(session):
    r = session.rehearsal

    widths_m = [0.08]

    def keep(message) -> None:
        widths_m.append(sum(p for name, p in zip(message.name, message.position, strict=True) if "finger" in name))

    def grip():
        for width_m in (0.0, 0.06, 0.03):  # closing goes on until something is met, and nothing is there
            session.move(r.q, width_m, lambda width_m=width_m: abs(widths_m[-1] - width_m) < 0.004)

    r.listen(interfaces.JOINT_STATES, keep)
    session.attempt(grip)


def test_targets_of_teleoperation_are_followed(session):
    r = session.rehearsal
    errors: list[float] = []

    def follow():
        begin_s, start = r.now_s(), r.q
        errors.clear()
        while (t_s := r.now_s() - begin_s) < 4.0 and not session.lost():
            x = min(t_s / 1.5, 1.0)
            swing = 0.2 * x**3 * (10 - 15 * x + 6 * x * x)
            q = start + swing * np.sin(2 * t_s) * np.ones(7)
            r.send_target(q, 2 * swing * np.cos(2 * t_s) * np.ones(7))
            r.spin(0.008)
            if t_s > 1.5 and r.streamer is not None and r.streamer.state is State.TRACKING:
                errors.append(float(np.abs(r.q - q).max()))

    session.attempt(follow)
    assert len(errors) > 20
    assert np.median(errors) < 0.08, "0.4 rad/s, and the arm is some tens of milliseconds behind"


def test_a_reflex_stops_and_is_recovered_from_by_the_documented_steps(session):
    """The driver is held up for longer than 20 packets, which the arm answers with a reflex."""
    session.held()
    driver = session.graph.pids["franka"]
    os.kill(driver, signal.SIGSTOP)
    session.rehearsal.spin(1.0)
    os.kill(driver, signal.SIGCONT)
    session.wait(session.lost, "there is no reflex")
    assert "use a real-time kernel" in session.rehearsal.status.message
    r, before = session.rehearsal, session.rehearsal.q
    r.send_chunk(ramp(before, before + AWAY))
    r.spin(1.0)
    assert np.abs(r.q - before).max() < 1e-2
    session.recover()
    session.attempt(lambda: session.move(before + AWAY))


def test_an_arm_whose_cable_was_pulled_comes_back_by_recovery_only(session):
    session.held()
    session.stop_server()
    r = session.rehearsal
    session.wait(lambda: r.level == Level.ERROR and "is not reached" in r.status.message, "it is not noticed")
    session.start_server()
    session.wait(lambda: r.level == Level.ERROR and "genima recover" in r.status.message, "it is not found again")
    session.recover()
    session.attempt(lambda: session.move(r.q + AWAY))


@pytest.mark.parametrize("error", ["joint_motion_generator_velocity_limits_violation", "joint_velocity_violation"])
def test_a_reflex_in_mid_motion_stops_the_arm_until_it_is_recovered(session, error):
    """Raised by the simulated arm itself, as all of its reasons are; `genima bench fci` goes through them."""
    r = session.rehearsal

    def begin():
        session.wait(lambda: r.wanted or session.lost(), "no chunk is wanted")
        r.send_chunk(ramp(r.q, r.q + AWAY))
        session.wait(lambda: np.abs(r.joints[-1].dq).max() > 0.05 or session.lost(), "it does not move")

    session.attempt(begin)
    session.arm.tell(f"reflex {error}")
    session.wait(lambda: r.level == Level.ERROR and error in r.status.message, "there is no reflex")
    session.wait(lambda: np.abs(r.joints[-1].dq).max() < 1e-2, "it does not rest")
    session.recover()
    session.attempt(lambda: session.move(r.q - AWAY))


def test_a_second_driver_waits_and_says_so(session):
    session.held()
    with closing(FrankaLink(FrankaConfig(robot_ip="127.0.0.1"), FR3)) as second:
        session.wait(lambda: "another program is connected" in second.status.message, "it is not said")
        assert not second.controlled and session.rehearsal.level == Level.OK


def test_when_the_driver_is_killed_the_arm_comes_to_rest_and_the_graph_ends(session):
    """Last: nothing runs afterwards."""
    session.held()
    r = session.rehearsal
    session.attempt(lambda: session.move(r.q - AWAY))
    session.wait(lambda: r.wanted or session.lost(), "no chunk is wanted")
    r.send_chunk(ramp(r.q, r.q + AWAY))
    r.spin(0.3)
    os.kill(session.graph.pids["franka"], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="node franka ended with signal SIGKILL"):
        session.wait(lambda: False, "it is not noticed")
    assert r.spin_until(lambda: r.streamer is not None and r.streamer.state is State.HOLDING, PATIENCE_S)
    with closing(FrankaLink(FrankaConfig(robot_ip="127.0.0.1"), PANDA)) as link:  # of the other kind
        until(lambda: "speaks version 10 of the FCI, as a fr3 does" in link.status.message)
    robot = connect(FrankaConfig(robot_ip="127.0.0.1"))
    assert np.abs(robot.read_once().dq).max() < 0.01
