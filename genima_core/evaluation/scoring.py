"""Drawing and following scored apart, on the expert's own states in scenes that were never trained on."""

from typing import Any

import numpy as np

from genima_core.arm import Arm
from genima_core.environment import Environment, Wording, follow
from genima_core.evaluation.sources import TrueTargets
from genima_core.policy import Policy
from genima_core.targets.detect import score_drawing
from genima_core.targets.draw import over_observation
from genima_core.targets.palette import GRIPPER_OPEN_ABOVE, TARGET_NAMES


def score(
    environment: Environment,
    policy: Policy,
    true_targets: TrueTargets,
    seeds: range,
    stride: int,
    wording: Wording = "seen",
) -> dict[str, Any]:
    """How every `stride`-th state of one expert demonstration for each seed is drawn and followed, for JSON.

    Drawing: which of the visible spheres were found near where they belong, and how far from there, by camera and
    target too. Following: how far joints and gripper are from the true ones after a chunk, both from the true drawing
    and from the agent's. Scenes in which the expert finds no way are left out; nothing where these are all.
    NoSuchWording: as of `Environment.reset`.
    """
    size = policy.checkpoint.info.chunk_size
    visible, error_px, error_rad, error_m = [], [], [], []
    for seed in seeds:
        environment.reset(seed, wording=wording)
        try:
            trajectory = environment.plan()
        except ValueError:
            continue
        states, observations = [], {}
        for k in follow(environment, trajectory):
            states.append(environment.q)
            if k % stride == 0:
                observations[k] = environment.observe()
        for k, observation in observations.items():
            last = min(k + size, len(states) - 1)
            opening = float(trajectory.gripper[min(k + size, len(states)) - 1])  # commanded for the time of `last`
            views = true_targets.render(observation.q, states[last], opening)
            images, drawing = observation.views(environment.rig.names), policy.draw(observation, seed * 1000 + k)
            drawn = score_drawing(drawing, views, images, opening > GRIPPER_OPEN_ABOVE)
            visible.append(drawn.visible)
            error_px.append(drawn.error_px)
            ends = [policy.act(d, observation).positions[-1] for d in (over_observation(views, images), drawing)]
            error_rad.append([np.abs(end - states[last]) for end in ends])
            error_m.append([_tcp_distance(environment.arm, end, states[last]) for end in ends])
    if not visible:
        return {}
    found = np.where(visible, error_px, np.nan)
    true_rad, drawn_rad = np.array(error_rad).swapaxes(0, 1)
    true_m, drawn_m = np.array(error_m).T
    return {
        "draw_found_rate": float(np.isfinite(found[np.array(visible)]).mean()),
        "draw_error_px_median": _quantile(found),
        "draw": {
            camera: {
                target: {
                    "visible": int(np.sum(visible, axis=0)[i, j]),
                    "found": int(np.isfinite(found[:, i, j]).sum()),
                    "error_px_median": _quantile(found[:, i, j]),
                }
                for j, target in enumerate(TARGET_NAMES)
            }
            for i, camera in enumerate(environment.rig.names)
        },
        "draw_error_px_p90": _quantile(found, 0.9),
        "follow_error_rad_median": float(np.median(true_rad)),
        "follow_error_rad_by_joint": np.median(true_rad, axis=0).round(4).tolist(),
        "follow_drawn_error_rad_by_joint": np.median(drawn_rad, axis=0).round(4).tolist(),
        "follow_error_cm_median": 100 * float(np.median(true_m)),
        "follow_drawn_error_cm_median": 100 * float(np.median(drawn_m)),
    }


def _tcp_distance(arm: Arm, q: np.ndarray, q_true: np.ndarray) -> float:
    p, p_true = arm.frame_pose(np.stack([q, q_true]), "tcp")[:, :3, 3]
    return float(np.linalg.norm(p - p_true))


def _quantile(values: np.ndarray, q: float = 0.5) -> float | None:
    """Of the finite ones; None, which JSON knows, where there are none."""
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, q)) if finite.size else None
