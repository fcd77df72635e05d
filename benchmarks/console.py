"""What the console shows how fast, what that costs, and whether anybody who looks delays the arm.

    python benchmarks/console.py --seconds 40 --json console.json

The whole graph of the simulated cell runs with the checkpoint. Viewers are websocket clients that read all that a
browser reads, in a process of their own; a stalled one connects and never reads. Phases without and with viewers take
turns, so that a machine that others use as well treats them alike. Then the console alone shows a synthetic cell with
larger pictures. How long a page takes is measured in Chromium, where that and playwright are installed.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tyro
from _viewer import Viewer
from rich.console import Console
from rich.table import Table

from genima_core.files import write_json
from genima_core.streaming.states import State
from genima_core.timing import PeriodMeter
from genima_ros.clients.observer import Observer
from genima_ros.clients.running import start, wait_ready
from genima_ros.graph.domain import node_environment
from genima_ros.graph.graph import READY_S, GraphDescription, NodeProcess, argument_values, describe_graph
from genima_ros.messages import interfaces
from genima_ros.messages.status import read_status
from genima_ros.share import find_checkpoint

PERIOD_S, MOVING_RAD_S = 0.02, 1e-3
CALL_S, USABLE_S, STOP_S, SETTLE_S = 30.0, 60.0, 10.0, 2.0
CROWD, STALLED = 5, 1
PUBLISHER, DRAWINGS_HZ = Path(__file__).with_name("_publisher.py"), 10.0
SOFTWARE_GL = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")


class Listener(Observer):
    """Counts drawings, and the time between commands while the arm moves; knows the streamer's state."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain, "console_benchmark")
        self.periods, self.drawings = PeriodMeter(PERIOD_S, 10**6), 0
        self.state: State | None = None
        self.state_s = 0.0
        self.listen(interfaces.JOINT_COMMANDS, self._on_command)
        self.listen(interfaces.TARGETS, lambda _: setattr(self, "drawings", self.drawings + 1))
        self.listen(interfaces.STREAMER_STATE, self._on_state)

    def begin(self) -> None:
        self.periods, self.drawings = PeriodMeter(PERIOD_S, 10**6), 0

    def _on_command(self, message: Any) -> None:
        if max(map(abs, message.velocity)) > MOVING_RAD_S:
            self.periods.tick(time.monotonic())
        else:
            self.periods.pause()

    def _on_state(self, message: Any) -> None:
        status = read_status(message, State)
        if status is not None and status.state is not self.state:
            self.state, self.state_s = State(status.state), time.monotonic()


def main(
    checkpoint: Path = Path("checkpoints/demo"),
    task: str = "turn_tap",
    seconds: float = 20.0,
    rounds: int = 2,
    stops: int = 30,
    domain: int = 82,
    json: Path | None = None,
) -> None:
    """Prints tables.

    Args:
        checkpoint: Folder with the trained models.
        task: What the arm does meanwhile.
        seconds: Of each phase.
        rounds: How often the phases take turns.
        stops: Emergency stops to time.
        domain: ROS domain.
        json: File for the rows.
    """
    texts = {"checkpoint": str(checkpoint), "task": task, "execution": "async"}
    description = describe_graph("sim", argument_values("sim", {**texts, "console": "true"}))
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        log = stack.enter_context(open(os.devnull, "w"))
        running, listener = start(description, stack, domain, Listener, log)
        wait_ready(running, listener, READY_S)
        address = str(listener.diagnostics["console"]["address"])
        rows.append({"name": "page usable after it is opened", "seconds": open_in_browser(address)})
        node = psutil.Process(running.pids["console"])
        phases = [("nobody", 0, 0), ("one viewer", 1, 0), (f"{CROWD}, {STALLED} stalled", CROWD - STALLED, STALLED)]
        measured = [
            {"round": number, "name": name, **measure(listener, node, address, seconds, viewers, stalled)}
            for number in range(rounds)
            for name, viewers, stalled in phases
        ]
        rows += [*measured, time_stops(listener, address, stops)]
    measured.append(measure_large(seconds, domain, checkpoint))
    rows.insert(-1, measured[-1])
    load = os.getloadavg()[0]
    show(measured, rows[0], rows[-1], load)
    write_json(json, {"rows": rows, "load_average": load, "cpu_count": os.cpu_count()})


def measure(
    listener: Listener,
    node: psutil.Process,
    address: str,
    seconds: float,
    viewers: int,
    stalled: int,
    acting: bool = True,
) -> dict[str, Any]:
    """One phase: what the graph does meanwhile, and what the console costs."""
    with ExitStack() as stack:
        crowd = None
        if viewers:
            command = [sys.executable, str(Path(__file__).with_name("_crowd.py")), address, str(viewers), str(stalled)]
            crowd = stack.enter_context(subprocess.Popen([*command, str(seconds)], stdout=subprocess.PIPE, text=True))
        if acting:
            listener.call("sim", "reset", CALL_S)
        listener.spin(SETTLE_S)
        listener.begin()
        began_s, before_s = time.monotonic(), sum(node.cpu_times()[:2])
        listener.spin(seconds)
        passed_s, used_s = time.monotonic() - began_s, sum(node.cpu_times()[:2]) - before_s
        rates = [] if crowd is None else [float(text) for text in crowd.communicate(timeout=USABLE_S)[0].split()]
    summary = listener.periods.summary()
    return {
        "picture_rate_hz": float(np.median(rates)) if rates else None,
        "cpu_cores": used_s / passed_s,
        "drawing_rate_hz": listener.drawings / passed_s,
        "command_jitter_ms_p50": summary["jitter_ms_p50"] if acting else None,
        "command_jitter_ms_p99": summary["jitter_ms_p99"] if acting else None,
        "load_average": os.getloadavg()[0],
    }


def measure_large(seconds: float, domain: int, checkpoint: Path) -> dict[str, Any]:
    """The console and one viewer, with four pictures of 256x256 and a drawing of all."""
    parameters = {"checkpoint": str(find_checkpoint(checkpoint))}
    page = NodeProcess("console", "console_node", parameters, (), (), niceness=0, respawn=False)
    with ExitStack() as stack:
        log = stack.enter_context(open(os.devnull, "w"))
        running, listener = start(GraphDescription((page,), (), ""), stack, domain, Listener, log)
        wait_ready(running, listener, READY_S)
        address = str(listener.diagnostics["console"]["address"])
        options = ["--seconds", str(seconds + 60), "--drawings-hz", str(DRAWINGS_HZ)]
        environment = node_environment(os.environ, domain)
        publisher = subprocess.Popen([sys.executable, str(PUBLISHER), *options], env=environment)
        stack.callback(publisher.wait)
        stack.callback(publisher.terminate)
        node = psutil.Process(running.pids["console"])
        return {"round": "", "name": "one, 4 x 256x256", **measure(listener, node, address, seconds, 1, 0, False)}


def open_in_browser(address: str) -> float | None:
    """Seconds from opening the page until its stop button and a picture are there; None without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None or find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(SOFTWARE_GL))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        began_s = time.monotonic()
        page.goto(address)
        page.get_by_role("button", name="EMERGENCY STOP").wait_for(timeout=1e3 * USABLE_S)
        page.locator("img:visible").first.wait_for(timeout=1e3 * USABLE_S)
        passed_s = time.monotonic() - began_s
        browser.close()
    return passed_s


def time_stops(listener: Listener, address: str, count: int) -> dict[str, Any]:
    """From the websocket message to the streamer in FAULT, as a listener hears of it; the arm is at rest or moving."""
    times_ms = []
    with Viewer(address) as viewer:
        viewer.find("RegisterCommand", "Emergency stop")
        for _ in range(count):
            sent_s = time.monotonic()
            viewer.trigger("Emergency stop")
            stopped = (State.FAULT, State.STOPPING)
            listener.wait_until(lambda: listener.state in stopped and listener.state_s > sent_s, STOP_S, "no stop")  # noqa: B023
            reacted_s = listener.state_s
            listener.wait_until(lambda: listener.state is State.FAULT, STOP_S, "no fault")
            times_ms.append((1e3 * (reacted_s - sent_s), 1e3 * (listener.state_s - sent_s)))
            viewer.press("Reset fault", group="after a stop")
            listener.wait_until(lambda: listener.state is State.HOLDING, STOP_S, "no reset")
            viewer.press("Enable", group="motion")
            listener.spin(SETTLE_S / 2)
    reacted, fault = np.array(times_ms).T
    return {
        "name": "emergency stop",
        "count": count,
        "reaction_ms_p50": float(np.percentile(reacted, 50)),
        "reaction_ms_p99": float(np.percentile(reacted, 99)),
        "emergency_stop_ms_p50": float(np.percentile(fault, 50)),
        "emergency_stop_ms_p99": float(np.percentile(fault, 99)),
    }


def show(measured: list[dict[str, Any]], usable: dict[str, Any], stop: dict[str, Any], load: float) -> None:
    columns = ("pictures Hz", "node, cores", "drawings Hz", "jitter p50 ms", "jitter p99 ms", "load")
    table = Table("round", "viewers", *columns, title="console")
    for row in measured:
        numbers = [value for key, value in row.items() if key not in ("round", "name")]
        table.add_row(str(row["round"]), row["name"], *("" if v is None else f"{v:.2f}" for v in numbers))
    console = Console()
    console.print(table)
    if usable["seconds"] is not None:
        console.print(f"usable {usable['seconds']:.1f} s after it is opened in Chromium without a GPU")
    console.print(f"load average {load:.1f} on {os.cpu_count()} cores")
    reaction = f"{stop['reaction_ms_p50']:.0f} ms (p99 {stop['reaction_ms_p99']:.0f})"
    fault = f"{stop['emergency_stop_ms_p50']:.0f} ms (p99 {stop['emergency_stop_ms_p99']:.0f})"
    console.print(f"emergency stop: the streamer begins to stop after {reaction}, and is in FAULT after {fault}")


if __name__ == "__main__":
    tyro.cli(main)
