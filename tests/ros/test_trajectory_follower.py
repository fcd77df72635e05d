import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.trajectory_follower import TrajectoryFollower

HERE = np.zeros(7)


def test_it_holds_until_told_otherwise():
    q, dq = TrajectoryFollower(HERE + 0.3).sample(5.0)
    assert q == pytest.approx(HERE + 0.3)
    assert (dq == 0).all()


def test_positions_are_joined_by_lines_from_where_it_is():
    follower = TrajectoryFollower(HERE)
    follower.replace(1.0, 1.0, [0.1, 0.2], np.stack([HERE + 1, HERE + 3]), None)
    assert follower.sample(1.05)[0] == pytest.approx(HERE + 0.5)
    assert follower.sample(1.15)[0] == pytest.approx(HERE + 2.0)
    assert follower.sample(9.0)[0] == pytest.approx(HERE + 3.0)


@given(t_s=st.floats(0.0, 0.399))
def test_a_cubic_is_followed_exactly(t_s):
    times_s = np.array([0.1, 0.2, 0.4])

    def position(t):
        return (1 - 2 * t + 3 * t**2 - t**3)[..., None] * np.ones(7)

    def velocity(t):
        return (-2 + 6 * t - 3 * t**2)[..., None] * np.ones(7)

    follower = TrajectoryFollower(HERE)
    follower.replace(0.0, -0.1, times_s, position(times_s - 0.1), velocity(times_s - 0.1))  # the first point is now
    follower.replace(0.0, 0.0, times_s, position(times_s), velocity(times_s))
    if t_s >= 0.1:
        q, dq = follower.sample(t_s)
        assert q == pytest.approx(position(np.array(t_s)))
        assert dq == pytest.approx(velocity(np.array(t_s)), abs=1e-9)


def test_a_new_trajectory_continues_from_the_desired_state():
    follower = TrajectoryFollower(HERE)
    follower.replace(0.0, 0.0, [1.0], (HERE + 1)[None], None)
    before = follower.sample(0.4)[0]
    follower.replace(0.4, 0.4, [0.5], (HERE - 1)[None], None)
    assert follower.sample(0.4)[0] == pytest.approx(before)
    assert follower.sample(0.9)[0] == pytest.approx(HERE - 1)


@pytest.mark.parametrize(
    ("times_s", "q", "dq"),
    [
        ([], np.zeros((0, 7)), None),
        ([0.1], np.zeros((1, 6)), None),
        ([0.2, 0.1], np.zeros((2, 7)), None),
        ([-1.0], np.zeros((1, 7)), None),
        ([np.nan], np.zeros((1, 7)), None),
        ([0.1, np.inf], np.zeros((2, 7)), None),
        ([0.1], np.full((1, 7), np.nan), None),
        ([0.1, 0.2], np.array([np.full(7, 1e308), np.full(7, -1e308)]), None),
        ([0.1, 0.2], np.zeros((1, 7)), None),
        ([0.1, 0.2], np.zeros((2, 7)), np.zeros((1, 7))),
        ([0.1], np.zeros((1, 7)), np.full((1, 7), np.inf)),
    ],
)
def test_what_it_cannot_follow_changes_nothing(times_s, q, dq):
    follower = TrajectoryFollower(HERE)
    with pytest.raises(ValueError):
        follower.replace(0.0, 0.0, times_s, q, dq)
    assert follower.sample(10.0)[0] == pytest.approx(HERE)
