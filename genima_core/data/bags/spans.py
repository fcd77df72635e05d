"""Where the episodes of a long recording begin and end."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from genima_core.data.bags.series import COMMANDERS, Recording
from genima_core.streaming.states import Commander

PAUSE = "pause"
"""In place of a topic."""
RESTING_RAD_S = 0.02
"""An arm all of whose joints are slower than this rests."""
KEPT_S = 0.25
"""Of the rest before and after an episode."""
LEAST_S = 1.0
"""Shorter motion is no episode: somebody touched the arm. A chunk of the demo and of the paper takes as long."""


@dataclass(frozen=True)
class Span:
    begin_s: float = -np.inf
    end_s: float = np.inf
    instruction: str = ""
    """Where the message that began it told one."""


def spans_of(recording: Recording, split_on: str | None, pause_s: float) -> tuple[Span, ...]:
    """All of it without `split_on`; else between pauses, or between the recording's marks."""
    if split_on is None:
        return (Span(),)
    return _between_pauses(recording, pause_s) if split_on == PAUSE else _from_marks(recording)


def commanded_by(who: str, spans: tuple[Span, ...], recording: Recording, step_s: float) -> tuple[Span, ...]:
    """The parts of spans whose rows, `step_s` apart, one `Commander` commands until the next row."""
    said = recording.commanders
    own = np.concatenate([[False], said.values[:, 0] == COMMANDERS.index(Commander(who)), [False]])
    borders_s = np.append(said.stamps_s, np.inf)[np.flatnonzero(own[1:] != own[:-1])].reshape(-1, 2)
    parts = (
        replace(span, begin_s=max(span.begin_s, begin_s), end_s=min(span.end_s, end_s - step_s))
        for span in spans
        for begin_s, end_s in borders_s
    )
    return tuple(part for part in parts if part.begin_s < part.end_s)


def _from_marks(recording: Recording) -> tuple[Span, ...]:
    marks = (*recording.marks, (np.inf, None))
    return tuple(
        Span(begin_s, end_s, said if isinstance(said, str) else "")
        for (begin_s, said), (end_s, _) in pairwise(marks)
        if said is not False
    )


def _between_pauses(recording: Recording, pause_s: float) -> tuple[Span, ...]:
    stamps_s, q = recording.arm.stamps_s, recording.arm.values[:, :7]
    if len(stamps_s) < 2:
        return ()
    steps_s = np.diff(stamps_s)
    moves = np.flatnonzero(np.abs(np.diff(q, axis=0)).max(axis=1) > RESTING_RAD_S * steps_s)
    if not len(moves):
        return ()
    cuts = np.flatnonzero(stamps_s[moves[1:]] - stamps_s[moves[:-1] + 1] >= pause_s) + 1
    parts = np.split(moves, cuts)
    spans = [(float(stamps_s[part[0]]), float(stamps_s[part[-1] + 1])) for part in parts]
    return tuple(Span(begin - KEPT_S, end + KEPT_S) for begin, end in spans if end - begin >= LEAST_S)
