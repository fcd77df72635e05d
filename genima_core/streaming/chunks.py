"""Fits a well-formed chunk to the moment: when it plays, how fast, and whether it may."""

import numpy as np

from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.inspection import Actions, Refusal
from genima_core.streaming.playback import Playback, shaping_limits
from genima_core.streaming.reference import ChunkPath

STRETCHED_SHARE = 0.9
"""Of the velocity limit, used by a chunk that was too fast; the rest is left for catching up."""


def plan_chunk(config: StreamerConfig, chunk: Actions, step_s: float, now_s: float) -> ChunkPath | Refusal:
    """The path of a chunk that came at now_s, the last step having been at step_s."""
    age = now_s - chunk.stamp_s
    if not age <= config.max_observation_age_s:
        return Refusal(
            "stale",
            f"The chunk's observation is {age:.2f} s old; valid is up to "
            f"{config.max_observation_age_s:g} s: the policy or a camera is too slow.",
        )
    start_s = step_s if config.execution == "sync" else chunk.stamp_s + chunk.first_s / config.velocity_scale
    if max(-age, start_s - now_s) > config.max_lead_s:
        return Refusal(
            "future",
            f"The chunk is stamped {-age:.2f} s from now and begins {start_s - now_s:.2f} s "
            f"from now; valid is up to {config.max_lead_s:g} s: synchronise the clocks.",
        )
    positions, dt_s = chunk.positions, chunk.dt_s / config.velocity_scale
    if config.execution == "sync" and config.execution_horizon:
        positions = positions[: max(config.execution_horizon, 2)]
    speed = np.abs(np.diff(positions, axis=0)) / dt_s / shaping_limits(config).velocity
    if speed.max() > config.max_speed_ratio:
        k, i = np.unravel_index(np.argmax(speed), speed.shape)
        return Refusal(
            "jump",
            f"The chunk moves {config.joint_names[i]} by "
            f"{abs(positions[k + 1, i] - positions[k, i]):.3f} rad between actions {k} and "
            f"{k + 1}, {speed.max():.1f} times the velocity limit; valid is up to "
            f"{config.max_speed_ratio:g} times: look at the controller's output.",
        )
    stretch = max(1.0, float(speed.max()) / STRETCHED_SHARE)
    path = ChunkPath(
        positions, dt_s * stretch, start_s, config.settle_s, config.smoothing, from_rest=config.execution == "sync"
    )
    if config.execution == "async" and path.end_s < now_s:
        return Refusal(
            "past",
            f"The chunk's last action was due {now_s - path.end_s:.2f} s ago; at least one has "
            "to be due in the future: lengthen the chunk, or use sync mode.",
        )
    return path


def find_jump(config: StreamerConfig, path: ChunkPath, playback: Playback, now_s: float) -> Refusal | None:
    """Why a path must not be joined at its first due action: it is too far from where the command will be."""
    time_s = max(path.start_s, now_s)
    first = path.at(np.array([time_s]))[0][0]
    here = playback.position_at(time_s)
    i = int(np.argmax(np.abs(first - here)))
    jump, limit = abs(first[i] - here[i]), config.max_jump_rad
    if jump <= limit:
        return None
    return Refusal(
        "jump",
        f"The chunk's first due action wants {config.joint_names[i]} at {first[i]:.3f} "
        f"rad, {jump:.3f} rad from the command then; valid is up to {limit:g} rad: check the "
        "controller, its joint order and the clocks.",
    )
