"""Sync, async and confirm are changed while the arm moves: no step, and nothing starts that was not approved of."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.arm import PANDA
from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.states import CONFIRMS, TAKEN_OVER, UNAPPROVED, Reason, State, Status
from genima_core.types import ActionChunk

from .chunks import CHUNK_S, HOME

MODES = ("sync", "async", "confirm")


def chunk(bench, positions, age_s=0.0, first_s=0.0, approved=False) -> ActionChunk:
    stamp_s = bench.now_s - age_s
    return ActionChunk(positions, None, 0.05, stamp_s + first_s, stamp_s, approved)


def onwards(bench, sweep, size=0.3) -> np.ndarray:
    """From where the arm is, back and forth within its limits."""
    way = (sweep(CHUNK_S, size) - HOME) * np.where(bench.q > HOME, -1.0, 1.0)
    return PANDA.clip(bench.q + way, 0.01)


@pytest.mark.parametrize("moment_s", [0.0, 0.04, 0.3, 0.6, 0.96, 1.1])
@pytest.mark.parametrize(("before", "after"), list(permutations(MODES, 2)))
def test_a_switch_in_the_middle_of_a_chunk_is_no_step(started, sweep, broken_limits, before, after, moment_s):
    bench = started(execution=before)
    assert bench.streamer.on_chunk(chunk(bench, sweep(CHUNK_S), approved=True), bench.now_s) is None
    bench.run(moment_s)
    late = chunk(bench, onwards(bench, sweep), age_s=0.01)
    assert bench.streamer.set_execution(after, bench.now_s) is None
    assert bench.streamer.on_chunk(late, bench.now_s) is not None, "what was on its way"
    begin = bench.q
    bench.run(2.0)
    assert bench.last.state is State.HOLDING and bench.last.wants_chunk
    if after == "confirm":
        assert np.abs(bench.q - begin).max() < 0.15
    elif moment_s:
        np.testing.assert_allclose(bench.q, sweep(CHUNK_S)[-1], atol=1e-6)
    new = chunk(bench, onwards(bench, sweep), approved=True)
    assert bench.streamer.on_chunk(new, bench.now_s) is None
    bench.run(2.0)
    np.testing.assert_allclose(bench.q, new.positions[-1], atol=1e-6)
    assert not broken_limits(bench.commands, PANDA.limits)
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0


def test_what_waits_for_its_time_is_dropped(started, sweep):
    for execution in ("sync", "confirm"):
        bench = started(execution="async")
        assert bench.streamer.on_chunk(chunk(bench, sweep(CHUNK_S), first_s=0.5), bench.now_s) is None
        bench.streamer.set_execution(execution, bench.now_s)
        bench.run(2.0)
        np.testing.assert_array_equal(bench.q, HOME)


def test_into_confirm_the_arm_stops_and_says_what_it_waits_for(tracking):
    bench = tracking()
    bench.streamer.set_execution("confirm", bench.now_s)
    bench.step()
    assert (bench.last.state, bench.last.text) == (State.STOPPING, CONFIRMS.text)
    bench.run(1.0)
    assert bench.last.state is State.HOLDING
    assert bench.streamer.on_chunk(chunk(bench, np.tile(bench.q, (20, 1))), bench.now_s) == UNAPPROVED
    assert bench.streamer.set_execution("confirm", bench.now_s) is None
    assert bench.streamer.set_execution("eager", bench.now_s).kind is Reason.NAMES


def test_into_async_the_next_chunk_is_spliced_into_the_one_under_way(started, sweep, broken_limits):
    bench = started(execution="sync")
    assert bench.send(sweep(CHUNK_S)) is None
    bench.run(0.5)
    bench.streamer.set_execution("async", bench.now_s)
    bench.step()
    assert not bench.last.wants_chunk, "the one under way is executed first"
    for _ in range(20):
        assert bench.send(sweep(CHUNK_S + bench.now_s - bench.times_s[4] + 0.05)) is None
        bench.run(0.1)
        assert bench.last.state is State.TRACKING
    assert not broken_limits(bench.commands, PANDA.limits)


def test_an_operator_who_leads_the_arm_is_not_stopped(started):
    bench = started(execution="sync")
    bench.streamer.on_teleop(Status(Mirroring.APPROACHING), bench.now_s)
    for execution in ("confirm", "async", "confirm"):
        bench.streamer.set_execution(execution, bench.now_s)
        bench.step()
        assert bench.last.taken_over and bench.last.text == TAKEN_OVER.text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MODES), st.integers(0, 60), st.booleans()), min_size=3, max_size=12))
def test_whatever_is_switched_when_limits_hold_and_confirm_holds(make_bench, sweep, broken_limits, turns):
    bench = make_bench(execution="sync")
    bench.run(0.1)
    for execution, steps, approved in turns:
        bench.streamer.set_execution(execution, bench.now_s)
        for _ in range(steps):
            if bench.last.wants_chunk:
                sent = chunk(bench, onwards(bench, sweep), approved=approved)
                refusal = bench.streamer.on_chunk(sent, bench.now_s)
                assert (refusal == UNAPPROVED) == (execution == "confirm" and not approved)
            bench.step()
    assert not broken_limits(bench.commands, PANDA.limits)
