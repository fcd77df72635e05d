import os

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rich.console import Console

from genima_core.arm import PANDA
from genima_core.sim.operator import START_FROM_HOME_RAD
from genima_ros.cli.leader import Sliders, leader, move
from genima_ros.cli.terminal.keyboard import keys
from genima_ros.clients.leader_client import LeaderClient
from genima_ros.messages import interfaces
from genima_ros.nodes.leader_node import LeaderNode

START = PANDA.home + START_FROM_HOME_RAD

pytestmark = pytest.mark.ros


class FakeClient:
    """Goes where it is told at once; spinning is what time passes by."""

    def __init__(self) -> None:
        self.q, self.opening, self.heard = START.copy(), 1.0, True
        self.sent: list[np.ndarray] = []
        self.now_s = 0.0

    def send(self, q: np.ndarray, opening: float) -> None:
        self.sent.append(q.copy())
        self.q, self.opening = q.copy(), opening

    def spin(self, duration_s: float) -> None:
        self.now_s += duration_s


def text(table) -> str:
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def test_keys_move_the_chosen_joint_by_steps():
    sliders = Sliders(PANDA, PANDA.home, 1.0, 0.1)
    for key in keys("3+\x1b[C-4\x1b[D<"):
        sliders.press(key)
    np.testing.assert_allclose(sliders.q - PANDA.home, [0, 0, 0.1, -0.12, 0, 0, 0], atol=1e-9)
    for key in keys("\x1b[Bg"):
        sliders.press(key)
    assert (sliders.joint, sliders.opening) == (4, 0.0)
    sliders.press("h")
    np.testing.assert_array_equal(sliders.q, PANDA.home)


def test_sliders_end_at_the_limits():
    sliders = Sliders(PANDA, PANDA.home, 1.0, 0.5)
    for joint in "1234567":
        for key in [joint, *"++++++++++++++++"]:
            sliders.press(key)
    np.testing.assert_array_equal(sliders.q, PANDA.limits.upper)


def test_the_table_shows_limits_keys_and_problems():
    table = text(Sliders(PANDA, PANDA.home, 1.0, 0.1).table(START))
    assert all(word in table for word in ("panda_joint7", "-2.90", f"{START[0]:.3f}", "gripper", "q quit"))
    assert "has gone" in text(Sliders(PANDA, PANDA.home, 1.0, 0.1).table(START, "the leader has gone"))


def test_what_is_said_is_repeated_until_q():
    link, typed = FakeClient(), iter(["1+", *[""] * 40, "q"])
    move(Sliders(PANDA, link.q, 1.0, 0.1), link, lambda: next(typed), lambda: link.now_s)
    assert 4 <= len(link.sent) <= 6
    assert np.ptp(np.array(link.sent), axis=0).max() < 1e-9
    assert link.sent[0][0] == pytest.approx(START[0] + 0.1)


def test_it_moves_a_real_leader(bench):
    states = bench.listen(interfaces.LEADER_JOINT_STATES)
    bench.node(LeaderNode, lambda _: None)
    with LeaderClient(int(os.environ["ROS_DOMAIN_ID"])) as link:
        bench.until(lambda: link.spin(0.01) or (link.heard and np.isfinite(link.q).all()))
        np.testing.assert_allclose(link.q, START)
        link.send(START + 0.1, 0.5)
        bench.until(lambda: link.spin(0.01) or np.abs(link.q - START - 0.1).max() < 1e-4)
        bench.until(lambda: link.spin(0.01) or abs(link.opening - 0.5) < 1e-6)
    assert states


def test_no_leader_is_said():
    with LeaderClient(int(os.environ["ROS_DOMAIN_ID"])) as link, pytest.raises(RuntimeError, match="up teleop sim"):
        link.wait_ready(0.2)


def test_a_wrong_step_is_explained():
    with pytest.raises(ValueError, match="--step is 2"):
        leader(step=2.0)
