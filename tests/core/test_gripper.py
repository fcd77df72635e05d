"""A gripper gets the newest width, one goal at a time, whatever it answers or does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.gripper import Answer, Goal, GripperConfig, GripperControl, State

STEP_S = 0.02
CONFIG = GripperConfig()
WIDTH_M = 0.08


class Hand:
    """A gripper that does what a test says; moves at once, unless it is slow."""

    def __init__(self, **config) -> None:
        self.now_s, self.there = 0.0, True
        self.behaviour = "succeed"
        self.sent: list[Goal] = []
        self.cancelled: list[int] = []
        self.under_way: Goal | None = None
        self.control = GripperControl(GripperConfig(**config), WIDTH_M, self)

    def ready(self) -> bool:
        return self.there

    def send(self, goal: Goal) -> None:
        assert self.under_way is None or self.behaviour in ("silent", "deaf"), "one goal at a time"
        self.sent.append(goal)
        self.under_way = goal

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)

    def run(self, duration_s: float) -> "Hand":
        for _ in range(round(duration_s / STEP_S)):
            self.step()
        return self

    def step(self) -> None:
        self.now_s += STEP_S
        goal, control = self.under_way, self.control
        if goal is not None and self.behaviour != "silent":
            if self.behaviour == "reject":
                self.under_way = None
                control.on_rejected(goal.number, self.now_s)
            else:
                control.on_accepted(goal.number, self.now_s)
                if self.behaviour != "deaf" and (self.behaviour != "slow" or goal.number in self.cancelled):
                    self.under_way = None
                    ended = goal.number in self.cancelled or self.behaviour == "fail"
                    control.on_answer(
                        goal.number,
                        Answer(not ended and self.behaviour != "stall", self.behaviour == "stall"),
                        self.now_s,
                    )
        control.step(self.now_s)


def test_nothing_is_done_before_something_is_asked_for():
    hand = Hand().run(1.0)
    assert hand.control.state is State.IDLE and not hand.sent and hand.control.problem == ""


def test_the_newest_of_many_widths_is_reached_by_few_goals():
    hand = Hand()
    for i in range(500):
        assert hand.control.command(0.08 * i / 499) is None
    hand.run(1.0)
    assert [goal.width_m for goal in hand.sent] == [0.08]
    assert hand.control.state is State.IDLE


def test_a_width_that_is_reached_is_not_asked_for_again():
    hand = Hand()
    hand.control.command(0.04)
    hand.run(0.5)
    for _ in range(10):
        hand.control.command(0.0404)
        hand.run(0.1)
    assert len(hand.sent) == 1


def test_another_width_breaks_off_a_motion_and_a_near_one_does_not():
    hand = Hand()
    hand.behaviour = "slow"
    hand.control.command(0.08)
    hand.run(0.2)
    hand.control.command(0.077)
    hand.run(0.2)
    assert not hand.cancelled
    hand.control.command(0.0)
    hand.run(0.2)
    assert hand.cancelled == [1]
    assert hand.sent[-1].width_m == 0.0


@pytest.mark.parametrize(
    ("behaviour", "limit_s", "words"),
    [
        ("silent", CONFIG.accept_s, "has not accepted a goal"),
        ("slow", CONFIG.finish_s, "has not arrived"),
        ("deaf", CONFIG.finish_s + CONFIG.cancel_s, "has not stopped"),
    ],
)
def test_a_gripper_without_an_answer_is_given_up_in_time(behaviour, limit_s, words):
    hand = Hand()
    hand.behaviour = behaviour
    hand.control.command(0.08)
    hand.run(limit_s - 0.1)
    assert words not in hand.control.problem
    hand.run(0.3)
    assert words in hand.control.problem
    assert hand.cancelled
    hand.behaviour, hand.under_way = "succeed", None
    hand.run(CONFIG.retry_longest_s + 1.0)
    assert (hand.control.state, hand.control.problem) == (State.IDLE, "")


def test_failures_are_tried_again_more_and_more_seldom():
    hand = Hand()
    hand.behaviour = "fail"
    hand.control.command(0.08)
    hand.run(60.0)
    assert 6 <= len(hand.sent) <= 14
    assert "has failed" in hand.control.problem


def test_an_object_that_stops_the_closing_fingers_is_held():
    hand = Hand()
    hand.control.measured(0.08)
    hand.behaviour = "stall"
    hand.control.command(0.0)
    hand.control.measured(0.03)
    hand.run(0.5)
    assert hand.control.holding and hand.control.state is State.IDLE
    hand.control.command(0.01)
    assert len(hand.run(1.0).sent) == 1  # it is closed as far as the object allows
    hand.control.measured(0.0)  # which was lost
    hand.behaviour = "succeed"
    hand.run(1.0)
    assert len(hand.sent) == 2 and not hand.control.holding


@pytest.mark.parametrize("width_m", [float("nan"), float("inf"), -0.01, 0.1])
def test_a_width_that_cannot_be_changes_nothing(width_m):
    hand = Hand()
    hand.control.command(0.05)
    assert "valid is 0 to 0.08 m" in hand.control.command(width_m)
    assert hand.run(1.0).sent[-1].width_m == 0.05


@pytest.mark.parametrize("changes", [{"accept_s": 0.0}, {"preempt_m": 0.0001}, {"retry_longest_s": 0.1}])
def test_wrong_configurations_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        GripperConfig(**changes)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["command", "measured", "succeed", "fail", "reject", "silent", "slow", "deaf", "stall", "gone", "back"]
            ),
            st.floats(-0.02, 0.12),
        ),
        max_size=60,
    )
)
def test_whatever_happens_the_last_width_is_reached_when_the_gripper_works(events):
    hand, last_m = Hand(), None
    for what, width_m in events:
        if what == "command":
            last_m = width_m if hand.control.command(width_m) is None else last_m
        elif what == "measured":
            hand.control.measured(width_m)
        elif what in ("gone", "back"):
            hand.there = what == "back"
        else:
            hand.behaviour = what
            if what not in ("silent", "deaf", "slow"):
                hand.under_way = None if hand.under_way is not hand.control._goal else hand.under_way
        hand.run(0.1)
    hand.there, hand.behaviour = True, "succeed"
    hand.run(CONFIG.finish_s + CONFIG.cancel_s + CONFIG.retry_longest_s + 2.0)
    assert hand.control.state is State.IDLE
    assert hand.control.problem == ""
    if last_m is not None and not hand.control.holding:
        wanted_m = min(max(last_m, 0.0), WIDTH_M)
        assert hand.sent[-1].width_m == pytest.approx(wanted_m, abs=CONFIG.tolerance_m + 1e-9)
