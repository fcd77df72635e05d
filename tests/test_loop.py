"""The rules of the control loop, with stand-ins for the controller and the gate; no clock runs here."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.arm import PANDA
from genima_core.loop import MOST_REFUSED, ControlLoop, find_ending
from genima_core.sim.scene import default_rig
from genima_core.streaming.states import Reason, Refusal, Status
from genima_core.targets.gate import Gate, GateState

DRAWING = np.zeros((4, 8, 8, 3), np.uint8)
DT_S = 0.05


class Controller:
    """Goes on by 0.01 rad an action."""

    dt_s = DT_S

    def __init__(self):
        self.calls = []
        self.openings = np.zeros(20)

    def act(self, targets, q, gripper, instruction):
        self.calls.append((q, gripper, instruction))
        return q + 0.01 * np.arange(1, 21)[:, None], self.openings


class FakeGate:
    reasons: tuple[str, ...] = ()

    def check(self, drawing, q, observation):
        return SimpleNamespace(reasons=self.reasons)


def make_loop(execution="sync", gate=None, wanted_s: float | None = 1.0, states=((1.0, 0.0),)):
    loop = ControlLoop(Controller(), execution, gate)
    loop.instruction = "push"
    for stamp_s, offset in states:
        loop.on_joint_state(PANDA.home + offset, 0.5, stamp_s)
    if wanted_s is not None:
        loop.on_wanted(True, wanted_s)
    return loop


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_nothing_is_due_that_nobody_wants(execution):
    loop = make_loop(execution, wanted_s=None)
    assert not loop.is_due(1.0) and loop.act(DRAWING, 1.0) is None
    loop.on_wanted(True, 1.0)
    loop.on_wanted(False, 1.1)
    assert not loop.is_due(1.2)


def test_sync_acts_only_on_what_was_captured_at_rest_and_starts_one_step_from_now():
    loop = make_loop(states=((0.9, 0.1), (1.0, 0.2)))
    loop.on_wanted(True, 5.0)  # repeated: at rest since 1.0
    assert not loop.is_due(0.99)
    chunk = loop.act(DRAWING, 1.0)
    assert (loop.controller.calls[0][0] == PANDA.home + 0.2).all()
    assert loop.controller.calls[0][1:] == (0.5, "push")
    sent = loop.start(chunk, 1.4)
    assert (sent.stamp_s, sent.start_s) == (1.0, pytest.approx(1.4 + DT_S))
    assert not loop.is_due(1.3)  # seen before this chunk can have been carried out
    assert loop.is_due(1.5)  # still wanted: it was refused


@pytest.mark.parametrize(("turned", "start_s"), [(0.1, 1.0), (0.01, 1.4)])
def test_async_starts_at_the_capture_unless_the_arm_stands_still(turned, start_s):
    loop = make_loop("async", wanted_s=0.9, states=((1.0, 0.0), (1.3, turned)))
    assert not loop.is_due(0.89)
    sent = loop.start(loop.act(DRAWING, 1.0), 1.4)
    assert sent.start_s == pytest.approx(start_s + DT_S)
    assert not loop.is_due(1.39) and loop.is_due(1.41), "what is captured before this chunk began comes too early"


def test_async_keeps_the_moment_of_a_grasp_that_was_announced():
    loop = make_loop("async", wanted_s=0.9, states=((1.0, 0.0), (1.3, 0.1), (1.4, 0.2)))
    loop.controller.openings = np.where(np.arange(20) < 12, 1.0, 0.0)
    first = loop.start(loop.act(DRAWING, 1.0), 1.3)  # closes at 1.65
    later = loop.start(loop.act(DRAWING, 1.4), 1.5)  # begins at 1.55, and would close at 2.15
    assert first.gripper.sum() == 12 and later.gripper.sum() == 2


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_a_refused_drawing_is_not_acted_upon_and_the_next_one_is_waited_for(execution):
    gate = FakeGate()
    loop = make_loop(execution, gate)
    for begin_s in (1.0, 1.05):  # a good one in between starts the count anew
        gate.reasons = ("a",)
        for stamp_s in begin_s + 0.01 * np.arange(MOST_REFUSED - 1):
            assert loop.act(DRAWING, stamp_s, DRAWING) is None and not loop.is_due(stamp_s)
            assert loop.status == Status(GateState.OPEN, Reason.DRAWING, "a")
        gate.reasons = ()
        assert loop.act(DRAWING, begin_s + 0.04, DRAWING) is not None
        assert loop.status == Status(GateState.OPEN)


def test_refused_drawings_in_a_row_pause_until_resume_and_then_only_new_captures_count():
    gate = FakeGate()
    loop = make_loop("async", gate)
    gate.reasons = ("a", "b", "c", "d", "e")
    for k in range(MOST_REFUSED):
        assert not loop.paused
        assert loop.act(DRAWING, 1.0 + 0.01 * k, DRAWING) is None
    assert loop.status == Status(GateState.CLOSED, Reason.DRAWING, "a; b; c; and 2 more")
    gate.reasons = ()
    assert not loop.is_due(1.2)
    loop.resume(1.5)
    assert not loop.paused and not loop.is_due(1.4) and loop.is_due(1.6)
    loop.on_joint_state(PANDA.home, 0.5, 1.6)
    assert loop.act(DRAWING, 1.6, DRAWING) is not None


def test_a_check_that_cannot_be_made_pauses_too():
    gate = SimpleNamespace(check=lambda *_: 1 / 0)
    loop = make_loop(gate=gate)
    for k in range(MOST_REFUSED):
        assert loop.act(DRAWING, 1.0 + 0.01 * k) is None
    assert loop.paused and loop.status.text.startswith("the drawing cannot be checked")


def proposed(states=((1.0, 0.0),)) -> ControlLoop:
    """A loop whose chunk of 1.0 waits since 1.1."""
    loop = make_loop("confirm", states=states)
    loop.propose(loop.act(DRAWING, 1.0), 1.1)
    return loop


def test_what_is_proposed_is_sent_only_when_it_is_approved_of_and_as_if_it_were_new():
    loop = proposed()
    assert not loop.is_due(1.2), "nothing else is acted upon meanwhile"
    assert loop.approve(9.0).kind is Reason.JOINT_STATES and loop.proposal is not None
    loop.on_joint_state(PANDA.home, 0.5, 9.0)
    sent = loop.approve(9.0)
    assert (sent.stamp_s, sent.start_s) == (9.0, pytest.approx(9.0 + DT_S))
    assert loop.proposal is None and not loop.is_due(9.0) and loop.is_due(9.1)
    assert loop.approve(9.2) == Refusal(Reason.WAITING, "nothing waits for approval; the next drawing will")


def test_after_a_no_only_what_is_captured_later_counts():
    loop = proposed()
    assert loop.reject(5.0) == "rejected; the next drawing will wait again"
    assert loop.proposal is None and not loop.is_due(4.9) and loop.is_due(5.1)
    assert loop.reject(5.2) == Refusal(Reason.WAITING, "nothing waits for approval; the next drawing will")


def test_an_arm_that_has_moved_meanwhile_does_not_go_where_it_would_have_gone_from_elsewhere():
    loop = proposed()
    loop.on_joint_state(PANDA.home + 0.1, 0.5, 5.0)
    refusal = loop.approve(5.0)
    assert refusal.kind is Reason.STALE and "moved by 0.100 rad" in refusal.text
    assert loop.proposal is None and loop.is_due(5.1)


def test_what_is_proposed_is_forgotten_where_the_streamer_wants_nothing_or_the_clock_is_set():
    loop = proposed()
    loop.on_wanted(False, 2.0)
    assert loop.proposal is None
    loop = proposed()
    loop.on_clock(100.0, 0.0)
    loop.on_clock(200.0, 0.1)
    assert loop.proposal is None


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_while_an_operator_has_the_arm_nothing_is_acted_upon_or_counted(execution):
    gate = FakeGate()
    loop = make_loop(execution, gate)
    gate.reasons = ("a",)
    for stamp_s in 1.0 + 0.01 * np.arange(MOST_REFUSED - 1):
        assert loop.act(DRAWING, stamp_s, DRAWING) is None
    loop.on_operator(True, 1.1)
    for stamp_s in 1.1 + 0.01 * np.arange(MOST_REFUSED):
        assert loop.act(DRAWING, stamp_s, DRAWING) is None
    loop.on_operator(False, 2.0)
    loop.on_operator(False, 3.0)  # repeated
    assert not loop.paused and not loop.is_due(1.9), "what was captured in the operator's turn is not acted upon"
    for k in range(MOST_REFUSED):
        assert not loop.paused, "the count begins anew"
        loop.on_joint_state(PANDA.home, 0.5, 2.1 + 0.1 * k)
        assert loop.act(DRAWING, 2.1 + 0.1 * k, DRAWING) is None
    assert loop.paused
    loop.on_operator(True, 4.0)
    loop.on_operator(False, 5.0)
    assert loop.paused, "giving back is no look at the drawing"


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_leaving_confirm_forgets_what_was_proposed_and_looks_again(execution):
    loop = proposed()
    loop.on_execution("confirm", 1.15)  # said again
    assert loop.proposal is not None
    loop.on_execution(execution, 1.2)
    assert isinstance(refusal := loop.approve(1.2), Refusal) and f"in {execution} mode" in refusal.text
    assert not loop.is_due(1.3), "the streamer has not said anew that it wants a chunk"
    loop.on_wanted(True, 1.3)
    assert not loop.is_due(1.2) and loop.is_due(1.35)


@pytest.mark.parametrize("before", ["sync", "async"])
def test_from_the_switch_to_confirm_on_only_an_approved_chunk_is_one(before):
    loop = make_loop(before)
    unapproved = loop.start(loop.act(DRAWING, 1.0), 1.05)
    assert not unapproved.approved
    loop.on_execution("confirm", 1.1)
    assert loop.act(DRAWING, 1.05) is None and loop.act(DRAWING, 1.2) is None
    loop.on_wanted(True, 1.2)
    loop.on_joint_state(PANDA.home, 0.5, 1.3)
    loop.propose(loop.act(DRAWING, 1.25), 1.3)
    assert loop.approve(1.35).approved


def test_another_gate_forgets_what_it_has_not_seen_and_opens_nothing():
    loop = proposed()
    loop.set_gate(FakeGate(), 1.2)
    assert loop.proposal is None and not loop.is_due(1.2)
    loop.pause(Reason.DRAWING, "two grippers")
    loop.set_gate(None, 1.3)
    assert loop.paused and not loop.is_due(1.4), "nobody has looked at what was refused"
    loop.resume(1.5)
    assert not loop.is_due(1.5) and loop.is_due(1.6)


def test_what_is_proposed_is_forgotten_when_an_operator_takes_over():
    loop = proposed()
    loop.on_operator(True, 2.0)
    assert loop.approve(2.1) == Refusal(Reason.WAITING, "nothing waits for approval; the next drawing will")


def test_what_cannot_be_acted_upon_is_refused_and_tried_again():
    loop = make_loop()
    with pytest.raises(ValueError, match="nearest to the images is 0.50"):
        loop.act(DRAWING, 1.5)
    loop.controller.act = lambda *_: (np.full((20, 7), np.nan), np.zeros(20))
    with pytest.raises(ValueError, match="not finite"):
        loop.act(DRAWING, 1.0)
    loop.instruction = ""
    with pytest.raises(ValueError, match="no instruction"):
        loop.act(DRAWING, 1.0)
    assert loop.is_due(1.0)
    with pytest.raises(ValueError, match="no joint state yet"):
        make_loop(states=()).act(DRAWING, 1.0)


@pytest.mark.parametrize("execution", ["sync", "async"])
@given(set_by_s=st.floats(-1e5, 1e5).filter(lambda s: abs(s) > 1))
def test_setting_the_clock_changes_nothing_that_is_due(execution, set_by_s):
    loop = make_loop(execution)
    assert loop.on_clock(100.0, 0.0) == 0.0
    loop.start(loop.act(DRAWING, 1.0), 1.0)
    assert loop.on_clock(100.1, 0.1) == 0.0  # both went on
    assert loop.on_clock(100.2 + set_by_s, 0.2) == pytest.approx(set_by_s)
    assert not loop.is_due(0.9 + set_by_s) and loop.is_due(1.1 + set_by_s)
    with pytest.raises(ValueError, match="no joint state yet"):  # the old stamps mean another time
        loop.act(DRAWING, 1.1 + set_by_s)


def test_a_rig_in_another_order_is_brought_into_the_checkpoints():
    own = default_rig(64, 64)
    loop = make_loop(gate=Gate(own, duration_s=1.0))
    loop.on_rig(replace(own, cameras=own.cameras[::-1]))
    assert loop.gate.rig.names == own.names and loop.gate.rig.differences(own) == ()
    assert loop.status.state is GateState.OPEN
    loop.on_rig(replace(own, cameras=own.cameras[:2]))
    assert loop.status.state is GateState.CLOSED


def test_endings():
    assert find_ending(False, 11.9, 12.0) is None
    assert find_ending(False, 12.0, 12.0) == "timeout"
    assert find_ending(False, 1.0, 12.0, stuck=True) == "paused"
    assert find_ending(True, 12.0, 12.0, stuck=True) == "success"
