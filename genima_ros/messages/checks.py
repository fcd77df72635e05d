"""What messages about joints must be to be believed: sizes, names, shapes and finite numbers."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
from sensor_msgs.msg import JointState

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
FINITE = "every value must be finite"
UNEVEN_SHARE = 0.05
"""By so much the steps of a chunk may differ from each other."""


MOST_LETTERS = 200
"""Of an instruction: one sentence."""


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
    what: str, wanted: Sequence[str], given: Sequence[str], optional: Sequence[str] | None = None
) -> list[int]:
    """Where the wanted names are among those given, and the optional ones; others may be there only if that is None."""
    if len(given) > MOST_NAMES:
        text = f"The {what} names {len(given)} joints; valid are up to {MOST_NAMES}: look at its sender."
        raise UnusableError(Reason.SIZE, text)
    known, places = (*wanted, *(optional or ())), {name: i for i, name in enumerate(given)}
    wrong = {
        "lacks": [name for name in wanted if name not in places],
        "has the unknown": [] if optional is None else [name for name in given if name not in known],
        "repeats": [name for name, count in Counter(given).items() if count > 1],
    }
    faults = " and ".join(f"{label} {shown(names)}" for label, names in wrong.items() if names)
    if faults:
        valid = shown(wanted) + (f" and, if wanted, {shown(optional)}" if optional else "")
        remedy = "check the arm (arm:=...) and the prefix of its joints."
        text = f"The {what} {faults} (it has {shown(given) or 'none'}); valid are {valid}: {remedy}"
        raise UnusableError(Reason.NAMES, text)
    return [places[name] for name in known if name in places]


def read_joints(
    what: str, message: JointState, wanted: Sequence[str], optional: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Finite positions, and velocities or None, in the order of the names that are wanted."""
    names, positions, velocities = message.name, message.position, message.velocity
    columns = find_columns(what, wanted, names, optional)
    for label, values, remedy in (("positions", positions, ""), ("velocities", velocities, ", or none at all")):
        if len(values) != len(names) and not (remedy and len(values) == 0):
            counts = f"The {what} names {len(names)} joints but has {len(values)} {label}"
            raise UnusableError(Reason.SHAPE, f"{counts}; send one for each name{remedy}.")
    q = np.array([positions[i] for i in columns], dtype=np.float64)
    dq = np.array([velocities[i] for i in columns], dtype=np.float64) if len(velocities) else None
    bad = ~np.isfinite(q) if dq is None else ~(np.isfinite(q) & np.isfinite(dq))
    for k in np.flatnonzero(bad):
        values = f"{q[k]} rad" if dq is None else f"{q[k]} rad, {dq[k]} rad/s"
        text = f"The {what} says {values} for {shown([names[columns[k]]])}; {FINITE}: look at its sender."
        raise UnusableError(Reason.NAN, text)
    return q, dq


def read_rows(what: str, names: Sequence[str], rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Finite numbers (n, names) of at least two rows."""
    if not 2 <= len(rows) <= MOST_ACTIONS:
        text = f"The {what} has {len(rows)} actions; valid are 2 to {MOST_ACTIONS}: look at its sender."
        raise UnusableError(Reason.SIZE, text)
    lengths = {len(row) for row in rows}
    if lengths != {len(names)}:
        given = f"The {what}'s actions have {', '.join(map(str, sorted(lengths)[:SHOWN_NAMES]))} positions"
        raise UnusableError(Reason.SHAPE, f"{given}; each needs one for each of its {len(names)} names.")
    values = np.array(rows, dtype=np.float64)
    for k, i in np.argwhere(~np.isfinite(values))[:1]:
        given = f"Action {k} of the {what} has {values[k, i]} for {shown([names[i]])}"
        raise UnusableError(Reason.NAN, f"{given}; {FINITE}: look at the controller's inputs.")
    return values


def read_step(what: str, times_s: np.ndarray) -> float:
    """The constant step between times (n,), n >= 2."""
    steps = np.diff(times_s)
    k, shortest_s, longest_s, step_s = int(np.argmin(steps)), steps.min(), steps.max(), float(steps.mean())
    apart = f"The {what}'s actions are {shortest_s:g} to {longest_s:g} s apart"
    text = ""
    if shortest_s <= 0:
        pair = f"action {k} at {times_s[k]:g} s, action {k + 1} at {times_s[k + 1]:g} s"
        text = f"The {what}'s times do not increase ({pair}); give strictly increasing times from its stamp."
    elif shortest_s < SHORTEST_STEP_S or longest_s > LONGEST_STEP_S:
        text = f"{apart}; valid is {SHORTEST_STEP_S:g} to {LONGEST_STEP_S:g} s: give its times in seconds."
    elif longest_s - shortest_s > UNEVEN_SHARE * step_s:
        text = f"{apart}; the step must be constant within {100 * UNEVEN_SHARE:g} %: resample it."
    if text:
        raise UnusableError(Reason.TIMES, text)
    return min(max(step_s, SHORTEST_STEP_S), LONGEST_STEP_S)


def find_instruction_fault(text: str) -> str:
    """Why this is no instruction for a policy; "" if it is one."""
    if not text.strip():
        return "an instruction has at least one word"
    if len(text) > MOST_LETTERS:
        return f"an instruction has at most {MOST_LETTERS} characters, not {len(text)}; say it in one sentence"
    if odd := next((letter for letter in text if not letter.isprintable()), ""):
        return f"an instruction has no control characters such as {odd!r}; write one line"
    return ""


def shown(names: Sequence[str]) -> str:
    """Some names as text, however many and however long they are."""
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(name[:SHOWN_LETTERS] for name in names[:SHOWN_NAMES]) + more
