"""A handle at the gripper leads the arm: by the simulated leader, the teleop node's rules, and the streamer."""

import threading
import time
from collections.abc import Callable
from enum import StrEnum

import numpy as np
import viser

from genima_core.arm import Arm
from genima_core.geometry import from_quat_xyzw
from genima_core.streaming.mirror import Mirroring
from genima_ros.graph.packages import remedy
from genima_ros.nodes.console import words
from genima_ros.nodes.console.calls import Calls
from genima_ros.nodes.console.desk import Html
from genima_ros.nodes.console.scene import place
from genima_ros.nodes.console.watch import Watch

REPEAT_S = 0.4
"""The leader takes silence for "let go"."""
THERE_RAD = 0.01
"""The leader is where the arm is: taking over begins without a motion."""
FETCH_S = 20.0
"""Within which it comes there, from wherever it was."""
ENGAGE_S = 3.0
"""Within which the teleop node begins, or says why not."""
HANDLE_M = 0.3
LED = (Mirroring.APPROACHING, Mirroring.MIRRORING)
Send = Callable[[np.ndarray, float], object]


class Phase(StrEnum):
    IDLE = "Take over: a handle appears at the gripper, and the arm follows it when you drag it"
    FETCHING = "the leader goes to where the arm is"
    ENGAGING = "taking over"
    LEADING = "drag the handle at the gripper; Pause, or closing this page, holds the arm"


class LeadTab:
    """Take over, drag, give back; whoever took over is the only one who leads, and the arm rests when they are gone.

    The pose that is wanted becomes joint positions in a thread of its own (`HandleSolver`), which the leader goes to
    and comes to rest at: a viewer that falls silent moves nothing.
    """

    def __init__(self, server: viser.ViserServer, calls: Calls, arm: Arm, send: Send) -> None:
        """`send(q, opening)` tells the leader where to be."""
        self._calls, self._arm, self._send = calls, arm, send
        self._phase, self._since_s = Phase.IDLE, 0.0
        self._owner: int | None = None
        self._lead: tuple[np.ndarray, float] | None = None
        """Where the leader should be: (7,) rad, and the gripper's opening."""
        self._sent_s, self._problem = 0.0, ""
        self._wanted: np.ndarray | None = None
        """Pose (4, 4) that the handle was dragged to and that is not solved yet."""
        self._news, self._over = threading.Condition(), False
        gui = server.gui
        self._line = Html(gui)
        group = gui.add_button_group("arm", ("Take over", "Pause", "Give back"))
        group.on_click(lambda event: self._press(event.target.value, event.client_id))
        self._opening = gui.add_slider("gripper, %", 0, 100, 1, 100, hint="0: closed; 100: open")
        self._opening.on_update(lambda event: self._open(event.target.value / 100, event.client_id))
        self._handle = server.scene.add_transform_controls("/handle", scale=HANDLE_M, depth_test=False, visible=False)
        self._handle.on_update(self._on_drag)
        server.on_client_disconnect(lambda client: self._on_gone(client.client_id))
        self._thread = threading.Thread(target=self._solve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._news:
            self._over = True
            self._news.notify()
        self._thread.join()

    def show(self, watch: Watch) -> None:
        told = words.box(words.coloured(words.text(self._problem), words.SOFT_ORANGE)) if self._problem else ""
        self._line.show(words.teleop_line(watch) + words.box(words.text(self._phase)) + told)

    def step(self, watch: Watch) -> None:
        """Called often; sends, and notices when the teleop node has ended what was begun."""
        now_s = time.monotonic()
        status = watch.teleop.value if watch.teleop.fresh else None
        led = status is not None and status.state in LED
        if self._phase is Phase.FETCHING:
            self._fetch(watch, now_s)
        elif self._phase is Phase.ENGAGING and led:
            self._enter(Phase.LEADING)
        elif (self._phase is Phase.ENGAGING and now_s - self._since_s > ENGAGE_S) or (
            self._phase is Phase.LEADING and not led
        ):
            self._end("" if status is None else status.text)
        if self._lead is not None and now_s - self._sent_s > REPEAT_S:
            self._say()
        visible = self._phase is Phase.LEADING
        if self._handle.visible != visible:
            if visible and watch.leader_q is not None:
                place(self._handle, self._arm.frame_pose(watch.leader_q, "tcp"))
            self._handle.visible = visible

    def _fetch(self, watch: Watch, now_s: float) -> None:
        if watch.q is None or watch.leader_q is None:
            self._end("no leader is there: start the graph with leader:=true (genima up teleop sim has one)")
            return
        self._lead = watch.q.copy(), watch.opening
        self._opening.value = round(100 * watch.opening)
        if np.abs(watch.leader_q - watch.q).max() < THERE_RAD:
            self._enter(Phase.ENGAGING)
            self._calls.ask("teleop", "engage")
        elif now_s - self._since_s > FETCH_S:
            self._end("the leader does not come to where the arm is; is it held by somebody else?")

    def _press(self, label: str, client_id: int | None) -> None:
        self._problem = ""
        if label == "Take over":
            if self._phase is not Phase.IDLE and client_id != self._owner:
                self._problem = "somebody else leads the arm already"
            elif self._phase is Phase.IDLE:
                self._owner = client_id
                self._enter(Phase.FETCHING)
            return
        self._calls.ask("teleop", "pause" if label == "Pause" else "disengage")
        self._end("")

    def _open(self, opening: float, client_id: int | None) -> None:
        if client_id == self._owner and client_id is not None and self._lead is not None:
            self._lead = self._lead[0], opening
            self._say()

    def _on_drag(self, event: viser.TransformControlsEvent) -> None:
        if event.client_id != self._owner or self._phase is not Phase.LEADING:
            return
        w, x, y, z = self._handle.wxyz
        with self._news:
            self._wanted = from_quat_xyzw(np.array([x, y, z, w]), np.array(self._handle.position))
            self._news.notify()

    def _on_gone(self, client_id: int) -> None:
        if client_id == self._owner and self._phase is not Phase.IDLE:
            self._calls.ask("teleop", "pause")
            self._end("whoever led the arm has gone: it rests where it is")

    def _solve(self) -> None:
        """Of the poses that come in meanwhile only the newest counts."""
        solver = None
        while True:
            with self._news:
                self._news.wait_for(lambda: self._over or self._wanted is not None)
                if self._over:
                    return
                wanted, self._wanted = self._wanted, None
                lead = self._lead
            if wanted is None or lead is None:
                continue
            if solver is None:
                try:
                    from genima_ros.nodes.console.handle import HandleSolver  # needs MuJoCo, and only here
                except ImportError as error:
                    self._problem = f"the handle cannot lead: {error}; {remedy(error.name or '')}"
                    continue
                solver = HandleSolver(self._arm)
            q, why = solver.solve(wanted, lead[0], lead[1])
            self._problem = f"the arm stops at what is reachable: {why}" if why else ""
            if self._lead is not None:
                self._lead = q, self._lead[1]
                self._say()

    def _say(self) -> None:
        if (lead := self._lead) is not None:
            self._sent_s = time.monotonic()
            self._send(*lead)

    def _enter(self, phase: Phase) -> None:
        self._phase, self._since_s = phase, time.monotonic()

    def _end(self, problem: str) -> None:
        self._enter(Phase.IDLE)
        self._owner = self._lead = self._wanted = None
        self._problem = problem
