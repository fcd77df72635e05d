"""Jobs on processes and on a Ray cluster: the order, what dies, what is raised."""

import os
import sys
from pathlib import Path

import pytest

from genima_core.evaluation.workers import AHEAD, run_jobs


def square(number):
    return number * number


def dies_the_first_time(folder):
    """Ends its process before anything could be said, as the system does where memory runs out."""
    if not (Path(folder) / "tried").exists():
        (Path(folder) / "tried").touch()
        os._exit(1)
    return os.getpid()


def dies(_):
    os._exit(1)


def fails(number):
    if number == 2:
        raise ValueError(f"no {number}")
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs(workers):
    assert list(run_jobs(square, range(7), workers)) == [(i, i * i) for i in range(7)]


def test_what_a_job_raises_is_raised_here():
    with pytest.raises(ValueError, match="no 2"):
        list(run_jobs(fails, range(4), 2))


def test_a_worker_that_dies_costs_its_job_only(tmp_path):
    jobs = [tmp_path / str(i) for i in range(3)]
    for folder in jobs:
        folder.mkdir()
    (jobs[0] / "tried").touch()
    (jobs[2] / "tried").touch()
    done = [job for job, _ in run_jobs(dies_the_first_time, jobs, 2)]
    assert done == jobs


def test_a_job_that_kills_every_worker_is_named():
    with pytest.raises(RuntimeError, match="3 worker processes died of 5; .* fewer --workers"):
        list(run_jobs(dies, [5], 2))


def test_jobs_that_are_not_wanted_any_more_are_not_begun(tmp_path):
    results = run_jobs(Path.touch, (tmp_path / str(i) for i in range(1000)), 2)
    assert next(results) == (tmp_path / "0", None)
    results.close()
    assert len(list(tmp_path.iterdir())) <= 2 * (1 + AHEAD) + 1


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the cluster cannot import this file
    return ray


def test_a_cluster_gives_the_same(ray, tmp_path):
    assert list(run_jobs(square, range(5), ray="local")) == [(i, i * i) for i in range(5)]
    with pytest.raises(ValueError, match="no 2"):
        list(run_jobs(fails, range(4), ray="local"))
    assert [job for job, _ in run_jobs(dies_the_first_time, [tmp_path], ray="local")] == [tmp_path]
    with pytest.raises(RuntimeError, match="3 workers of the Ray cluster died"):
        list(run_jobs(dies, [5], ray="local"))


def test_an_address_where_no_cluster_answers(ray):
    with pytest.raises(ValueError, match="no Ray cluster answers at '127.0.0.1:9'"):
        list(run_jobs(square, range(2), ray="127.0.0.1:9"))
