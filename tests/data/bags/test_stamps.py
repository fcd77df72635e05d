"""Resampling as properties: what is nearest, what lies between neighbours, and which rows all streams cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genima_core.data.bags import stamps
from genima_core.data.bags.series import Series

steps = arrays(float, st.integers(1, 40), elements=st.floats(1e-3, 0.3))
rising = steps.map(lambda s: 1.7e9 + np.cumsum(s))
times = arrays(float, st.integers(1, 30), elements=st.floats(-1.0, 8.0)).map(lambda t: 1.7e9 + t)


@given(rising, times)
def test_no_stamp_is_nearer_than_the_nearest(stamps_s, times_s):
    found = stamps.nearest(stamps_s, times_s)
    distance = np.abs(stamps_s[None] - times_s[:, None])
    np.testing.assert_array_equal(distance[np.arange(len(times_s)), found], distance.min(1))
    assert (np.diff(stamps.nearest(stamps_s, np.sort(times_s))) >= 0).all()


@given(st.lists(rising, min_size=1, max_size=5), st.integers(1, 60))
def test_the_grid_is_regular_and_covered_by_every_stream(streams, fps):
    streams = {str(i): stamps_s for i, stamps_s in enumerate(streams)}
    begin_s, end_s = max(s[0] for s in streams.values()), min(s[-1] for s in streams.values())
    try:
        times_s = stamps.grid(streams, fps)
    except ValueError:
        assert end_s - begin_s < 1.001 / fps
        return
    assert times_s[0] == begin_s and len(times_s) >= 2
    np.testing.assert_allclose(np.diff(times_s), 1 / fps, atol=1e-6)
    assert end_s - 1 / fps < times_s[-1] + 1e-6 <= end_s + 2e-3 / fps + 2e-6


@given(rising, arrays(float, (7,), elements=st.floats(-3, 3)), arrays(float, (7,), elements=st.floats(-3, 3)))
def test_straight_motion_is_interpolated_exactly(stamps_s, offset, slope):
    times_s = np.linspace(stamps_s[0], stamps_s[-1], 17)
    line = [offset + slope * (t[:, None] - 1.7e9) for t in (stamps_s, times_s)]
    np.testing.assert_allclose(Series(stamps_s, line[0]).at(times_s), line[1], atol=1e-5)


@given(arrays(float, st.integers(1, 50), elements=st.floats(0, 0.09)))
def test_what_was_overtaken_is_put_aside(jitter_s):
    stamps_s = 100 + 0.02 * np.arange(len(jitter_s)) - jitter_s
    kept = stamps.increasing(stamps_s, "joint_states")
    assert kept[0] and (np.diff(stamps_s[kept]) > 0).all()
    assert stamps_s[kept][-1] == stamps_s.max()


def test_a_clock_that_jumps_back_is_refused():
    assert not len(stamps.increasing(np.zeros(0), "camera front"))
    with pytest.raises(ValueError, match=r"clock of camera front jumps back by 5\.000 s at its message 2; synchronise"):
        stamps.increasing(np.array([10.0, 10.1, 5.1, 5.2]), "camera front")


def test_streams_without_two_common_rows_are_refused():
    with pytest.raises(ValueError, match="no messages of camera wrist, joints"):
        stamps.grid({"camera wrist": np.zeros(0), "camera front": np.ones(1), "joints": np.zeros(0)}, 20)
    streams = {"camera front": np.array([0.0, 1.0]), "joints": np.array([0.97, 3.0])}
    with pytest.raises(ValueError, match=r"0\.030 s in common.* joints begins last, camera front ends first"):
        stamps.grid(streams, 20)


def test_commands_are_used_where_they_are_dense():
    stamps_s = np.array([1.0, 1.1, 2.0, 2.1])
    times_s = np.array([0.99, 1.0, 1.05, 1.1, 1.5, 2.05, 2.1, 2.2])
    found = Series(stamps_s, np.zeros((4, 7))).covers(times_s, 0.25)
    np.testing.assert_array_equal(found, [False, True, True, True, False, True, True, False])
    assert not Series(np.zeros(0), np.zeros((0, 7))).covers(times_s, 0.25).any()


def test_the_last_command_holds():
    before = np.array([9.0, 8.0, 7.0, 6.0])
    times_s = np.array([0.5, 1.0, 1.9, 2.0])
    found = Series(np.array([1.0, 2.0]), np.array([[0.3], [0.4]])).latest(times_s, before)
    np.testing.assert_array_equal(found, [9.0, 0.3, 0.3, 0.4])
    np.testing.assert_array_equal(Series(np.zeros(0), np.zeros((0, 1))).latest(times_s, before), before)
