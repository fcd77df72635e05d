"""The state machine: what starts, stops and resumes motion."""

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.streaming.states import State

from .chunks import CHUNK_S, END_S, HOME, K

# ---- starting


def test_nothing_is_commanded_before_a_joint_state(make_bench):
    bench = make_bench()
    bench.connected = False
    command = bench.run(1.0)
    assert command.q is None and command.state is State.HOLDING and len(command.horizon_times_s) == 0
    assert "joint states" in command.text


def test_nothing_is_commanded_before_enable(make_bench):
    bench = make_bench(enabled=False)
    assert bench.run(0.1).q is None
    bench.streamer.enable()
    assert bench.step().restarted


def test_the_first_command_is_the_measured_position(make_bench, rng):
    q = HOME + rng.uniform(-0.5, 0.5, 7)
    command = make_bench(q).step()
    assert command.restarted and np.array_equal(command.q, q)
    assert not command.dq.any() and len(command.horizon_times_s) >= 2 and (command.horizon_q == q).all()


def test_an_arm_a_little_outside_its_limits_starts_at_the_limit_and_one_far_outside_not(make_bench):
    outside = np.where(np.arange(7) == 3, -0.06, HOME)
    assert make_bench(outside).step().q[3] == PANDA.limits.upper[3]
    command = make_bench(np.where(np.arange(7) == 3, 0.3, HOME)).step()
    assert command.q is None and "panda_joint4" in command.text


def test_disabling_stops_smoothly_and_enabling_starts_where_the_arm_is_then(tracking, broken_limits):
    bench = tracking()
    bench.streamer.disable()
    assert bench.run(0.5).q is None
    final = [command for command in bench.log if command.q is not None][-1]
    np.testing.assert_allclose(final.dq, 0.0, atol=1e-6)  # what a receiver that does not interpolate keeps holding
    assert not broken_limits(bench.commands, PANDA.limits)
    assert "disabled" in bench.send(np.tile(bench.q, (K, 1)))
    bench.q = bench.q + 0.3
    bench.streamer.enable()
    command = bench.step()
    assert command.restarted and np.array_equal(command.q, bench.q)


# ---- executing


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_a_chunk_is_executed_to_its_end(started, sweep, execution, broken_limits):
    bench = started(execution=execution)
    sent_s = bench.now_s
    assert bench.send(sweep(CHUNK_S)) is None
    assert not bench.last.text or bench.last.state is State.HOLDING
    assert bench.run(1.5).state is State.HOLDING
    assert np.allclose(bench.q, sweep(CHUNK_S)[-1], atol=1e-6)
    assert bench.rest_time_s() - sent_s - END_S < (0.25 if execution == "async" else 0.4)
    assert not broken_limits(bench.commands, PANDA.limits)


def test_successive_chunks_are_followed_without_lag(started, sweep):
    bench = started(execution="async")
    begin_s, latency_s = bench.now_s, 0.3
    errors = []
    for k in range(150):
        if k % 20 == 0:
            since_s = bench.now_s - begin_s
            assert bench.send(sweep(since_s - latency_s + CHUNK_S), age_s=latency_s) is None
        bench.step()
        if k > 60:
            errors.append(np.abs(bench.last.q - sweep([bench.now_s - begin_s])[0]).max())
    assert max(errors) < 0.01


def test_an_async_chunk_is_joined_when_it_is_due_and_past_actions_are_skipped(started):
    bench = started(execution="async")
    goal = HOME + 0.2
    assert bench.send(np.tile(goal, (K, 1)), age_s=-0.2) is None
    bench.run(0.16)
    assert bench.last.state is State.HOLDING and np.array_equal(bench.q, HOME)
    bench.run(0.2)
    assert bench.last.state is State.TRACKING
    bench = started(execution="async")
    later = HOME + np.linspace(0.0, 0.38, K)[:, None]
    due_s = bench.now_s - 0.1 + CHUNK_S
    assert bench.send(later, age_s=0.1) is None
    bench.run(0.6)
    assert bench.q[0] == pytest.approx(np.interp(bench.now_s, due_s, later[:, 0]), abs=0.005)


@pytest.mark.parametrize(("horizon", "scale"), [(0, 1.0), (10, 1.0), (0, 0.5), (10, 0.5)])
@pytest.mark.parametrize("latency_s", [0.1, 0.4])
def test_async_wants_the_next_chunk_when_it_will_come_about_as_this_one_is_executed(started, horizon, scale, latency_s):
    bench = started(execution="async", execution_horizon=horizon, velocity_scale=scale)
    assert bench.last.wants_chunk, "it is at rest"
    begin_s = bench.now_s
    assert bench.send(HOME + np.linspace(0.0, 0.3, K)[:, None], age_s=latency_s) is None
    first_s = begin_s - latency_s
    executed_s = first_s + ((horizon or K) - 1) * 0.05 / scale
    wanted_s = executed_s - min(2 * latency_s, (executed_s - first_s) / 2)
    bench.step()
    while not bench.last.wants_chunk:
        bench.step()
    assert bench.now_s == pytest.approx(max(wanted_s, begin_s), abs=0.03)
    bench.run(1.0 / scale)
    assert bench.last.wants_chunk, "it has not come; the rest is executed"
    assert bench.q[0] == pytest.approx(HOME[0] + 0.3, abs=1e-3)


def test_a_mismatch_between_chunks_is_made_up_smoothly(tracking, sweep, broken_limits):
    bench = tracking()
    ahead = sweep(0.6 + CHUNK_S) - 0.05 * np.array([1, -1, 1, -1, 1, -1, 1]) - 0.3 * CHUNK_S[:, None]
    assert bench.send(ahead) is None
    bench.run(1.5)
    assert not broken_limits(bench.commands, PANDA.limits)
    acceleration = np.diff(bench.commands, 2, axis=0) / 0.02**2
    assert np.abs(acceleration).max() < 6.0
    assert np.allclose(bench.q, ahead[-1], atol=1e-6)


def test_the_newest_waiting_chunk_wins_and_an_older_observation_is_left_alone(started):
    bench = started(execution="async")
    assert bench.send(np.tile(HOME + 0.1, (K, 1)), age_s=-0.1) is None
    assert bench.send(np.tile(HOME - 0.1, (K, 1)), age_s=-0.2) is None
    assert "older" in bench.send(np.tile(HOME + 0.2, (K, 1)), age_s=0.1)
    bench.run(1.5)
    assert np.allclose(bench.q, HOME - 0.1, atol=1e-6)
    assert bench.streamer.statistics(bench.now_s).rejected == {"older": 1}


def test_sync_mode_takes_one_chunk_at_a_time(started, sweep):
    bench = started(execution="sync")
    assert bench.last.wants_chunk
    assert bench.send(sweep(CHUNK_S), age_s=1.5) is None
    bench.step()
    assert not bench.last.wants_chunk
    bench.run(0.3)
    assert "came to rest" in bench.send(sweep(CHUNK_S))
    assert bench.last.state is State.TRACKING
    bench.run(1.2)
    assert bench.last.wants_chunk
    assert "came to rest" in bench.send(np.tile(bench.q, (K, 1)), age_s=0.9)
    assert bench.send(np.tile(bench.q + 0.1, (K, 1))) is None


def test_sync_mode_executes_the_horizon_only(started, sweep):
    bench = started(execution="sync", execution_horizon=8)
    assert bench.send(sweep(CHUNK_S)) is None
    bench.run(1.5)
    assert np.allclose(bench.q, sweep(CHUNK_S)[7], atol=1e-6)


def test_sync_mode_does_not_care_when_actions_were_due(started, sweep):
    bench = started(execution="sync")
    assert bench.send(sweep(CHUNK_S), age_s=2.5) is None
    assert bench.send(sweep(CHUNK_S), age_s=2.4, first_s=2.45) is None
    bench.run(1.5)
    assert np.allclose(bench.q, sweep(CHUNK_S)[-1], atol=1e-6)


def test_velocity_scale_slows_everything(started, sweep):
    bench = started(execution="sync", velocity_scale=0.25)
    assert bench.send(sweep(CHUNK_S)) is None
    bench.run(2.0)
    assert bench.last.state is State.TRACKING
    bench.run(3.0)
    assert np.allclose(bench.q, sweep(CHUNK_S)[-1], atol=1e-6)
    assert np.abs(np.diff(bench.commands, axis=0)).max() / 0.02 < 0.3


def test_a_chunk_that_is_too_fast_is_slowed(started, broken_limits):
    bench = started(execution="sync")
    assert bench.send(HOME + np.linspace(0, 2.4, K)[:, None] * (np.arange(7) == 0)) is None
    bench.run(2.0)
    assert bench.q[0] == pytest.approx(2.4, abs=1e-6)
    assert not broken_limits(bench.commands, PANDA.limits)


def test_the_gripper_follows_its_column_and_keeps_its_last_width(started):
    bench = started(execution="async")
    assert bench.last.gripper_width_m is None
    assert bench.send(np.tile(HOME, (K, 1)), gripper=np.where(np.arange(K) < 10, 1.0, 0.0)) is None
    assert bench.run(0.2).gripper_width_m == 0.08
    assert bench.run(0.4).gripper_width_m == 0.0
    assert bench.send(np.tile(HOME, (K, 1))) is None
    assert bench.run(0.2).gripper_width_m == 0.0


def test_the_horizon_always_ends_at_rest(tracking):
    bench = tracking()
    for command in bench.log[5:]:
        assert len(command.horizon_times_s) >= 2 and command.horizon_times_s[0] == pytest.approx(0.02)
        assert (np.diff(command.horizon_times_s) > 0).all()
        assert not command.horizon_dq[-1].any() and not command.horizon_ddq[-1].any()


# ---- stopping


def test_without_a_successor_the_arm_rests_within_300_ms_and_goes_on_with_a_late_chunk(tracking, sweep, broken_limits):
    """The diffusion node is killed, and comes back."""
    bench = tracking()
    end_s = bench.now_s - 0.6 + END_S
    bench.run(2.0)
    assert bench.last.state is State.HOLDING and "no new one" in bench.last.text
    assert bench.rest_time_s() - end_s < 0.3
    assert bench.send(bench.q + sweep(CHUNK_S) - HOME) is None
    bench.run(0.3)
    assert bench.last.state is State.TRACKING and bench.last.text == ""
    bench.run(1.0)
    assert not broken_limits(bench.commands, PANDA.limits)


@pytest.mark.parametrize("after_s", [0.3, 0.36, 0.42, 0.5])
def test_a_chunk_that_comes_just_late_is_joined_on_the_way_to_rest(tracking, sweep, broken_limits, after_s):
    bench = tracking()
    bench.run(after_s)
    assert bench.send(sweep(0.6 + after_s + CHUNK_S)) is None
    bench.run(0.1)
    assert bench.last.state is State.TRACKING
    bench.run(1.2)
    assert not broken_limits(bench.commands, PANDA.limits)
