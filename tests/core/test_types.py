import dataclasses

import numpy as np
import pytest

from genima_core.types import ActionChunk

POSITIONS = np.zeros((20, 7))
GRIPPER = np.ones(20)


def chunk(positions=POSITIONS, gripper=GRIPPER, dt_s=0.05) -> ActionChunk:
    return ActionChunk(positions, gripper, dt_s, start_s=1.05, stamp_s=1.0)


def test_a_chunk_holds_what_it_was_given():
    assert chunk().start_s == 1.05
    with pytest.raises(dataclasses.FrozenInstanceError):
        chunk().dt_s = 0.1


@pytest.mark.parametrize("positions", [np.zeros(7), np.zeros((20, 6)), np.zeros((0, 7))])
def test_positions_of_another_shape_are_refused(positions):
    with pytest.raises(ValueError, match=r"needs \(K, 7\)"):
        chunk(positions=positions)


def test_a_gripper_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"gripper has shape \(19,\)"):
        chunk(gripper=np.ones(19))


@pytest.mark.parametrize("dt_s", [0.0, -0.05, float("nan")])
def test_time_must_pass_between_actions(dt_s):
    with pytest.raises(ValueError, match="dt_s is"):
        chunk(dt_s=dt_s)
