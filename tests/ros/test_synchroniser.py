import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.timing import Synchroniser

NAMES = ("a", "b", "c", "d")


@given(
    events=st.lists(st.tuples(st.sampled_from(NAMES), st.floats(0.0, 10.0)), max_size=60), slack_s=st.floats(0.001, 1.0)
)
def test_sets_are_within_the_slack_and_use_each_message_once(events, slack_s):
    synchroniser = Synchroniser(NAMES, slack_s)
    used = set()
    for i, (name, stamp_s) in enumerate(events):
        try:
            complete = synchroniser.add(name, stamp_s, i)
        except ValueError:
            continue
        if complete is not None:
            stamps_s = [message.stamp_s for message in complete]
            assert max(stamps_s) - min(stamps_s) <= slack_s
            assert [events[message.item][0] for message in complete] == list(NAMES)
            assert not used & {message.item for message in complete}
            used |= {message.item for message in complete}


def test_the_newest_of_each_counts():
    synchroniser = Synchroniser(("a", "b"), 0.1)
    synchroniser.add("a", 1.0, "old")
    synchroniser.add("a", 1.1, "new")
    assert [message.item for message in synchroniser.add("b", 1.1, "b")] == ["new", "b"]


@pytest.mark.parametrize("stamp_s", [1.0, 0.9])
def test_a_stamp_that_does_not_advance_is_refused(stamp_s):
    synchroniser = Synchroniser(("a", "b"), 0.1)
    synchroniser.add("a", 1.0, 0)
    with pytest.raises(ValueError, match="a is frozen"):
        synchroniser.add("a", stamp_s, 1)


def test_a_source_that_starts_anew_is_taken():
    synchroniser = Synchroniser(("a", "b"), 0.1)
    synchroniser.add("a", 100.0, 0)
    synchroniser.add("a", 1.0, 1)
    assert synchroniser.add("b", 1.0, 2) is not None


def test_spread_tells_how_far_apart_the_sources_are():
    synchroniser = Synchroniser(("a", "b"), 0.1)
    synchroniser.add("a", 1.0, 0)
    assert synchroniser.spread_s is None
    synchroniser.add("b", 1.5, 0)
    assert synchroniser.spread_s == pytest.approx(0.5)
