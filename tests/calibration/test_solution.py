"""Extrinsics from views: known ones are recovered, wrong views are named, frames are what they are called."""

import json
from dataclasses import replace

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.calibration.reprojection import Reprojection, closed_form, mount_to_other, moved, pose_views
from genima_core.calibration.samples import SampleSet
from genima_core.calibration.simulated import board_for, simulate
from genima_core.calibration.solution import load_solutions, save_solutions, solve
from genima_core.calibration.verdict import judge
from genima_core.geometry import distance, invert, make_transform

CAMERAS = ("wrist", "front", "right_shoulder", "left_shoulder")


def samples_of(rig, board, name: str, seed: int, count: int = 15, noise_px: float = 0.3) -> SampleSet:
    camera = rig[name]
    return simulate(PANDA, camera, board, board_for(camera, board), np.random.default_rng(seed), count, noise_px)


def views_of(rig, board, name: str, seed: int, count: int = 15, noise_px: float = 0.3):
    return pose_views(rig[name], samples_of(rig, board, name, seed, count, noise_px))


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("seed", [1, 2])
def test_fifteen_noisy_views_recover_each_camera(rig, board, name, seed):
    solution = solve(rig[name], samples_of(rig, board, name, seed))
    mm, deg = distance(rig[name].T_mount_cam, solution.T_mount_cam)
    assert mm <= 2.0
    assert deg <= 0.2
    assert not solution.left_out
    # Each corner has two coordinates with 0.3 px of noise.
    assert 0.3 < solution.rms_px < 0.6
    # What the solution says of its own error is about right.
    assert mm < 5 * solution.uncertainty_mm < 20.0


@pytest.mark.parametrize("name", ["wrist", "front"])
def test_views_without_noise_give_the_exact_poses(rig, board, name):
    solution = solve(rig[name], samples_of(rig, board, name, 3, count=8, noise_px=0.0))
    np.testing.assert_allclose(solution.T_mount_cam, rig[name].T_mount_cam, atol=1e-5)
    np.testing.assert_allclose(solution.T_other_board, board_for(rig[name], board), atol=1e-5)
    assert all(r.mm < 0.01 and r.deg < 0.01 and r.px < 0.01 for r in solution.residuals)


def test_frames_by_hand():
    # The hand 0.6 m above the table looks down on a point of it that lies straight below: T_hand_base takes the
    # point (0.5, 0, 0) of the base to 0.6 m in front of the hand.
    T_base_hand = make_transform(np.diag([1.0, -1.0, -1.0]), np.array([0.5, 0.0, 0.6]))
    point = np.array([0.5, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(mount_to_other("hand", T_base_hand) @ point, [0.0, 0.0, 0.6, 1.0], atol=1e-12)
    # A point 0.1 m in front of the hand, for a camera at the base.
    np.testing.assert_allclose(
        mount_to_other("base", T_base_hand) @ [0.0, 0.0, 0.1, 1.0], [0.5, 0.0, 0.5, 1.0], atol=1e-12
    )


@pytest.mark.parametrize("name", ["wrist", "front"])
def test_the_closed_form_gets_the_frames_right(rig, board, name):
    T_mount_cam, T_other_board = closed_form(views_of(rig, board, name, 4, count=10, noise_px=0.0))
    np.testing.assert_allclose(T_mount_cam, rig[name].T_mount_cam, atol=1e-3)
    np.testing.assert_allclose(T_other_board, board_for(rig[name], board), atol=1e-3)


@pytest.mark.parametrize("name", ["wrist", "front"])
def test_a_board_printed_too_small_is_noticed(rig, board, name):
    said = replace(board, square_m=1.02 * board.square_m, marker_m=1.02 * board.marker_m)
    solution = solve(rig[name], replace(samples_of(rig, board, name, 9), board=said))
    assert solution.board_scale == pytest.approx(1 / 1.02, abs=0.003)
    assert judge(solution).grade == "usable"
    assert any("2.0 % smaller" in line or "1.9 % smaller" in line for line in judge(solution).advice)


@pytest.mark.parametrize("name", ["wrist", "left_shoulder"])
@pytest.mark.parametrize("bad", [1, 3])
def test_bad_poses_are_named_and_do_no_harm(rig, board, name, bad):
    samples = samples_of(rig, board, name, 5)
    wrong = {3: 0.05, 8: -0.03, 12: 0.2}  # rad: what joint 2 really was somewhere else
    wrong = dict(list(wrong.items())[:bad])
    moved_samples = tuple(
        replace(sample, T_base_hand=PANDA.frame_pose(sample.q + [0, wrong[i], 0, 0, 0, 0, 0], "hand"))
        if i in wrong
        else sample
        for i, sample in enumerate(samples.samples)
    )
    solution = solve(rig[name], SampleSet(board, moved_samples))
    assert [r.name for r in solution.left_out] == [f"sample_{i:03d}" for i in wrong]
    mm, deg = distance(rig[name].T_mount_cam, solution.T_mount_cam)
    assert mm <= 2.0 and deg <= 0.2
    assert min(r.px for r in solution.left_out) > 2 * max(r.px for r in solution.used)


def test_two_views_or_no_rotation_are_refused(rig, board):
    samples = samples_of(rig, board, "front", 6)
    with pytest.raises(ValueError, match="2 views of the board do not determine"):
        solve(rig["front"], replace(samples, samples=samples.samples[:2]))


def test_errors_behind_the_camera_are_large_and_finite(rig, board):
    camera = rig["front"]
    views = views_of(rig, board, "front", 6, count=3)
    turned = camera.T_mount_cam @ np.diag([1.0, -1.0, -1.0, 1.0])
    assert (Reprojection(views).rms_px(turned, board_for(camera, board)) > 1000).all()


def test_a_pose_moves_as_told():
    T = make_transform(np.diag([1.0, -1.0, -1.0]), np.array([0.1, 0.2, 0.3]))
    shifted = moved(T, np.array([0.0, 0.0, np.pi / 2, 0.0, 0.0, 0.1]))
    np.testing.assert_allclose(shifted[:3, 3], [0.1, 0.2, 0.4])
    np.testing.assert_allclose(shifted[:3, 0], T[:3, 1], atol=1e-12)  # a quarter turn about its own z axis


def test_a_solution_survives_its_file(rig, board, tmp_path):
    solution = solve(rig["wrist"], samples_of(rig, board, "wrist", 7, count=6))
    save_solutions({"wrist": solution}, tmp_path / "new" / "solution.json")
    loaded = load_solutions(tmp_path / "new" / "solution.json")["wrist"]
    np.testing.assert_array_equal(loaded.T_mount_cam, solution.T_mount_cam)
    assert loaded.residuals == solution.residuals and loaded.spread == solution.spread
    assert loaded.intrinsics == solution.intrinsics


def test_a_solution_that_names_its_closed_form_loads(rig, board, tmp_path):
    # Solutions used to hold "method", when there were two.
    path = tmp_path / "solution.json"
    save_solutions({"wrist": solve(rig["wrist"], samples_of(rig, board, "wrist", 7, count=6))}, path)
    stored = json.loads(path.read_text())
    stored["solutions"][0]["method"] = "motions"
    path.write_text(json.dumps(stored))
    assert "wrist" in load_solutions(path)


@pytest.mark.parametrize("text", ["[1]", "{}", '{"solutions": [{"camera": "wrist"}]}', "no json"])
def test_a_damaged_solution_is_refused(tmp_path, text):
    (tmp_path / "solution.json").write_text(text)
    with pytest.raises(ValueError, match="holds no solutions"):
        load_solutions(tmp_path / "solution.json")


def test_the_solution_does_not_depend_on_where_the_base_is(rig, board):
    # Property: the same world seen from another base frame gives the camera's pose in that frame.
    samples = samples_of(rig, board, "front", 8, count=8)
    T_new_base = make_transform(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([0.3, -0.2, 0.1]))
    elsewhere = tuple(replace(sample, T_base_hand=T_new_base @ sample.T_base_hand) for sample in samples.samples)
    here, there = solve(rig["front"], samples), solve(rig["front"], replace(samples, samples=elsewhere))
    np.testing.assert_allclose(invert(T_new_base) @ there.T_mount_cam, here.T_mount_cam, atol=1e-5)
