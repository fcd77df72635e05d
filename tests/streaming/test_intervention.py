"""An operator takes over from a policy and gives back: nothing jumps, and neither moves the arm in the other's turn."""

import numpy as np
import pytest

from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.states import Commander, Mode, Reason, Refusal, State, Status
from genima_core.types import Target

from .cell import AWAY, STEP_S, Cell, commands_keep_limits
from .chunks import CHUNK_S, HOME, K
from .conftest import text
from .test_states import ACTIONS, reach

EXECUTIONS = ("sync", "async")
IDLE, GIVEN_BACK = Status(Mirroring.IDLE, Reason.WAITING), Status(Mirroring.IDLE, Reason.OPERATOR)
ENGAGED = Status(Mirroring.APPROACHING)


class Attempt(Cell):
    """A cell whose policy sends chunks as soon as they are wanted, and who commanded in each step."""

    def __init__(self, make_bench, sweep, execution, **options):
        self.policy_runs, self.commanders = False, []
        self.sweep, self.answers = sweep, []
        super().__init__(make_bench, execution=execution, **options)
        self.policy_runs = True

    def send_chunk(self, age_s=0.0):
        """From where the arm is."""
        answer = self.bench.send(self.bench.q + self.sweep(CHUNK_S, 0.2) - HOME, age_s, first_s=age_s)
        self.answers.append(answer)
        return answer

    def step(self):
        if self.policy_runs and self.bench.last.wants_chunk and self.bench.last.commander is not Commander.POLICY:
            self.send_chunk()
        output = super().step()
        self.commanders.append(self.bench.last.commander)
        return output

    def in_mid_chunk(self):
        while not (self.bench.last.state is State.TRACKING and np.abs(self.bench.last.dq).max() > 0.1):
            self.step()
        assert self.bench.last.commander is Commander.POLICY
        return self

    def give_back(self):
        assert self.mirror.disengage(self.now_s) is None
        while self.bench.last.taken_over or not self.bench.last.wants_chunk:
            self.step()


@pytest.fixture
def attempt(make_bench, sweep):
    return lambda execution="sync", **options: Attempt(make_bench, sweep, execution, **options)


# ---- taking over and giving back


@pytest.mark.parametrize("leader", [HOME + 0.1, AWAY])
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_taking_over_in_mid_chunk_and_giving_back_never_jumps(attempt, broken_limits, execution, leader):
    made = attempt(execution, leader=leader).in_mid_chunk()
    assert made.mirror.engage(made.now_s) is None
    made.until(Mirroring.MIRRORING)
    made.run(0.7)
    begin = len(made.commanders)
    made.swing()
    made.run(1.0)
    assert set(made.commanders[begin:]) == {Commander.HUMAN}
    np.testing.assert_allclose(made.bench.q, made.motion(made.now_s)[0], atol=0.02)
    assert np.abs(made.bench.last.dq).max() > 0.05, "given back while it moves"
    made.give_back()
    made.in_mid_chunk()
    assert not any(made.refusals), "no target was refused"
    assert commands_keep_limits(made, broken_limits)
    turns = [made.commanders[0]] + [b for a, b in zip(made.commanders, made.commanders[1:], strict=False) if a is not b]
    none, policy, human = Commander.NONE, Commander.POLICY, Commander.HUMAN
    assert turns == [none, policy, none, human, none, policy]


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_chunks_are_refused_until_the_arm_is_given_back_and_only_new_observations_count(attempt, execution):
    made = attempt(execution, leader=HOME + 0.02).in_mid_chunk()
    made.policy_runs = False
    made.mirror.engage(made.now_s)
    made.until(Mirroring.MIRRORING)
    for bad in (False, True):
        answer = made.bench.send(np.full((K, 7), np.nan)) if bad else made.send_chunk()
        assert "operator has taken over" in answer
    made.run(0.2)
    assert made.bench.last.state is State.TRACKING and made.bench.last.commander is Commander.HUMAN
    seen_s = made.now_s
    made.give_back()
    before = made.bench.q
    assert any(word in made.send_chunk(age_s=made.now_s - seen_s) for word in ("older", "before the arm came to rest"))
    made.run(0.5)
    np.testing.assert_allclose(made.bench.q, before, atol=1e-9)
    assert made.send_chunk() is None
    made.in_mid_chunk()


def test_a_chunk_that_waits_for_its_time_is_forgotten(attempt, broken_limits):
    made = attempt("async", leader=HOME)
    made.policy_runs = False
    assert made.bench.send(made.bench.q + 0.2 * np.ones((K, 7)) * np.linspace(0, 1, K)[:, None], first_s=0.5) is None
    made.run(0.1)
    assert made.bench.last.commander is Commander.NONE
    assert made.mirror.engage(made.now_s) is None
    made.run(0.8)
    np.testing.assert_allclose(made.bench.q, HOME, atol=1e-6)
    made.until(Mirroring.MIRRORING)
    assert made.bench.streamer.statistics(made.now_s).accepted == 1
    assert commands_keep_limits(made, broken_limits)


def test_no_target_is_sent_before_the_streamer_knows_whose_turn_it_is(attempt, broken_limits):
    made = attempt(leader=HOME + 0.1)
    made.policy_runs = made.tells = False
    assert made.mirror.engage(made.now_s) is None
    begin = len(made.outputs)
    made.run(0.5)
    assert made.bench.last.state is State.HOLDING
    assert made.send_chunk() is None, "which came in between"
    made.run(0.3)
    assert not any(output.target for output in made.outputs[begin:])
    made.tells = True
    made.until(Mirroring.MIRRORING)
    assert not any(made.refusals) and commands_keep_limits(made, broken_limits)


def test_without_taking_over_targets_wait_for_the_end_of_the_chunk(attempt):
    made = attempt().in_mid_chunk()
    target = Target(made.bench.q, np.zeros(7), made.now_s)
    assert "executes a chunk" in text(made.bench.streamer.on_target(target, made.now_s))
    made.run(0.1)
    assert made.bench.last.state is State.TRACKING and made.bench.last.commander is Commander.POLICY


def test_targets_of_another_sender_are_nobodys(started):
    bench = started(period_s=STEP_S)
    for _ in range(60):
        bench.streamer.on_target(Target(HOME, np.zeros(7), bench.now_s), bench.now_s)
        bench.step()
    assert bench.last.state is State.TRACKING and bench.last.commander is Commander.NONE


def test_giving_back_twice_changes_nothing(attempt):
    made = attempt(leader=HOME).in_mid_chunk()
    made.mirror.engage(made.now_s)
    made.until(Mirroring.MIRRORING)
    made.give_back()
    assert made.mirror.disengage(made.now_s) == Refusal(Reason.BUSY, "The arm is given back already.")
    made.in_mid_chunk()


def test_it_is_given_back_before_mirroring_has_begun(attempt, broken_limits):
    made = attempt(leader=AWAY).in_mid_chunk()
    made.mirror.engage(made.now_s)
    made.run(0.02)
    made.give_back()
    made.in_mid_chunk()
    made.mirror.engage(made.now_s)
    made.run(1.5)
    assert made.last.status.state is Mirroring.APPROACHING and np.abs(made.bench.last.dq).max() > 0.05
    made.give_back()
    made.in_mid_chunk()
    assert commands_keep_limits(made, broken_limits) and Commander.HUMAN not in made.commanders


# ---- what goes wrong meanwhile


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_after_a_silent_leader_the_arm_holds_until_somebody_engages_or_gives_back(attempt, broken_limits, execution):
    made = attempt(execution, leader=HOME + 0.02).in_mid_chunk()
    made.mirror.engage(made.now_s)
    made.until(Mirroring.MIRRORING)
    made.swing()
    made.run(0.8)
    made.leads = False
    made.until(Mirroring.STOPPED)
    made.run(1.0)
    before, begin = made.bench.q, len(made.commanders)
    made.run(3.0)
    np.testing.assert_allclose(made.bench.q, before, atol=1e-9)
    assert made.bench.last.taken_over and not made.bench.last.wants_chunk
    assert "operator has taken over" in made.send_chunk()
    made.leads = True
    made.stay(made.bench.q)
    made.run(0.2)
    assert set(made.commanders[begin:]) == {Commander.NONE}
    made.mirror.engage(made.now_s)
    made.until(Mirroring.MIRRORING)
    made.give_back()
    made.in_mid_chunk()
    assert commands_keep_limits(made, broken_limits)


def test_a_teleop_node_that_dies_or_is_started_again_gives_nothing_back(attempt, broken_limits):
    made = attempt(leader=HOME + 0.02).in_mid_chunk()
    made.mirror.engage(made.now_s)
    made.until(Mirroring.MIRRORING)
    made.swing()
    made.run(0.8)
    for told in (None, IDLE):  # first it is gone, then it says what a new one says
        for _ in range(400):
            if told is not None:
                made.bench.streamer.on_teleop(told, made.now_s)
            made.bench.step()
            made.send_chunk()
    assert made.bench.last.state is State.HOLDING and made.bench.last.taken_over
    assert not made.bench.last.dq.any()
    made.bench.streamer.on_teleop(GIVEN_BACK, made.now_s)
    made.bench.step()
    assert made.bench.last.wants_chunk and made.send_chunk() is None
    assert commands_keep_limits(made, broken_limits)


def test_engaging_while_disabled_is_refused_and_the_policy_keeps_the_arm(attempt):
    made = attempt()
    made.bench.streamer.disable()
    made.run(0.2)
    assert "genima enable" in text(made.mirror.engage(made.now_s))
    made.bench.streamer.enable()
    made.in_mid_chunk()


def test_an_arm_that_is_disabled_meanwhile_is_not_the_policys_afterwards(attempt):
    made = attempt(leader=HOME).in_mid_chunk()
    made.mirror.engage(made.now_s)
    made.until(Mirroring.MIRRORING)
    made.bench.streamer.disable()
    made.until(Mirroring.STOPPED)
    made.run(0.5)
    made.bench.streamer.enable()
    made.run(0.5)
    assert made.bench.last.state is State.HOLDING and made.bench.last.taken_over and not made.bench.last.wants_chunk
    made.give_back()
    made.in_mid_chunk()


# ---- every mode, every call


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("mode", Mode)
def test_taking_over_is_a_stop_in_every_mode_and_lasts_through_everything(make_bench, sweep, mode, action):
    bench = reach(make_bench, sweep, mode)
    moves = mode in (Mode.TRACKING, Mode.ENDING)
    bench.streamer.on_teleop(ENGAGED, bench.now_s)
    assert bench.streamer._mode is (Mode.STOPPING if moves else mode)
    ACTIONS[action](bench)
    for _ in range(250):
        bench.step()
        assert bench.streamer._mode is not Mode.TRACKING
        assert bench.last.taken_over and not bench.last.wants_chunk and bench.last.commander is Commander.NONE
        assert "operator has taken over" in bench.send(np.tile(bench.q, (K, 1)))
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0
    bench.connected, bench.blocked = True, False
    bench.streamer.on_commanders([])
    for _ in range(100):
        bench.streamer.reset_fault()
        bench.streamer.enable()
        bench.step()
    assert bench.last.state is State.HOLDING and bench.last.taken_over
    bench.streamer.on_teleop(GIVEN_BACK, bench.now_s)
    bench.step()
    assert bench.last.wants_chunk and bench.send(np.tile(bench.q, (K, 1))) is None
