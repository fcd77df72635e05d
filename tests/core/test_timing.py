"""What is said of a message whose stamp is far from now: the cause, where it can be told."""

import pytest

from genima_core.timing import stamp_problem


@pytest.mark.parametrize(
    ("stamp_s", "now_s", "text"),
    [
        (0.0, 1.8e9, "carries no stamp, or one of simulated time: set header.stamp in its sender"),
        (1.8e9, 0.0, "is stamped by the wall clock, and the clock here is simulated"),
        (40.0 - 1.8e9, 40.0, "carries no stamp"),  # by a steady clock
        (1.8e9, 40.0, "is stamped by the wall clock"),
        (1.8e9, 1.8e9 + 3, "stamped 3.000 s ago; valid is within 0.5 s: look at its sender and synchronise"),
        (5.0, 3.0, "stamped 2.000 s ahead"),
    ],
)
def test_the_cause_is_named(stamp_s, now_s, text):
    assert text in stamp_problem("The joint state", stamp_s, now_s, 0.5)
