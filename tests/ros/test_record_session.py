"""The operator's bell, by what the recorder says of its episodes."""

import os

import pytest

pytest.importorskip("rclpy")

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
