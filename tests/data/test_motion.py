import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.arm import PANDA
from genima_core.data.dataset import DatasetWriter
from genima_core.data.motion import STEP_S, Motion, approach, deviations, load_motion

from . import synthetic
from .bags import recorded
from .bags.recorded import BEGUN_S, Plan

joints = st.lists(st.floats(0.1, 0.9), min_size=7, max_size=7).map(
    lambda x: PANDA.limits.lower + np.array(x) * (PANDA.limits.upper - PANDA.limits.lower)
)


def test_commands_are_what_is_replayed(tmp_path):
    motion = load_motion(recorded.write(tmp_path / "bag", Plan(seconds=2.0, camera_hz=5.0)))
    assert (motion.task, motion.seed, motion.source) == ("push_button", 7, "joint_commands")
    assert motion.step_s == pytest.approx(STEP_S, rel=0.05)
    assert motion.duration_s == pytest.approx(2.0, abs=0.01)
    times_s = BEGUN_S + motion.step_s * np.arange(len(motion.q))
    np.testing.assert_allclose(motion.q, recorded.commanded(times_s), atol=1e-4)
    np.testing.assert_allclose(motion.measured_q, recorded.q(BEGUN_S + motion.measured_s), atol=1e-6)
    assert motion.opening[-1] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(seconds=2.0, without=("joint_commands", "gripper_command"), camera_hz=5.0),
        Plan(seconds=2.0, command_hz=2.0, gripper_commands=(), camera_hz=5.0),
    ],
)
def test_without_whole_commands_it_is_the_measured_joints(tmp_path, plan):
    motion = load_motion(recorded.write(tmp_path / "bag", plan))
    assert motion.source == "joint_states"
    times_s = BEGUN_S + motion.step_s * np.arange(len(motion.q))
    np.testing.assert_allclose(motion.q, recorded.q(times_s), atol=1e-4)
    np.testing.assert_allclose(motion.opening, recorded.opening(times_s), atol=0.01)


def test_an_episode_of_a_data_set(tmp_path):
    episode = synthetic.episode(seed=3)
    with DatasetWriter(tmp_path / "data", synthetic.rig()) as writer:
        writer.add(episode)
    motion = load_motion(tmp_path / "data")
    assert (motion.seed, motion.source) == (episode.seed, "action")
    np.testing.assert_allclose(motion.q[0], episode.q[0], atol=1e-5)
    np.testing.assert_allclose(motion.q[-1], episode.action_q[-2], atol=1e-5)
    with pytest.raises(IndexError, match="no episode 1"):
        load_motion(tmp_path / "data", 1)


def test_what_is_no_motion_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_motion(tmp_path / "none")
    with pytest.raises(ValueError, match="cannot be replayed: it lasts"):
        load_motion(recorded.write(tmp_path / "short", Plan(seconds=0.05)))


@given(q=joints, goal=joints)
def test_the_approach_is_slow_and_from_rest_to_rest(q, goal):
    way, step_s = approach(q, goal)
    np.testing.assert_allclose(way[[0, -1]], [q, goal])
    dq = np.diff(way, axis=0) / step_s
    assert np.abs(dq).max() <= 0.3001
    assert np.abs(dq[[0, -1]]).max() < 0.02
    assert step_s <= 0.0501


@pytest.mark.parametrize("delay_s", [0.0, 0.2, 0.5])
def test_a_delay_is_no_deviation(tmp_path, delay_s):
    motion = load_motion(recorded.write(tmp_path / "bag", Plan(seconds=3.0, camera_hz=5.0))).at_speed(0.5)
    stamps_s = np.arange(0.0, 8.0, 0.01)
    measured = recorded.q(BEGUN_S + np.clip(stamps_s - delay_s, 0, None) * 0.5)
    assert deviations(motion, stamps_s, measured).max() < 5e-3
    measured[:, 2] += 0.04
    assert np.median(deviations(motion, stamps_s, measured)) == pytest.approx(0.04, abs=5e-3)


def test_rest_at_the_end_does_not_hide_a_delay():
    stamps_s = np.arange(0.0, 20.0, 0.02)
    q = np.zeros((len(stamps_s), 7))
    q[:, 0] = np.clip(stamps_s, 0, 2)
    motion = Motion(q, np.ones(len(q)), 0.02, stamps_s, q, "push_button", 0, "joint_commands")
    late = np.zeros_like(q)
    late[:, 0] = np.clip(stamps_s - 0.2, 0, 2)
    assert deviations(motion, stamps_s, late).max() < 1e-6
