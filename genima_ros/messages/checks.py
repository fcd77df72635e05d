"""What messages about joints must be to be believed: sizes, names, shapes and finite numbers."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

from genima_core.streaming.states import Reason, Refusal
from genima_core.types import LONGEST_STEP_S, SHORTEST_STEP_S

P = ParamSpec("P")
R = TypeVar("R")

MOST_NAMES = 200
"""In one message: more than any robot has joints."""
MOST_ACTIONS = 10_000
"""Of a chunk: a replayed demonstration of some minutes."""
SHOWN_NAMES, SHOWN_LETTERS = 12, 40
"""Of names, in a text."""
UNEVEN_SHARE = 0.05
"""By so much the steps of a chunk may differ from each other."""


class UnusableError(ValueError):
    """What is wrong with a message."""

    def __init__(self, kind: Reason, text: str) -> None:
        super().__init__(text)
        self.refusal = Refusal(kind, text)


def refusing(read: Callable[P, R]) -> Callable[P, R | Refusal]:
    """Makes a reader whose checks raise into one that returns the refusal: what moves the arm never raises."""

    @wraps(read)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R | Refusal:
        try:
            return read(*args, **kwargs)
        except UnusableError as error:
            return error.refusal

    return checked


def find_columns(
    what: str, wanted: Sequence[str], given: Sequence[str], others: Collection[str] | None = None
) -> list[int]:
    """Where the wanted names are among those given; `others` are the only ones that may be there as well."""
    if len(given) > MOST_NAMES:
        text = f"The {what} names {len(given)} joints; valid are up to {MOST_NAMES}: look at its sender."
        raise UnusableError(Reason.SIZE, text)
    places = {name: i for i, name in enumerate(given)}
    wrong = {
        "lacks": [name for name in wanted if name not in places],
        "has the unknown": [] if others is None else [n for n in given if n not in wanted and n not in others],
        "repeats": [name for name, count in Counter(given).items() if count > 1],
    }
    faults = " and ".join(f"{label} {shown(names)}" for label, names in wrong.items() if names)
    if faults:
        optional = f" and, if wanted, {shown(list(others))}" if others else ""
        raise UnusableError(
            Reason.NAMES,
            f"The {what} {faults} (it has {shown(given) or 'none'}); valid are {shown(wanted)}{optional}: "
            "check the arm (arm:=...) and the prefix of its joints.",
        )
    return [places[name] for name in wanted]


def read_joints(
    what: str, names: Sequence[str], columns: list[int], positions: Sequence[float], velocities: Sequence[float]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Finite positions, and velocities or None, of the names in these columns."""
    for label, values, remedy in (("positions", positions, ""), ("velocities", velocities, ", or none at all")):
        if len(values) != len(names) and not (remedy and len(values) == 0):
            text = (
                f"The {what} names {len(names)} joints but has {len(values)} {label}; send one for each name{remedy}."
            )
            raise UnusableError(Reason.SHAPE, text)
    q = np.array([positions[i] for i in columns], dtype=np.float64)
    dq = np.array([velocities[i] for i in columns], dtype=np.float64) if len(velocities) else None
    bad = ~np.isfinite(q) if dq is None else ~(np.isfinite(q) & np.isfinite(dq))
    if bad.any():
        k = int(np.argmax(bad))
        speed = "" if dq is None else f", {dq[k]} rad/s"
        raise UnusableError(
            Reason.NAN,
            f"The {what} says {q[k]} rad{speed} for {shown([names[columns[k]]])}; every value must be finite: look "
            "at its sender.",
        )
    return q, dq


def read_rows(what: str, names: Sequence[str], rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Finite numbers (n, names) of at least two rows."""
    if not 2 <= len(rows) <= MOST_ACTIONS:
        text = f"The {what} has {len(rows)} actions; valid are 2 to {MOST_ACTIONS}: look at its sender."
        raise UnusableError(Reason.SIZE, text)
    lengths = {len(row) for row in rows}
    if lengths != {len(names)}:
        raise UnusableError(
            Reason.SHAPE,
            f"The {what}'s actions have {', '.join(map(str, sorted(lengths)[:SHOWN_NAMES]))} positions; each needs one "
            f"for each of its {len(names)} names.",
        )
    values = np.array(rows, dtype=np.float64)
    for k, i in np.argwhere(~np.isfinite(values))[:1]:
        raise UnusableError(
            Reason.NAN,
            f"Action {k} of the {what} has {values[k, i]} for {shown([names[i]])}; every value must be finite: look "
            "at the controller's inputs.",
        )
    return values


def read_step(what: str, times_s: np.ndarray) -> float:
    """The constant step between times (n,), n >= 2."""
    steps = np.diff(times_s)
    k, shortest_s, longest_s, step_s = int(np.argmin(steps)), steps.min(), steps.max(), float(steps.mean())
    apart = f"The {what}'s actions are {shortest_s:g} to {longest_s:g} s apart"
    text = ""
    if shortest_s <= 0:
        text = (
            f"The {what}'s times do not increase (action {k} at {times_s[k]:g} s, action {k + 1} at "
            f"{times_s[k + 1]:g} s); give strictly increasing times from its stamp."
        )
    elif shortest_s < SHORTEST_STEP_S or longest_s > LONGEST_STEP_S:
        text = f"{apart}; valid is {SHORTEST_STEP_S:g} to {LONGEST_STEP_S:g} s: give its times in seconds."
    elif longest_s - shortest_s > UNEVEN_SHARE * step_s:
        text = f"{apart}; the step must be constant within {100 * UNEVEN_SHARE:g} %: resample it."
    if text:
        raise UnusableError(Reason.TIMES, text)
    return min(max(step_s, SHORTEST_STEP_S), LONGEST_STEP_S)


def shown(names: Sequence[str]) -> str:
    """Some names as text, however many and however long they are."""
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(name[:SHOWN_LETTERS] for name in names[:SHOWN_NAMES]) + more
