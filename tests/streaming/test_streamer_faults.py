"""The state machine under bad input: every one ends in a smooth stop with a reason, and good input goes on."""

import numpy as np
import pytest

from genima_core.arm import FR3, PANDA
from genima_core.arm_status import ArmStatus, Level
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
    assert np.abs(bench.commands[-1] - bench.q).max() < 0.02
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


# ---- found by fuzzing


def test_a_chunk_that_became_past_while_it_waited_changes_nothing(started):
    bench = started(execution="async", receiver_follows_horizon=True)
    assert bench.send(np.tile(HOME, (20, 1)), gripper=np.ones(20)) is None
    assert bench.run(0.4).gripper_width_m == 0.08
    assert bench.send(np.tile(HOME, (2, 1)), first_s=0.05, gripper=np.zeros(2)) is None
    bench.step(0.17)
    assert bench.run(0.3).gripper_width_m == 0.08 and bench.last.state is State.TRACKING


@pytest.mark.parametrize("arm", [PANDA, FR3], ids=["panda", "fr3"])
@pytest.mark.parametrize("silent_s", [0.0, 0.14, 0.5, 0.9])
def test_nothing_moves_towards_a_false_measurement(started, arm, silent_s):
    bench = started(arm=arm)
    bench.connected = False
    bench.run(silent_s)
    bench.connected, bench.blocked = True, True
    bench.q = np.clip(np.zeros(7), arm.limits.lower, arm.limits.upper)
    bench.run(4.0)
    assert bench.last.state is State.FAULT
    assert np.abs(bench.commands - HOME).max() < 1e-9


def test_relief_goes_slowly_and_not_far_beyond_where_the_command_was(started):
    bench = started()
    bench.blocked = True
    for _ in range(20):  # an arm that is pushed: no single step is a jump
        bench.q = bench.q + 0.03
        bench.step()
    bench.run(4.0)
    away = np.abs(bench.commands - HOME)
    assert bench.last.state is State.FAULT and bench.last.reason is Reason.DEVIATION
    assert 0.1 < away.max() <= bench.streamer.config.max_deviation_rad + 1e-6
    assert np.abs(np.diff(bench.commands, axis=0)).max() / 0.02 < 0.3


ENDS_OF_RELIEF = {
    "disable": lambda bench: bench.streamer.disable(),
    "emergency stop": lambda bench: bench.streamer.emergency_stop(),
    "guiding": lambda bench: bench.streamer.on_arm_status(ArmStatus(Level.WARN, "guiding"), bench.now_s),
    "reflex": lambda bench: bench.streamer.on_arm_status(ArmStatus(Level.ERROR, "reflex"), bench.now_s),
    "silence": lambda bench: (setattr(bench, "connected", False), bench.run(0.22)),
    "jump": lambda bench: setattr(bench, "q", bench.q + 1.0),
    "commander": lambda bench: bench.streamer.on_commanders(["/other"]),
}


@pytest.mark.parametrize("end", ENDS_OF_RELIEF)
def test_relief_ends_at_once(started, end):
    bench = started(arm_status_timeout_s=100.0, watch_arm_status=True, enabled=False)
    bench.streamer.on_arm_status(ArmStatus(Level.OK), bench.now_s)
    bench.streamer.enable()
    bench.run(0.1)
    bench.blocked = True
    for _ in range(6):
        bench.q = bench.q + 0.03
        bench.step()
    while not np.abs(bench.step().dq).max() > 0.1:
        pass
    ENDS_OF_RELIEF[end](bench)
    before, ticks = bench.last.q, 0
    while bench.step().q is not None:
        ticks += 1
    assert ticks * 0.02 <= 0.1 and np.abs(bench.commands[-1] - before).max() < 0.01
    assert bench.run(2.0).state is State.FAULT and bench.last.q is None
    assert bench.last.reason is (Reason.EMERGENCY if end == "emergency stop" else Reason.DEVIATION)


def test_times_beyond_all_measure_raise_nothing(tracking):
    for follows in (False, True):
        bench = tracking(receiver_follows_horizon=follows)
        for now_s in (1e308, -1e308, float("inf"), float("nan"), 5.0):
            bench.streamer.step(now_s)


def test_the_pace_may_change_a_thousand_times(tracking):
    bench = tracking()
    for scale in np.linspace(1.0, 0.1, 1500):
        assert bench.streamer.set_velocity_scale(scale) is None
    bench.run(20.0)
    assert bench.last.state is State.HOLDING
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0


def test_limits_that_are_reached_exactly_are_not_broken(started):
    bench = started(position_margin_rad=0.0, execution="async", max_jump_rad=9.0, max_speed_ratio=1e9)
    for goal in (PANDA.limits.upper, PANDA.limits.lower):
        for _ in range(5):
            assert bench.send(np.linspace(bench.q, goal, 20)) is None
            bench.run(1.3)
    assert np.allclose(bench.q, PANDA.limits.lower, atol=1e-6)
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0


# ---- who else is there


def test_another_commander_is_refused_and_stops_a_stream_under_way(tracking, broken_limits):
    bench = tracking()
    bench.streamer.on_commanders(["/other"])
    assert bench.step().state is State.STOPPING and bench.last.reason is Reason.COMMANDERS
    assert "/other" in bench.last.text
    assert bench.run(0.5).q is None and bench.last.reason is Reason.COMMANDERS
    assert bench.streamer.enable().kind is Reason.COMMANDERS
    bench.streamer.on_commanders([])
    assert bench.run(0.5).reason is Reason.DISABLED
    assert bench.streamer.enable() is None and bench.step().restarted
    assert not broken_limits(bench.commands[:-1], PANDA.limits)


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_a_simulated_arm_that_is_put_elsewhere_is_gone_on_with(make_bench, sweep, execution):
    bench = make_bench(watch_arm_status=True, arm_status_timeout_s=100.0, execution=execution)
    bench.streamer.on_arm_status(ArmStatus(Level.OK, placed=4), bench.now_s)
    bench.run(0.1)
    old_s = bench.now_s
    assert bench.send(sweep(CHUNK_S)) is None
    bench.run(0.6)
    moving = bench.last.q
    bench.streamer.on_arm_status(ArmStatus(Level.OK, placed=5), bench.now_s)
    overtaken = JointState(moving, np.zeros(7), bench.now_s - 0.004)
    assert bench.streamer.on_joint_state(overtaken, bench.now_s).kind is Reason.OLDER
    bench.q = HOME + 0.3
    assert bench.step().restarted and np.array_equal(bench.last.q, HOME + 0.3)
    assert np.abs(moving - bench.q).max() > 0.1
    assert bench.send(bench.q + sweep(CHUNK_S) - HOME, age_s=bench.now_s - old_s)  # of the scene before
    bench.run(0.1)
    assert bench.send(bench.q + sweep(CHUNK_S) - HOME) is None
    assert bench.run(0.6).state is State.TRACKING and not bench.streamer.statistics(bench.now_s).stops.get(Reason.FAULT)
