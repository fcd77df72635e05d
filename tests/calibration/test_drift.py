from dataclasses import replace

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.calibration.samples import SampleSet
from genima_core.calibration.simulated import board_for, simulate
from genima_core.calibration.verdict import drift, from_known_board
from genima_core.geometry import distance, make_transform


@pytest.mark.parametrize("name", ["wrist", "front"])
def test_a_camera_that_was_moved_is_measured(rig, board, rng, name):
    camera = rig[name]
    samples = simulate(PANDA, camera, board, board_for(camera, board), rng)
    still = drift(camera, samples)
    assert still.px < 0.6 and still.mm < 2.0 and still.deg < 0.2
    moved = replace(camera, T_mount_cam=camera.T_mount_cam @ make_transform(np.eye(3), np.array([0.0, 0.012, 0.0])))
    found = drift(moved, samples)
    assert found.mm == pytest.approx(12.0, abs=2.0)
    assert found.px > 2.0


def test_few_views_give_pixels_only(rig, board, rng):
    camera = rig["front"]
    samples = simulate(PANDA, camera, board, board_for(camera, board), rng)
    found = drift(camera, SampleSet(board, samples.samples[:2]))
    assert found.views == 2 and found.px < 0.6 and found.mm is None


def test_a_camera_without_a_view_is_refused(rig, board, rng):
    samples = simulate(PANDA, rig["front"], board, board_for(rig["front"], board), rng)
    with pytest.raises(ValueError, match="'wrist' does not see the board in any of 15"):
        drift(rig["wrist"], samples)


def test_one_view_of_a_board_whose_place_is_known(rig, board, rng):
    camera = rig["wrist"]
    T_base_board = board_for(camera, board)
    sample = simulate(PANDA, camera, board, T_base_board, rng).samples[0]
    px, mm = from_known_board(camera, sample, board, T_base_board)
    assert px < 0.6 and mm < 3.0
    T_base_board[0, 3] += 0.02
    px, mm = from_known_board(camera, sample, board, T_base_board)
    assert px > 5.0 and mm == pytest.approx(20.0, abs=3.0)


def test_distance_by_hand():
    T = make_transform(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([0.0, 0.003, 0.004]))
    assert distance(np.eye(4), T) == pytest.approx((5.0, 90.0))
