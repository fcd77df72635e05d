"""The real node graph on the simulated cell, with a wire between its nodes that can be spoilt."""

import itertools
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from genima_core.streaming.states import State
from genima_core.targets.gate import GateState
from genima_ros.clients.observer import Observer
from genima_ros.clients.running import wait_ready
from genima_ros.graph import graph
from genima_ros.graph.graph import READY_S
from genima_ros.graph.processes import RunningGraph
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import seconds
from genima_ros.messages.status import read_diagnostics, read_status
from genima_ros.nodes.streamer_node import StreamerParameters

from .arm_log import ArmLog
from .script import EVERY_S, Dive, Script
from .shifted_clock import ShiftedClock
from .wire import Wire

PATIENCE_S = 60.0
"""Of every wait; reached only by a trial that fails."""
SETTLE_S = 0.4
FRESH_S = 0.05
QUIET_S = 0.3
"""Without a command for so long none is on its way any more."""
RECENT = 3000
"""Joint states and commands remembered: half a minute."""


class FaultyCell(Observer):
    """Runs the graph, passes its messages on, remembers what it said and how its arm moved."""

    def __init__(self, environment: Mapping[str, str], cameras: tuple[str, ...], clock: ShiftedClock) -> None:
        super().__init__(int(environment["ROS_DOMAIN_ID"]), "faulty_cell")
        self.environment, self.cameras, self.clock = environment, cameras, clock
        self.arm = ArmLog(self.machine_s)
        self.told: deque[tuple[float, np.ndarray]] = deque(maxlen=RECENT)
        self.commanded: deque[tuple[float, np.ndarray]] = deque(maxlen=RECENT)
        """ROS time and q (7,): what the streamer was told of the arm, and what it commanded."""
        self.said: list[tuple[float, str, str]] = []
        """ROS time, who (a node, or a topic) and what, oldest first."""
        self.chunk_ends_s: list[float] = []
        """When the last actions were due of the chunks that reached the streamer in time, ROS time."""
        self.gate: GateState | None = None
        self.state: State | None = None
        """The streamer's."""
        self.succeeded = False
        """The task of this scene is done."""
        self.script: Script | None = None
        """Instead of the policy's chunks, while there is one."""
        self.scripted = True
        """Whether the script's chunks are sent."""
        self.graphs: dict[str, RunningGraph] = {}
        self._clients: dict[str, object] = {}
        for service in ("emergency_stop", "enable", "stop", "reset_fault"):
            self.service("streamer", service)
        images = [interfaces.camera_image(name) for name in cameras]
        self.wire = Wire(
            self.node,
            [
                *images,
                interfaces.JOINT_STATES,
                interfaces.TARGETS,
                interfaces.OBSERVATION,
                interfaces.ACTION_CHUNK,
                interfaces.ARM_TRAJECTORY,
                interfaces.ARM_STATUS,
                interfaces.CAMERA_RIG,
            ],
        )
        flicker = itertools.count()
        for topic in images:  # every real picture differs from the one before, simulated ones may not
            self.wire.usually(topic, lambda message: _with_noise(message, next(flicker)))
        self.wire.usually(interfaces.ACTION_CHUNK, lambda message: None if self.script else message)
        self.wire.listen(interfaces.JOINT_STATES, self.arm.add)
        self.observation: Image | None = None
        """What the newest drawing was drawn over."""
        self.rig: String | None = None
        self.wire.listen(interfaces.CAMERA_RIG, lambda message: setattr(self, "rig", message))
        self.wire.listen(interfaces.OBSERVATION, lambda message: setattr(self, "observation", message))
        self.wire.receive(interfaces.JOINT_STATES, self._on_told)
        self.wire.listen(interfaces.ACTION_CHUNK, lambda message: None if self.script else self._note_chunk(message))
        interfaces.subscribe(self.node, interfaces.JOINT_COMMANDS, self._on_command)
        interfaces.subscribe(self.node, interfaces.STREAMER_STATE, self._on_state)
        interfaces.subscribe(self.node, interfaces.SUCCESS, lambda message: setattr(self, "succeeded", message.data))
        interfaces.subscribe(self.node, interfaces.GATE, self._on_gate)
        interfaces.subscribe(self.node, interfaces.DIAGNOSTICS, self._on_diagnostics)
        self.node.create_timer(EVERY_S, self._send_script)

    # ---- what it hears

    def now_s(self) -> float:
        """ROS time."""
        return self.node.get_clock().now().nanoseconds * 1e-9

    def machine_s(self, stamp_s: float) -> float:
        """A stamp of the nodes in the time of this process, whose clock no fault sets."""
        now_s = self.now_s()
        return min(
            (stamp_s, stamp_s - self.clock.offset_s, stamp_s - self.clock.before_s),
            key=lambda candidate_s: abs(candidate_s - now_s),
        )

    def is_up_to_date(self) -> bool:
        """The newest joint state is a new one."""
        return self.now_s() - self.arm.last.stamp_s < FRESH_S

    def hear(self, who: str, what: str) -> None:
        self.said.append((self.now_s(), who, what))

    def heard(self, who: str, pattern: str, since_s: float) -> str | None:
        """The first thing since then that matches, or None."""
        return next(
            (what for at_s, name, what in self.said if at_s >= since_s and name == who and re.search(pattern, what)),
            None,
        )

    def _on_told(self, message: JointState) -> None:
        self.told.append((self.now_s(), np.array(message.position[:7])))

    def _on_command(self, message: JointState) -> None:
        self.commanded.append((self.machine_s(seconds(message.header.stamp)), np.array(message.position)))

    def _on_state(self, message: DiagnosticStatus) -> None:
        status = read_status(message, State)
        self.state = status.state
        self.hear("streamer_state", str(status))

    def _on_gate(self, message: DiagnosticStatus) -> None:
        status = read_status(message, GateState)
        self.gate = status.state
        self.hear("gate", str(status))

    def _on_diagnostics(self, message) -> None:
        for name, values in read_diagnostics(message).items():
            self.hear(name, str(values["message"]))

    def _note_chunk(self, message: JointTrajectory) -> None:
        stamp_s = self.machine_s(seconds(message.header.stamp))
        if message.points and self.now_s() - stamp_s <= StreamerParameters.max_observation_age_s:
            self.chunk_ends_s.append(stamp_s + seconds(message.points[-1].time_from_start))

    # ---- what it does

    def send_chunk(self, message: JointTrajectory) -> None:
        self._note_chunk(message)
        self.wire.send(interfaces.ACTION_CHUNK, message)

    def _send_script(self) -> None:
        if self.script is not None and self.scripted:
            self.send_chunk(self.script.chunk(self.now_s()))

    def begin_script(self) -> None:
        """A scripted motion from where the arm is."""
        self.script, self.scripted = Script(self.arm.last.q, self.now_s()), True

    def dive(self) -> None:
        """On from here into the table."""
        self.script, self.scripted = Dive(self.arm.last.q, self.now_s()), True

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Returns when it holds; keeps the graph alive as `genima up` does.

        Raises:
            TimeoutError: it did not within the time.
        """
        end_s = self.now_s() + timeout_s
        while not condition():
            self.spin_until(condition, 0.1)
            self._check_graphs()
            if self.now_s() > end_s:
                newest = {who: said for _, who, said in self.said}
                raise TimeoutError(
                    f"waited in vain for {what}; at last: "
                    f"{'; '.join(f'{who} said {said}' for who, said in newest.items())}"
                )

    def wait_for(self, duration_s: float) -> None:
        end_s = self.now_s() + duration_s
        self.wait(lambda: self.now_s() >= end_s, "time to pass")

    def do(self, node: str, service: str, patiently: bool = False, **request: object) -> None:
        """Calls a service as somebody does whose finger lies on the button: what finds it was there before.

        Patiently: again and again, while it refuses.
        """
        kind = interfaces.SERVICES[service].type
        client = self.service(node, service)
        self.wait(client.service_is_ready, f"service {client.srv_name}")
        answer = client.call_async(kind.Request(**request))
        self.wait(answer.done, f"an answer of {client.srv_name}")
        if patiently and not answer.result().success:
            self.wait_for(1.0)
            self.do(node, service, patiently, **request)
        elif not answer.result().success:
            raise RuntimeError(f"{client.srv_name} refused: {answer.result().message}")

    def service(self, node: str, service: str):
        """A client that stays."""
        name = f"{node}/{service}"
        if name not in self._clients:
            self._clients[name] = self.node.create_client(interfaces.SERVICES[service].type, name)
        return self._clients[name]

    def rest(self) -> None:
        """Streamer disabled and without a fault."""
        self.script = None
        self.do("streamer", "stop")
        self.wait(lambda: not self.commanded or self.now_s() - self.commanded[-1][0] > QUIET_S, "the end of commands")
        if self.state is State.FAULT:
            self.do("streamer", "reset_fault")

    def next_scene(self) -> None:
        """The arm at home and the policy in charge, disabled."""
        self.rest()
        self.do("sim", "reset")
        placed_s = self.arm.last.stamp_s
        self.wait(lambda: self.arm.last.stamp_s > placed_s + SETTLE_S, "joint states of the next scene")
        if self.gate is GateState.CLOSED:
            self.do("controller", "resume")

    def run(self, *words: str) -> None:
        """A `genima` command, as an operator types it.

        Raises:
            RuntimeError: it failed.
        """
        command = subprocess.Popen(
            [sys.executable, "-m", f"{graph.PACKAGE}.cli.main", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.wait(lambda: command.poll() is not None, f"the end of genima {' '.join(words)}")
        if command.returncode:
            raise RuntimeError(f"genima {' '.join(words)} failed: {command.communicate()[0]}")

    def signal(self, name: str, number: int) -> None:
        """Sends a signal to the process of a node."""
        os.kill(next(running.pids[name] for running in self.graphs.values() if name in running.pids), number)

    def restart(self, name: str) -> None:
        """Starts the graph of this name again."""
        graph_ = self.graphs[name]
        graph_.stop()
        self.diagnostics.pop(name, None)
        graph_.__enter__()
        wait_ready(graph_, self, READY_S)

    def _check_graphs(self) -> None:
        """As `genima up` does; what cannot be started again is said."""
        for running in self.graphs.values():
            try:
                running.check()
            except RuntimeError as error:
                self.hear("up", str(error))


def _with_noise(message: Image, count: int) -> Image:
    """One pixel is a level darker or brighter."""
    message.data[count % len(message.data)] ^= 1
    return message
