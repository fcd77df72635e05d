"""Drawing and following scored apart, on the expert's own states in scenes that were never trained on."""

from dataclasses import dataclass

import numpy as np

from genima_core.arm import Arm
from genima_core.evaluation.sources import stack
from genima_core.policy import Policy
from genima_core.sim import experts
from genima_core.sim.cell import Cell
from genima_core.targets.detect import score_drawing
from genima_core.targets.draw import over_observation
from genima_core.targets.palette import TARGET_NAMES
from genima_core.targets.renderer import TargetRenderer


@dataclass(frozen=True)
class Scores:
    """What went wrong where; arrays over N states, 4 cameras, 4 targets."""

    cameras: tuple[str, ...]
    visible: np.ndarray
    """(N, 4, 4) bool: the true sphere can be seen."""
    draw_error_px: np.ndarray
    """(N, 4, 4) distance of the drawn from the true centre; NaN where no sphere was found."""
    follow_error_rad: np.ndarray
    """(N, 7) last action of the chunk against the true joint positions, from the true drawing."""
    follow_drawn_error_rad: np.ndarray
    """(N, 7) the same from the agent's drawing."""
    follow_error_m: np.ndarray
    """(N,) distance of the gripper after the chunk from the true one, from the true drawing."""
    follow_drawn_error_m: np.ndarray
    """(N,) the same from the agent's drawing."""

    @property
    def found_rate(self) -> float:
        """Share of the visible spheres that were found in the drawing, near where they belong."""
        return float(np.isfinite(self.draw_error_px[self.visible]).mean())

    def to_dict(self) -> dict:
        """For JSON: medians, and rates by camera and target."""
        error = np.where(self.visible, self.draw_error_px, np.nan)
        by_camera = {
            camera: {
                target: {
                    "visible": int(self.visible[:, i, j].sum()),
                    "found": int(np.isfinite(error[:, i, j]).sum()),
                    "error_px_median": _median(error[:, i, j]),
                }
                for j, target in enumerate(TARGET_NAMES)
            }
            for i, camera in enumerate(self.cameras)
        }
        return {
            "draw_found_rate": self.found_rate,
            "draw_error_px_median": _median(error),
            "draw": by_camera,
            "draw_error_px_p90": _quantile(error, 0.9),
            "follow_error_rad_median": _median(self.follow_error_rad),
            "follow_error_rad_by_joint": np.median(self.follow_error_rad, axis=0).round(4).tolist(),
            "follow_drawn_error_rad_by_joint": np.median(self.follow_drawn_error_rad, axis=0).round(4).tolist(),
            "follow_error_cm_median": 100 * _median(self.follow_error_m),
            "follow_drawn_error_cm_median": 100 * _median(self.follow_drawn_error_m),
        }


def score(cell: Cell, policy: Policy, renderer: TargetRenderer, seeds: range, stride: int) -> Scores:
    """Scores every `stride`-th state of one expert demonstration for each seed."""
    size = policy.checkpoint.info.chunk_size
    rows: list[tuple[np.ndarray | float, ...]] = []
    for seed in seeds:
        cell.reset(seed)
        trajectory = experts.plan(cell)
        states, observations = [], {}
        for k in experts.follow(cell, trajectory):
            states.append(cell.q)
            if k % stride == 0:
                observations[k] = cell.observe()
        for k, observation in observations.items():
            last = min(k + size, len(states) - 1)
            views = renderer.render(observation.q, states[last], float(trajectory.gripper[last]))
            drawing = policy.draw(observation, seed * 1000 + k)
            drawn = score_drawing(drawing, views, stack(cell, observation))
            true_drawing = over_observation(views, stack(cell, observation))
            ends = [policy.act(d, observation).positions[-1] for d in (true_drawing, drawing)]
            rows.append(
                (
                    drawn.visible,
                    drawn.error_px,
                    *(np.abs(end - states[last]) for end in ends),
                    *(_tcp_distance(cell.arm, end, states[last]) for end in ends),
                )
            )
    return Scores(cell.rig.names, *(np.array(column) for column in zip(*rows, strict=True)))


def _tcp_distance(arm: Arm, q: np.ndarray, q_true: np.ndarray) -> float:
    p, p_true = arm.frame_pose(np.stack([q, q_true]), "tcp")[:, :3, 3]
    return float(np.linalg.norm(p - p_true))


def _median(values: np.ndarray) -> float:
    return _quantile(values, 0.5)


def _quantile(values: np.ndarray, q: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, q)) if finite.size else float("nan")
