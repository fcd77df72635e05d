"""The operator's desk: what is always in sight (state of the arm, stop), the pictures, and a tab for each purpose."""

import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, Protocol

import numpy as np
import viser

from genima_core.arm import Arm
from genima_core.targets.gate import GateState
from genima_ros.clients.observer import user_name
from genima_ros.messages.interfaces import BY
from genima_ros.nodes.console import words
from genima_ros.nodes.console.calls import STOP, Answer, Calls
from genima_ros.nodes.console.plots import Plots
from genima_ros.nodes.console.watch import Watch

LEFT_PX, RIGHT_PX = 360, 330
NOT_YET = np.full((480, 480, 3), 40, np.uint8)
JPEG_QUALITY = 80
REFUSED_PX = 260
SLOW_EVERY_S = 0.5
"""Of what only people read."""
SERVICES = (
    *(("streamer", name) for name in ("enable", "stop", "reset_fault")),
    *(("controller", name) for name in ("approve", "reject", "resume")),
    ("sim", "reset"),
    *(("teleop", name) for name in ("engage", "pause", "disengage")),
    *(("recorder", name) for name in ("start", "stop", "discard", "rerecord", "label")),
)
"""That the desk calls, beside the emergency stop."""
NODES = ("streamer", "sim", "controller", "diffusion")
"""Whose parameters it sets."""


class Tab(Protocol):
    def show(self, watch: Watch) -> None:
        """Brings it up to date."""


class Html:
    """A piece of the page that is sent only when it changes."""

    def __init__(self, gui: viser.GuiApi, content: str = "") -> None:
        self._handle, self._content = gui.add_html(content), content

    def show(self, content: str, visible: bool = True) -> None:
        if visible != self._handle.visible:
            self._handle.visible = visible
        if content != self._content:
            self._handle.content = self._content = content


def add_button(
    gui: viser.GuiApi, label: str, act: Callable[[], object], color: str | None = None, icon: str | None = None
) -> viser.GuiButtonHandle:
    button = gui.add_button(label, color=color, icon=icon)
    button.on_click(lambda _: act())
    return button


class ArmPanel:
    """State and reason, the emergency stop, motion on and off, the policy's question, the gate's, and the answers."""

    def __init__(self, server: viser.ViserServer, calls: Calls, arm: Arm, recover: Callable[[], object]) -> None:
        self._calls, self._arm, gui = calls, arm, server.gui
        self._banner = Html(gui)
        stop = lambda: calls.ask(*STOP)  # noqa: E731  (a button and a key do the same)
        add_button(gui, "EMERGENCY STOP (Esc)", stop, "red", viser.Icon.HAND_STOP)
        gui.add_command("Emergency stop", hotkey="escape", icon=viser.Icon.HAND_STOP).on_trigger(lambda _: stop())
        motion = gui.add_button_group("motion", ("Enable", "Disable"), hint="whether the streamer may move the arm")
        motion.on_click(lambda event: calls.ask("streamer", "enable", data=event.target.value == "Enable"))
        after = gui.add_button_group("after a stop", ("Reset fault", "Recover"), hint="the arm stays still after both")
        after.on_click(
            lambda event: calls.ask("streamer", "reset_fault") if event.target.value == "Reset fault" else recover()
        )
        self._answer, self._proposal = Html(gui), Html(gui)
        self._yes_no = (
            add_button(gui, "Approve", lambda: self._decide("approve"), "green", viser.Icon.CHECK),
            add_button(gui, "Reject, draw again", lambda: self._decide("reject"), "orange", viser.Icon.X),
        )
        self._name = gui.add_text("your name", "", hint="for the log and the recording", visible=False)
        self._why = Html(gui)
        self._refused = gui.add_image(NOT_YET[:8, :8], format="jpeg", jpeg_quality=JPEG_QUALITY, visible=False)
        self._resume = add_button(gui, "Resume", lambda: calls.ask("controller", "resume"), "orange")
        self._last: Answer | None = None
        self._last_s = 0.0
        self._shown: np.ndarray | None = None

    def show(self, watch: Watch) -> None:
        self._banner.show(words.arm_banner(watch))
        proposed = watch.proposed
        waited_s = time.monotonic() - watch.proposed_s
        asked = "" if proposed is None else words.proposal(proposed, self._arm, watch.instruction, waited_s)
        self._proposal.show(asked, proposed is not None)
        for button in self._yes_no:
            set_visible(button, proposed is not None)
        set_visible(self._name, proposed is not None)
        self._show_gate(watch)
        answers = tuple(self._calls.answers)
        fresh = list(takewhile(lambda answer: answer is not self._last, reversed(answers)))
        for answer in reversed(fresh):
            watch.note(str(answer), not answer.ok)
        if fresh:
            self._last, self._last_s = fresh[0], time.monotonic()
        self._answer.show(words.answer_line(answers, self._calls.waiting, time.monotonic() - self._last_s))

    def _decide(self, service: str) -> None:
        self._calls.ask("controller", service, **{BY: self._name.value or f"{user_name()}, in the console"})

    def _show_gate(self, watch: Watch) -> None:
        closed = watch.gate is not None and watch.gate.state is GateState.CLOSED and watch.here("controller")
        set_visible(self._resume, closed)
        set_visible(self._refused, closed and watch.refused is not None)
        self._why.show(words.box("<b>The drawing that was refused last:</b>"), closed and watch.refused is not None)
        if closed and watch.refused is not None and watch.refused is not self._shown:
            self._shown = watch.refused
            self._refused.image = watch.refused


class PicturePanel:
    """The cameras with the drawing over them."""

    def __init__(self, gui: viser.GuiApi) -> None:
        self._image = gui.add_image(NOT_YET, format="jpeg", jpeg_quality=JPEG_QUALITY)
        self._share = gui.add_slider("drawing, %", 0, 100, 5, 70, hint="0: what the cameras see; 100: what was drawn")
        self._beside = gui.add_checkbox("side by side", False)
        self._caption = Html(gui)

    @property
    def share(self) -> float:
        return self._share.value / 100

    @property
    def beside(self) -> bool:
        return self._beside.value

    def show(self, picture: np.ndarray) -> None:
        self._image.image = picture

    def tell(self, watch: Watch, rate_hz: float) -> None:
        self._caption.show(words.picture_caption(watch, rate_hz))


class StateTab:
    def __init__(self, gui: viser.GuiApi, arm: Arm) -> None:
        self._arm = arm
        self._joints, self._nodes, self._notes = Html(gui), Html(gui), Html(gui)

    def show(self, watch: Watch) -> None:
        self._joints.show(words.joint_table(self._arm, watch.q, watch.opening))
        self._nodes.show(words.node_table(watch.nodes))
        self._notes.show(words.note_list(watch.notes))


class Desk:
    """Lays out the page, and keeps it up to date."""

    def __init__(
        self,
        server: viser.ViserServer,
        calls: Calls,
        arm: Arm,
        recover: Callable[[], object],
        tabs: Sequence[tuple[str, Callable[[viser.GuiApi], Tab]]],
    ) -> None:
        """`tabs`: labels, and what makes their contents."""
        gui = server.gui
        gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, brand_color=(106, 176, 243))
        gui.set_panel_label("Genima")
        gui.main_panel.dock_right()
        gui.main_panel.set_width(RIGHT_PX)
        top, left = gui.add_panel(), gui.add_panel()
        with top.add_tab("Arm"):
            self.arm_panel = ArmPanel(server, calls, arm, recover)
        top.dock_above(gui.main_panel)
        with left.add_tab("Pictures"):
            self.pictures = PicturePanel(gui)
            self.plots = Plots(gui, arm.joint_names)
        with left.add_tab("Help"):
            gui.add_markdown(words.HELP)
        left.dock_left()
        left.set_width(LEFT_PX)
        self._tabs: list[Tab] = []
        group = gui.add_tab_group()
        for label, make in (*tabs, ("State", lambda gui: StateTab(gui, arm))):
            with group.add_tab(label):
                self._tabs.append(make(gui))
        self._slow_s = 0.0

    def show(self, watch: Watch, rate_hz: float) -> None:
        self.arm_panel.show(watch)
        self.plots.show()
        now_s = time.monotonic()
        if now_s - self._slow_s >= SLOW_EVERY_S:
            self._slow_s = now_s
            self.pictures.tell(watch, rate_hz)
            for tab in self._tabs:
                tab.show(watch)


def set_visible(handle: Any, visible: bool) -> None:
    if handle.visible != visible:
        handle.visible = visible
