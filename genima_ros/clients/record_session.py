"""Keys of the operator become calls of services; the answers come when they come, so nothing waits."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.task import Future
from std_msgs.msg import Bool, String

from genima_core.streaming.mirror import Mirroring
from genima_core.streaming.states import State, Status
from genima_ros.clients.observer import Observer, user_name
from genima_ros.messages import interfaces
from genima_ros.messages.checks import find_instruction_fault
from genima_ros.messages.status import read_status

STATES = {"teleop": (interfaces.TELEOP_STATE, Mirroring), "streamer": (interfaces.STREAMER_STATE, State)}
RECORDER, TELEOP, STREAMER, CONTROLLER = "recorder", "teleop", "streamer", "controller"
CALLS: dict[str, tuple[str, str, dict[str, object]]] = {
    "e": (TELEOP, "engage", {}),
    "p": (TELEOP, "pause", {}),
    "g": (TELEOP, "disengage", {}),
    "x": (RECORDER, "discard", {}),
    "r": (RECORDER, "rerecord", {}),
    "y": (RECORDER, "label", {"data": True}),
    "n": (RECORDER, "label", {"data": False}),
    "a": (CONTROLLER, "approve", {}),
    "d": (CONTROLLER, "reject", {}),
}
"""Key to the node and its service, and what is asked of it."""
ENTER, ESCAPE, BACKSPACE = ("\n", "\r"), "\x1b", ("\x7f", "\b")
EMERGENCY_STOP = "\x18"
"""Ctrl-X: no single key, and no character of an instruction, so it works while one is typed."""
ANSWER_S = 20.0
"""Finishing a long episode on a slow disk takes a while."""
MISSING = {
    TELEOP: "there is no node teleop: start `genima up teleop sim`, or a policy with `genima up sim leader:=true`",
    STREAMER: "there is no node streamer: press the button on the robot",
    RECORDER: "the recorder does not answer yet",
    CONTROLLER: "no policy asks for approval: start one with execution:=confirm",
}


class RecordSession(Observer):
    """The graph as the operator sees it, and the keys; `press` queues them, `step` acts on them one after the other."""

    def __init__(
        self, domain: int, ring: Callable[[int], None], instruction: str = "", bell: bool = True, operator: str = ""
    ) -> None:
        """`ring(times)` sounds the bell, if that is on; the operator's name is kept with what is approved of."""
        super().__init__(domain, "record")
        self._by = {interfaces.BY: operator or user_name()}
        self.states: dict[str, Status | None] = dict.fromkeys(STATES)
        """Of each node; None while it is absent."""
        self.recording = self.quitting = False
        self.bell = bell
        self.note = ""
        """What the operator should know now."""
        self.notes: deque[str] = deque()
        """Everything that was noted and is not shown yet."""
        self.discarded = self.kept_before = 0
        """Episodes; those that were kept by recorders that ended meanwhile."""
        self.line: str | None = None
        """What is typed of an instruction; None while keys are commands."""
        self._ring, self._asked_s, self._kept = ring, 0.0, 0.0
        self._keys: deque[str] = deque()
        self._pending: Future | None = None
        self._instruction = interfaces.publish(self.node, interfaces.INSTRUCTION)
        if instruction:
            self._instruction.publish(String(data=instruction))
        self.listen(interfaces.RECORDING, self._on_recording)
        for name, (topic, states) in STATES.items():
            self.listen(topic, partial(self._on_state, name, states))
        called = {(node, service) for node, service, _ in CALLS.values()}
        self._clients: dict[tuple[str, str], Any] = {
            (node, name): self.node.create_client(interfaces.SERVICES[name].type, f"{node}/{name}")
            for node, name in {*called, (STREAMER, "emergency_stop"), (RECORDER, "start"), (RECORDER, "stop")}
        }

    @property
    def recorder(self) -> Mapping[str, float | str]:
        """The recorder's diagnostics; empty until it has spoken."""
        return self.diagnostics.get(RECORDER, {})

    def press(self, keys: Iterable[str]) -> None:
        for key in keys:
            if key == EMERGENCY_STOP:  # at once, not after the answers to the keys before
                self._call(STREAMER, "emergency_stop", wait=False)
            else:
                self._keys.append(key)

    def step(self) -> None:
        """Acts on the keys so far; one that needs the recorder waits for the answer to the one before."""
        kept = float(self.recorder.get("kept", 0.0))
        if kept > self._kept:  # the recorder tells at once when it has finished an episode, whoever asked for that
            self._sound(3 if self.recorder["last_suspect"] else 1)
        self._kept = kept
        if self._pending is not None and time.monotonic() - self._asked_s > ANSWER_S:
            self._pending = None  # whoever was asked has ended meanwhile
            self.say(f"there was no answer within {ANSWER_S:g} s; try again")
        while self._keys and self._pending is None:
            key = self._keys.popleft()
            if self.line is not None:
                self._type(self.line, key)
            elif key == " ":
                self._call(RECORDER, "stop" if self.recording else "start")
            elif key in CALLS:
                node, service, request = CALLS[key]
                self._call(node, service, self._by if node == CONTROLLER else request)
            elif key == "i":
                self.line = ""
            elif key == "b":
                self.bell = not self.bell
            elif key == "q":
                self.quitting = True
                if self.recording:
                    self._call(RECORDER, "stop")

    @property
    def over(self) -> bool:
        """Whether the operator has quit and nothing is under way any more."""
        return self.quitting and self._pending is None and not self.recording

    def say(self, text: str) -> None:
        self.note = text
        self.notes.append(text)

    def _type(self, line: str, key: str) -> None:
        if key in ENTER or key == ESCAPE:
            self.line = None
            if key in ENTER and (text := line.strip()):
                fault = find_instruction_fault(text)
                if not fault:
                    self._instruction.publish(String(data=text))
                self.say(fault or f"instruction: {text}")
        elif key in BACKSPACE:
            self.line = line[:-1]
        elif len(key) == 1 and key.isprintable():
            self.line = line + key

    def _call(self, node: str, service: str, request: Mapping[str, object] | None = None, wait: bool = True) -> None:
        client = self._clients[node, service]
        if not client.service_is_ready():
            self.say(MISSING[node])
            return
        future = client.call_async(interfaces.SERVICES[service].type.Request(**(request or {})))
        if wait:
            self._pending, self._asked_s = future, time.monotonic()
        future.add_done_callback(lambda future: self._answered(service, future))

    def _answered(self, service: str, future: Future) -> None:
        response = future.result()
        if future is self._pending:
            self._pending = None
        self.say(response.message)
        if not response.success:
            self._sound(3)
        elif service == "start":
            self.recording = True
            self._sound(1)
        elif service == "stop":
            self.recording = False
        elif service in ("discard", "rerecord"):
            self.recording = False
            self.discarded += 1

    def _on_state(self, name: str, states: type[StrEnum], message: DiagnosticStatus) -> None:
        self.states[name] = read_status(message, states)

    def _on_recording(self, message: Bool) -> None:
        # Without a call under way it was started by itself, or by somebody else's call.
        if message.data and not self.recording and self._pending is None:
            self._sound(1)
        self.recording = message.data

    def _sound(self, times: int) -> None:
        if self.bell:
            self._ring(times)
