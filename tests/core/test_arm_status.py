"""Modes and errors of a Franka arm: only "move" without errors may be moved, and every error is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genima_core.arm_status import ADVICE, MODES, Level, read_status, silent_status

MOVE, REFLEX, USER_STOPPED = 2, 4, 5
NAMES = st.lists(st.sampled_from([*ADVICE, "tau_j_range_violation", "instability_detected"]), max_size=4, unique=True)


@given(mode=st.integers(-1, 255), errors=NAMES, last=NAMES)
def test_only_the_move_mode_without_errors_may_be_moved_and_errors_are_named(mode, errors, last):
    status = read_status(mode, errors, last)
    assert (status.level == Level.OK) == (mode == MOVE and not errors)
    assert (status.level == Level.ERROR) == (bool(errors) or mode in (REFLEX, USER_STOPPED))
    assert all(error in status.message and error in status.errors for error in errors)
    assert bool(status.message) == (status.level != Level.OK)
    assert "\n" not in status.message


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("joint_motion_generator_velocity_discontinuity", "not smooth"),
        ("joint_motion_generator_acceleration_discontinuity", "not smooth"),
        ("cartesian_reflex", "out of contact by hand"),
        ("communication_constraints_violation", "real-time kernel"),
        ("joint_position_limits_violation", "guide it back by hand"),
        ("joint_velocity_violation", "velocity_scale"),
    ],
)
def test_the_commonest_errors_come_with_a_remedy(error, words):
    assert words in read_status(REFLEX, [error]).message


def test_one_remedy_of_two_errors_is_said_once():
    message = read_status(REFLEX, ["cartesian_reflex", "joint_reflex"]).message
    assert message.count("out of contact") == 1


def test_a_reflex_whose_errors_are_over_names_those_of_the_last_motion():
    assert "cartesian_reflex" in read_status(REFLEX, [], ["cartesian_reflex"]).message
    assert read_status(MOVE, [], ["cartesian_reflex"]).level == Level.OK


def test_a_user_stop_says_what_to_do_whatever_else_is_wrong():
    for errors in ((), ("cartesian_reflex",)):
        assert "release the user stop" in read_status(USER_STOPPED, errors).message


def test_other_modes_are_explained():
    for mode, name in enumerate(MODES):
        if mode != MOVE:
            assert name in read_status(mode, ()).message
    assert "mode 99" in read_status(99, ()).message


def test_silence_ends_the_permission_but_not_an_error():
    assert silent_status(None, 0.3).level == silent_status(read_status(MOVE, ()), 0.3).level == Level.WARN
    reflex = read_status(REFLEX, ["cartesian_reflex"])
    assert silent_status(reflex, 0.3) == reflex
