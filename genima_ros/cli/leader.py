"""`genima leader`: the simulated leader moved by sliders in a terminal, over SSH as well."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from genima_ros.cli.terminal.keyboard import Keyboard
from genima_ros.graph.domain import join_domain

if TYPE_CHECKING:
    from genima_core.arm import Arm
    from genima_ros.clients.leader_client import LeaderClient

REPEAT_S = 0.5
"""The leader takes silence for "let go"."""
SPIN_S = 0.05
BAR = 32
FINE = 0.2
"""Of a step, by capital G and shifted arrows' stand-ins < and >."""
KEYS = "1-7 or ↑/↓ joint   -/+ or ←/→ step   </> small step\ng gripper   h home   q quit"


class Sliders:
    """Where the leader should be, and which joint the keys move."""

    def __init__(self, arm: "Arm", q: np.ndarray, opening: float, step_rad: float) -> None:
        self.q = np.array(q, dtype=np.float64)
        self.opening = opening
        self.joint = 0
        self._arm, self._step_rad = arm, step_rad

    def press(self, key: str) -> None:
        if key in tuple("1234567"):
            self.joint = int(key) - 1
        elif key in ("up", "down"):
            self.joint = (self.joint + (1 if key == "down" else -1)) % 7
        elif key in ("+", "=", "right", "-", "left", "<", ">"):
            step = self._step_rad * (FINE if key in "<>" else 1.0) * (-1 if key in ("-", "left", "<") else 1)
            i, limits = self.joint, self._arm.limits
            self.q[i] = np.clip(self.q[i] + step, limits.lower[i], limits.upper[i])
        elif key == "g":
            self.opening = 0.0 if self.opening > 0.5 else 1.0
        elif key == "h":
            self.q = self._arm.home.copy()

    def table(self, measured: np.ndarray, problem: str = "") -> Table:
        """The sliders within their limits, with where the leader is."""
        caption, style = (problem, "bold red") if problem else (KEYS, "dim")
        table = Table(title="leader", caption=caption, caption_style=style, box=None, title_style="bold")
        for column in ("joint", "min", "", "max", "rad", "there"):
            table.add_column(column, justify="left" if column in ("joint", "") else "right")
        rows = zip(self._arm.joint_names, self._arm.limits.lower, self.q, self._arm.limits.upper, measured, strict=True)
        for i, (name, lower, q, upper, there) in enumerate(rows):
            bar, style = _bar((q - lower) / (upper - lower)), "bold green" if i == self.joint else ""
            numbers = f"{upper:.2f}", f"{q:.3f}", f"{there:.3f}"
            table.add_row(f"{i + 1} {name}", f"{lower:.2f}", bar, *numbers, style=style)
        table.add_row("g gripper", "0.00", _bar(self.opening), "1.00", f"{self.opening:.2f}", "")
        return table


def leader(step: float = 0.05, domain: int | None = None) -> None:
    """Moves the simulated leader by sliders in the terminal.

    Its graph is `genima up teleop sim`; the scripted expert waits meanwhile.

    Example: genima leader --step 0.02

    Args:
        step: What one press moves, rad.
        domain: ROS domain of the leader; by default ROS_DOMAIN_ID.
    """
    if not 0 < step <= 0.5:
        raise ValueError(f"--step is {step}; valid is above 0 to 0.5 rad")
    from genima_ros.clients.leader_client import LeaderClient  # not at the top: `--help` works without ROS

    with LeaderClient(join_domain(domain)) as client, Keyboard(sys.stdin) as keyboard:
        client.wait_ready()
        move(Sliders(client.arm, client.q, client.opening, step), client, keyboard.read)


def move(
    sliders: Sliders,
    link: "LeaderClient",
    read_keys: Callable[[], list[str]],
    clock_s: Callable[[], float] = time.monotonic,
) -> None:
    """Takes keys until q; sends on every key, and again and again."""
    sent_s = -np.inf
    with Live(sliders.table(link.q), console=Console(), auto_refresh=False) as live:
        while True:
            pressed = read_keys()
            for key in pressed:
                if key == "q":
                    return
                sliders.press(key)
            if pressed or clock_s() - sent_s > REPEAT_S:
                link.send(sliders.q, sliders.opening)
                sent_s = clock_s()
            live.update(sliders.table(link.q, "" if link.heard else "the leader node has gone; q ends"), refresh=True)
            link.spin(SPIN_S)


def _bar(fraction: float) -> Text:
    at = round(float(np.clip(fraction, 0.0, 1.0)) * (BAR - 1))
    return Text("─" * at + "●" + "─" * (BAR - 1 - at))
