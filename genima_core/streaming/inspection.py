"""Looks at what arrives from outside and says in one sentence what is wrong with it; nothing here raises."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genima_core.panda import JointLimits


@dataclass(frozen=True)
class Refusal:
    """Why an input is not used."""

    kind: str
    """One word, for counting."""
    reason: str
    """One sentence: what was given, what is valid, the remedy."""


@dataclass(frozen=True)
class Measurement:
    """A joint state in the arm's order: q, dq (7,)."""

    q: np.ndarray
    dq: np.ndarray
    stamp_s: float
    received_s: float


@dataclass(frozen=True)
class Actions:
    """A chunk in the arm's order, checked by itself: positions (n, 7), widths (n,) m or None, constant step dt_s."""

    positions: np.ndarray
    widths_m: np.ndarray | None
    first_s: float
    """Offset of action 0 from the capture time."""
    dt_s: float
    stamp_s: float


@dataclass(frozen=True)
class Target:
    """Where the arm shall be at stamp_s, in the arm's order: q (7,) rad, dq (7,) rad/s or None, width_m or None."""

    q: np.ndarray
    dq: np.ndarray | None
    width_m: float | None
    stamp_s: float


def read_joint_state(
    joint_names: Sequence[str],
    names: Sequence[str],
    positions: Sequence[float],
    velocities: Sequence[float],
    stamp_s: float,
    now_s: float,
) -> Measurement | Refusal:
    """The arm's joints out of a joint state; velocities may be empty (then zero)."""
    columns = _columns(joint_names, names, "joint state")
    if isinstance(columns, Refusal):
        return columns
    state = _state("joint state", "driver of the arm", joint_names, names, columns, positions, velocities, stamp_s)
    if isinstance(state, Refusal):
        return state
    q, dq, stamp_s = state
    return Measurement(q[columns], np.zeros(len(columns)) if dq is None else dq[columns], stamp_s, now_s)


def read_target(
    joint_names: Sequence[str],
    gripper_joint: str,
    gripper_max_m: float,
    limits: JointLimits,
    names: Sequence[str],
    positions: Sequence[float],
    velocities: Sequence[float],
    stamp_s: float,
) -> Target | Refusal:
    """A target of the arm and, if it is named, the gripper, within their limits; velocities may be empty."""
    columns = _columns(joint_names, names, "target", {*joint_names, gripper_joint})
    if isinstance(columns, Refusal):
        return columns
    state = _state("target", "sender", joint_names, names, columns, positions, velocities, stamp_s)
    if isinstance(state, Refusal):
        return state
    values, dq, stamp_s = state
    q = values[columns]
    out = np.flatnonzero((q < limits.lower) | (q > limits.upper))
    if len(out):
        i = out[0]
        return Refusal(
            "limits",
            f"The target wants {joint_names[i]} at {q[i]:.4f} rad, outside "
            f"[{limits.lower[i]:.4f}, {limits.upper[i]:.4f}]; look at its sender.",
        )
    width = None
    if gripper_joint in names:
        width = float(values[list(names).index(gripper_joint)])
        if not -0.01 * gripper_max_m <= width <= 1.01 * gripper_max_m:
            return Refusal(
                "gripper",
                f"The target wants the gripper {width:.4f} m open; valid is 0 to "
                f"{gripper_max_m:g} m: convert openings to widths.",
            )
        width = min(max(width, 0.0), gripper_max_m)
    return Target(q, None if dq is None else dq[columns], width, stamp_s)


def _state(
    what: str,
    sender: str,
    joint_names: Sequence[str],
    names: Sequence[str],
    columns: list[int],
    positions: Sequence[float],
    velocities: Sequence[float],
    stamp_s: float,
) -> tuple[np.ndarray, np.ndarray | None, float] | Refusal:
    """Positions and velocities (None if empty) of all names, those of the arm being finite, and the stamp."""
    q, dq, stamp = _numbers(positions), _numbers(velocities), _numbers(stamp_s)
    if q is None or q.shape != (len(names),):
        return Refusal(
            "shape",
            f"The {what} names {len(names)} joints but its positions have shape "
            f"{_shape(q)}; send one position for each name.",
        )
    if dq is None or (dq.size and dq.shape != (len(names),)):
        return Refusal(
            "shape",
            f"The {what} names {len(names)} joints but its velocities have shape "
            f"{_shape(dq)}; send one velocity for each name, or none at all.",
        )
    if stamp is None or stamp.shape != () or not np.isfinite(stamp):
        return Refusal("nan", f"The {what}'s time stamp is {stamp_s}; stamp it with the time of measurement.")
    speeds = dq[columns] if dq.size else np.zeros(len(columns))
    for name, value, speed in zip(joint_names, q[columns], speeds, strict=True):
        if not (np.isfinite(value) and np.isfinite(speed)):
            return Refusal(
                "nan",
                f"The {what} says {value} rad, {speed} rad/s for {name}; every value must be "
                f"finite: check the {sender}.",
            )
    return q, dq if dq.size else None, float(stamp)


def read_actions(
    joint_names: Sequence[str],
    gripper_joint: str,
    gripper_max_m: float,
    limits: JointLimits,
    names: Sequence[str],
    times_s: Sequence[float],
    positions: Sequence[Sequence[float]],
    stamp_s: float,
) -> Actions | Refusal:
    """The arm's actions out of a chunk, if it is well-formed and within the arm's position limits."""
    allowed = {*joint_names, gripper_joint}
    columns = _columns(joint_names, names, "chunk", allowed)
    if isinstance(columns, Refusal):
        return columns
    times, values, stamp = _numbers(times_s), _numbers(positions), _numbers(stamp_s)
    if times is None or times.ndim != 1 or len(times) < 2:
        return Refusal("shape", f"The chunk's times have shape {_shape(times)}; a chunk needs at least two actions.")
    if values is None or values.shape != (len(times), len(names)):
        return Refusal(
            "shape",
            f"The chunk's positions have shape {_shape(values)}; {len(times)} times and "
            f"{len(names)} names need ({len(times)}, {len(names)}).",
        )
    if stamp is None or stamp.shape != () or not np.isfinite(stamp):
        return Refusal("nan", f"The chunk's time stamp is {stamp_s}; stamp it with the observation's capture time.")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        k, column = bad[0]
        return Refusal(
            "nan",
            f"Action {k} of the chunk has {values[k, column]} for {names[column]}; every value must "
            "be finite: look at the controller's inputs.",
        )
    uneven = _uneven(times)
    if uneven is not None:
        return uneven
    arm = values[:, columns]
    out = np.argwhere((arm < limits.lower) | (arm > limits.upper))
    if len(out):
        k, i = out[0]
        return Refusal(
            "limits",
            f"Action {k} of the chunk wants {joint_names[i]} at {arm[k, i]:.4f} rad, outside "
            f"[{limits.lower[i]:.4f}, {limits.upper[i]:.4f}]; check the controller's statistics "
            "and the order of its joints.",
        )
    widths = None
    if gripper_joint in names:
        widths = values[:, list(names).index(gripper_joint)]
        slack = 0.01 * gripper_max_m
        if widths.min() < -slack or widths.max() > gripper_max_m + slack:
            return Refusal(
                "gripper",
                f"The chunk's gripper widths go from {widths.min():.4f} to {widths.max():.4f} m; "
                f"valid is 0 to {gripper_max_m:g} m: convert openings to widths.",
            )
        widths = np.clip(widths, 0.0, gripper_max_m)
    dt_s = float(times[-1] - times[0]) / (len(times) - 1)
    return Actions(arm, widths, float(times[0]), dt_s, float(stamp))


def _uneven(times: np.ndarray) -> Refusal | None:
    if not np.isfinite(times).all():
        return Refusal("times", "The chunk's times are not all finite; give seconds from its stamp.")
    steps = np.diff(times)
    k = int(np.argmin(steps))
    if steps[k] <= 0:
        return Refusal(
            "times",
            f"The chunk's times do not increase (action {k} at {times[k]:g} s, action {k + 1} at "
            f"{times[k + 1]:g} s); give strictly increasing times from its stamp.",
        )
    if steps[k] < 1e-3 or steps.max() > 10.0:
        return Refusal(
            "times",
            f"The chunk's actions are {steps.min():g} to {steps.max():g} s apart; valid is 1 ms to "
            "10 s: give its times in seconds.",
        )
    if steps.max() - steps.min() > 0.05 * steps.mean():
        return Refusal(
            "times",
            f"The chunk's actions are {steps.min():g} to {steps.max():g} s apart; the step must "
            "be constant within 5 %: resample it.",
        )
    return None


def _columns(
    joint_names: Sequence[str], names: Sequence[str], what: str, allowed: set[str] | None = None
) -> list[int] | Refusal:
    """Where the arm's joints are among names."""
    try:
        given = [str(name) for name in names]
    except TypeError:
        given = []
    missing = [name for name in joint_names if name not in given]
    extra = [name for name in given if allowed is not None and name not in allowed]
    twice = sorted({name for name in given if given.count(name) > 1})
    if not (missing or extra or twice):
        return [given.index(name) for name in joint_names]
    faults = [
        f"{label} {', '.join(group[:8])}"
        for label, group in (("lacks", missing), ("does not know", extra), ("repeats", twice))
        if group
    ]
    faults = [f.replace("does not know", "has the unknown") for f in faults]
    return Refusal(
        "names",
        f"The {what} {' and '.join(faults)} (it has {', '.join(given[:12]) or 'none'}); valid are "
        f"{', '.join(joint_names)}{'' if allowed is None else ' and the gripper'}: check "
        "joint_names and the arm's prefix.",
    )


def _numbers(values: object) -> np.ndarray | None:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None


def _shape(values: np.ndarray | None) -> str:
    return "that is not an array of numbers" if values is None else str(values.shape)
