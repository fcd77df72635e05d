import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.streaming.profile import Motion
from genima_core.streaming.reference import Blend, ChunkPath, splice

from .chunks import HOME

DT_S = 0.05
BLEND = Blend(acceleration=4.0, shortest_s=0.2, longest_s=1.0)


def chunk(sweep, count=20):
    return sweep(DT_S * np.arange(count))


def path_of(positions, start_s=0.0, smoothing=1):
    return ChunkPath(positions, DT_S, start_s, 0.15, smoothing)


def test_a_smooth_chunk_is_followed_within_3_mrad(sweep):
    times = np.arange(0.0, 0.8, 0.01)
    assert np.abs(path_of(chunk(sweep)).at(times)[0] - sweep(times)).max() < 3e-3


def test_first_and_last_action_are_met_and_the_end_is_at_rest(sweep):
    path = path_of(chunk(sweep), start_s=7.0)
    assert np.allclose(path.at(np.array([7.0]))[0], chunk(sweep)[:1])
    q, dq, ddq = path.at(np.array([path.rest_s, path.rest_s + 9.0]))
    assert np.allclose(q, chunk(sweep)[-1]) and np.allclose(dq, 0.0) and np.allclose(ddq, 0.0)
    assert path.end_s == pytest.approx(7.95) and path.rest_s == pytest.approx(8.1)


def test_a_path_from_rest_starts_gently_and_plays_the_same_later(sweep):
    path = ChunkPath(chunk(sweep)[5:], DT_S, 7.0, 0.15, smoothing=1, from_rest=True)
    plain = path_of(chunk(sweep)[5:], start_s=7.0)
    q, dq, ddq = path.at(np.array([7.0]))
    assert np.allclose(q, plain.at(np.array([7.0]))[0]) and np.allclose(dq, 0.0) and np.allclose(ddq, 0.0)
    later = np.linspace(7.2, plain.rest_s, 50)
    for ours, theirs in zip(path.at(later + 0.15), plain.at(later), strict=True):
        assert np.allclose(ours, theirs)
    assert path.rest_s == pytest.approx(plain.rest_s + 0.15)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 30), smoothing=st.integers(0, 2))
@settings(max_examples=50)
def test_a_path_stays_within_the_range_of_its_actions(seed, count, smoothing):
    positions = np.random.default_rng(seed).uniform(-1.0, 1.0, (count, 7))
    q = path_of(positions, smoothing=smoothing).at(np.linspace(-0.5, count * DT_S + 0.5, 300))[0]
    assert (q <= positions.max(axis=0) + 1e-12).all() and (q >= positions.min(axis=0) - 1e-12).all()


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 30), begin=st.floats(0.0, 1.0), from_rest=st.booleans())
@settings(max_examples=50)
def test_velocity_and_acceleration_are_the_derivatives(seed, count, begin, from_rest):
    rng = np.random.default_rng(seed)
    path = ChunkPath(HOME + 0.05 * rng.standard_normal((count, 7)), DT_S, 0.0, 0.15, from_rest=from_rest)
    motion = splice(path, Motion(HOME, rng.uniform(-1, 1, 7), rng.uniform(-3, 3, 7)), begin * path.end_s, BLEND)
    times, h = np.linspace(begin * path.end_s + 1e-4, path.rest_s + 0.2, 500), 1e-6
    _, dq, ddq = motion.at(times)
    (ahead, dq_ahead, _), (behind, dq_behind, _) = motion.at(times + h), motion.at(times - h)
    assert np.allclose((ahead - behind) / (2 * h), dq, atol=1e-3)
    assert np.allclose((dq_ahead - dq_behind) / (2 * h), ddq, atol=0.3)


def test_a_splice_begins_as_the_motion_is_and_ends_on_the_path(sweep):
    path = path_of(chunk(sweep))
    motion = Motion(HOME - 0.05, np.full(7, 0.4), np.full(7, -1.0))
    entry = splice(path, motion, 0.2, BLEND)
    for got, wanted in zip(entry.at(np.array([0.2])), (motion.q, motion.dq, motion.ddq), strict=True):
        assert np.allclose(got[0], wanted)
    later = np.array([0.2 + entry.duration_s.max()])
    assert np.allclose(entry.at(later)[0], path.at(later)[0])


def test_the_width_is_that_of_the_action_nearest_on_the_path(sweep):
    path = ChunkPath(chunk(sweep), 0.05, 1.0, 0.15, widths_m=np.arange(20.0))
    assert [path.width_at(t) for t in (0.0, 1.0, 1.02, 1.03, 1.5, 2.1, 9.0)] == [0, 0, 0, 1, 10, 19, 19]
    slower = path.repaced(1.5, 0.5).repaced(2.0, 0.5)
    assert [slower.width_at(t) for t in (2.0, 2.2, 3.0)] == [15, 16, 19]
    assert path_of(chunk(sweep), start_s=1.0).width_at(1.0) is None
