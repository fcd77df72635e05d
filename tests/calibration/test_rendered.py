"""From rendered pictures through the real detector to extrinsics."""

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.calibration.samples import Sample, SampleSet
from genima_core.calibration.simulated import board_for, poses_that_show
from genima_core.calibration.solution import solve
from genima_core.calibration.verdict import cameras_apart
from genima_core.geometry import distance

from .rendered import CellWithBoard


def clear_of_the_table(T_other_board: np.ndarray) -> np.ndarray:
    """Two surfaces in one plane would be drawn through each other."""
    T = T_other_board.copy()
    T[2, 3] += 0.005
    return T


@pytest.mark.parametrize("name", ["wrist", "front"])
def test_extrinsics_from_rendered_pictures(rig, board, rng, name):
    camera = rig[name]
    T_other_board = clear_of_the_table(board_for(camera, board))
    samples = []
    with CellWithBoard(rig, board, T_other_board, in_hand=camera.mount == "base") as cell:
        for i, q in enumerate(poses_that_show(PANDA, camera, board, T_other_board, rng, 20)):
            view = board.detect(cell.picture(name, q), camera.intrinsics)  # the arm may hide the board
            if view is not None:
                samples.append(Sample.at(PANDA, f"sample_{i:03d}", float(i), q, {name: view}))
    assert len(samples) >= 10
    solution = solve(camera, SampleSet(board, tuple(samples)))
    mm, deg = distance(camera.T_mount_cam, solution.T_mount_cam)
    assert mm <= 2.0 and deg <= 0.2
    assert solution.rms_px < 0.5
    assert np.linalg.norm(solution.T_other_board[:3, 3] - T_other_board[:3, 3]) < 0.002


def test_two_cameras_see_a_rendered_board_at_one_place(rig, board):
    # On the table, where both see it slanted, so that the pictures must be larger.
    rig = rig.resize(1280, 960)
    T_base_board = clear_of_the_table(board_for(rig["wrist"], board))
    q = np.array([-1.4, -1.2, 0.0, -2.4, 0.0, 1.6, 0.8])  # out of the way
    with CellWithBoard(rig, board, T_base_board, in_hand=False) as cell:
        views = {name: board.detect(cell.picture(name, q), rig[name].intrinsics) for name in ("front", "left_shoulder")}
    (pair,) = cameras_apart(rig, Sample.at(PANDA, "now", 0.0, q, views), board)
    assert (pair.first, pair.second) == ("front", "left_shoulder")
    assert pair.mm < 10.0
    assert pair.px < 3.0
