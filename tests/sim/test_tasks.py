"""Every registered task: built, reset, solved by its expert from either start."""

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.environment import follow, run_expert
from genima_core.sim import experts
from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.sim.task import Task, make_task, task_names
from genima_core.sim.tasks import push_button


@pytest.fixture(scope="module", params=task_names())
def task_cell(request):
    cell = Cell(make_task(request.param), default_rig(64, 64))
    yield cell
    cell.close()


def test_task_has_name_and_instruction(task_cell):
    assert isinstance(task_cell.task, Task)
    assert task_cell.task.name in task_names()
    assert task_cell.instruction


@pytest.mark.parametrize("start", ["home", "anywhere"])
def test_expert_solves_the_task(task_cell, start):
    for seed in range(8):
        task_cell.reset(seed, start)
        assert not task_cell.success()
        assert run_expert(task_cell), f"{task_cell.task.name} seed {seed} from {start}"


@pytest.mark.parametrize("start", ["home", "anywhere"])
def test_trajectories_are_smooth_and_within_limits(task_cell, start):
    for seed in range(100, 110):
        task_cell.reset(seed, start)
        trajectory = task_cell.plan()
        q = np.vstack([task_cell.q, trajectory.q])
        limits = PANDA.limits
        assert trajectory.dt_s == 0.05
        assert 1.0 <= trajectory.duration_s <= 20.0
        assert np.all(q > limits.lower)
        assert np.all(q < limits.upper)
        velocity = np.diff(q, axis=0) / trajectory.dt_s
        assert np.abs(velocity).max() <= experts.PEAK_SPEED + 1e-6
        assert np.abs(velocity[0]).max() < 0.1  # from rest
        assert np.abs(np.diff(velocity, axis=0)).max() / trajectory.dt_s < 5.0
        assert ((trajectory.gripper >= 0.0) & (trajectory.gripper <= 1.0)).all()


def test_plan_repeats(task_cell):
    task_cell.reset(11)
    first = task_cell.plan()
    task_cell.reset(11)
    np.testing.assert_array_equal(first.q, task_cell.plan().q)


def test_reset_forgets_success(task_cell):
    task_cell.reset(0)
    assert run_expert(task_cell)
    task_cell.reset(0)
    assert not task_cell.success()


def test_unknown_task():
    with pytest.raises(ValueError, match=r"unknown task 'juggle'; the tasks are .*push_button"):
        make_task("juggle")


def test_the_button_never_moves_before_it_is_touched(cell):
    cell.reset(1)
    for _ in range(20):
        cell.step(cell.q, 1.0, 0.05)
    assert abs(cell.joint_position("button_cap")) < 0.002
    assert not cell.success()


def test_success_latches_after_the_cap_is_released(cell):
    cell.reset(1)
    assert run_expert(cell)
    assert cell.joint_position("button_cap") < -0.02
    cell.step(PANDA.home, 0.0, 2.0)
    assert abs(cell.joint_position("button_cap")) < 0.002
    assert cell.success()


def test_expert_never_pushes_the_cap_sideways(cell):
    """From low starts beside the button the gripper is above the cap whenever it is over it."""
    low = 0
    for seed in range(60):
        cell.reset(seed, "anywhere")
        if cell.T_base_tcp()[2, 3] > 0.12:
            continue
        low += 1
        axis = cell.body_pose("button")[:2, 3]
        for _ in follow(cell, cell.plan()):
            beside = np.linalg.norm(cell.T_base_tcp()[:2, 3] - axis)
            if cell.data.ncon:
                assert beside < push_button.OVER_CAP_M + 0.005
        assert cell.success()
    assert low >= 5
