"""Whether a solution is good enough, what to do if it is not, and how far cameras have moved since."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from genima_core.calibration.board import Board
from genima_core.calibration.reprojection import Reprojection, mean_pose, mount_to_other, pose_views
from genima_core.calibration.samples import Sample, SampleSet
from genima_core.calibration.solution import Solution, solve
from genima_core.cameras import CameraRig, RigCamera
from genima_core.geometry import distance, invert, transform_points

Grade = Literal["good", "usable", "bad"]
GRADES: tuple[Grade, ...] = ("good", "usable", "bad")

ENOUGH_VIEWS = 12
SCALE_SIGMAS = 4.0
"""A deviation of the board's size counts if it is more than this many standard errors."""
APART_MM = 5.0
"""Largest distance between the places at which two cameras see the board in the hand."""


@dataclass(frozen=True)
class Verdict:
    """A grade, and a line of advice for each thing that speaks against "good"."""

    grade: Grade
    advice: tuple[str, ...]


def judge(solution: Solution) -> Verdict:
    views, left_out, spread = len(solution.used), len(solution.left_out), solution.spread
    rms_px, mm, deg = solution.rms_px, solution.uncertainty_mm, solution.uncertainty_deg
    off = abs(solution.board_scale - 1.0)
    sure = off > SCALE_SIGMAS * solution.board_scale_error
    # (how many of the two bounds, of "good" and of "usable", are exceeded; what to do)
    checks: tuple[tuple[int, str], ...] = (
        (
            (views < ENOUGH_VIEWS) + (views < 6),
            f"too few views: {views}; take {ENOUGH_VIEWS} or more, each with the hand turned differently",
        ),
        (
            (spread.second_turn_deg < 10.0) + (spread.second_turn_deg < 4.0),
            f"too little rotation: the hand turned by {spread.turn_deg:.0f} degrees about one axis and by "
            f"{spread.second_turn_deg:.0f} about a second one (rms); tilt it by 30 degrees about two axes or more",
        ),
        (
            int(spread.coverage < 0.15),
            f"the board was seen in only {100 * spread.coverage:.0f} % of the image; show it at all edges, near and "
            "far",
        ),
        (
            (rms_px > 1.0) + (rms_px > 3.0),
            f"corners are {rms_px:.1f} px off (rms): check that the board is flat and fixed, the intrinsics, and that "
            "the arm was at rest",
        ),
        (
            (sure and off > 0.005) + (sure and off > 0.03),
            f"the board seems {100 * off:.1f} % {'larger' if solution.board_scale > 1 else 'smaller'} than given: "
            "measure a printed square and correct board.json, or check the focal length",
        ),
        (
            (mm > 2.0 or deg > 0.2) + (mm > 5.0 or deg > 0.5),
            f"uncertain by {mm:.1f} mm and {deg:.2f} degrees; more views, closer to the camera, and more rotation help",
        ),
        (
            (left_out > 0.3 * (views + left_out)) + (left_out >= views),
            f"{left_out} of {views + left_out} views contradict the others: did the board move in its holder?",
        ),
    )
    why = "the arm or the board moved, or the corners were wrong; delete it or take it again"
    bad = (f"bad pose left out: {r.name} ({r.px:.1f} px, {r.mm:.0f} mm off): {why}" for r in solution.left_out)
    grade = GRADES[max(exceeded for exceeded, _ in checks)]
    return Verdict(grade, (*(advice for exceeded, advice in checks if exceeded), *bad))


def unseen(samples: SampleSet, wanted: Sequence[str]) -> tuple[str, ...]:
    """A line for each wanted camera that never saw the board."""
    counts = ", ".join(f"{name} {len(samples.seen_by(name))} times" for name in samples.cameras) or "no camera at all"
    only = " only" if len(samples.cameras) == 1 else ""
    seen = f"never saw the board in {len(samples.samples)} samples; it was seen by {counts}{only}"
    remedy = "take samples with the board where that camera looks, or name the cameras to solve with --cameras"
    return tuple(f"camera {name!r} {seen}: {remedy}" for name in wanted if name not in samples.cameras)


def disagreements(solutions: Mapping[str, Solution]) -> tuple[str, ...]:
    """A line for each pair of cameras at the base that see the board at different places in the hand."""
    fixed = [solution for solution in solutions.values() if solution.mount == "base"]
    lines = []
    for first, second in combinations(fixed, 2):
        apart_mm, _ = distance(first.T_other_board, second.T_other_board)
        if apart_mm > APART_MM:
            why = "it moved there between their samples, or one of them is wrong"
            lines.append(f"{first.camera} and {second.camera} put the board {apart_mm:.0f} mm apart in the hand: {why}")
    return tuple(lines)


@dataclass(frozen=True)
class Drift:
    """One camera: its stored extrinsics against new samples."""

    camera: str
    views: int
    px: float
    """Root mean square distance of the corners from where the stored extrinsics put them, with the best board pose."""
    mm: float | None
    """Distance between the stored position and a new solution; None if the views do not determine one."""
    deg: float | None


@dataclass(frozen=True)
class Apart:
    """Two cameras that see the board at the same moment."""

    first: str
    second: str
    px: float
    """Mean distance, in the second image, between the corners seen and those that the first camera predicts."""
    mm: float
    """Distance between the two places of the board's middle in the base frame."""


def drift(camera: RigCamera, samples: SampleSet) -> Drift:
    """One camera's drift, from samples taken since its calibration; ValueError if the camera never saw the board."""
    views = pose_views(camera, samples)
    if not views:
        raise ValueError(f"camera {camera.name!r} does not see the board in any of {len(samples.samples)} samples")
    reprojection, T_mount_cam = Reprojection(views), camera.T_mount_cam
    guess = mean_pose(np.stack([invert(view.T_mount_other) @ T_mount_cam @ view.T_cam_board for view in views]))
    px = reprojection.total_rms_px(T_mount_cam, reprojection.refine_board(T_mount_cam, guess))
    mm = deg = None
    with suppress(ValueError):  # too few views, or the hand hardly turned
        solution = solve(camera, samples)
        if judge(solution).grade != "bad":
            mm, deg = distance(T_mount_cam, solution.T_mount_cam)
    return Drift(camera.name, len(views), px, mm, deg)


def from_known_board(camera: RigCamera, sample: Sample, board: Board, T_other_board: np.ndarray) -> tuple[float, float]:
    """One view of a board whose place is known: rms error in px, and distance of the board's middle in mm."""
    view = sample.views[camera.name]
    T_cam_board = invert(camera.T_mount_cam) @ mount_to_other(camera.mount, sample.T_base_hand) @ T_other_board
    rms_px = float(np.sqrt((board.off_px(T_cam_board, view) ** 2).mean()))
    return rms_px, _middles_mm(board, board.pose(view), T_cam_board)


def cameras_apart(rig: CameraRig, sample: Sample, board: Board) -> tuple[Apart, ...]:
    T_base_cam = {name: rig[name].T_base_cam(sample.T_base_hand) for name in sample.views}
    T_base_board = {name: T_base_cam[name] @ board.pose(view) for name, view in sample.views.items()}
    return tuple(
        Apart(
            first,
            second,
            float(board.off_px(invert(T_base_cam[second]) @ T_base_board[first], sample.views[second]).mean()),
            _middles_mm(board, T_base_board[first], T_base_board[second]),
        )
        for first, second in combinations(sample.views, 2)
    )


def _middles_mm(board: Board, *T_a_board: np.ndarray) -> float:
    first, second = (transform_points(T, board.centre) for T in T_a_board)
    return 1e3 * float(np.linalg.norm(first - second))
