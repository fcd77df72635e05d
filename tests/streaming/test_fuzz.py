"""A short run of `genima bench fuzz`, with fixed seeds."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.streaming.states import Command, Reason, State

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("episode", range(16))
def test_nothing_raises_and_no_limit_is_exceeded(fuzz, episode):
    row, seen = fuzz.fuzz(20261129, episode, 400, model=False)
    assert row["ticks"] == sum(seen[state] for state in State) == 400
    assert not row["exceptions"] and not row["violations"], row["failure"]


@pytest.mark.parametrize(("step_rad", "kinds"), [(0.0, set()), (0.01, {"acceleration"}), (0.2, {"velocity"})])
def test_the_checker_sees_a_step(fuzz, step_rad, kinds):
    checker = fuzz.Checker(PANDA, 0.02)
    rest = np.zeros((2, 7))
    for k in range(10):
        q = PANDA.home + step_rad * (k > 5)
        horizon = (np.array([0.02, 0.04]), np.stack([q, q]), rest, rest)
        checker.look(Command(State.HOLDING, Reason.NONE, "", False, q, rest[0], rest[0], *horizon), 0)
    assert kinds <= set(checker.violations) and bool(kinds) == bool(checker.violations)
