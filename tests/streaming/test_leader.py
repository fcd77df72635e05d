"""The gripper of a leader may come with its joints, or speak for itself."""

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.streaming.leader import Leader


@pytest.fixture
def leader():
    return Leader(PANDA.joint_names, ("left", "right"), 0.08, PANDA.limits, timeout_s=0.1, max_speed_ratio=1.5)


def opening(leader: Leader, now_s: float) -> float | None:
    assert leader.take(PANDA.joint_names, PANDA.home, np.zeros(7), now_s, now_s) is None
    return leader.last.opening


def test_without_fingers_nothing_is_known_of_the_gripper(leader):
    assert opening(leader, 1.0) is None
    for names, positions in ((("left",), (0.01,)), (("left", "right"), (0.01,)), (("other",), (0.02,))):
        leader.take_fingers(names, positions)  # not both fingers
    assert opening(leader, 1.01) is None


def test_what_the_gripper_said_of_itself_holds(leader):
    leader.take_fingers(("right", "left"), (0.01, 0.02))
    assert opening(leader, 1.0) == pytest.approx(0.03 / 0.08)
    assert opening(leader, 1.01) == pytest.approx(0.03 / 0.08)


@pytest.mark.parametrize("finger_m", [np.nan, -1.0, 0.5])
def test_a_width_that_cannot_be_is_a_reason(leader, finger_m):
    leader.take_fingers(("left", "right"), (finger_m, 0.0))
    assert "left, right" in leader.take(PANDA.joint_names, PANDA.home, np.zeros(7), 1.0, 1.0)
