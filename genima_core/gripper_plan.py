"""Keeps the gripper's announced changes while chunks follow each other faster than they are executed."""

from dataclasses import replace

import numpy as np

from genima_core.types import ActionChunk

TOLD_APART = 0.5
"""Openings on different sides of this are different orders."""
SETTLED_S = 0.5
"""After a change the fingers move for so long; then what is seen counts again."""


class GripperPlan:
    """When the gripper opens or closes next, as chunks have announced it.

    At the place of a grasp every chunk closes "in a moment". Where the next one takes over before that moment, it never
    comes. So a change happens when it was announced first, if newer chunks still want it; and a chunk
    that was seen before a change does not take it back.
    """

    def __init__(self) -> None:
        self._chunk: ActionChunk | None = None
        self._change: tuple[float, float] | None = None
        """When it is, or was, due, and the opening from then on."""

    def clear(self) -> None:
        """Nothing that was announced counts any more."""
        self._chunk = self._change = None

    def keep(self, chunk: ActionChunk, now_s: float) -> ActionChunk:
        """The chunk that is sent now, with the change that was announced before where it still stands."""
        if chunk.gripper is None:
            self.clear()
            return chunk
        half_s = chunk.dt_s / 2
        due_s, gripper = chunk.start_s + chunk.dt_s * np.arange(len(chunk.gripper)), chunk.gripper
        told = self._told(now_s, gripper[0])
        change, self._change = self._change, None
        if change is not None and now_s < change[0] + SETTLED_S:
            change_s, opening = change
            wanted = np.flatnonzero((due_s >= now_s) & _same(gripper, opening))
            if len(wanted) or chunk.stamp_s < change_s <= now_s:
                until_s = due_s[wanted[0]] if len(wanted) else np.inf
                gripper = np.where((due_s > change_s - half_s) & (due_s < until_s), opening, gripper)
                self._change = change
        others = np.flatnonzero((due_s >= now_s) & ~_same(gripper, told))
        if len(others):
            first_s, opening = float(due_s[others[0]]), float(gripper[others[0]])
            if self._change is None or first_s < self._change[0] - half_s or not _same(opening, self._change[1]):
                self._change = first_s, opening
        self._chunk = replace(chunk, gripper=gripper)
        return self._chunk

    def _told(self, now_s: float, otherwise: float) -> float:
        """What the gripper is told now."""
        chunk = self._chunk
        if chunk is None or chunk.gripper is None:
            return otherwise
        k = int(np.clip((now_s - chunk.start_s) / chunk.dt_s, 0, len(chunk.gripper) - 1))
        return float(chunk.gripper[k])


def _same(openings: np.ndarray | float, opening: float) -> np.ndarray:
    return (np.asarray(openings) > TOLD_APART) == (opening > TOLD_APART)
