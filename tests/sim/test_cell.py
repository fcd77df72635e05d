import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.arm import FRAMES, PANDA
from genima_core.sim.cell import Cell
from genima_core.sim.inverse_kinematics import InverseKinematics, point_down
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task
from genima_core.sim.tasks import pick_up_cup

import mujoco  # isort: skip

LIMITS = PANDA.limits
joints = st.lists(st.floats(0, 1), min_size=7, max_size=7).map(
    lambda x: LIMITS.lower + np.array(x) * (LIMITS.upper - LIMITS.lower)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(q=joints)
def test_every_frame_matches_forward_kinematics(cell, q):
    cell.data.qpos[:7] = q
    mujoco.mj_kinematics(cell.model, cell.data)
    expected = PANDA.forward_kinematics(q)
    for i, frame in enumerate(FRAMES):
        pose = (
            cell.T_base_tcp()
            if frame == "tcp"
            else cell.body_pose("hand")
            if frame == "hand"
            else cell.body_pose(frame.replace("joint", "link"))
        )
        np.testing.assert_allclose(pose, expected[i], atol=1e-9, err_msg=frame)


def test_fingertips_are_at_the_tcp(cell):
    cell.reset(0)
    cell.step(cell.q, 0.0, 1.0)
    tips = np.array([cell.body_pose(f"finger{i}")[:3, 3] for i in (1, 2)])
    assert cell.gripper < 0.02
    np.testing.assert_allclose(tips[0], tips[1], atol=2e-3)
    cell.step(cell.q, 1.0, 1.0)
    tips = np.array([cell.body_pose(f"finger{i}")[:3, 3] for i in (1, 2)])
    assert cell.gripper > 0.98
    assert np.linalg.norm(tips[0] - tips[1]) == pytest.approx(PANDA.gripper.max_width_m, abs=2e-3)


def test_the_servos_follow_a_50_hz_stream(cell):
    cell.reset(4)
    start = cell.q
    errors, speeds = [], []
    for k in range(150):
        t = min((k + 1) * 0.02, 2.0)
        goal = start + np.array([0.4, 0.2, -0.3, 0.3, 0.3, -0.4, 0.5]) * (1 - np.cos(np.pi * t / 2)) / 2
        cell.step(goal, 1.0, 0.02)
        errors.append(np.abs(cell.q - goal).max())
        speeds.append(np.abs(cell.dq).max())
    assert max(errors) < 0.04  # the servos' lag, some 30 ms at 0.8 rad/s
    assert errors[-1] < 0.002
    assert speeds[-1] < 0.002
    assert np.all(np.abs(np.diff(speeds)) < 0.06)  # no oscillation


def test_a_step_command_settles_without_overshoot(cell):
    for joint in range(7):
        cell.reset(0)
        start = cell.q
        goal = start + 0.1 * np.eye(7)[joint]
        positions = []
        for _ in range(50):
            cell.step(goal, 1.0, 0.02)
            positions.append(cell.q)
        moved = (np.array(positions) - start)[:, joint]
        assert moved.max() < 0.11
        assert np.abs(positions[-1] - goal).max() < 0.002


def test_reset_is_deterministic(cell):
    def snapshot(seed, start):
        cell.reset(seed, start)
        cell.step(cell.q, 1.0, 0.1)
        return np.concatenate([cell.data.qpos, cell.body_pose("red_button").ravel(), [cell.time_s]])

    first = snapshot(7, "anywhere")
    assert not np.allclose(first, snapshot(8, "anywhere"))
    np.testing.assert_array_equal(first, snapshot(7, "anywhere"))


def test_both_starts_have_the_same_objects(cell):
    cell.reset(5, "home")
    button = cell.body_pose("red_button")
    assert np.abs(cell.q - PANDA.home).max() < 0.1
    assert cell.gripper > 0.99
    cell.reset(5, "anywhere")
    np.testing.assert_array_equal(button, cell.body_pose("red_button"))


@pytest.mark.parametrize("seed", range(10))
def test_anywhere_starts_free_above_the_table(cell, seed):
    cell.reset(seed, "anywhere")
    T_base_tcp = cell.T_base_tcp()
    assert cell.data.ncon == 0
    assert 0.059 <= T_base_tcp[2, 3] <= 0.451
    assert -T_base_tcp[2, 2] >= np.cos(np.deg2rad(20.5))
    assert np.all(cell.q > LIMITS.lower)
    assert np.all(cell.q < LIMITS.upper)
    assert cell.gripper in (0.0, 1.0)


def test_a_start_here_changes_the_objects_and_leaves_the_moving_arm_alone(cell):
    def move(reset: bool) -> list[np.ndarray]:
        cell.reset(3)
        goal, states = cell.q + 0.3, []
        for k in range(40):
            if reset and k == 8:
                cell.reset(6, "here")
                assert cell.body_pose("red_button")[:2, 3] == pytest.approx(button)
                assert np.abs(cell.dq).max() > 0.3
            cell.step(goal, 0.0, 0.02)
            states.append(np.concatenate([cell.q, cell.dq, [cell.gripper]]))
        return states

    cell.reset(6)
    button = cell.body_pose("red_button")[:2, 3].copy()
    np.testing.assert_allclose(move(reset=True), move(reset=False), atol=1e-6)


def test_it_says_whether_the_arm_touches_something(cell):
    cell.reset(0)
    assert cell.arm_is_free
    x, y = cell.body_pose("red_button")[:2, 3]
    cell.place_arm(cell.inverse_kinematics.solve(point_down(np.array([x, y, 0.08]))), 0.0)
    assert not cell.arm_is_free
    other = next(seed for seed in range(1, 30) if np.linalg.norm(_buttons(cell, seed) - [x, y], axis=1).min() > 0.15)
    cell.reset(other, "here")
    assert cell.arm_is_free


def _buttons(cell, seed: int) -> np.ndarray:
    cell.reset(seed, "here")
    return np.array([cell.body_pose(f"{colour}_button")[:2, 3] for colour in cell.task.variations])


@pytest.mark.parametrize("command", [np.zeros(6), np.zeros((1, 7)), np.full(7, np.nan), np.r_[np.zeros(6), np.inf]])
def test_a_bad_command_moves_nothing(cell, command):
    cell.reset(0)
    before = cell.data.qpos.copy()
    with pytest.raises(ValueError, match="7 finite joint positions"):
        cell.step(command, 1.0, 0.05)
    np.testing.assert_array_equal(before, cell.data.qpos)
    assert cell.time_s == 0.0


@pytest.mark.parametrize(
    ("gripper", "duration_s", "message"),
    [
        (np.nan, 0.1, "gripper_command"),
        (np.inf, 0.1, "gripper_command"),
        (1.0, -0.1, "duration_s"),
        (1.0, np.nan, "duration_s"),
    ],
)
def test_bad_gripper_or_duration(cell, gripper, duration_s, message):
    cell.reset(0)
    with pytest.raises(ValueError, match=message):
        cell.step(cell.q, gripper, duration_s)
    assert cell.time_s == 0.0


def test_unknown_start_or_wording(cell):
    with pytest.raises(ValueError, match="valid are home, anywhere, here"):
        cell.reset(0, "above")
    with pytest.raises(ValueError, match="unknown wording 'rude'; valid are seen, paraphrase, wrong"):
        cell.reset(0, wording="rude")


def test_observation(cell):
    cell.reset(2)
    cell.step(cell.q, 1.0, 0.1)
    observation = cell.observe()
    assert observation.stamp_s == pytest.approx(0.1)
    assert tuple(observation.images) == cell.rig.names
    assert all(image.shape == (64, 64, 3) and image.dtype == np.uint8 for image in observation.images.values())
    assert observation.instruction == cell.instruction
    np.testing.assert_array_equal(observation.q, cell.q)


@settings(max_examples=15, deadline=None)
@given(x=st.floats(0.35, 0.65), y=st.floats(-0.25, 0.25), z=st.floats(0.05, 0.4), yaw=st.floats(-0.4, 0.4))
def test_inverse_kinematics_reaches_the_table(x, y, z, yaw):
    goal = point_down(np.array([x, y, z]), yaw)
    q = InverseKinematics(PANDA).solve(goal)
    pose = PANDA.frame_pose(q, "tcp")
    np.testing.assert_allclose(pose[:3, 3], goal[:3, 3], atol=5e-4)
    assert np.trace(pose[:3, :3].T @ goal[:3, :3]) > 3 - 1e-4


def test_inverse_kinematics_says_what_is_out_of_reach():
    with pytest.raises(ValueError, match="out of reach"):
        InverseKinematics(PANDA).solve(point_down(np.array([1.2, 0.0, 0.3])))


def test_objects_that_always_overlap_are_named(monkeypatch):
    monkeypatch.setattr(pick_up_cup, "APART_M", -1.0)
    monkeypatch.setattr(pick_up_cup, "X_RANGE_M", (0.5, 0.5))
    monkeypatch.setattr(pick_up_cup, "Y_RANGE_M", (0.0, 0.0))
    with pytest.raises(
        RuntimeError, match=r"the objects of pick_up_cup overlap in \d+ scenes, at last .*_cup and .*_cup"
    ):
        Cell(make_task("pick_up_cup"), default_rig(16, 16))


def test_variation_and_start_do_not_go_together():
    """Both follow from the seed; each variation is demonstrated from either start."""
    cups = Cell(make_task("pick_up_cup"), default_rig(16, 16))
    seen = set()
    for seed in range(12):
        cups.reset(seed)
        seen.add((seed % 2, cups.variation))
        assert cups.variation in cups.instruction
    assert len(seen) == 2 * len(cups.variations)
    cups.reset(0, wording="wrong")
    assert cups.variation not in cups.instruction
    cups.reset(0, wording="paraphrase")
    assert cups.instruction not in [text.format(cups.variation) for text in cups.task.instructions]
    with pytest.raises(ValueError, match="open_door has one variation"):
        Cell(make_task("open_door"), default_rig(16, 16)).reset(0, wording="wrong")
