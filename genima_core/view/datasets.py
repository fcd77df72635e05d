"""An episode of a data set for the viewer: its rows at the capture times of joints and pictures."""

from collections.abc import Callable

import numpy as np

from genima_core.data.bags.series import COMMANDERS
from genima_core.data.dataset import Dataset
from genima_core.data.episode import Episode
from genima_core.view.log import EpisodeLog, about, camera_path, jpeg, skews_ms

AHEAD_S = 1.0
"""Targets are where the arm is so much later, as the demo's agent learns to draw them."""


def write(data: Dataset, index: int, open_log: Callable[[], EpisodeLog]) -> None:
    """ValueError, FileNotFoundError: a table or a film is damaged or missing."""
    episode, log = data.recorded(index), open_log()
    times_ns = _ns(episode.stamps_s)
    log.describe(about(_rows(data, index, episode)))
    log.say("instruction", int(times_ns[0]), episode.instruction)
    log.say("success", int(times_ns[-1]), "success" if episode.success else "failure")
    log.joints(times_ns, episode.q, episode.gripper)
    # An action is due at the time of the next row.
    due_ns = np.append(times_ns[1:], times_ns[-1] + round(1e9 / data.fps))
    log.commands(due_ns, episode.action_q)
    log.gripper_commands(due_ns, episode.action_gripper)
    log.following_errors(times_ns[1:], np.abs(episode.action_q[:-1] - episode.q[1:]).max(axis=1))
    later = np.minimum(np.arange(len(episode)) + round(AHEAD_S * data.fps), len(episode) - 1)
    log.targets(times_ns, episode.q[later], episode.gripper[later])
    stamps_ns = {name: _ns(stamps_s) for name, stamps_s in zip(data.rig.names, episode.image_stamps_s.T, strict=True)}
    for name, skew_ms in skews_ms(stamps_ns).items():
        log.skews(name, stamps_ns[name], skew_ms)
    if episode.commander is not None:
        changes = np.flatnonzero(np.diff(episode.commander, prepend=-1))
        for row in changes:
            log.state("commander", int(times_ns[row]), str(COMMANDERS[int(episode.commander[row])]))
    for name in data.rig.names:
        for stamp_ns, picture in zip(stamps_ns[name], episode.images[name], strict=True):
            log.picture(camera_path(name), int(stamp_ns), jpeg(picture))


def _rows(data: Dataset, index: int, episode: Episode) -> list[tuple[str, object]]:
    return [
        ("data set", data.root),
        ("episode", index),
        ("task", episode.task),
        ("instruction", episode.instruction),
        ("success", "yes" if episode.success else "**no**"),
        ("seed", episode.seed if episode.seed >= 0 else None),
        ("rows", f"{len(episode)} at {data.fps} per second"),
        ("arm", data.rig.arm.name),
    ]


def _ns(stamps_s: np.ndarray) -> np.ndarray:
    return np.round(1e9 * stamps_s).astype(np.int64)
