"""Whatever the hand is asked and when: positions and velocities are continuous and slow enough."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.arm import PANDA
from genima_core.sim import experts, hand
from genima_core.sim.hand import Hand

DT_S = 0.01
MARGIN = 1e-6

joints = st.lists(st.floats(0.05, 0.95), min_size=7, max_size=7).map(
    lambda x: PANDA.limits.lower + np.array(x) * (PANDA.limits.upper - PANDA.limits.lower)
)


def sample(leader: Hand, begin_s: float, duration_s: float) -> list[hand.Lead]:
    return [leader.at(begin_s + DT_S * k) for k in range(round(duration_s / DT_S))]


def assert_smooth(leads: list[hand.Lead], speed: float, acceleration: float) -> None:
    q, dq = np.array([lead.q for lead in leads]), np.array([lead.dq for lead in leads])
    openings = np.array([lead.opening for lead in leads])
    assert np.abs(dq).max() <= speed + MARGIN
    assert np.abs(np.diff(dq, axis=0)).max() <= acceleration * DT_S + MARGIN
    np.testing.assert_allclose(np.diff(q, axis=0), (dq[1:] + dq[:-1]) / 2 * DT_S, atol=acceleration * DT_S**2)
    assert np.abs(np.diff(openings)).max() <= hand.OPENING_PER_S * DT_S + MARGIN


@settings(max_examples=30)
@given(goals=st.lists(st.tuples(joints, st.floats(0, 1)), min_size=1, max_size=4), every_s=st.floats(0.05, 1.5))
def test_new_goals_at_any_time_are_joined_smoothly(goals, every_s):
    leader, leads, now_s = Hand(PANDA, PANDA.home), [], 5.0
    steps = max(1, round(every_s / DT_S))
    for q, opening in goals:
        leader.move(q, now_s, opening)
        leads += sample(leader, now_s, steps * DT_S)
        now_s += steps * DT_S
    while not leader.at_rest(now_s):
        leads.append(leader.at(now_s))
        now_s += DT_S
    leads += sample(leader, now_s, 1.0)
    assert_smooth(leads, hand.SPEED, hand.ACCELERATION)
    np.testing.assert_allclose(leads[-1].q, goals[-1][0], atol=1e-6)
    assert leads[-1].opening == pytest.approx(goals[-1][1], abs=1e-6)
    assert not leads[-1].dq.any() or np.abs(leads[-1].dq).max() < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_a_demonstration_is_as_smooth_and_as_slow_as_the_experts(cell, seed):
    cell.reset(seed)
    demonstration = cell.plan(dt_s=0.02)
    leader = Hand(cell.arm, cell.q)
    leader.perform(demonstration, 3.0)
    leads = sample(leader, 3.0, demonstration.duration_s + 0.5)
    assert_smooth(leads, 1.02 * experts.PEAK_SPEED, 6.0)
    assert leader.at_rest(3.0 + demonstration.duration_s)
    np.testing.assert_allclose(leads[-1].q, demonstration.q[-1], atol=1e-9)
    assert leads[-1].opening == pytest.approx(demonstration.gripper[-1])


def test_a_demonstration_given_up_half_way_goes_on_smoothly(cell):
    cell.reset(1)
    demonstration = cell.plan(dt_s=0.02)
    leader = Hand(cell.arm, cell.q)
    leader.perform(demonstration, 0.0)
    leads = sample(leader, 0.0, demonstration.duration_s / 2)
    now_s = len(leads) * DT_S
    leader.move(PANDA.home, now_s, 1.0)
    leads += sample(leader, now_s, 8.0)
    assert_smooth(leads, 1.02 * experts.PEAK_SPEED, 6.0)
    np.testing.assert_allclose(leads[-1].q, PANDA.home, atol=1e-6)


@pytest.mark.parametrize(
    ("q", "opening", "words"),
    [
        (np.full(7, 9.0), 1.0, "cannot go to"),
        (np.full(7, np.nan), 1.0, "cannot go to"),
        (PANDA.home[:6], 1.0, "7 positions"),
        (PANDA.home, 1.5, "cannot open to 1.5"),
        (PANDA.home, np.nan, "cannot open"),
    ],
)
def test_what_is_not_valid_moves_nothing(q, opening, words):
    leader = Hand(PANDA, PANDA.home)
    with pytest.raises(ValueError, match=words):
        leader.move(q, 0.0, opening)
    assert leader.at_rest(0.0)
    np.testing.assert_array_equal(leader.at(1.0).q, PANDA.home)
