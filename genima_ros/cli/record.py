"""`genima record`: the recorder as a child process, and the operator's keys and table."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

import tyro

from genima_core.cameras import CameraRig
from genima_core.data.bags.episode_info import EpisodeInfo, episodes_in, next_number, number_of
from genima_core.files import check_name, write_json
from genima_ros.cli.terminal.keyboard import Keyboard
from genima_ros.cli.up import terminate_as_interrupt
from genima_ros.graph import graph
from genima_ros.graph.domain import claim, join_domain, node_environment
from genima_ros.graph.graph import NodeProcess
from genima_ros.graph.processes import PROBLEMS, RunningGraph

SPIN_S = 0.05
SHOW_S = 0.25
LOOK_ROUND_S = 3.0
"""After this time a recorder on another machine would be known."""
LABEL_S = 5.0
"""After the last of the wanted episodes there is this time to label or discard it."""


def record(
    task: tyro.conf.Positional[str] = "push_button",
    out: Path | None = None,
    episodes: int = 0,
    instruction: str = "",
    operator: str = "",
    fps: float = 30.0,
    images: Literal["jpeg", "raw"] = "jpeg",
    bell: bool = False,
    leader: bool = True,
    rig: Path | None = None,
    cameras: tuple[str, ...] = ("wrist", "front", "right_shoulder", "left_shoulder"),
    arm: str = "sim",
    arm_namespace: str = "",
    leader_arm: str = "",
    leader_namespace: str = "leader",
    config: Path | None = None,
    remap: tuple[str, ...] = (),
    json: Path | None = None,
) -> None:
    """Records demonstrations of a running cell.

    Shows every stream, reads single keys, and judges each episode at once.

    Keys, from a terminal or, one after the other, from a pipe: e engages joint mirroring and takes over from a policy,
    p pauses it, g ends it and gives the arm back to a policy, space starts and stops an episode, y and n label it
    success or failure, x discards it, r records it again, i asks for another instruction, b turns the bell on and off,
    q quits. While a policy asks (execution:=confirm), a approves of what it plans, and d has it draw again. Ctrl-X is
    an emergency stop of the arm, whatever else is under way; it does not replace the button on the robot.

    Example: genima record push_button --episodes 5

    Args:
        task: What is demonstrated; the folder and the episodes are named after it.
        out: Folder for the episodes, recordings/<task> by default; numbering continues after existing ones.
        episodes: Ends after this many; 0 continues until q.
        instruction: Of the first episodes, until another one arrives; the simulated cell sends its own.
        operator: Name that is kept with what is approved of; by default the user and the machine.
        fps: Rate that the cameras are set to.
        images: JPEG of quality 95, or the bytes as received.
        bell: Rings once when an episode starts or ends, three times when something is wrong.
        leader: Whether a leader arm must be there.
        rig: rig.json of the cameras; by default the rig on the topic camera_rig.
        cameras: Names of the cameras.
        arm: A name in config/arms (fr3, panda, sim), or a file like those; as of `genima up teleop real`.
        arm_namespace: Namespace of the arm's driver.
        leader_arm: The same for the leader; by default the same arm.
        leader_namespace: Namespace of the leader's driver.
        config: ROS parameter file for the recorder, with everything that has no option here.
        remap: Further topics to rename, such as front/color/image_raw:=/camera/front/color/image_raw.
        json: Writes what was recorded to this file.
    """
    check_name(task, "the task")
    if episodes < 0:
        raise ValueError(f"--episodes is {episodes}; give the number of episodes, or 0 for no limit")
    out = (Path("recordings") / task if out is None else out).absolute()
    if rig is not None:
        CameraRig.load(rig)
    own = {"out": str(out), "task": task, "instruction": instruction, "cameras": list(cameras), "fps": fps}
    own |= {"images": images, "leader": leader, "rig": "" if rig is None else str(rig.absolute())}
    of_arms, renamed = graph.arm_values(
        {"arm": arm, "arm_namespace": arm_namespace, "leader_arm": leader_arm, "leader_namespace": leader_namespace}
    )
    own |= {name: of_arms[name] for name in ("arm", "leader_arm")}
    files, renames = () if config is None else (config.absolute(),), (*renamed.items(), *graph.parse_remappings(remap))
    process = NodeProcess("recorder", "recorder_node", own, files, renames, niceness=0, respawn=True)
    first, domain = next_number(out), join_domain()
    from genima_ros.clients.record_session import RecordSession  # not at the top: `--help` works without ROS
    from genima_ros.messages.checks import find_instruction_fault

    if instruction and (fault := find_instruction_fault(instruction)):
        raise ValueError(f"--instruction: {fault}")
    before = signal.getsignal(signal.SIGINT)
    with terminate_as_interrupt(), ExitStack() as stack:
        alone = stack.enter_context(claim("recorder", domain))
        session = stack.enter_context(RecordSession(domain, ring, instruction, bell, operator))
        if not alone or session.spin_until(lambda: "recorder" in session.node.get_node_names(), LOOK_ROUND_S):
            raise RuntimeError(f"a recorder runs already in ROS domain {domain}: end it, or set ROS_DOMAIN_ID")
        running = stack.enter_context(RunningGraph([process], node_environment(os.environ), partial(notice, session)))
        stack.callback(ignore_interrupts)  # before the recorder is asked to end
        keyboard = stack.enter_context(Keyboard(sys.stdin))
        terminal = keyboard.is_terminal and sys.stdout.isatty()
        view = stack.enter_context(table_view(session, episodes) if terminal else plain_view(session))
        with suppress(KeyboardInterrupt):
            operate(session, running, keyboard, view, episodes)
    signal.signal(signal.SIGINT, before)
    summary = summarise(task, out, first, session.discarded)
    write_json(json, summary)
    print_summary(summary)


def operate(session, running: RunningGraph, keyboard: Keyboard, view: Callable[[], None], episodes: int) -> None:
    """Until the operator quits or the wanted number is kept."""
    enough_s, labelled, kept, pid = None, "", 0, None
    while not session.over:
        session.spin(SPIN_S)
        running.check()
        session.press(keyboard.read())
        session.step()
        view()
        recorder = session.recorder
        if running.pids.get("recorder", pid) != pid:  # one that was started again counts again
            session.kept_before += kept
            kept, pid = 0, running.pids["recorder"]
            session.diagnostics.pop("recorder", None)
            continue
        kept = int(recorder.get("kept", 0))
        if not episodes or session.recording or session.kept_before + kept < episodes or recorder["state"] != "idle":
            enough_s = None
        elif enough_s is None:
            enough_s, labelled = time.monotonic(), recorder["label"]
            session.say(f"{episodes} episodes are kept; y, n, x and r are for the last one, then it ends")
        elif recorder["label"] != labelled or time.monotonic() - enough_s > LABEL_S:
            session.press("q")


def notice(session, _: str, text: str) -> None:
    """A line of the recorder's output, if it tells of a problem."""
    if any(mark in text for mark in PROBLEMS):
        session.notes.append(f"[recorder] {text}")


def ring(times: int) -> None:
    print("\a" * times, end="", flush=True)


@contextmanager
def table_view(session, goal: int) -> Iterator[Callable[[], None]]:
    """A table that stays at the bottom of the terminal, and the notes above it."""
    from rich.console import Console
    from rich.live import Live

    from genima_ros.cli.terminal.record_table import show

    shown_s = 0.0
    # Redirected output would lose the bell.
    with Live(
        console=Console(), auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as live:

        def view() -> None:
            nonlocal shown_s
            while session.notes:
                live.console.print(session.notes.popleft(), markup=False, highlight=False)
            if session.line is not None or time.monotonic() - shown_s >= SHOW_S:
                shown_s = time.monotonic()
                live.update(show(session, goal), refresh=True)

        yield view


@contextmanager
def plain_view(session) -> Iterator[Callable[[], None]]:
    shown: dict[str, str] = {}

    def view() -> None:
        while session.notes:
            print(session.notes.popleft(), flush=True)
        states = {name: str(status or "absent") for name, status in session.states.items()}
        if session.recorder:
            states["recorder"] = "ready"
        for name, state in states.items():
            if shown.get(name) != state:
                shown[name] = state
                print(f"{name}: {state}", flush=True)

    yield view
    view()


def ignore_interrupts() -> None:
    """No second Ctrl-C while the recorder finishes an episode; it has a limited time to do so."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def summarise(task: str, out: Path, first: int, discarded: int) -> dict:
    """What is in the folder since the session began."""
    kept = []
    for folder in episodes_in(out):
        if number_of(folder) < first:
            continue
        try:
            info = EpisodeInfo.load(folder)
        except (FileNotFoundError, ValueError) as error:
            info = EpisodeInfo(task=task, instruction="", suspect=(str(error),))
        seconds, lost = info.quality.get("duration_s"), info.quality.get("frames_lost")
        row = {"episode": number_of(folder), "label": info.label, "suspect": list(info.suspect)}
        kept.append({**row, "seconds": seconds, "frames_lost": lost})
    counts = {"kept": len(kept), "suspect": sum(bool(e["suspect"]) for e in kept), "discarded": discarded}
    return {"task": task, "out": str(out), **counts, "episodes": kept}


def print_summary(summary: dict) -> None:
    out = Path(summary["out"])
    with suppress(ValueError):
        out = out.relative_to(Path.cwd())
    print(f"{summary['kept']} episodes kept, {summary['suspect']} of them suspect; {summary['discarded']} discarded")
    for episode in summary["episodes"]:
        for reason in episode["suspect"]:
            print(f"  episode {episode['episode']}: {reason}")
    if summary["kept"]:
        print(f"they are in {out}; look at them: genima bag info {out}")
        print(f"next: genima convert bags {out} data/{summary['task']}", flush=True)
