"""Environments by their names."""

from contextlib import closing

import pytest

from genima_core.environments.make import make_environment
from genima_core.sim.scene import default_rig
from genima_core.sim.task import task_names

RIG = default_rig(16, 16)


def test_a_task_is_made_by_its_name():
    with closing(make_environment("push_button", RIG)) as environment:
        assert environment.name == "push_button"
        assert environment.rig == RIG
        assert environment.observe().images["front"].shape == (16, 16, 3)


def test_an_unknown_name_lists_the_tasks():
    with pytest.raises(ValueError, match=f"unknown task 'push_buton'.*{', '.join(task_names())}, and rlbench"):
        make_environment("push_buton", RIG)
