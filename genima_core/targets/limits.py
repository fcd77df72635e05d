"""Limits of the target gate for a rig, an arm and its pace, from drawings that are known to be right."""

from collections.abc import Iterable
from dataclasses import fields

import numpy as np

from genima_core.targets.gate import Gate, GateConfig, Measures

MOST, MARGIN = 0.99, 1.5
"""So much of what so many true drawings come to at most is allowed: models draw less exactly."""
AROUND_M = 0.2
"""Of the box that holds the elbow, the wrist and the gripper of all true drawings."""
LEAST_JOINT_SPEED, LEAST_TCP_SPEED_M_S = 0.2, 0.1
"""For data in which the arm hardly moves."""


def limits_of(gate: Gate, drawings: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> GateConfig:
    """The limits that true drawings keep with a margin; those for careless drawing are at least the gate's own.

    Args:
        gate: of the rig, the look and the duration, with the usual limits.
        drawings: each a drawing (V, H, W, 3) uint8, the joints (7,) rad at capture, and what it was drawn over.

    Raises:
        ValueError: there are no drawings, they do not fit the rig, or nothing is located by them.
    """
    verdicts = [gate.check(*drawing) for drawing in drawings]
    if not verdicts:
        raise ValueError("limits of the gate need true drawings; there are none")
    worst = {
        f.name: float(np.quantile([getattr(v.measures, f.name) for v in verdicts], MOST)) for f in fields(Measures)
    }
    own = gate.config
    moving = np.concatenate([verdict.points[1:] for verdict in verdicts])
    moving = moving[np.isfinite(moving[:, 0])]
    if not len(moving):
        raise ValueError("limits of the gate need drawings whose spheres two views show; no sphere is located in any")
    lower, upper = moving.min(axis=0) - AROUND_M, moving.max(axis=0) + AROUND_M
    # These two are parts of what is allowed.
    apart, unseen = (max(1.0, MARGIN * worst[name]) for name in ("reprojection", "unseen"))
    return GateConfig(
        noise_levels=max(own.noise_levels, MARGIN * worst["noise_levels"]),
        scene_levels=max(own.scene_levels, MARGIN * worst["scene_levels"]),
        reprojection=apart * own.reprojection,
        hand_radii=apart * own.hand_radii,
        seen_pixels=unseen * own.seen_pixels,
        hand_pixels=unseen * own.hand_pixels,
        reach_m=max(own.reach_m, MARGIN * worst["reach_m"]),
        workspace_lower_m=_metres(lower),
        workspace_upper_m=_metres(upper),
        joint_speed=round(min(1.0, max(LEAST_JOINT_SPEED, MARGIN * worst["joint_speed"])), 3),
        tcp_speed_m_s=round(max(LEAST_TCP_SPEED_M_S, MARGIN * worst["tcp_speed_m_s"]), 3),
    )


def _metres(point: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 3) for value in point)
    return x, y, z
