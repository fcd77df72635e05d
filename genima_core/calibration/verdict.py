"""Whether a solution is good enough, and what to do if it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from genima_core.calibration.samples import SampleSet
from genima_core.calibration.solution import Solution
from genima_core.geometry import distance

Grade = Literal["good", "usable", "bad"]
GRADES: tuple[Grade, ...] = ("good", "usable", "bad")

ENOUGH_VIEWS = 12
SCALE_SIGMAS = 4.0
"""A deviation of the board's size counts from this many standard errors on."""
APART_MM = 5.0
"""Between where two cameras put the board that the hand held."""


@dataclass(frozen=True)
class Verdict:
    """A grade, and one line of advice for everything that speaks against "good"."""

    grade: Grade
    advice: tuple[str, ...]


def judge(solution: Solution) -> Verdict:
    """The verdict on one camera's solution."""
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
    bad_poses = tuple(
        f"bad pose left out: {r.name} ({r.px:.1f} px, {r.mm:.0f} mm off): the arm or the board moved, or "
        "the corners were wrong; delete it or take it again"
        for r in solution.left_out
    )
    grade = GRADES[max(exceeded for exceeded, _ in checks)]
    return Verdict(grade, (*(advice for exceeded, advice in checks if exceeded), *bad_poses))


def unseen(samples: SampleSet, wanted: Sequence[str]) -> tuple[str, ...]:
    """A line for each wanted camera that never saw the board."""
    counts = ", ".join(f"{name} {len(samples.seen_by(name))} times" for name in samples.cameras) or "no camera at all"
    only = " only" if len(samples.cameras) == 1 else ""
    return tuple(
        f"camera {name!r} never saw the board in {len(samples.samples)} samples; it was seen by "
        f"{counts}{only}: take samples with the board where that camera looks, or name the cameras to solve "
        "with --cameras"
        for name in wanted
        if name not in samples.cameras
    )


def disagreements(solutions: Mapping[str, Solution]) -> tuple[str, ...]:
    """A line for each two cameras at the base that put the board, which the hand held, at different places."""
    fixed = [solution for solution in solutions.values() if solution.mount == "base"]
    lines = []
    for first, second in combinations(fixed, 2):
        apart_mm, _ = distance(first.T_other_board, second.T_other_board)
        if apart_mm > APART_MM:
            lines.append(
                f"{first.camera} and {second.camera} put the board {apart_mm:.0f} mm apart in the hand: "
                "it moved there between their samples, or one of them is wrong"
            )
    return tuple(lines)
