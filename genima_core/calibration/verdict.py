"""Whether a solution is good enough, and what to do if it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genima_core.calibration.samples import SampleSet
from genima_core.calibration.solution import Solution

Grade = Literal["good", "usable", "bad"]


@dataclass(frozen=True)
class VerdictBounds:
    """What a calibration must reach."""

    views: int = 12
    views_least: int = 6
    turn_deg: float = 10.0
    """EpisodeInfo the second most used axis."""
    turn_least_deg: float = 4.0
    coverage: float = 0.15
    rms_px: float = 1.0
    rms_most_px: float = 3.0
    uncertainty_mm: float = 2.0
    uncertainty_most_mm: float = 5.0
    uncertainty_deg: float = 0.2
    uncertainty_most_deg: float = 0.5
    left_out_share: float = 0.3
    scale: float = 0.005
    """The board's size, as a share."""
    scale_most: float = 0.03
    scale_sigmas: float = 4.0
    """A deviation counts from this many standard errors on."""
    apart_mm: float = 5.0
    """Between where two cameras put the board that the hand held."""


@dataclass(frozen=True)
class Verdict:
    """A grade, and one line of advice for everything that speaks against "good"."""

    grade: Grade
    advice: tuple[str, ...]


def judge(solution: Solution, bounds: VerdictBounds | None = None) -> Verdict:
    """The verdict on one camera's solution."""
    bounds = bounds or VerdictBounds()
    views, spread = len(solution.used), solution.spread
    off = solution.board_scale - 1.0
    sure = abs(off) > bounds.scale_sigmas * solution.board_scale_error
    uncertainty = (solution.uncertainty_mm, solution.uncertainty_deg)
    # (whether it is not good, whether it is bad, what to do)
    checks = (
        (
            views < bounds.views,
            views < bounds.views_least,
            f"too few views: {views}; take {bounds.views} or more, each with the hand turned differently",
        ),
        (
            spread.second_turn_deg < bounds.turn_deg,
            spread.second_turn_deg < bounds.turn_least_deg,
            f"too little rotation: the hand turned by {spread.turn_deg:.0f} degrees about one axis and by "
            f"{spread.second_turn_deg:.0f} about a second one (rms); tilt it by 30 degrees about two axes or more",
        ),
        (
            spread.coverage < bounds.coverage,
            False,
            f"the board was seen in only {100 * spread.coverage:.0f} % of the image; show it at all edges, near and "
            "far",
        ),
        (
            solution.rms_px > bounds.rms_px,
            solution.rms_px > bounds.rms_most_px,
            f"corners are {solution.rms_px:.1f} px off (rms): check that the board is flat and fixed, the "
            "intrinsics, and that the arm was at rest",
        ),
        (
            sure and abs(off) > bounds.scale,
            sure and abs(off) > bounds.scale_most,
            f"the board seems {100 * abs(off):.1f} % {'larger' if off > 0 else 'smaller'} than given: measure a "
            "printed square and correct board.json, or check the focal length",
        ),
        (
            uncertainty[0] > bounds.uncertainty_mm or uncertainty[1] > bounds.uncertainty_deg,
            uncertainty[0] > bounds.uncertainty_most_mm or uncertainty[1] > bounds.uncertainty_most_deg,
            f"uncertain by {uncertainty[0]:.1f} mm and {uncertainty[1]:.2f} degrees; more views, closer to the camera, "
            "and more rotation help",
        ),
        (
            len(solution.left_out) > bounds.left_out_share * len(solution.residuals),
            len(solution.left_out) >= len(solution.used),
            f"{len(solution.left_out)} of {len(solution.residuals)} views contradict the others: did the board move in "
            "its holder?",
        ),
    )
    bad_poses = tuple(
        f"bad pose left out: {r.name} ({r.px:.1f} px, {r.mm:.0f} mm off): the arm or the board moved, or "
        "the corners were wrong; delete it or take it again"
        for r in solution.left_out
    )
    grade: Grade = "bad" if any(bad for _, bad, _ in checks) else "usable" if any(c for c, _, _ in checks) else "good"
    return Verdict(grade, (*(line for concern, bad, line in checks if concern or bad), *bad_poses))


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


def disagreements(solutions: Mapping[str, Solution], bounds: VerdictBounds | None = None) -> tuple[str, ...]:
    """A line for each two cameras at the base that put the board, which the hand held, at different places."""
    bounds = bounds or VerdictBounds()
    fixed = [solution for solution in solutions.values() if solution.mount == "base"]
    lines = []
    for i, first in enumerate(fixed):
        for second in fixed[i + 1 :]:
            apart_mm = 1e3 * np.linalg.norm(first.T_other_board[:3, 3] - second.T_other_board[:3, 3])
            if apart_mm > bounds.apart_mm:
                lines.append(
                    f"{first.camera} and {second.camera} put the board {apart_mm:.0f} mm apart in the hand: "
                    "it moved there between their samples, or one of them is wrong"
                )
    return tuple(lines)
