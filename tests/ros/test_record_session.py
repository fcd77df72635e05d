"""The operator's bell, by what the recorder says of its episodes, and the line that the operator types."""

import os

import pytest

pytest.importorskip("rclpy")

from genima_ros.cli.terminal.keyboard import keys
from genima_ros.clients.record_session import RecordSession

pytestmark = pytest.mark.ros


def test_the_bell_rings_once_for_a_good_episode_and_three_times_for_a_suspect_one():
    rings = []
    with RecordSession(int(os.environ["ROS_DOMAIN_ID"]), rings.append) as session:
        for kept, last_suspect in ((0, 0), (1, 0), (1, 0), (2, 1), (1, 0), (2, 0)):  # the suspect one is discarded
            session.diagnostics["recorder"] = {"kept": float(kept), "last_suspect": float(last_suspect)}
            session.step()
        assert rings == [1, 3, 1]
        session.press("b")
        session.step()
        session.diagnostics["recorder"] = {"kept": 3.0, "last_suspect": 1.0}
        session.step()
    assert rings == [1, 3, 1]


def test_an_instruction_is_typed_corrected_and_given_up():
    with RecordSession(int(os.environ["ROS_DOMAIN_ID"]), lambda times: None) as session:
        session.press(keys("ipu\x1b[Ds\x7fsh\x1b[C"))  # arrows are no characters
        session.step()
        assert session.line == "push"
        session.press(" it \n")
        session.step()
        assert (session.line, session.note) == (None, "instruction: push it")
        session.press("iwrong\x1b")
        session.step()
        assert (session.line, session.note) == (None, "instruction: push it")
