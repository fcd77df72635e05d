"""What a console meets: a streamer, and a probe that speaks and answers as cell, policy and recorder would."""

import importlib.util
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Int64, String

from genima_core.arm import PANDA
from genima_core.arm_status import MODES, read_status
from genima_core.cameras import CameraRig
from genima_core.pixels import tile
from genima_core.types import ActionChunk
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import arm_status_to_message
from genima_ros.nodes.streamer_node import StreamerNode

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "_viewer.py"
PERIOD_S, REPORT_EVERY = 0.05, 10
PATIENCE = dict.fromkeys(("max_gap_s", "joint_state_timeout_s", "target_timeout_s"), 2.0)
PATIENCE |= {"joint_state_fault_s": 10.0, "arm_status_timeout_s": 3.0}
"""One interpreter runs all nodes and a viewer."""
MOVE = read_status(MODES.index("move"), ())


def load_viewer() -> Any:
    """The module of a viewer that is no browser."""
    spec = importlib.util.spec_from_file_location("_viewer", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


viewers = load_viewer()


def says(viewer: Any, *texts: str) -> Callable[[], bool]:
    """Whether the page shows all of this."""
    return lambda: all(text in viewer.texts() for text in texts)


class ConsoleCell:
    """The arm stands at `q`, where it is commanded to; the cameras see noise, and the agent draws other noise."""

    def __init__(self, bench: Any, rig: CameraRig, rng: np.random.Generator) -> None:
        self.bench, self.rig, self.q = bench, rig, PANDA.home.copy()
        self.calls: list[tuple[str, object]] = []
        """Services that were called, with the data of the request."""
        self.refusing: set[str] = set()
        """Services that say no."""
        self.acting = False
        """Whether a policy sends chunks: all the time, because a streamer beside it in one process may miss some."""
        self._reported = DiagnosticArray()
        self._steps = 0
        self._views = rng.integers(0, 256, (len(rig.cameras), rig.size[1], rig.size[0], 3), dtype=np.uint8)
        self.start_streamer()
        node = bench.probe
        topics = (
            *(interfaces.JOINT_STATES, interfaces.ARM_STATUS, interfaces.TARGETS, interfaces.DIAGNOSTICS),
            *(interfaces.CAMERA_RIG, interfaces.SCENE, interfaces.PROPOSAL, interfaces.GATE, interfaces.ACTION_CHUNK),
            *(interfaces.RECORDING, interfaces.INSTRUCTION, *map(interfaces.camera_image, rig.names)),
        )
        self._speakers = {topic.name: interfaces.publish(node, topic) for topic in topics}
        self.say(interfaces.CAMERA_RIG, String(data=json.dumps(rig.to_dict())))
        self.say(interfaces.SCENE, Int64(data=7))
        interfaces.subscribe(node, interfaces.ARM_TRAJECTORY, self._on_command)
        node.create_timer(PERIOD_S, self._speak)

    def start_streamer(self) -> None:
        self.streamer = self.bench.node(StreamerNode, parameters={"enabled": True, **PATIENCE})

    def say(self, topic: interfaces.Topic, message: Any) -> None:
        self._speakers[topic.name].publish(message)

    def offer(self, *names: str) -> None:
        """Services such as recorder/start."""
        for name in names:
            kind = interfaces.SERVICES[name.rpartition("/")[2]].type
            self.bench.probe.create_service(kind, name, partial(self._answer, name))

    def report(self, **nodes: dict[str, object]) -> None:
        """Diagnostics of nodes that are not there, again and again until there are others, or none."""
        statuses = [
            DiagnosticStatus(
                name=name,
                level=bytes([int(bool(values.get("problem")))]),
                message=str(values.get("problem") or "ok"),
                values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
            )
            for name, values in nodes.items()
        ]
        self._reported = DiagnosticArray(status=statuses)

    def chunk(self, turn_rad: float = 0.1) -> ActionChunk:
        """A second's turn of joint 1."""
        now_s, positions = self.bench.now_s(), np.tile(self.q, (20, 1))
        positions[:, 0] += np.linspace(0.0, turn_rad, 20)
        return ActionChunk(positions, np.ones(20), 0.05, now_s + 0.05, now_s)

    def propose(self) -> None:
        self.say(interfaces.PROPOSAL, conversions.chunk_to_trajectory(self.chunk(), PANDA))

    def _answer(self, name: str, request: Any, response: Any) -> Any:
        given = [getattr(request, field) for field in request.get_fields_and_field_types()]
        self.calls.append((name, given[0] if given else None))
        response.success, response.message = name not in self.refusing, f"{name} was asked"
        return response

    def _on_command(self, message: Any) -> None:
        self.q = np.array(message.points[0].positions)

    def _speak(self) -> None:
        now_s = self.bench.now_s()
        fingers = PANDA.gripper.joint_positions(1.0)
        state = conversions.to_joint_state(PANDA.all_joints, np.append(self.q, fingers), now_s, np.zeros(9))
        self.say(interfaces.JOINT_STATES, state)
        self.say(interfaces.ARM_STATUS, arm_status_to_message(MOVE))
        self._views = np.roll(self._views, 1, axis=2)  # a picture that is the same again is not sent again
        self._steps += 1
        if self._reported.status and self._steps % REPORT_EVERY == 0:
            self._reported.header.stamp = conversions.to_time(now_s)
            self.say(interfaces.DIAGNOSTICS, self._reported)
        if self.acting:
            self.say(interfaces.ACTION_CHUNK, conversions.chunk_to_trajectory(self.chunk(), PANDA))
        for name, view in zip(self.rig.names, self._views, strict=True):
            self.say(interfaces.camera_image(name), conversions.rgb_to_image(view, now_s))
        self.say(interfaces.TARGETS, conversions.rgb_to_image(tile(255 - self._views), now_s))
