import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.streaming.inspection import Actions, Measurement, Refusal, read_actions, read_joint_state

NAMES = (*PANDA.joint_names, "gripper")
TIMES = 0.05 * np.arange(5)


def chunk(names=NAMES, times_s=TIMES, positions=None, stamp_s=3.0):
    if positions is None:
        positions = np.column_stack([np.tile(PANDA.home, (5, 1)), np.full(5, 0.04)])
    return read_actions(PANDA.joint_names, "gripper", 0.08, PANDA.limits, names, times_s, positions, stamp_s)


def state(names=PANDA.joint_names, positions=PANDA.home, velocities=(), stamp_s=3.0):
    return read_joint_state(PANDA.joint_names, names, positions, velocities, stamp_s, 3.1)


def changed(row, column, value):
    positions = np.column_stack([np.tile(PANDA.home, (5, 1)), np.full(5, 0.04)])
    positions[row, column] = value
    return positions


def test_columns_come_in_any_order_and_the_gripper_may_be_absent():
    order = np.random.default_rng(0).permutation(8)
    positions = np.column_stack([PANDA.home + 0.1 * np.arange(5)[:, None] / 5, np.linspace(0, 0.08, 5)])
    actions = chunk([NAMES[i] for i in order], positions=positions[:, order])
    assert isinstance(actions, Actions)
    assert np.array_equal(actions.positions, positions[:, :7]) and np.array_equal(actions.widths_m, positions[:, 7])
    assert actions.dt_s == pytest.approx(0.05) and actions.first_s == 0.0
    assert chunk(PANDA.joint_names, positions=positions[:, :7]).widths_m is None


def test_joints_of_a_state_are_picked_by_name():
    names = ("panda_finger_joint1", *reversed(PANDA.joint_names))
    seen = state(names, [0.02, *reversed(PANDA.home)], np.arange(8.0))
    assert isinstance(seen, Measurement)
    assert np.array_equal(seen.q, PANDA.home) and np.array_equal(seen.dq, np.arange(7, 0, -1))


@pytest.mark.parametrize(
    ("kind", "words", "given"),
    [
        ("names", "fr3_joint1", {"names": (*(f"fr3_joint{i}" for i in range(1, 8)), "gripper")}),
        ("names", "lacks panda_joint7", {"names": NAMES[:6]}),
        ("names", "repeats panda_joint1", {"names": ("panda_joint1", *NAMES)}),
        ("names", "lacks", {"names": None}),
        ("names", "lacks", {"names": 3}),
        ("shape", "(5, 8)", {"positions": np.zeros((5, 7))}),
        ("shape", "(5, 8)", {"positions": np.zeros((4, 8))}),
        ("shape", "not an array", {"positions": [[1.0], [1.0, 2.0]]}),
        ("shape", "not an array", {"positions": "nonsense"}),
        ("shape", "two actions", {"times_s": [0.0], "positions": changed(0, 0, 0)[:1]}),
        ("shape", "two actions", {"times_s": [], "positions": []}),
        ("shape", "two actions", {"times_s": None}),
        ("nan", "Action 2", {"positions": changed(2, 3, np.nan)}),
        ("nan", "inf", {"positions": changed(2, 3, np.inf)}),
        ("nan", "time stamp", {"stamp_s": np.nan}),
        ("nan", "time stamp", {"stamp_s": None}),
        ("times", "do not increase", {"times_s": TIMES[::-1]}),
        ("times", "do not increase", {"times_s": np.zeros(5)}),
        ("times", "finite", {"times_s": [0, 1, 2, 3, np.inf]}),
        ("times", "constant", {"times_s": [0.0, 0.05, 0.1, 0.2, 0.25]}),
        ("times", "seconds", {"times_s": np.arange(5) * 50.0}),
        ("times", "seconds", {"times_s": np.arange(5) * 1e-9}),
        ("limits", "panda_joint4", {"positions": changed(1, 3, 0.0)}),
        ("limits", "Action 1", {"positions": changed(1, 0, 1e300)}),
        ("gripper", "0 to 0.08 m", {"positions": changed(4, 7, 1.0)}),
    ],
)
def test_a_bad_chunk_is_refused_with_a_reason(kind, words, given):
    refusal = chunk(**given)
    assert isinstance(refusal, Refusal) and refusal.kind == kind
    assert words in refusal.reason and refusal.reason.endswith(".")


@pytest.mark.parametrize(
    ("kind", "words", "given"),
    [
        ("names", "lacks panda_joint1", {"names": ("other", *PANDA.joint_names[1:])}),
        ("names", "lacks", {"names": ()}),
        ("shape", "7 joints", {"positions": PANDA.home[:6]}),
        ("shape", "7 joints", {"positions": None}),
        ("shape", "velocities", {"velocities": [0.0]}),
        ("nan", "panda_joint3", {"positions": np.where(np.arange(7) == 2, np.nan, PANDA.home)}),
        ("nan", "panda_joint1", {"velocities": np.full(7, np.inf)}),
        ("nan", "time stamp", {"stamp_s": np.inf}),
    ],
)
def test_a_bad_joint_state_is_refused_with_a_reason(kind, words, given):
    refusal = state(**given)
    assert isinstance(refusal, Refusal) and refusal.kind == kind
    assert words in refusal.reason and refusal.reason.endswith(".")
