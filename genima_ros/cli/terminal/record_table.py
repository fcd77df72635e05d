"""What the operator sees while recording: every stream, the episode, the disk, and the keys."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from genima_ros.clients.record_session import RecordSession

KEYS = (
    "[e] engage  [p] pause  [g] give back  [space] start/stop  [y] success  [n] failure  [x] discard  [r] re-record  "
    "[i] instruction  [a] approve  [d] draw again  [b] bell  [q] quit  [Ctrl-X] EMERGENCY STOP"
)
COLUMNS = {
    "rate Hz": ("rate_hz", ".1f"),
    "age ms": ("age_ms", ".0f"),
    "skew ms": ("skew_ms", ".1f"),
    "lost": ("lost", ".0f"),
}
STALE_MS = 1000.0

Values = Mapping[str, float | str]


def show(session: "RecordSession", goal: int) -> Group:
    """All of it, and the line that is being typed; `goal` is 0 without a number of episodes."""
    recorder, states = session.recorder, session.states
    if not recorder:
        return Group(Text("the recorder starts ..."))
    typed = "" if session.line is None else f"instruction (Enter sets it, Esc leaves it): {session.line}▏"
    return Group(
        streams(recorder),
        Text("   ".join(f"{name} {state or 'absent'}" for name, state in states.items()), style="cyan"),
        episode(recorder, goal, session.kept_before),
        disk(recorder),
        *([Text(str(recorder["message"]), style="bold yellow")] if recorder["level"] else []),
        Text(session.note, style="yellow" if recorder["last_suspect"] else "bold"),
        Text(KEYS, style="dim"),
        Text("bell on" if session.bell else "bell off", style="dim"),
        Text(typed, style="bold"),
    )


def streams(recorder: Values) -> Table:
    table = Table("stream", *COLUMNS, title=str(recorder.get("instruction", "")) or None)
    for name in names(recorder):
        cells = [cell(recorder.get(f"{name}.{key}"), form) for key, form in COLUMNS.values()]
        age_ms = recorder.get(f"{name}.age_ms")
        fresh = isinstance(age_ms, float) and abs(age_ms) < STALE_MS
        table.add_row(name, *cells, style=None if fresh else "red")
    return table


def names(recorder: Values) -> list[str]:
    """Streams in the node's order."""
    return [key.removesuffix(".rate_hz") for key in recorder if key.endswith(".rate_hz")]


def episode(recorder: Values, goal: int, before: int) -> Text:
    """Of `goal` episodes `before` were kept by recorders before this one."""
    number = f"episode {recorder['episode']:.0f}"
    kept = f"{before + float(recorder['kept']):.0f}{f' of {goal}' if goal else ''} kept"
    now = {
        "recording": f"● {number}  {recorder['seconds']:.1f} s  {recorder['written_mb']:.0f} MB",
        "again": f"{number} starts again in {recorder['again_in_s']:.0f} s",
    }.get(str(recorder["state"]), f"next is {number}")
    recording = recorder["state"] == "recording"
    labelled = f"episode {float(recorder['episode']) - (not recording):.0f} is labelled {recorder['label']}"
    label = f"; {labelled}" if recorder["label"] else ""
    counts = f"{kept}, {recorder['suspect']:.0f} suspect, {recorder['discarded']:.0f} discarded"
    return Text(f"{now}{label}   ({counts})", style="bold red" if recording else "bold")


def disk(recorder: Values) -> Text:
    minutes = cell(recorder["minutes_left"], ".0f")
    lasts = f", for {minutes} min" if minutes else ""
    lost = f", {recorder['overflow']:.0f} messages lost in the queue" if recorder["overflow"] else ""
    return Text(f"disk {recorder['free_gb']:.1f} GB free{lasts}; {recorder['waiting_mb']:.1f} MB waiting{lost}")


def cell(value: object, form: str) -> str:
    """A number as text; "" where there is none."""
    return format(value, form) if isinstance(value, float) and math.isfinite(value) else ""
