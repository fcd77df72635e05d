"""The gripper of a leader may come with its joints, or speak for itself."""

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.streaming.leader import Leader
from genima_core.types import JointState

from .chunks import HOME


@pytest.fixture
def leader():
    return Leader(PANDA, timeout_s=0.1, max_speed_ratio=1.5)


def opening(leader: Leader, now_s: float) -> float | None:
    assert leader.take(JointState(HOME, np.zeros(7), now_s), now_s) is None
    return leader.opening


def test_without_fingers_nothing_is_known_of_the_gripper(leader):
    assert opening(leader, 1.0) is None


def test_what_the_gripper_said_of_itself_holds(leader):
    leader.own_width_m = 0.03
    assert opening(leader, 1.0) == pytest.approx(0.03 / 0.08)
    assert opening(leader, 1.01) == pytest.approx(0.03 / 0.08)
