"""The rules of the connection, with a stand-in for the package; tests/ros/test_franka_sim.py meets the real one."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from genima_core.arm import FR3, PANDA
from genima_core.arm_status import Level
from genima_core.franka.config import FrankaConfig
from genima_core.franka.link import FAR_RAD, ROW_S, FrankaLink

LIMIT_S = 30.0


class Control:
    """What `joint_targets` gives."""

    def __init__(self, robot: "Robot", **options) -> None:
        self.robot, self.options, self.running, self.rows = robot, options, True, []
        self.error: Exception | None = None
        robot.mode = "move"

    def state(self):
        return self.robot.read_once()

    def follow(self, rows, dt):
        assert dt == ROW_S
        self.rows.append(np.array(rows))

    def stop(self):
        self.running, self.robot.mode = False, "reflex" if self.error else "idle"
        if self.error:
            raise self.error

    def abort(self, *errors: str) -> None:
        self.error = RuntimeError("motion aborted")
        self.error.errors = list(errors)
        self.robot.last, self.running = list(errors), False


class Robot:
    fci_version = 10

    def __init__(self) -> None:
        self.mode, self.errors, self.last = "idle", [], []
        self.q, self.controls, self.recoveries, self.time_s = FR3.home.copy(), [], 0, 0.0
        self.broken = ""

    def set_collision_behavior_simple(self, *thresholds):
        assert [len(numbers) for numbers in thresholds] == [7, 7, 6, 6]

    def read_once(self):
        if self.broken:
            raise ConnectionError(self.broken)
        time.sleep(0.001)
        self.time_s += 0.001
        state = {
            "q": self.q,
            "dq": np.zeros(7),
            "tau_J_d": np.zeros(7),
            "time": self.time_s,
            "control_command_success_rate": 1.0,
        }
        return SimpleNamespace(**state, robot_mode=self.mode, current_errors=self.errors, last_motion_errors=self.last)

    def joint_targets(self, **options):
        self.controls.append(Control(self, **options))
        return self.controls[-1]

    def automatic_error_recovery(self):
        self.recoveries += 1
        self.mode, self.errors = "idle", []


@pytest.fixture
def start():
    links = []

    def make(robot, arm=FR3, **config) -> FrankaLink:
        connect = robot if callable(robot) else lambda config: robot
        links.append(FrankaLink(FrankaConfig(**config), arm, connect))
        return links[-1]

    yield make
    for link in links:
        link.close()


def until(condition) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s, "what the test waits for did not happen"
        time.sleep(0.002)


def held(link: FrankaLink) -> bool:
    return link.controlled and link.status.level is Level.OK


def test_it_begins_to_hold_where_the_arm_is_and_follows_from_there(start):
    robot = Robot()
    link = start(robot)
    until(lambda: held(link))
    control = robot.controls[-1]
    assert control.options["backend"] == "impedance" and not control.rows
    dq = np.zeros((2, 7))
    link.follow(np.array([0.1, 0.2]), np.vstack([FR3.home + 0.01, FR3.home + 0.02]), dq)
    rows = control.rows[-1]
    assert rows[-1] == pytest.approx(FR3.home + 0.02)  # where it comes to rest
    assert np.abs(np.diff(rows, axis=0)).max() < 0.01


def test_a_target_is_ahead_by_the_stop_and_by_what_damping_brakes_and_never_beyond_the_limits(start):
    robot = Robot()
    link = start(robot, limits_share=1.0)
    until(lambda: held(link))
    times_s = np.arange(1, 41) * 0.02
    q, dq = FR3.home + 0.5 * times_s[:, None], np.full((40, 7), 0.5)
    link.follow(times_s[:10], q[:10], dq[:10])
    rows = robot.controls[-1].rows[-1]
    stop = 0.5 / 2 * (0.5 / 10 + 10 / 5000)
    assert rows[30, 0] == pytest.approx(FR3.home[0] + 0.5 * 30 * ROW_S + stop + 0.5 * 50 / 600, abs=2e-3)
    robot.q = FR3.limits.upper - 0.02
    until(lambda: np.allclose(link.reading.q, robot.q))
    link.follow(np.array([0.1]), robot.q[None] + 0.1, None)
    assert (robot.controls[-1].rows[-1] < FR3.limits.upper).all()


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (FR3.home + FAR_RAD + 0.05, "joint 1 is told to be 0.25 rad from where it is"),
        (np.full(7, np.nan), "joint 1 is told to be nan rad"),
        (FR3.home[:6], "trajectory has 1 times, positions of shape"),
    ],
)
def test_a_trajectory_that_begins_elsewhere_is_refused(start, q, message):
    robot = Robot()
    link = start(robot)
    until(lambda: held(link))
    with pytest.raises(ValueError, match=message):
        link.follow(np.array([0.1]), np.asarray(q)[None], None)
    assert not robot.controls[-1].rows


@pytest.mark.parametrize("seconds", [1e9, np.inf, np.nan])
def test_a_trajectory_without_end_takes_no_memory(start, seconds):
    robot = Robot()
    link = start(robot)
    until(lambda: held(link))
    with pytest.raises(ValueError, match="valid are up to 5"):
        link.follow(np.array([seconds]), FR3.home[None], None)
    assert not robot.controls[-1].rows


def test_a_mode_that_nobody_knows_is_another_mode(start):
    robot = Robot()
    robot.mode = "dancing"
    link = start(robot)
    until(lambda: link.reading is not None)
    assert link.status.level is Level.WARN and not link.controlled


def test_after_a_reflex_nothing_moves_until_it_is_recovered(start):
    robot = Robot()
    link = start(robot)
    until(lambda: held(link))
    robot.controls[-1].abort("cartesian_reflex")
    until(lambda: not link.controlled)
    assert link.status.level is Level.ERROR and "cartesian_reflex" in link.status.message
    assert link.aborted == {"cartesian_reflex": 1}
    with pytest.raises(ValueError, match=r"the arm is not controlled: .*cartesian_reflex"):
        link.follow(np.array([0.1]), FR3.home[None], None)
    assert len(robot.controls) == 1, "it does not begin again by itself"
    assert link.recover() == "recovered: it holds where it is"
    assert robot.recoveries == 1 and held(link)
    assert link.recover() == "there was no error"


def test_the_user_stop_must_be_released_before_it_recovers(start):
    robot = Robot()
    link = start(robot)
    until(lambda: held(link))
    robot.controls[-1].abort()
    until(lambda: not link.controlled)
    robot.mode = "user_stopped"
    until(lambda: link.status.mode == "user_stopped")
    with pytest.raises(RuntimeError, match="release the user stop"):
        link.recover()
    robot.mode = "idle"
    assert link.recover().startswith("recovered")


def test_a_lost_connection_is_found_again_but_control_is_not_begun_by_itself(start):
    robot = Robot()
    link = start(robot)
    until(lambda: held(link))
    robot.controls[-1].abort()
    robot.broken = "no route to host"
    until(lambda: link.robot is None)
    assert link.status.level is Level.ERROR
    assert "no route to host" in link.status.message
    with pytest.raises(RuntimeError, match="not recovered: .*no route to host"):
        link.recover()
    robot.broken, robot.mode = "", "idle"
    until(lambda: link.robot is not None)
    assert not link.controlled and "genima recover" in link.status.message
    assert link.recover().startswith("recovered")


def test_an_arm_of_the_other_kind_is_not_moved(start):
    link = start(Robot(), PANDA)
    until(lambda: link.status.level is Level.ERROR)
    assert "it speaks version 10 of the FCI, as a fr3 does, and the arm's file says panda" in link.status.message


def test_an_arm_that_does_not_answer_says_that_it_may_have_another_client(start):
    answer = threading.Event()
    clock = SimpleNamespace(now_s=0.0)
    link = FrankaLink(FrankaConfig(), FR3, lambda config: answer.wait(LIMIT_S) and Robot(), lambda: clock.now_s)
    assert link.status.message == "connecting to 172.16.0.2" and link.status.level is Level.WARN
    clock.now_s = 4.0
    assert "172.16.0.2 has not answered for 4 s: another program is connected to it" in link.status.message
    answer.set()
    link.close()


def test_a_guided_arm_takes_no_commands(start):
    robot = Robot()
    link = start(robot, guided=True)
    until(lambda: link.status.mode == "guiding")
    assert robot.controls[-1].options["joint_stiffness"] == [0.0] * 7
    assert link.status.level is Level.WARN and link.status.message == "it is guided by hand and takes no commands"
    with pytest.raises(ValueError, match="the arm is guided by hand"):
        link.follow(np.array([0.1]), FR3.home[None], None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"robot_ip": ""}, "robot_ip is empty"),
        ({"limits_share": 1.5}, r"limits_share is 1.5; it must be in \[0.05, 1\]"),
        ({"joint_stiffness": (600.0,)}, r"joint_stiffness is \[600.0\]; it needs 7 positive numbers"),
        ({"collision_force_n": (0.0,) * 6}, "it needs 6 positive numbers"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_said(config, message):
    with pytest.raises(ValueError, match=message):
        FrankaConfig(**config)
