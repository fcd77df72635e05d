"""Services of the graph, called for people: every call ends in an answer, or in saying that none came."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future

from genima_ros.messages import interfaces

ANSWER_S = 20.0
"""Finishing a long episode on a slow disk takes a while, and so does another scene."""
STOP_S = 0.5
"""After this time an emergency stop without an answer is shown as failed."""
STOP_AGAIN_S, STOP_UNTIL_S = 0.1, 5.0
"""It is asked for again and again: a middleware on busy cores loses an answer now and then."""
STOP = ("streamer", "emergency_stop")
KEPT = 30


@dataclass(frozen=True)
class Answer:
    """What became of a call."""

    what: str
    ok: bool
    text: str
    after_s: float

    def __str__(self) -> str:
        return f"{self.what}: {self.text} ({1e3 * self.after_s:.0f} ms)"


@dataclass
class Call:
    what: str
    client: Client
    request: Any
    began_s: float
    futures: list[Future] = field(default_factory=list)
    failed: bool = False
    """Whether it was shown as failed while it is still tried."""


class Calls:
    """Clients of the services `(node, service)` and of the parameters of nodes; `ask` and `set` from any thread."""

    def __init__(self, node: Node, services: Iterable[tuple[str, str]], nodes: Iterable[str]) -> None:
        kinds = {f"{owner}/{name}": interfaces.SERVICES[name].type for owner, name in (STOP, *services)}
        kinds |= {f"{owner}/set_parameters": SetParameters for owner in nodes}
        self._clients = {name: node.create_client(kind, name) for name, kind in kinds.items()}
        self._stop = "/".join(STOP)
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self.answers: deque[Answer] = deque(maxlen=KEPT)

    def offered(self, owner: str, service: str) -> bool:
        return self._clients[f"{owner}/{service}"].service_is_ready()

    @property
    def waiting(self) -> list[str]:
        """What has no answer yet."""
        with self._lock:
            return [call.what for call in self._calls if not call.failed]

    def ask(self, owner: str, service: str, **request: object) -> None:
        name = f"{owner}/{service}"
        self._begin(f"{owner} {service.replace('_', ' ')}", name, interfaces.SERVICES[service].type.Request(**request))

    def set(self, owner: str, parameter: str, value: object) -> None:
        request = SetParameters.Request(parameters=[Parameter(parameter, value=value).to_parameter_msg()])
        self._begin(f"{owner} {parameter} := {value}", f"{owner}/set_parameters", request)

    def tell(self, what: str, ok: bool, text: str) -> None:
        """An answer to something that needed no call."""
        self.answers.append(Answer(what, ok, text, 0.0))

    def step(self) -> None:
        """Notices what was answered and what was not; called often."""
        now_s = time.monotonic()
        with self._lock:
            self._calls = [call for call in self._calls if self._goes_on(call, now_s)]

    def _begin(self, what: str, name: str, request: Any) -> None:
        client, began_s = self._clients[name], time.monotonic()
        if name != self._stop and not client.service_is_ready():
            self.tell(what, False, f"nobody offers {name}: is its node running?")
            return
        call = Call(what, client, request, began_s, [client.call_async(request)])
        with self._lock:
            self._calls.append(call)

    def _goes_on(self, call: Call, now_s: float) -> bool:
        after_s, stop = now_s - call.began_s, call.client is self._clients[self._stop]
        if done := next((future for future in call.futures if future.done()), None):
            result = done.result()
            if isinstance(result, SetParameters.Response):
                [only] = result.results
                ok, text = only.successful, only.reason or "set"
            else:
                ok, text = result.success, result.message or "done"
            self.answers.append(Answer(call.what, ok, text, after_s))
            return False
        if stop and after_s > STOP_S and not call.failed:
            call.failed = True
            text = "FAILED: no answer from the streamer; press the button on the robot"
            self.answers.append(Answer(call.what, False, text, after_s))
        if after_s > (STOP_UNTIL_S if stop else ANSWER_S):
            if not call.failed:
                self.answers.append(Answer(call.what, False, "no answer; its node may have ended", after_s))
            for future in call.futures:
                call.client.remove_pending_request(future)
            return False
        if stop and after_s > STOP_AGAIN_S * len(call.futures):
            call.futures.append(call.client.call_async(call.request))
        return True
