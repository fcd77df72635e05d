"""An arm that says it must not be moved is not moved, and moves again only when somebody says so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.arm import PANDA
from genima_core.arm_status import ArmStatus, Level
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.states import Reason, Refusal, State
from genima_core.streaming.watchdogs import ArmWatch, StepClock

from .chunks import CHUNK_S

TIMEOUT_S = StreamerConfig().arm_status_timeout_s


def say(bench, level: int = 0, message: str = "") -> None:
    bench.streamer.on_arm_status(ArmStatus(Level(level), message), bench.now_s)


def run(bench, duration_s: float, level: int | None = 0, message: str = "") -> None:
    """Steps on, with ten statuses a second; without any for None."""
    for i in range(round(duration_s / bench.period_s)):
        if level is not None and i % 5 == 0:
            say(bench, level, message)
        bench.step()


@pytest.fixture
def watched(make_bench):
    """A streamer that watches its arm's status, enabled, with joint states."""

    def begin(**config):
        return make_bench(watch_arm_status=True, **{"execution": "async", **config})

    return begin


def test_nothing_moves_before_the_arm_says_it_may_be_moved(watched):
    bench = watched()
    run(bench, 1.0, None)
    assert bench.last.q is None
    assert "Waiting for the arm's status" in bench.last.text
    run(bench, 0.2)
    assert bench.last.q is not None


def test_without_the_watch_nobody_asks(make_bench):
    bench = make_bench()
    say(bench, 2, "reflex")
    bench.run(0.2)
    assert bench.last.q is not None


def moving(bench, sweep):
    run(bench, 0.2)
    bench.send(sweep(CHUNK_S))
    run(bench, 0.4)
    assert bench.last.state is State.TRACKING
    return bench


@pytest.mark.parametrize("level", [1, 2])
def test_an_arm_that_leaves_its_move_mode_is_stopped_and_stays(watched, sweep, broken_limits, level):
    bench = moving(watched(), sweep)
    run(bench, 2.0, level, "it is guided")
    assert bench.last.q is None
    assert "it is guided" in bench.last.text
    assert bench.last.state is (State.FAULT if level == 2 else State.HOLDING)
    run(bench, 2.0)  # well again; still nothing moves
    assert bench.last.q is None
    if level == 2:
        assert bench.streamer.reset_fault() is None
        run(bench, 0.2)
        assert bench.last.q is None
    assert bench.streamer.enable() is None
    run(bench, 0.2)
    assert bench.last.q is not None
    assert not broken_limits(bench.commands, PANDA.limits)


def test_a_fault_is_not_left_while_the_arm_has_it(watched, sweep):
    bench = moving(watched(), sweep)
    run(bench, 2.0, 2, "cartesian_reflex")
    assert bench.streamer.reset_fault()
    refusal = bench.streamer.enable()
    assert refusal.kind is Reason.ARM
    assert refusal.text == "The arm reports cartesian_reflex; then: genima recover."
    run(bench, 0.2, 0)
    assert bench.streamer.reset_fault() is None


def test_silence_stops_and_goes_on_when_it_ends(watched, sweep):
    bench = moving(watched(), sweep)
    since_s = bench.now_s
    run(bench, TIMEOUT_S + 1.0, None)
    assert bench.last.state is State.HOLDING
    assert "No status of the arm" in bench.last.text
    assert bench.rest_time_s() - since_s < TIMEOUT_S + 0.3
    run(bench, 0.3)
    assert bench.last.q is not None
    assert bench.last.text == "Waiting for a chunk."


def test_no_chunk_is_taken_while_the_arm_is_silent(watched, sweep):
    bench = moving(watched(), sweep)
    run(bench, TIMEOUT_S + 2.0, None)
    rest = bench.last.q
    assert "No status of the arm" in bench.send(sweep(CHUNK_S))
    run(bench, 1.0, None)
    np.testing.assert_allclose(bench.last.q, rest, atol=1e-9)
    assert not bench.last.wants_chunk


def test_an_arm_that_cannot_be_moved_is_not_enabled(watched):
    bench = watched()
    run(bench, 0.3, 1, "it is idle")
    assert bench.last.text == "The arm must not be moved: it is idle; then enable the streamer."
    assert bench.streamer.enable().text == bench.last.text
    run(bench, 0.3)
    assert bench.last.q is None
    assert bench.streamer.enable() is None
    run(bench, 0.3)
    assert bench.last.q is not None


def test_a_status_that_cannot_be_read_counts_as_none(watched):
    bench = watched()
    for _ in range(20):
        bench.streamer.on_arm_status(Refusal(Reason.NAMES, "A status of 'gripper' is not used."), bench.now_s)
        bench.step()
    assert bench.last.q is None
    assert "'gripper'" in bench.last.text


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from([None, 0, 1, 2, 7])), max_size=20), st.floats(0, 3))
def test_only_a_fresh_ok_lets_the_arm_move(events, wait_s):
    clock = StepClock(0.02, 0.2, False)
    watch, now_s, heard = ArmWatch(StreamerConfig(watch_arm_status=True), clock), 0.0, (None, 0.0)
    for pause_s, level in events:
        now_s += pause_s
        if level is not None:
            refusal = Refusal(Reason.NAMES, "why")
            watch.take(refusal if level == 7 else ArmStatus(Level(level), "why"), now_s)
            heard = (level, now_s) if level != 7 else heard
    now_s += wait_s
    usable = heard[0] == 0 and now_s - heard[1] <= TIMEOUT_S
    clock.observe(now_s)
    assert (watch.find_trouble() is None) == usable
