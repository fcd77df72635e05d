"""Every registered task: built, reset, solved by its expert from either start."""

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.environment import follow, run_expert
from genima_core.sim import experts
from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task, scatter, task_names
from genima_core.sim.tasks import push_button
from genima_core.sim.waypoints import Waypoint


@pytest.fixture(scope="module", params=task_names())
def task_cell(request):
    cell = Cell(make_task(request.param), default_rig(64, 64))
    yield cell
    cell.close()


def test_it_says_what_to_do_and_when_it_is_done(task_cell):
    task = task_cell.task
    assert task.name in task_names()
    assert task.goal and len(task.instructions) >= 1 and len(task.paraphrases) >= 2
    assert not set(task.instructions) & set(task.paraphrases)
    assert len(set(task.variations)) == len(task.variations)
    for text in (*task.instructions, *task.paraphrases):
        assert ("{}" in text) == (task.variations != ("",)), text


@pytest.mark.parametrize("start", ["home", "anywhere"])
def test_the_expert_solves_it_smoothly_and_within_limits(task_cell, start):
    limits = PANDA.limits
    for seed in (100, 103):
        task_cell.reset(seed, start)
        assert not task_cell.success()
        trajectory = task_cell.plan()
        q = np.vstack([task_cell.q, trajectory.q])
        assert trajectory.dt_s == 0.05
        assert 1.0 <= trajectory.duration_s <= 20.0
        assert np.all(q > limits.lower)
        assert np.all(q < limits.upper)
        velocity = np.diff(q, axis=0) / trajectory.dt_s
        assert np.abs(velocity).max() <= experts.PEAK_SPEED + 1e-6
        assert np.abs(velocity[0]).max() < 0.1  # from rest
        assert np.abs(np.diff(velocity, axis=0)).max() / trajectory.dt_s < 5.0
        assert ((trajectory.gripper >= 0.0) & (trajectory.gripper <= 1.0)).all()
        for _ in follow(task_cell, trajectory):
            pass
        assert task_cell.success(), f"{task_cell.name}, seed {seed} from {start}"
    task_cell.reset(seed, start)
    assert not task_cell.success()
    np.testing.assert_array_equal(task_cell.plan().q, trajectory.q)


def test_the_expert_goes_on_from_wherever_it_was_left(task_cell):
    """As with true targets: a new plan each second, from rest."""
    task_cell.reset(104)
    while not task_cell.success() and task_cell.time_s < 25.0:
        for k in follow(task_cell, task_cell.plan()):
            if k == 20:
                break
    assert task_cell.success()


def test_unknown_task():
    with pytest.raises(ValueError, match=r"unknown task 'juggle'; the tasks are .*push_button"):
        make_task("juggle")


@pytest.mark.parametrize("seed", range(30))
def test_places_are_apart_even_where_the_first_one_leaves_no_room(seed):
    places = scatter(
        np.random.default_rng(seed), 2, (0.5, 0.5), (0.0, 1.0), apart_m=0.6, taken=[(0.5, -0.01)], beside_m=0.1
    )
    assert abs(places[0][1] - places[1][1]) > 0.6
    assert min(place[1] for place in places) > 0.09


def test_ranges_without_room_are_named():
    with pytest.raises(RuntimeError, match=r"no room for 3 objects 0.6 m apart at x \(0.5, 0.5\) m, y \(0.0, 1.0\) m"):
        scatter(np.random.default_rng(0), 3, (0.5, 0.5), (0.0, 1.0), apart_m=0.6)


def test_a_waypoint_that_is_passed_too_fast(cell, monkeypatch):
    cell.reset(0)
    fast = Waypoint(cell.T_base_tcp(), 1.0, velocity=(0.0, 0.0, -1.0))
    monkeypatch.setattr(cell.task, "waypoints", lambda _: (fast,))
    with pytest.raises(ValueError, match=r"cannot keep to 0.8 rad/s and 0.35 m/s within 30 s"):
        cell.plan()


def test_the_button_never_moves_before_it_is_touched(cell):
    cell.reset(1)
    for _ in range(20):
        cell.step(cell.q, 1.0, 0.05)
    assert all(abs(cell.joint_position(f"{colour}_cap")) < 0.002 for colour in cell.task.variations)
    assert not cell.success()


def test_success_latches_after_the_cap_is_released(cell):
    cell.reset(1)
    assert run_expert(cell)
    assert cell.joint_position(f"{cell.task.variation}_cap") < -0.02
    cell.step(PANDA.home, 0.0, 2.0)
    assert abs(cell.joint_position(f"{cell.task.variation}_cap")) < 0.002
    assert cell.success()


def test_expert_never_pushes_the_cap_sideways(cell):
    """From low starts beside the button the gripper is above the cap whenever it is over it."""
    low = 0
    for seed in range(60):
        cell.reset(seed, "anywhere")
        if cell.T_base_tcp()[2, 3] > 0.12:
            continue
        low += 1
        axis = cell.body_pose(f"{cell.task.variation}_button")[:2, 3]
        for _ in follow(cell, cell.plan()):
            beside = np.linalg.norm(cell.T_base_tcp()[:2, 3] - axis)
            if cell.data.ncon:
                assert beside < push_button.OVER_CAP_M + 0.005
        assert cell.success()
    assert low >= 5
