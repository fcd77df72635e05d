"""What the page says, as HTML; whatever comes from the graph is escaped, because a message may say anything."""

import html
import math
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from genima_core.arm import Arm
from genima_core.arm_status import Level
from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.states import Commander, State
from genima_core.targets.gate import GateState
from genima_core.targets.look import TARGET_NAMES, Look
from genima_core.types import ActionChunk
from genima_ros.nodes.console.calls import Answer
from genima_ros.nodes.console.watch import SILENT_S, Heard, Note, Watch

GREEN, BLUE, ORANGE, RED, GREY = "#1b7f3b", "#2a5f94", "#a86400", "#b3261e", "#555b63"
SOFT_RED, SOFT_GREEN, SOFT_ORANGE, DIM = "#ff8a80", "#7bd88f", "#ffb74d", "#9aa0a6"
COLOURS = {State.TRACKING: GREEN, State.HOLDING: BLUE, State.STOPPING: ORANGE, State.FAULT: RED}
MEANING = {
    State.TRACKING: "MOVING",
    State.HOLDING: "AT REST",
    State.STOPPING: "STOPPING",
    State.FAULT: "FAULT",
}
LED_BY: Mapping[str, str] = {Commander.POLICY: "the policy leads it", Commander.HUMAN: "the operator leads it"}
STYLE = """<style>
.genima {padding: 0 0.7em; font-size: 0.85em; line-height: 1.4; overflow-wrap: anywhere}
.genima table {width: 100%; border-collapse: collapse}
.genima td, .genima th {padding: 1px 4px; text-align: left; vertical-align: top; font-weight: normal}
.genima td.number {text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap}
button:has(.icon-tabler-hand-stop) {height: 3.6em !important}
button:has(.icon-tabler-hand-stop) .mantine-Button-label {font-size: 1.45em; font-weight: 800 !important}
button:has(.icon-tabler-check), button:has(.icon-tabler-x) {height: 2.8em !important}
button:has(.icon-tabler-check) .mantine-Button-label, button:has(.icon-tabler-x) .mantine-Button-label {
  font-size: 1.15em; font-weight: 700 !important}
</style>"""
FRESH_ANSWER_S = 20.0


def text(value: object) -> str:
    return html.escape(str(value))


def box(inner: str) -> str:
    return f'<div class="genima">{inner}</div>'


def coloured(inner: str, colour: str) -> str:
    return f'<span style="color:{colour}">{inner}</span>'


def number(value: object, form: str = ".1f", unit: str = "") -> str:
    """A number as text, a dash where there is none."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:{form}}{f' {unit}' if unit else ''}" if known else "–"


def arm_banner(watch: Watch) -> str:
    """State of the arm and its reason, for one glance."""
    status = watch.streamer.value if watch.streamer.fresh else None
    if status is None:
        colour, word = GREY, "NO STREAMER"
        reason = "nothing commands the arm: start a graph (genima up sim), or look at its terminal"
    else:
        colour, word, reason = COLOURS[State(status.state)], MEANING[State(status.state)], status.text
    led = LED_BY.get(watch.commander, "all is well")
    lines = [text(reason or led)]
    arm = watch.arm_status
    if arm.value is not None and arm.fresh and arm.value.level is not Level.OK:
        lines.append(coloured(f"arm: {text(arm.value.message)}", SOFT_ORANGE))
    if watch.gate is not None and watch.gate.state is GateState.CLOSED:
        lines.append(coloured(f"policy paused by the gate: {text(watch.gate.text)}", SOFT_ORANGE))
    if watch.proposed is not None:
        lines.append(coloured("the policy waits for your yes or no, below", SOFT_ORANGE))
    if watch.success:
        lines.append(coloured("the task is solved", SOFT_GREEN))
    title = f"padding:0.25em 0.5em;font-size:1.7em;font-weight:800;color:#fff;background:{colour}"
    body = "min-height:3.2em;max-height:6em;overflow-y:auto;padding-top:0.3em"
    return f'{STYLE}<div style="{title}">{word}</div><div class="genima" style="{body}">{"<br>".join(lines)}</div>'


def answer_line(answers: Sequence[Answer], waiting: Sequence[str], age_s: float) -> str:
    """What the last call came to, and what has no answer yet."""
    parts = [coloured(f"… {text(what)}", DIM) for what in waiting]
    if answers and age_s < FRESH_ANSWER_S:
        last = answers[-1]
        parts.append(coloured(f"{'✓' if last.ok else '✗'} {text(last)}", SOFT_GREEN if last.ok else SOFT_RED))
    return box(f'<div style="min-height:1.4em">{"<br>".join(parts)}</div>')


def proposal(chunk: ActionChunk, arm: Arm, instruction: str, waited_s: float) -> str:
    """What the policy asks to do."""
    x, y, z = arm.frame_pose(chunk.positions[-1], "tcp")[:3, 3]
    goal = f"gripper to x {x:.2f}, y {y:.2f}, z {z:.2f} m within {len(chunk.positions) * chunk.dt_s:.1f} s"
    asked = f"<b>The policy asks:</b> {text(instruction)}"
    return box(f"{asked}<br>{goal}<br>{coloured(f'waits for {waited_s:.0f} s', DIM)}")


def legend(look: Look, opening: float) -> str:
    """What the drawn spheres mean."""
    colours = ("#{:02x}{:02x}{:02x}".format(*colour.light) for colour in look.colours(opening))
    parts = [f"{coloured('●', colour)} {name}" for name, colour in zip(TARGET_NAMES, colours, strict=True)]
    return f"The agent draws where {', '.join(parts[:-1])} and {parts[-1]} should be next."


def picture_caption(watch: Watch, rate_hz: float) -> str:
    drawn = "no drawing yet"
    if watch.drawing is not None:
        stamp = watch.drawing.header.stamp
        age_s = watch.now_s - stamp.sec - 1e-9 * stamp.nanosec
        drawn = f"drawing {age_s:.1f} s old"
        if age_s > SILENT_S:
            drawn = coloured(drawn, SOFT_ORANGE)
        drawn += f", {number(watch.says('diffusion', 'rate_hz'), '.1f', 'Hz')}"
    told = f"<b>{text(watch.instruction) or 'no instruction yet'}</b>"
    scene = f", scene {watch.scene}" if watch.scene is not None else ""
    meaning = f"{legend(watch.drawn_as, watch.opening)}<br>" if watch.drawing is not None else ""
    return box(f"{told}{scene}<br>{meaning}pictures {rate_hz:.0f} Hz; {drawn}")


def joint_table(arm: Arm, q: np.ndarray | None, opening: float) -> str:
    """Positions between their limits."""
    if q is None:
        return box("no joint states arrive")
    rows = []
    limits = zip(arm.joint_names, arm.limits.lower, q, arm.limits.upper, strict=True)
    for name, lower, value, upper in [*limits, ("gripper", 0.0, opening * arm.gripper.max_width_m * 1e3, 80.0)]:
        share = float(np.clip((value - lower) / (upper - lower), 0.0, 1.0))
        near = min(share, 1 - share) < 0.05 and name != "gripper"
        mark = f"position:absolute;left:calc({100 * share:.1f}% - 4px);width:8px;height:100%;border-radius:3px"
        bar = f'<div style="{mark};background:{SOFT_ORANGE if near else "#6ab0f3"}"></div>'
        track = f'<div style="position:relative;height:0.8em;margin-top:0.3em;background:#3a3f45">{bar}</div>'
        unit, form = ("mm", ".0f") if name == "gripper" else ("rad", ".2f")
        ends = f"{number(lower, form)} to {number(upper, form)}"
        shown = f"<td class='number'>{text(name[-7:].strip('_'))}</td><td style='width:40%'>{track}</td>"
        rows.append(
            f"<tr>{shown}<td class='number'>{number(value, form, unit)}</td><td class='number'>{ends}</td></tr>"
        )
    return box(f"<table>{''.join(rows)}</table>")


def node_table(nodes: Mapping[str, Heard[dict[str, float | str]]]) -> str:
    """Each node: whether it runs, how often it works and how long that takes, and what it complains of."""
    if not nodes:
        return box("no node is heard: start a graph, for example <code>genima up sim</code>")
    rows = ["<tr><th></th><th>node</th><th>rate</th><th>work</th><th>inputs' age</th></tr>"]
    for name, heard in sorted(nodes.items()):
        values, gone = heard.value, heard.age_s > SILENT_S + 1.5
        colour = SOFT_RED if gone else SOFT_ORANGE if values.get("level") else SOFT_GREEN
        ages = [value for key, value in values.items() if key.endswith("_age_ms") and isinstance(value, float)]
        cells = (
            number(values.get("rate_hz"), ".1f", "Hz"),
            number(values.get("latency_ms_median"), ".1f", "ms"),
            number(max(ages, default=None), ".0f", "ms"),
        )
        numbers = "".join(f"<td class='number'>{cell}</td>" for cell in cells)
        rows.append(
            f"<tr><td>{coloured('●', colour)}</td><td style='white-space:nowrap'>{text(name)}</td>{numbers}</tr>"
        )
        says = f"silent for {heard.age_s:.0f} s" if gone else values.get("message") if values.get("level") else ""
        if says:
            rows.append(f"<tr><td></td><td colspan=4>{coloured(text(says), colour)}</td></tr>")
    return box(f"<table>{''.join(rows)}</table>")


def note_list(notes: Iterable[Note]) -> str:
    lines = []
    for note in reversed(list(notes)):
        at = time.strftime("%H:%M:%S", time.localtime(note.at_s))
        line = coloured(text(note.text), SOFT_RED) if note.bad else text(note.text)
        lines.append(f"<tr><td class='number'>{coloured(at, DIM)}</td><td>{line}</td></tr>")
    return box(f"<table>{''.join(lines)}</table>" if lines else "nothing happened yet")


def recorder_summary(watch: Watch) -> str:
    """What `genima record` shows below its streams."""
    values = watch.nodes["recorder"].value if watch.here("recorder") else None
    if values is None:
        start = "<code>genima record TASK</code> in a terminal starts it; its keys and these buttons do the same"
        return box(f"no recorder runs: {start}")
    state = str(values.get("state"))
    word = {"recording": coloured("● RECORDING", SOFT_RED), "again": "starts again"}.get(state, "ready")
    episode, free = number(values.get("episode"), ".0f"), number(values.get("free_gb"), ".1f", "GB")
    minutes = number(values.get("minutes_left"), ".0f", "min")
    rows = {
        word: f"episode {episode}, {number(values.get('seconds'), '.1f', 's')}"
        if state != "idle"
        else f"next: {episode}",
        "kept": f"{number(values.get('kept'), '.0f')}, of these {number(values.get('suspect'), '.0f')} suspect; "
        f"{number(values.get('discarded'), '.0f')} discarded",
        "label": text(values.get("label") or "none yet"),
        "last episode": text(values.get("verdict") or "none yet"),
        "disk": f"{free} free{'' if minutes == '–' else f', for {minutes}'}",
    }
    if values.get("level"):
        rows["problem"] = coloured(text(values["message"]), SOFT_ORANGE)
    return box(
        "<table>" + "".join(f"<tr><td>{key}</td><td>{value}</td></tr>" for key, value in rows.items()) + "</table>"
    )


def teleop_line(watch: Watch) -> str:
    status = watch.teleop.value if watch.teleop.fresh else None
    if status is None:
        return box("no teleop node runs: <code>genima up teleop sim</code> has one")
    colour = {Mirroring.MIRRORING: SOFT_GREEN, Mirroring.STOPPED: SOFT_RED}.get(Mirroring(status.state), DIM)
    return box(f"{coloured(text(str(status.state).upper()), colour)} {text(status.text)}")


HELP = """
**What you see.** Left, what the cameras see. Move the slider to the right: what the agent *draws* onto it, namely where
four parts of the arm should be one second from now: base (red), elbow (green), wrist (purple), gripper (yellow when
closed, cyan when open). In the middle, the arm as it is; translucent balls are the drawing located in space, the line
is the path that follows from it, with the times at which it is due.

**How to stop it.** Press the red button at the top right, or **Esc**: the arm stops as fast as its limits allow and
stays. *Reset fault*, then *Enable*, lets it go on. None of this replaces the button on a real robot.

**How to tell it what to do.** *Tell* holds the instruction, the scene and the speed; *Record* what `genima record`
does; *Lead* a handle that takes the arm by its gripper; *State* the joints, every node, and what happened last.
"""
