"""Tabs of the desk: telling the graph what to do, and recording."""

import math
import time
from collections.abc import Callable, Sequence
from typing import get_args

import viser

from genima_core.sim.task import task_names
from genima_core.types import Execution
from genima_ros.nodes.console import words
from genima_ros.nodes.console.calls import Calls
from genima_ros.nodes.console.desk import Html, add_button, set_visible
from genima_ros.nodes.console.watch import Watch

OTHER = "(another one)"
SLOWEST = 0.01
OWN_STEPS = "as trained"
STEPS = (OWN_STEPS, "1", "2", "3", "5", "10")
NOTHING = "nothing"
TAKEN_S = 3.0
"""Within this what was chosen has been taken or refused, and the diagnostics say which."""


class Choice:
    """An input that shows what the graph says, unless somebody has just changed it."""

    def __init__(self, handle: viser.GuiInputHandle, choose: Callable[[object], object]) -> None:
        self.handle, self._choose, self._told, self._chosen_s = handle, choose, handle.value, -math.inf
        handle.on_update(self._on_choice)

    def follow(self, value: object) -> None:
        """What the graph says now; what was chosen and refused does not stay."""
        waits = time.monotonic() - self._chosen_s < TAKEN_S
        if value is None or value == self.handle.value or (waits and value == self._told):
            return
        self._told = self.handle.value = value

    def _on_choice(self, event: viser.GuiEvent) -> None:
        if event.client is not None:
            self._chosen_s = time.monotonic()
            self._choose(event.target.value)


class TellTab:
    def __init__(
        self, gui: viser.GuiApi, calls: Calls, known: Sequence[str], instruct: Callable[[str], object]
    ) -> None:
        """`known`: instructions of the checkpoint."""
        self._gui, self._calls, self._instructed = gui, calls, 0
        self._known = gui.add_dropdown("known", (OTHER, *known), visible=bool(known), hint="what it was trained on")
        self._text = gui.add_text("instruction", "", hint="one sentence")
        self._known.on_update(self._on_known)
        add_button(gui, "Tell", lambda: instruct(self._text.value), icon=viser.Icon.SEND)
        self._speed = gui.add_slider("speed, %", 1, 100, 1, 100, hint="velocity_scale of the streamer")
        self._wanted_speed: float | None = None
        self._speed_choice = Choice(self._speed, lambda value: setattr(self, "_wanted_speed", value))
        steps = gui.add_dropdown("steps", STEPS, hint="denoising steps of a drawing")
        self._steps = Choice(
            steps, lambda value: calls.set("diffusion", "denoising_steps", 0 if value == OWN_STEPS else int(str(value)))
        )
        self._execution = Choice(
            gui.add_dropdown(
                "execution",
                get_args(Execution),
                hint="sync: rest, look, move; async: no pause; confirm: as sync, and each motion waits for your yes",
            ),
            lambda value: calls.set("streamer", "execution", value),
        )
        self._gate = Choice(
            gui.add_checkbox("gate", False, hint="refuse drawings that cannot be this arm; three in a row pause it"),
            lambda value: calls.set("controller", "gate", value),
        )
        with gui.add_folder("simulated cell") as self._cell:
            self._task = Choice(
                gui.add_dropdown("task", task_names(), hint="counts from the next scene on"),
                lambda task: calls.set("sim", "task", task),
            )
            self._perturb = Choice(
                gui.add_dropdown("changed", (NOTHING, *perturbations()), hint="from what a policy was trained on"),
                lambda name: calls.set("sim", "perturb", "" if name == NOTHING else name),
            )
            add_button(gui, "Next scene", lambda: calls.ask("sim", "reset"), icon=viser.Icon.REFRESH)
        self._cell.visible = False

    def show(self, watch: Watch) -> None:
        if watch.instructed != self._instructed:
            self._instructed = watch.instructed
            self._text.value = watch.instruction
            known = watch.instruction in self._known.options
            self._known.value = watch.instruction if known else OTHER
        if self._wanted_speed is not None:
            self._calls.set("streamer", "velocity_scale", self._wanted_speed / 100)
            self._wanted_speed = None
        speed = watch.says("streamer", "velocity_scale")
        self._speed_choice.follow(max(1, round(100 * speed)) if isinstance(speed, float) else None)
        self._task.follow(watch.says("sim", "task"))
        perturb = watch.says("sim", "perturb")
        self._perturb.follow(perturb if perturb is None or perturb in self._perturb.handle.options else NOTHING)
        steps = watch.says("diffusion", "steps")
        self._steps.follow(f"{steps:.0f}" if isinstance(steps, float) and steps else OWN_STEPS)
        self._execution.follow(watch.says("streamer", "execution"))
        gate = watch.says("controller", "gate")
        self._gate.follow(None if gate is None else gate == "true")
        for handle, node in (
            (self._steps.handle, "diffusion"),
            (self._execution.handle, "controller"),
            (self._gate.handle, "controller"),
            (self._cell, "sim"),
        ):
            set_visible(handle, watch.here(node))

    def _on_known(self, event: viser.GuiEvent) -> None:
        if event.client is not None and event.target.value != OTHER:
            self._text.value = event.target.value


def perturbations() -> tuple[str, ...]:
    """What may be changed in a simulated cell; nothing where what simulates one is not installed."""
    try:
        from genima_core.sim.perturbations import ALL, PERTURBATIONS
    except ImportError:
        return ()
    return *PERTURBATIONS, ALL


class RecordTab:
    """What `genima record` does by keys, by the same services."""

    def __init__(self, gui: viser.GuiApi, calls: Calls) -> None:
        self._summary = Html(gui)
        for label, buttons in {
            "episode": {"Start": "start", "Stop": "stop"},
            "last one": {"Discard": "discard", "Re-record": "rerecord"},
            "label": {"Success": "label", "Failure": "label"},
        }.items():
            group = gui.add_button_group(label, tuple(buttons))
            group.on_click(lambda event, buttons=buttons: self._press(calls, event.target.value, buttons))

    @staticmethod
    def _press(calls: Calls, label: str, buttons: dict[str, str]) -> None:
        request = {"data": label == "Success"} if buttons[label] == "label" else {}
        calls.ask("recorder", buttons[label], **request)

    def show(self, watch: Watch) -> None:
        self._summary.show(words.recorder_summary(watch))
