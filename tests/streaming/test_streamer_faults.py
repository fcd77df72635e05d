"""The state machine under bad input: every one ends in a smooth stop with a reason, and good input goes on."""

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.states import Reason, Refusal, State
from genima_core.types import JointState

from .chunks import CHUNK_S, HOME, K
from .conftest import text


def bad_chunks(sweep):
    good = sweep(0.6 + CHUNK_S)
    nan, out = good.copy(), good.copy()
    nan[3, 2], out[3, 3] = np.nan, 0.5
    spike = good.copy()
    spike[10] += 0.5
    return {
        "names": dict(positions=Refusal(Reason.NAMES, "The chunk lacks panda_joint1.")),
        "limits": dict(positions=out),
        "limits of NaN": dict(positions=nan),
        "gripper": dict(positions=good, gripper=np.full(K, 10.0)),
        "stale": dict(positions=good, age_s=5.0),
        "past": dict(positions=good, age_s=1.5),
        "future": dict(positions=good, age_s=-3.0),
        "jump": dict(positions=good + 0.6),
        "jump inside": dict(positions=spike),
    }


@pytest.mark.parametrize("kind", list(bad_chunks(lambda times: np.zeros((K, 7)))))
def test_a_bad_chunk_ends_in_a_stop_with_a_reason_and_a_good_one_goes_on(tracking, sweep, broken_limits, kind):
    bench = tracking()
    reason = bench.send(**bad_chunks(sweep)[kind])
    assert reason and reason.endswith(".")
    assert bench.step().state is State.STOPPING and bench.last.text == reason
    assert bench.run(0.4).state is State.HOLDING and bench.last.text == reason
    assert bench.streamer.statistics(bench.now_s).rejected == {kind.split()[0]: 1}
    assert bench.streamer.statistics(bench.now_s).stops == {kind.split()[0]: 1}
    assert bench.send(bench.q + sweep(CHUNK_S) - HOME) is None
    assert bench.run(0.3).state is State.TRACKING
    bench.run(1.0)
    assert not broken_limits(bench.commands, PANDA.limits)


def test_a_chunk_that_comes_during_a_stop_waits_for_its_end(tracking, sweep, broken_limits):
    bench = tracking()
    assert bench.send(np.full((K, 7), np.nan)) is not None
    bench.step()
    assert bench.send(sweep(0.6 + CHUNK_S)) is None
    assert bench.step().state is State.STOPPING
    states = []
    for _ in range(30):
        states.append(bench.step().state)
    assert State.HOLDING in states and states[-1] is State.TRACKING
    bench.run(1.5)
    assert not broken_limits(bench.commands, PANDA.limits)


# ---- watchdogs


def test_lost_joint_states_stop_the_arm_without_any_callback(tracking, broken_limits):
    bench = tracking()
    bench.connected = False
    bench.run(0.18)
    assert bench.last.state is State.TRACKING
    bench.run(0.06)
    assert bench.last.state is State.STOPPING and "joint state" in bench.last.text
    bench.run(0.35)
    assert bench.last.state is State.HOLDING and not bench.last.wants_chunk
    assert "joint state" in bench.send(np.tile(bench.q, (K, 1)))
    bench.connected = True
    bench.run(0.1)
    assert bench.last.wants_chunk and bench.last.text == "Waiting for a chunk."
    assert not broken_limits(bench.commands, PANDA.limits)


def test_joint_states_that_stay_away_are_a_fault_that_needs_a_reset(tracking):
    bench = tracking()
    bench.connected = False
    bench.run(1.2)
    assert bench.last.state is State.FAULT and bench.last.q is None
    bench.connected = True
    bench.run(0.2)
    assert bench.last.state is State.FAULT
    assert "FAULT" in bench.send(np.tile(bench.q, (K, 1)))
    assert bench.streamer.reset_fault() is None and bench.streamer.reset_fault()
    assert bench.step().restarted and np.array_equal(bench.last.q, bench.q)


@pytest.mark.parametrize("broken", ["renamed", "frozen", "old"])
def test_useless_joint_states_count_as_none(tracking, broken):
    bench = tracking()
    bench.connected = False
    frozen_s = bench.now_s
    for _ in range(12):
        state: JointState | Refusal = Refusal(Reason.NAMES, "The joint state lacks panda_joint1.")
        if broken != "renamed":
            state = JointState(bench.q, None, frozen_s if broken == "frozen" else bench.now_s - 1.0)
        reason = text(bench.streamer.on_joint_state(state, bench.now_s))
        assert reason and reason.endswith(".")
        bench.step()
    assert bench.last.state is State.STOPPING and reason in bench.last.text
    assert sum(bench.streamer.statistics(bench.now_s).joint_states_rejected.values()) == 12


def test_a_blocked_arm_is_a_fault_and_the_command_comes_back_to_it(tracking, broken_limits):
    bench = tracking()
    bench.blocked = True
    bench.run(3.5)
    assert bench.last.state is State.FAULT and bench.last.q is None
    assert "rad from its command" in bench.last.text
    assert np.allclose(bench.commands[-1], bench.q, atol=1e-6)
    assert not broken_limits(bench.commands, PANDA.limits)
    bench.blocked = False
    assert bench.streamer.reset_fault() is None
    assert np.array_equal(bench.step().q, bench.q)


@pytest.mark.parametrize("false", ["jump", "stuck"])
def test_a_false_measurement_is_a_fault_and_moves_nothing(tracking, sweep, broken_limits, false):
    bench = tracking()
    stuck = bench.q
    measure = bench.measure

    def measure_falsely() -> None:
        true = bench.q
        bench.q = true + 0.5 if false == "jump" else stuck
        measure()
        bench.q = true

    bench.measure = measure_falsely
    while not bench.streamer.statistics(bench.now_s).stops.get("deviation"):
        if bench.last.wants_chunk and bench.last.state is not State.TRACKING:
            bench.send(bench.q + sweep(CHUNK_S) - HOME)
        bench.step()
    assert ("jump" if false == "jump" else "repeat the same") in bench.last.text
    bench.run(0.3)
    still = bench.last.q if bench.last.q is not None else bench.commands[-1]
    bench.run(3.0)
    assert bench.last.state is State.FAULT
    assert np.array_equal(bench.commands[-1], still)
    assert not broken_limits(bench.commands, PANDA.limits)
    bench.measure = measure
    assert bench.streamer.reset_fault() is None
    assert np.array_equal(bench.step().q, bench.q)


def test_a_fault_cannot_be_reset_while_the_arm_still_moves(tracking):
    bench = tracking()
    bench.blocked = True
    while "rad from its command" not in bench.step().text:
        pass
    assert bench.streamer.reset_fault()


def test_a_lagging_arm_is_no_fault(started, sweep):
    bench = started(execution="async")
    bench.blocked = True
    assert bench.send(sweep(CHUNK_S)) is None
    for _ in range(100):
        bench.step()
        bench.q = bench.log[max(len(bench.log) - 11, 0)].q
    assert bench.last.state is State.HOLDING


# ---- time


@pytest.mark.parametrize("jump_s", [-50.0, -0.1, 0.3, 5.0])
def test_a_jump_of_the_clock_stops_without_a_step(tracking, sweep, broken_limits, jump_s):
    bench = tracking()
    bench.step(jump_s)
    assert bench.last.state is State.STOPPING
    assert bench.streamer.statistics(bench.now_s).gaps == 1
    assert bench.run(0.5).state is State.HOLDING
    assert bench.send(bench.q + sweep(CHUNK_S) - HOME) is None
    bench.run(0.3)
    assert bench.last.state is State.TRACKING
    bench.run(1.0)
    assert not broken_limits(bench.commands, PANDA.limits)


def test_late_steps_do_not_shake_the_commands(started, sweep, rng, broken_limits):
    bench = started(execution="async")
    begin_s, errors, accelerations = bench.now_s, [], []
    for k in range(200):
        if k % 20 == 0:
            since_s = bench.now_s - begin_s
            assert bench.send(sweep(since_s - 0.1 + CHUNK_S, size=0.3), age_s=0.1) is None
        due_s = begin_s + (k + 1) * 0.02
        late_s = 0.05 if k % 37 == 0 else rng.uniform(0.0, 0.008)
        bench.step(wait_s=max(due_s + late_s - bench.now_s, 0.001))
        if k > 60:
            errors.append(np.abs(bench.last.q - sweep([bench.now_s - begin_s], size=0.3)[0]).max())
            accelerations.append(np.abs(bench.last.ddq).max())
    assert max(errors) < 0.03
    assert max(accelerations) < 3.0
    assert not broken_limits(bench.commands, PANDA.limits)


def test_a_pause_moves_the_command_by_one_period_where_the_receiver_holds(tracking):
    bench = tracking()
    before, speed = bench.last.q, np.abs(bench.last.dq).max()
    bench.step(wait_s=0.15)
    assert np.abs(bench.last.q - before).max() < 1.2 * speed * 0.02


def test_a_pause_moves_the_command_along_the_last_horizon_where_the_receiver_follows_it(tracking, broken_limits):
    for wait_s, exact in ((0.04, True), (0.06, True), (0.14, False), (1.0, False)):
        bench = tracking(receiver_follows_horizon=True)
        promised = bench.last
        bench.step(wait_s=wait_s)
        moved = np.column_stack(
            [
                np.interp(wait_s, [0.0, *promised.horizon_times_s], [promised.q[i], *promised.horizon_q[:, i]])
                for i in range(7)
            ]
        )[0]
        assert np.abs(bench.last.q - moved).max() < (1e-4 if exact else 0.01)
        bench.run(1.0)
        assert bench.streamer.statistics(bench.now_s).limit_violations == 0


def test_a_step_without_a_time_is_one_period_later(tracking):
    bench = tracking()
    before = bench.last.q
    command = bench.streamer.step(float("nan"))
    assert command.state is State.TRACKING and 0 < np.abs(command.q - before).max() < 0.05


# ---- configuration


@pytest.mark.parametrize(
    "wrong",
    [
        {"execution": "fast"},
        {"velocity_scale": 0.009},
        {"velocity_scale": 1.5},
        {"period_s": 0.0},
        {"execution_horizon": -1},
        {"rest_after_s": 0.01},
        {"position_margin_rad": 5.0},
        {"smoothing": -1},
    ],
)
def test_a_wrong_configuration_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StreamerConfig(**wrong)
