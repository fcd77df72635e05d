from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.arm import FR3, PANDA
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.playback import shaping_limits
from genima_core.streaming.profile import PREVIEW, Profile

from .chunks import HOME

PERIOD_S = 0.02
ZERO = np.zeros(7)
LIMITS = shaping_limits(PANDA.limits, StreamerConfig())


def constant(q, dq=ZERO, ddq=ZERO):
    return lambda times: tuple(np.broadcast_to(row, (len(times), 7)) for row in (q, dq, ddq))


def wave(start_s=0.0, size=0.4, rate=2.0):
    """A smooth motion that starts at rest at home."""

    def at(times):
        angle = rate * (start_s + times[:, None])
        return (
            HOME + size * (1 - np.cos(angle)) * np.ones(7),
            size * rate * np.sin(angle) * np.ones(7),
            size * rate**2 * np.cos(angle) * np.ones(7),
        )

    return at


def test_a_reachable_reference_is_met_exactly():
    profile = Profile(LIMITS, PERIOD_S, HOME)
    for k in range(100):
        motion = profile.track(wave(k * PERIOD_S, size=0.15))
        if k > 5:
            assert np.allclose(motion.q, wave((k + 1) * PERIOD_S, 0.15)(np.zeros(1))[0], atol=1e-8)


def test_a_far_goal_is_reached_and_kept(broken_limits):
    profile = Profile(LIMITS, PERIOD_S, HOME)
    goal = HOME + 0.8
    goal[3] = -2.9
    q = np.array([profile.track(constant(goal)).q for _ in range(80)])
    assert np.allclose(q[-1], goal, atol=1e-9)
    assert profile.motion.at_rest
    assert not broken_limits(q, PANDA.limits)


@pytest.mark.parametrize("limits", [PANDA.limits, FR3.limits], ids=["panda", "fr3"])
@given(seed=st.integers(0, 2**32 - 1), hold=st.sampled_from([1, 2, 5, 20]), rest=st.sampled_from([np.inf, 0.3]))
@settings(max_examples=25)
def test_no_reference_breaks_a_limit(limits, seed, hold, rest, broken_limits):
    """Wanted states jump anywhere, beyond every limit, with any velocity."""
    rng = np.random.default_rng(seed)
    shares = StreamerConfig(velocity_factor=0.95, acceleration_factor=0.9, jerk_factor=0.2, position_margin_rad=0.002)
    shaping = shaping_limits(limits, shares)
    profile = Profile(shaping, PERIOD_S, rng.uniform(limits.lower, limits.upper))
    q = [profile.motion.q]
    for k in range(60):
        if k % hold == 0:
            wanted = rng.uniform(limits.lower - 0.3, limits.upper + 0.3)
            edge = rng.random(7) < 0.3
            wanted = np.where(edge, rng.choice([limits.lower, limits.upper]), wanted)
            reference = constant(wanted, rng.uniform(-4, 4, 7), rng.uniform(-30, 30, 7))
        q.append((profile.stop() if rng.random() < 0.1 else profile.track(reference, rest)).q)
    for _ in range(40):
        q.append(profile.stop().q)
    assert profile.motion.at_rest
    assert not broken_limits(np.array(q), limits)


def test_near_its_limit_an_fr3_is_led_no_faster_than_it_may_be(broken_limits):
    """A wave of joint 6 that turns at its limit: its way down is too fast, and is met on the way up."""
    shaping = shaping_limits(FR3.limits, StreamerConfig())
    start = FR3.home.copy()
    start[5] = FR3.limits.lower[5] + 0.7

    def wave_at(times, start_s):
        size, angle = np.where(np.arange(7) == 5, 0.35, 0.0), (2.9 * (start_s + times))[:, None]
        return (
            start - size * (1 - np.cos(angle)),
            -size * 2.9 * np.sin(angle),
            -size * 2.9**2 * np.cos(angle),
        )

    profile, q, away = Profile(shaping, PERIOD_S, start), [start], []
    for k in range(110):
        q.append(profile.track(lambda times, k=k: wave_at(times, k * PERIOD_S)).q)
        away.append(np.abs(q[-1] - wave_at(np.zeros(1), (k + 1) * PERIOD_S)[0][0]).max())
    assert not broken_limits(np.array(q), FR3.limits)
    assert max(away) < 0.05 and max(away[-15:]) < 1e-6
    careless = replace(shaping, slowing=None)
    profile, q = Profile(careless, PERIOD_S, start), [start]
    for k in range(110):
        q.append(profile.track(lambda times, k=k: wave_at(times, k * PERIOD_S)).q)
    assert "velocity" in broken_limits(np.array(q), FR3.limits)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_rest_is_kept_in_time(seed):
    """Whatever is wanted, a deadline that could be met at the start is met."""
    rng = np.random.default_rng(seed)
    profile = Profile(LIMITS, PERIOD_S, HOME)
    deadline = 25
    for k in range(deadline):
        wanted = constant(rng.uniform(LIMITS.lower, LIMITS.upper), rng.uniform(-2, 2, 7))
        profile.track(wanted, (deadline - k) * PERIOD_S)
    assert profile.motion.at_rest


def test_a_stop_is_short_and_does_not_turn_back():
    profile = Profile(LIMITS, PERIOD_S, HOME)
    for k in range(30):
        profile.track(wave(k * PERIOD_S))
    assert np.abs(profile.motion.dq).min() > 0.5
    q = np.array([profile.stop().q for _ in range(25)])
    assert profile.motion.at_rest
    assert (np.diff(q, axis=0) >= -1e-12).all()


def test_a_start_outside_the_margin_is_no_reason_to_move():
    start = np.where(np.arange(7) % 2, PANDA.limits.upper, PANDA.limits.lower)
    profile = Profile(LIMITS, PERIOD_S, start)
    for _ in range(5):
        assert (profile.stop().q == start).all()
    assert (profile.track(constant(start)).q == start).all()


def test_the_horizon_is_what_comes_and_ends_at_rest():
    profile = Profile(LIMITS, PERIOD_S, HOME)
    for k in range(30):
        profile.track(wave(k * PERIOD_S))
    times, q, dq, ddq = profile.horizon()
    assert (np.diff(times) > 0).all() and times[0] == PERIOD_S and len(times) > PREVIEW
    assert not dq[-1].any() and not ddq[-1].any()
    for k in range(PREVIEW):
        motion = profile.track(wave((30 + k) * PERIOD_S))
        assert np.allclose(motion.q, q[k], atol=1e-9) and np.allclose(motion.dq, dq[k], atol=1e-7)
    stop = np.array([profile.stop().q for _ in range(40)])
    on_grid = np.round(times[PREVIEW:] / PERIOD_S).astype(int) - PREVIEW - 1
    assert np.allclose(stop[on_grid], q[PREVIEW:], atol=1e-9)


def test_a_horizon_at_rest_is_short():
    times, q, _, _ = Profile(LIMITS, PERIOD_S, HOME).horizon()
    assert len(times) == PREVIEW and np.allclose(times, PERIOD_S * np.arange(1, PREVIEW + 1))
    assert (q == HOME).all()
