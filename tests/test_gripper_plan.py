"""What was announced of the gripper happens when it was announced, however fast chunks follow each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.gripper_plan import SETTLED_S, GripperPlan
from genima_core.types import ActionChunk

DT_S, COUNT = 0.05, 20


def chunk(start_s: float, openings: str, stamp_s: float | None = None) -> ActionChunk:
    """`openings` one digit each action; the last one counts for the rest."""
    gripper = np.array([float(digit) for digit in openings.ljust(COUNT, openings[-1])])
    return ActionChunk(np.zeros((COUNT, 7)), gripper, DT_S, start_s, start_s - DT_S if stamp_s is None else stamp_s)


def told(sent: ActionChunk) -> str:
    return "".join(str(int(opening)) for opening in sent.gripper)


def test_a_grasp_that_every_chunk_puts_off_happens_when_it_was_announced_first():
    plan = GripperPlan()
    plan.keep(chunk(1.0, "1111110"), 0.95)  # due at 1.3
    assert told(plan.keep(chunk(1.1, "11111111110"), 1.05)) == "1111" + 16 * "0"
    assert told(plan.keep(chunk(1.2, "1111111110"), 1.15)) == "11" + 18 * "0"
    assert told(plan.keep(chunk(1.4, "11111110"), 1.35)) == 20 * "0"


def test_a_grasp_that_is_announced_earlier_happens_earlier():
    plan = GripperPlan()
    plan.keep(chunk(1.0, "11111111110"), 0.95)
    assert told(plan.keep(chunk(1.1, "1110"), 1.05)) == "111" + 17 * "0"
    assert told(plan.keep(chunk(1.15, "11111110"), 1.1)) == "11" + 18 * "0"


def test_a_grasp_that_newer_chunks_do_not_want_is_given_up():
    plan = GripperPlan()
    plan.keep(chunk(1.0, "11111111110"), 0.95)
    assert told(plan.keep(chunk(1.1, "1"), 1.05)) == 20 * "1"
    assert told(plan.keep(chunk(1.2, "11111111110"), 1.15)) == 10 * "1" + 10 * "0"


def test_a_chunk_from_before_a_change_does_not_take_it_back_and_a_later_one_does():
    plan = GripperPlan()
    plan.keep(chunk(1.0, "1110"), 0.95)  # due at 1.15
    assert told(plan.keep(chunk(1.2, "1", stamp_s=1.1), 1.2)) == 20 * "0"
    assert told(plan.keep(chunk(1.3, "1", stamp_s=1.25), 1.3)) == 20 * "1"


def test_what_is_long_past_does_not_forbid_to_open_for_another_try():
    plan = GripperPlan()
    plan.keep(chunk(1.0, "1110"), 0.95)
    again = 1.15 + SETTLED_S + 0.01
    assert told(plan.keep(chunk(again, "1110"), again)) == "111" + 17 * "0"


def test_a_release_is_kept_likewise():
    plan = GripperPlan()
    plan.keep(chunk(1.0, "0001"), 0.95)
    assert told(plan.keep(chunk(1.1, "000001"), 1.05)) == "0" + 19 * "1"


def test_after_clear_nothing_stands():
    plan = GripperPlan()
    plan.keep(chunk(1.0, "1110"), 0.95)
    plan.clear()
    assert told(plan.keep(chunk(1.05, "111110"), 1.0)) == "11111" + 15 * "0"


def test_chunks_that_leave_the_gripper_as_it_is_pass():
    sent = ActionChunk(np.zeros((COUNT, 7)), None, DT_S, 1.0, 0.95)
    assert GripperPlan().keep(sent, 0.95) is sent


@given(st.lists(st.integers(1, COUNT - 1), min_size=2, max_size=30), st.floats(0.02, 0.3))
def test_however_chunks_put_it_off_it_happens_by_the_first_announcement(closings, period_s):
    plan, now_s, promised_s = GripperPlan(), 1.0, np.inf
    for k in closings:
        sent = plan.keep(chunk(now_s + DT_S, "1" * k + "0"), now_s)
        promised_s = min(promised_s, now_s + DT_S + k * DT_S)
        due_s = sent.start_s + DT_S * np.arange(COUNT)
        assert (sent.gripper[due_s >= promised_s + DT_S / 2] == 0).all()
        assert (sent.gripper[due_s <= promised_s - DT_S] == 1).all()
        now_s += period_s
        if now_s > promised_s:
            break


@pytest.mark.parametrize("openings", ["1", "0", "10", "0101"])
def test_the_first_chunk_is_sent_as_it_is(openings):
    first = chunk(1.0, openings)
    np.testing.assert_array_equal(GripperPlan().keep(first, 0.95).gripper, first.gripper)
