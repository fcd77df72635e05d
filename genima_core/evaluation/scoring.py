"""Drawing and following scored separately, on the expert's own states in scenes that were never trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genima_core.environment import Environment, Wording, follow
from genima_core.evaluation.sources import TrueTargets
from genima_core.policy import Policy
from genima_core.targets.detect import DrawingScore, score_drawing
from genima_core.targets.draw import over_observation
from genima_core.targets.look import GRIPPER_OPEN_ABOVE, TARGET_NAMES

STRIDE = 10
"""Every so many states, 0.05 s apart, of a demonstration are scored."""


@dataclass(frozen=True)
class StateScore:
    """How well one state is drawn, and how far a chunk from there ends from where the expert is then: with the true
    drawing, and with the agent's.
    """

    drawn: DrawingScore
    error_rad: np.ndarray
    """(2, 7) of each joint."""
    error_m: np.ndarray
    """(2,) of the gripper."""


def score_scene(
    environment: Environment, policy: Policy, true_targets: TrueTargets, seed: int, wording: Wording = "seen"
) -> list[StateScore]:
    """Scores along the expert's demonstration of a scene; none where it finds no way.

    NoSuchWording: as of `Environment.reset`.
    """
    environment.reset(seed, wording=wording)
    try:
        trajectory = environment.plan()
    except ValueError:
        return []
    size, arm = policy.checkpoint.info.chunk_size, environment.arm
    states, observations, scores = [], {}, []
    for k in follow(environment, trajectory):
        states.append(environment.q)
        if k % STRIDE == 0:
            observations[k] = environment.observe()
    for k, observation in observations.items():
        goal = states[min(k + size, len(states) - 1)]
        opening = float(trajectory.gripper[min(k + size, len(states)) - 1])  # commanded for that moment
        views, images = true_targets.render(observation.q, goal, opening), observation.views(environment.rig.names)
        drawing = policy.draw(observation, seed * 1000 + k)
        look = policy.checkpoint.look
        drawn = score_drawing(drawing, views, images, opening > GRIPPER_OPEN_ABOVE, look)
        drawings = over_observation(views, images), drawing
        ends = np.stack([policy.act(drawing, observation).positions[-1] for drawing in drawings])
        away_m = np.linalg.norm(arm.frame_pose(ends, "tcp")[:, :3, 3] - arm.frame_pose(goal, "tcp")[:3, 3], axis=-1)
        scores.append(StateScore(drawn, np.abs(ends - goal), away_m))
    return scores


def summarise_scores(scores: Sequence[StateScore], cameras: Sequence[str]) -> dict[str, Any]:
    """The scores of many states for JSON, by camera and target too; empty where there are none."""
    if not scores:
        return {}
    visible, error_px = (np.stack([getattr(score.drawn, name) for score in scores]) for name in ("visible", "error_px"))
    true_rad, drawn_rad = np.stack([score.error_rad for score in scores], axis=1)
    true_m, drawn_m = np.stack([score.error_m for score in scores], axis=1)
    return {
        "draw_found_rate": float(np.isfinite(error_px[visible]).mean()),
        "draw_error_px_median": _quantile(error_px),
        "draw": {
            camera: {
                target: {
                    "visible": int(visible[:, i, j].sum()),
                    "found": int(np.isfinite(error_px[:, i, j]).sum()),
                    "error_px_median": _quantile(error_px[:, i, j]),
                }
                for j, target in enumerate(TARGET_NAMES)
            }
            for i, camera in enumerate(cameras)
        },
        "draw_error_px_p90": _quantile(error_px, 0.9),
        "follow_error_rad_median": float(np.median(true_rad)),
        "follow_error_rad_by_joint": np.median(true_rad, axis=0).round(4).tolist(),
        "follow_drawn_error_rad_by_joint": np.median(drawn_rad, axis=0).round(4).tolist(),
        "follow_error_cm_median": 100 * float(np.median(true_m)),
        "follow_drawn_error_cm_median": 100 * float(np.median(drawn_m)),
    }


def _quantile(values: np.ndarray, q: float = 0.5) -> float | None:
    """Of the finite ones; None, which JSON knows, where there are none."""
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, q)) if finite.size else None
