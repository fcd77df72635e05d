import re
from dataclasses import replace

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.calibration.board import CameraView
from genima_core.calibration.samples import Sample, SampleSet
from genima_core.calibration.simulated import board_for, simulate
from genima_core.calibration.solution import Residual, Spread, solve
from genima_core.calibration.verdict import disagreements, judge, unseen
from genima_core.geometry import invert


@pytest.fixture(scope="module")
def samples(rig, board) -> SampleSet:
    return simulate(PANDA, rig["wrist"], board, board_for(rig["wrist"], board), np.random.default_rng(11))


@pytest.fixture(scope="module")
def solution(rig, samples):
    return solve(rig["wrist"], samples)


def test_fifteen_different_views_are_good(solution):
    assert judge(solution).grade == "good"
    assert judge(solution).advice == ()


def residuals(used: int, left_out: int) -> tuple[Residual, ...]:
    return tuple(
        Residual(f"sample_{i:03d}", 0.5 if i < used else 40.0, 1.0 if i < used else 30.0, 0.1, i < used)
        for i in range(used + left_out)
    )


@pytest.mark.parametrize(
    ("changes", "grade", "advice"),
    [
        ({"residuals": residuals(8, 0)}, "usable", "too few views: 8; take 12 or more"),
        ({"residuals": residuals(4, 0)}, "bad", "too few views: 4"),
        ({"spread": Spread(30.0, 7.0, 0.5)}, "usable", "too little rotation.*30 degrees about one axis and by 7"),
        ({"spread": Spread(30.0, 1.0, 0.5)}, "bad", "too little rotation"),
        ({"spread": Spread(30.0, 20.0, 0.1)}, "usable", "10 % of the image"),
        ({"rms_px": 2.0}, "usable", "2.0 px off.*flat and fixed"),
        ({"rms_px": 9.0}, "bad", "9.0 px off"),
        (
            {"board_scale": 0.98, "board_scale_error": 0.001},
            "usable",
            "2.0 % smaller than given: measure a printed square",
        ),
        ({"board_scale": 1.1, "board_scale_error": 0.001}, "bad", "10.0 % larger"),
        ({"board_scale": 1.004, "board_scale_error": 0.0001, "rms_px": 1.5}, "usable", "1.5 px"),
        ({"uncertainty_mm": 3.0}, "usable", "uncertain by 3.0 mm"),
        ({"uncertainty_deg": 1.0}, "bad", "1.00 degrees"),
        ({"residuals": residuals(14, 1)}, "good", "bad pose left out: sample_014 .40.0 px, 30 mm off"),
        ({"residuals": residuals(13, 7)}, "usable", "7 of 20 views contradict"),
        ({"residuals": residuals(8, 8)}, "bad", "8 of 16 views contradict"),
    ],
)
def test_the_advice_names_what_is_wrong(solution, changes, grade, advice):
    verdict = judge(replace(solution, **changes))
    assert verdict.grade == grade
    assert any(re.search(advice, line) for line in verdict.advice), verdict.advice


def test_a_hand_that_turns_about_one_axis_is_noticed(rig, board, samples):
    q = samples.samples[0].q
    turns = [q + np.array([a, 0, 0, 0, 0, 0, 0]) for a in np.linspace(-0.2, 0.2, 12)]
    camera = rig["wrist"]
    noise = np.random.default_rng(0)
    taken = []
    for i, q_i in enumerate(turns):
        T_cam_board = invert(PANDA.frame_pose(q_i, "hand") @ camera.T_mount_cam) @ board_for(camera, board)
        uv = board.project(T_cam_board, camera.intrinsics) + noise.normal(0, 0.3, (24, 2))
        views = {"wrist": CameraView(camera.intrinsics, tuple(range(24)), uv)}
        taken.append(Sample.at(PANDA, f"sample_{i:03d}", 0.0, q_i, views))
    with pytest.raises(ValueError, match="about one axis only; turn it by 30 degrees"):
        solve(camera, SampleSet(board, tuple(taken)))


def test_a_board_seen_by_one_camera_only_is_said(samples):
    assert unseen(samples, ["wrist"]) == ()
    front, left = unseen(samples, ["wrist", "front", "left_shoulder"])
    assert "camera 'front' never saw the board in 15 samples; it was seen by wrist 15 times only" in front
    assert "'left_shoulder'" in left and "--cameras" in left


def test_cameras_that_disagree_about_the_board_are_named(solution):
    front = replace(solution, camera="front", mount="base")
    moved = front.T_other_board.copy()
    moved[0, 3] += 0.02
    left = replace(front, camera="left", T_other_board=moved)
    (line,) = disagreements({"front": front, "left": left, "wrist": solution})
    assert "front and left put the board 20 mm apart" in line
    assert disagreements({"front": front, "wrist": solution}) == ()
