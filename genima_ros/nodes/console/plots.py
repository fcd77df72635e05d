"""Time plots of the last half minute."""

import time
from collections import deque

import numpy as np
import viser

from genima_ros.nodes.console.watch import HISTORY_S, STEP_S, Watch

NAN = float("nan")
HEIGHT_PX = 130
SHOWN_EVERY_S = 0.5
COLOURS = ("#6ab0f3", "#ffb74d")
GREY = "#8a9099"
AXIS = {"stroke": GREY, "grid": {"stroke": "#3a3f45", "width": 1}, "ticks": {"stroke": "#3a3f45"}, "size": 42}


class Plots:
    """Commands against measured positions of one joint; by how much the arm and the plan miss what they follow."""

    def __init__(self, gui: viser.GuiApi, joints: tuple[str, ...]) -> None:
        self._rows: deque[tuple[float, ...]] = deque(maxlen=round(HISTORY_S / STEP_S))
        self._added_s = self._shown_s = 0.0
        self._joints = joints
        self._error = self._plot(gui, "furthest joint from its command, mrad", ("following error",))
        self._joint = gui.add_dropdown("joint", joints, hint="of which command and measurement are plotted")
        self._position = self._plot(gui, "position, rad", ("commanded", "measured"))
        self._apart = self._plot(gui, "gripper: drawn to planned, cm", ("drawing error",))

    def add(self, watch: Watch, apart_m: float) -> None:
        """A sample of now, `apart_m`: from where the gripper is drawn to where the plan ends."""
        now_s = time.monotonic()
        if now_s - self._added_s < STEP_S:
            return
        self._added_s = now_s
        nothing = np.full(len(self._joints), NAN)
        commanded = nothing if watch.command.value is None or watch.command.age_s > 0.3 else watch.command.value
        measured = nothing if watch.q is None else watch.q
        self._rows.append((now_s, 1e3 * watch.following_error(), 1e2 * apart_m, *commanded, *measured))

    def show(self) -> None:
        now_s = time.monotonic()
        if now_s - self._shown_s < SHOWN_EVERY_S or len(self._rows) < 2:
            return
        self._shown_s = now_s
        columns = np.array(self._rows).T
        t_s, joint = columns[0] - now_s, self._joints.index(self._joint.value)
        rows = columns[3 + joint], columns[3 + len(self._joints) + joint]
        for plot, values in ((self._position, rows), (self._error, columns[1:2]), (self._apart, columns[2:3])):
            known = np.isfinite(values).all(axis=0)  # the page finds no scale where a value is none
            if known.sum() > 1:
                plot.data = t_s[known], *(row[known] for row in values)

    def _plot(self, gui: viser.GuiApi, title: str, names: tuple[str, ...]) -> viser.GuiUplotHandle:
        empty = np.array([-HISTORY_S, 0.0])
        lines = [{"label": name, "stroke": colour, "width": 2} for name, colour in zip(names, COLOURS, strict=False)]
        return gui.add_uplot(
            (empty, *[np.full(2, NAN) for _ in names]),
            ({"label": "s"}, *lines),
            title=title,
            scales={"x": {"time": False, "auto": False, "range": (-HISTORY_S, 0.0)}},
            axes=(AXIS | {"size": 30}, AXIS),
            height=HEIGHT_PX,
        )
