"""What messages about joints must be to be believed: sizes, names, shapes and finite numbers; nothing here raises."""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from genima_core.streaming.states import Reason, Refusal
from genima_core.types import LONGEST_STEP_S, SHORTEST_STEP_S

MOST_NAMES = 200
"""In one message: more than any robot has joints."""
MOST_ACTIONS = 10_000
"""Of a chunk: a replayed demonstration of some minutes."""
SHOWN_NAMES, SHOWN_LETTERS = 12, 40
"""Of names, in a text."""
UNEVEN_SHARE = 0.05
"""By so much the steps of a chunk may differ from each other."""


def find_columns(
    what: str, wanted: Sequence[str], given: Sequence[str], others: Collection[str] | None = None
) -> list[int] | Refusal:
    """Where the wanted names are among those given; `others` are the only ones that may be there as well."""
    if len(given) > MOST_NAMES:
        return Refusal(
            Reason.SIZE,
            f"The {what} names {len(given)} joints; valid are up to {MOST_NAMES}: look at its sender.",
        )
    places = {name: i for i, name in enumerate(given)}
    missing = [name for name in wanted if name not in places]
    extra = [] if others is None else [name for name in given if name not in wanted and name not in others]
    twice = [name for name, count in Counter(given).items() if count > 1]
    if not (missing or extra or twice):
        return [places[name] for name in wanted]
    faults = " and ".join(
        f"{label} {shown(names)}"
        for label, names in (("lacks", missing), ("has the unknown", extra), ("repeats", twice))
        if names
    )
    optional = f" and, if wanted, {shown(list(others))}" if others else ""
    return Refusal(
        Reason.NAMES,
        f"The {what} {faults} (it has {shown(given) or 'none'}); valid are {shown(wanted)}{optional}: "
        "check the arm (arm:=...) and the prefix of its joints.",
    )


def read_joints(
    what: str, names: Sequence[str], columns: list[int], positions: Sequence[float], velocities: Sequence[float]
) -> tuple[np.ndarray, np.ndarray | None] | Refusal:
    """Finite positions, and velocities or None, of the names in these columns."""
    for label, values in (("positions", positions), ("velocities", velocities)):
        if len(values) != len(names) and (len(values) or label == "positions"):
            return Refusal(
                Reason.SHAPE,
                f"The {what} names {len(names)} joints but has {len(values)} {label}; send one for each name"
                f"{'.' if label == 'positions' else ', or none at all.'}",
            )
    q = np.array([positions[i] for i in columns], dtype=np.float64)
    dq = np.array([velocities[i] for i in columns], dtype=np.float64) if len(velocities) else None
    bad = ~np.isfinite(q) if dq is None else ~(np.isfinite(q) & np.isfinite(dq))
    if bad.any():
        k = int(np.argmax(bad))
        speed = "" if dq is None else f", {dq[k]} rad/s"
        return Refusal(
            Reason.NAN,
            f"The {what} says {q[k]} rad{speed} for {shown([names[columns[k]]])}; every value must be finite: look "
            "at its sender.",
        )
    return q, dq


def read_rows(what: str, names: Sequence[str], rows: Sequence[Sequence[float]]) -> np.ndarray | Refusal:
    """Finite numbers (n, names) of at least two rows."""
    if not 2 <= len(rows) <= MOST_ACTIONS:
        return Refusal(
            Reason.SIZE, f"The {what} has {len(rows)} actions; valid are 2 to {MOST_ACTIONS}: look at its sender."
        )
    lengths = {len(row) for row in rows}
    if lengths != {len(names)}:
        return Refusal(
            Reason.SHAPE,
            f"The {what}'s actions have {', '.join(map(str, sorted(lengths)[:SHOWN_NAMES]))} positions; each needs one "
            f"for each of its {len(names)} names.",
        )
    values = np.array(rows, dtype=np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        k, i = bad[0]
        return Refusal(
            Reason.NAN,
            f"Action {k} of the {what} has {values[k, i]} for {shown([names[i]])}; every value must be finite: look "
            "at the controller's inputs.",
        )
    return values


def read_step(what: str, times_s: np.ndarray) -> float | Refusal:
    """The constant step between times (n,), n >= 2."""
    steps = np.diff(times_s)
    k = int(np.argmin(steps))
    if steps[k] <= 0:
        return Refusal(
            Reason.TIMES,
            f"The {what}'s times do not increase (action {k} at {times_s[k]:g} s, action {k + 1} at "
            f"{times_s[k + 1]:g} s); give strictly increasing times from its stamp.",
        )
    apart = f"The {what}'s actions are {steps.min():g} to {steps.max():g} s apart"
    if steps[k] < SHORTEST_STEP_S or steps.max() > LONGEST_STEP_S:
        return Refusal(
            Reason.TIMES,
            f"{apart}; valid is {SHORTEST_STEP_S:g} to {LONGEST_STEP_S:g} s: give its times in seconds.",
        )
    if steps.max() - steps.min() > UNEVEN_SHARE * steps.mean():
        return Refusal(
            Reason.TIMES, f"{apart}; the step must be constant within {100 * UNEVEN_SHARE:g} %: resample it."
        )
    return min(max(float(steps.mean()), SHORTEST_STEP_S), LONGEST_STEP_S)


def shown(names: Sequence[str]) -> str:
    """Some names as text, however many and however long they are."""
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(name[:SHOWN_LETTERS] for name in names[:SHOWN_NAMES]) + more
