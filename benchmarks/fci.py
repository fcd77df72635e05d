"""The way from chunks and targets to an arm of the vendor's protocol: aborted motions, margins, latency, error.

    python benchmarks/fci.py --minutes 10 --json fci.json

The streamer and our driver run as processes at full speed, on franka-sim with all of its limits enforced. Half of the
time goes to chunks that the checkpoint made in the simulated cell, episode by episode; half to targets of teleoperation
with peaks of 1 rad/s. A motion that is aborted is recovered from, and counted. At the end each error that the simulated
arm knows ends a motion, and the time is taken until the arm moves again by the documented steps.
"""

import itertools
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from _rehearsal import DT_S, Rehearsal, ramp, rehearsing
from rich.console import Console
from rich.table import Table

from genima_core.environments.make import make_environment
from genima_core.evaluation.rollout import roll_out
from genima_core.files import write_json
from genima_core.franka.server import SimulatedArm, find_errors, find_server, running_server
from genima_core.policy import Policy
from genima_core.streaming.states import State
from genima_ros.arms import find_arm
from genima_ros.clients.recovery_client import RecoveryLink

TASKS = ("press_switch", "turn_tap", "take_lid_off_saucepan")
EPISODES = 4
"""Of each task."""
MOVED_RAD = 1e-4
"""The arm of franka-sim has no noise: less than this is rest."""
ANSWER_S = 20.0
PEAK_RAD_S, SWING_RAD = 1.0, 0.35
AWAY_RAD = 0.6
"""From the position limits: near them an FR3 must be slower than elsewhere."""
REFLEX_STEP_RAD = 0.2
MOVING_RAD_S = 0.05
PAUSE_S = 0.008
"""Between two targets."""
STEP_S = 1e-3
"""For a leader's velocity by differences."""


@dataclass
class Phase:
    """What was seen while one kind of command was sent."""

    seconds: float = 0.0
    sent: int = 0
    first_motion_s: list[float] = field(default_factory=list)
    errors_rad: list[float] = field(default_factory=list)
    """Largest of the joints, between where the arm is and where it was told to be at that time."""
    periods_s: list[float] = field(default_factory=list)
    """Between two set points, as they arrive here."""
    success_rates: list[float] = field(default_factory=list)


def main(
    checkpoint: Path = Path("checkpoints/demo"),
    minutes: float = 10.0,
    backend: Literal["impedance", "robot"] = "impedance",
    velocity_feedforward: bool = False,
    reflexes: bool = True,
    seed: int = 20000,
    domain: int = 79,
    json: Path | None = None,
) -> None:
    """Prints what came of it.

    Args:
        checkpoint: whose chunks are followed
        minutes: of chunks and targets together
        backend: of the driver
        velocity_feedforward: of the driver
        reflexes: whether to go through the arm's errors
        seed: first scene
        domain: ROS domain that nobody else uses
        json: where to write the results for machines
    """
    try:
        program = find_server()
    except RuntimeError as error:
        print(error)
        write_json(json, {"rows": [], "not_run": [str(error)]})
        return
    episodes = chunks_of(checkpoint, seed)
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    phases = {"chunks": Phase(), "targets": Phase()}
    options = {"backend": backend, "velocity_feedforward": velocity_feedforward}
    with (
        ExitStack() as stack,
        tempfile.TemporaryDirectory() as folder,
        open(Path(folder) / "log", "w") as log,
        running_server(program, Path(folder) / "server.log") as arm,
        rehearsing(Path(folder), domain, log, **options) as (rehearsal, _),
    ):
        link = stack.enter_context(RecoveryLink(domain))
        rehearsal.wait_until(lambda: rehearsal.level == 0, ANSWER_S, f"the arm is not held: {rehearsal.status}")
        begin_s, turn = rehearsal.now_s(), itertools.cycle(episodes)
        while rehearsal.now_s() - begin_s < 30 * minutes:
            play(rehearsal, link, phases["chunks"], next(turn))
        begin_s = rehearsal.now_s()
        while rehearsal.now_s() - begin_s < 30 * minutes:
            teleoperate(rehearsal, link, phases["targets"], min(30.0, 30 * minutes))
        rehearsal.spin(1.5)  # for the last diagnostics
        driver = dict(rehearsal.diagnostics["franka"])
        errors = find_errors(program) if reflexes else []
        recoveries = {error: recover_from(rehearsal, arm, link, error) for error in errors}
    rows = [row(name, phase) for name, phase in phases.items()]
    aborted = driver["ended"] or "none"
    margins = {
        name.removeprefix("share_of_"): round(1 - float(share), 3)
        for name, share in driver.items()
        if name.startswith("share_of_")
    }
    recovered_s = [seconds for seconds in recoveries.values() if seconds is not None]
    for name, seconds in recoveries.items():
        if seconds is None:
            print(f"not recovered from {name}")
    result = {"rows": rows, "aborted": aborted, "margins": margins, "backend": backend, "recoveries_s": recoveries}
    write_json(json, result)
    show(rows, str(aborted), margins)
    if recovered_s:
        median, most = np.median(recovered_s), max(recovered_s)
        told = f"{len(recovered_s)} of {len(recoveries)} errors, {median:.2f} s p50, {most:.2f} s at most"
        print(f"reflex to moving again: {told}")


def chunks_of(checkpoint: Path, seed: int) -> list[list[np.ndarray]]:
    """Of each episode in the cell, its chunks (20, 7) rad."""
    policy, result = Policy.load(checkpoint), []
    made: list[np.ndarray] = []

    class Recording:
        """The checkpoint's controller, whose actions are kept."""

        def __getattr__(self, name: str) -> object:
            return getattr(policy.controller, name)

        def act(self, *args: object) -> tuple[np.ndarray, np.ndarray]:
            positions, gripper = policy.controller.act(*args)
            made.append(np.array(positions, np.float64))
            return positions, gripper

    recording = replace(policy, controller=Recording())
    for task in TASKS:
        cell = make_environment(task, policy.checkpoint.rig)
        for k in range(EPISODES):
            made.clear()
            roll_out(cell, recording, seed + k)
            result.append([chunk.copy() for chunk in made])
        cell.close()
    return result


def ready(rehearsal: Rehearsal, link: RecoveryLink) -> bool:
    """Recovers by the documented steps where a motion was aborted, and enables; whether a chunk is wanted now."""
    fault = rehearsal.streamer is not None and rehearsal.streamer.state is State.FAULT
    if rehearsal.level != 0 or fault:
        print(f"{rehearsal.status}; {rehearsal.streamer}")
        for outcome in link.recover(find_arm("fr3_fci")):
            if not outcome.ok:
                print(f"not recovered: {outcome}")
    if not rehearsal.spin_until(lambda: rehearsal.level == 0, ANSWER_S):
        return False
    if not rehearsal.wanted:
        try:
            rehearsal.enable()
        except RuntimeError as error:
            print(error)
    return rehearsal.spin_until(lambda: rehearsal.wanted, ANSWER_S)


def play(rehearsal: Rehearsal, link: RecoveryLink, phase: Phase, chunks: list[np.ndarray]) -> None:
    """Goes to where the first chunk begins, and follows all."""
    if not chunks or not ready(rehearsal, link):
        return
    begin_s = rehearsal.now_s()
    rehearsal.commands.clear()
    rehearsal.joints.clear()
    rehearsal.spin_until(lambda: bool(rehearsal.joints), ANSWER_S)
    steps = max(1, int(np.ceil(np.abs(chunks[0][0] - rehearsal.q).max() / 0.3)))
    start = rehearsal.q
    approach = [start + (chunks[0][0] - start) * k / steps for k in range(steps + 1)]
    moves = [ramp(a, b) for a, b in itertools.pairwise(approach)]
    for k, positions in enumerate([*moves, *chunks]):
        if not rehearsal.spin_until(lambda: rehearsal.wanted or rehearsal.level != 0, ANSWER_S) or rehearsal.level:
            break
        before, sent_s = rehearsal.q, rehearsal.send_chunk(positions)
        phase.sent += 1
        moved = rehearsal.spin_until(lambda before=before: bool(np.abs(rehearsal.q - before).max() > MOVED_RAD), 0.5)
        if moved and k < len(moves):  # a ramp begins at once, whatever the policy would have done
            phase.first_motion_s.append(rehearsal.joints[-1].arrived_s - sent_s)
        rehearsal.spin_until(lambda: not rehearsal.wanted, 0.2)
    rehearsal.spin_until(lambda: rehearsal.wanted or rehearsal.level != 0, len(positions) * DT_S + ANSWER_S)
    note(rehearsal, phase, begin_s)


def teleoperate(rehearsal: Rehearsal, link: RecoveryLink, phase: Phase, seconds: float) -> None:
    """Swings all joints about where they are, each with a period of its own."""
    if not ready(rehearsal, link):
        return
    rehearsal.commands.clear()
    rehearsal.joints.clear()
    rehearsal.spin_until(lambda: bool(rehearsal.joints), ANSWER_S)
    begin_s, middle = rehearsal.now_s(), rehearsal.arm.clip(rehearsal.q, SWING_RAD + AWAY_RAD)
    start = rehearsal.q
    rates = PEAK_RAD_S / SWING_RAD * np.linspace(0.8, 1.0, 7)

    def leader(t_s: float) -> np.ndarray:
        """To the middle within 3 s, then out to the full swing within 3 more."""
        x, y = (u**3 * (10 - 15 * u + 6 * u * u) for u in np.clip([t_s / 3, t_s / 3 - 1], 0, 1))
        return start + (middle - start) * x + y * SWING_RAD * np.sin(rates * t_s)

    while (t_s := rehearsal.now_s() - begin_s) < seconds and rehearsal.level == 0:
        rehearsal.send_target(leader(t_s), (leader(t_s + STEP_S) - leader(t_s - STEP_S)) / (2 * STEP_S))
        phase.sent += 1
        rehearsal.spin(PAUSE_S)
        if rehearsal.streamer is not None and rehearsal.streamer.state is State.FAULT:
            break
    rehearsal.spin(1.0)
    note(rehearsal, phase, begin_s)


def recover_from(rehearsal: Rehearsal, arm: SimulatedArm, link: RecoveryLink, error: str) -> float | None:
    """Seconds from a reflex in mid motion until the arm moves again; None where it does not."""
    if not ready(rehearsal, link):
        return None
    goals = [rehearsal.arm.clip(rehearsal.q + step, AWAY_RAD) for step in (REFLEX_STEP_RAD, -REFLEX_STEP_RAD)]
    goal = max(goals, key=lambda goal: float(np.abs(goal - rehearsal.q).max()))
    if not begins_to_move(rehearsal, goal):
        return None
    begin_s = rehearsal.now_s()
    arm.tell(f"reflex {error}")
    rehearsal.spin_until(lambda: rehearsal.level not in (0, None), ANSWER_S)
    if not ready(rehearsal, link) or not begins_to_move(rehearsal, goal):
        return None
    return round(rehearsal.now_s() - begin_s, 3)


def begins_to_move(rehearsal: Rehearsal, goal: np.ndarray) -> bool:
    rehearsal.send_chunk(ramp(rehearsal.q, goal))
    return rehearsal.spin_until(lambda: speed(rehearsal) > MOVING_RAD_S, ANSWER_S)


def speed(rehearsal: Rehearsal) -> float:
    """Of the fastest joint, rad/s."""
    return float(np.abs(rehearsal.joints[-1].dq).max())


def note(rehearsal: Rehearsal, phase: Phase, begin_s: float) -> None:
    phase.seconds += rehearsal.now_s() - begin_s
    if isinstance(rate := rehearsal.diagnostics.get("franka", {}).get("success_rate"), float):
        phase.success_rates.append(rate)
    if len(rehearsal.commands) < 2 or len(rehearsal.joints) < 2:
        return
    times_s = np.array([seen.stamp_s for seen in rehearsal.commands])
    told = np.array([seen.q for seen in rehearsal.commands])
    arrived_s = np.array([seen.arrived_s for seen in rehearsal.commands])
    moving = np.abs(np.array([seen.dq for seen in rehearsal.commands])).max(axis=1) > 0.01
    phase.periods_s += np.diff(arrived_s)[moving[1:]].tolist()
    seen_s = np.array([seen.stamp_s for seen in rehearsal.joints])
    inside = (seen_s >= times_s[0]) & (seen_s <= times_s[-1])
    where = np.array([seen.q for seen in rehearsal.joints])[inside]
    wanted = np.column_stack([np.interp(seen_s[inside], times_s, column) for column in told.T])
    phase.errors_rad += np.abs(where - wanted).max(axis=1).tolist()


def row(name: str, phase: Phase) -> dict:
    def percentiles(values: list[float], factor: float = 1.0) -> list[float] | None:
        return [round(factor * float(x), 4) for x in np.percentile(values, [50, 99, 100])] if values else None

    return {
        "name": name,
        "device": f"{len(os.sched_getaffinity(0))} CPU cores",
        "seconds": round(phase.seconds, 1),
        "sent": phase.sent,
        "first_motion_ms": percentiles(phase.first_motion_s, 1e3),
        "error_rad": percentiles(phase.errors_rad),
        "period_ms": percentiles(phase.periods_s, 1e3),
        "success_rate": [round(float(np.mean(phase.success_rates)), 4), min(phase.success_rates)]
        if phase.success_rates
        else None,
    }


def show(rows: list[dict], aborted: str, margins: dict[str, float]) -> None:
    table = Table("", *(row["name"] for row in rows), title="p50 / p99 / most")
    for key in ("seconds", "sent", "first_motion_ms", "error_rad", "period_ms", "success_rate"):
        table.add_row(key, *(shown(row[key]) for row in rows))
    Console().print(table)
    print(f"aborted motions: {aborted}")
    print("margins to the vendor's limits:", ", ".join(f"{name} {100 * left:.0f} %" for name, left in margins.items()))


def shown(value: object) -> str:
    return " / ".join(f"{x:g}" for x in value) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    tyro.cli(main)
