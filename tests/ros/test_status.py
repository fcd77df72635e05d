import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from genima_core.arm_status import ArmStatus, Level
from genima_core.streaming.states import Reason, Refusal, State, Status
from genima_ros.messages.status import LONGEST, arm_status_to_message, read_arm_status, read_status, status_to_message

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("reason", Reason)
def test_a_status_survives_the_wire(state, reason):
    status = Status(state, reason, "Why: because.")
    assert read_status(status_to_message("streamer", status), State) == status


@pytest.mark.parametrize(
    "values", [{}, {"state": "holding"}, {"state": "x", "reason": ""}, {"state": "fault", "reason": "x"}]
)
def test_what_is_no_status_is_none(values):
    message = DiagnosticStatus(values=[KeyValue(key=key, value=value) for key, value in values.items()])
    assert read_status(message, State) is None


@pytest.mark.parametrize("level", Level)
def test_an_arms_status_survives_the_wire(level):
    status = ArmStatus(level, "why", "mode", placed=3)
    assert read_arm_status(arm_status_to_message(status)) == status


@pytest.mark.parametrize(
    ("name", "level", "placed"),
    [("gripper", 0, "0"), ("arm", 3, "0"), ("arm", 255, "0"), ("", 0, "0"), ("arm", 0, "x")],
)
def test_a_status_of_something_else_is_refused(name, level, placed):
    values = [KeyValue(key="placed", value=placed)]
    refusal = read_arm_status(DiagnosticStatus(name=name, level=bytes([level]), values=values))
    assert isinstance(refusal, Refusal) and repr(name) in refusal.text


def test_texts_are_cut():
    message = DiagnosticStatus(name="arm", message="long " * 1_000_000)
    assert len(read_arm_status(message).message) <= LONGEST
