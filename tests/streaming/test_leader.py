"""The gripper of a leader may come with its joints, or speak for itself."""

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.streaming.leader import Leader
from genima_core.types import JointState

from .chunks import HOME


@pytest.fixture
def leader():
<<<<<<< HEAD
    return Leader(PANDA.joint_names, ("left", "right"), 0.08, PANDA.limits, timeout_s=0.1, max_speed_ratio=1.5)


def opening(leader: Leader, now_s: float) -> float | None:
    assert leader.take(PANDA.joint_names, PANDA.home, np.zeros(7), now_s, now_s) is None
=======
    return Leader(PANDA, timeout_s=0.1, max_speed_ratio=1.5)


def opening(leader: Leader, now_s: float) -> float | None:
    assert leader.take(JointState(HOME, np.zeros(7), now_s), now_s) is None
>>>>>>> b735820 (The streamer and the mirror take typed inputs and answer with structured results; one table of states)
    return leader.last.opening


def test_without_fingers_nothing_is_known_of_the_gripper(leader):
    assert opening(leader, 1.0) is None


def test_what_the_gripper_said_of_itself_holds(leader):
    leader.take_width(0.03)
    assert opening(leader, 1.0) == pytest.approx(0.03 / 0.08)
    assert opening(leader, 1.01) == pytest.approx(0.03 / 0.08)
<<<<<<< HEAD


@pytest.mark.parametrize("finger_m", [np.nan, -1.0, 0.5])
def test_a_width_that_cannot_be_is_a_reason(leader, finger_m):
    leader.take_fingers(("left", "right"), (finger_m, 0.0))
    assert "left, right" in leader.take(PANDA.joint_names, PANDA.home, np.zeros(7), 1.0, 1.0)
=======
>>>>>>> b735820 (The streamer and the mirror take typed inputs and answer with structured results; one table of states)
