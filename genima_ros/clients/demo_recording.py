"""What the nodes of a demo said, as recordings that `genima view` shows; written when the demo is over."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.node import Node

from genima_core.cameras import CameraRig
from genima_core.data.bags.episode_info import EpisodeInfo, folder_of
from genima_core.data.bags.messages import Message
from genima_core.data.bags.recording import SIMULATED_BAD_SHARE, EpisodeRecorder, RecordingConfig
from genima_ros.nodes.recording import LATCHED, StreamInputs, streams_of

TAKE_S = 0.2
QUEUE_MB = 1e4
"""All of an episode is in memory already."""


@dataclass
class Heard:
    """The messages of one scene."""

    task: str
    instruction: str
    scene: int
    begun_ns: int
    latched: tuple[Message, ...]
    """What had been said before, and still held."""
    messages: list[Message] = field(default_factory=list)
    ended_ns: int = 0
    success: bool = False


class DemoRecorder:
    """Keeps all messages of the scene that runs, as they came."""

    def __init__(self, node: Node, rig: CameraRig, fps: float) -> None:
        self._rig, self._fps = rig, fps
        self._inputs = StreamInputs(node, streams_of(rig.names), fps)
        self._topics = self._inputs.topics
        self._latched: dict[str, Message] = {}
        self._heard: list[Heard] = []
        self._timer = node.create_timer(TAKE_S, self._take)

    def begin(self, task: str, instruction: str, scene: int) -> None:
        self._take()
        self._heard.append(Heard(task, instruction, scene, time.time_ns(), tuple(self._latched.values())))

    def end(self, success: bool) -> None:
        self._take()
        self._heard[-1].ended_ns, self._heard[-1].success = time.time_ns(), success

    def close(self) -> None:
        self._timer.cancel()
        self._inputs.close()

    def _take(self) -> None:
        running = self._heard[-1] if self._heard and not self._heard[-1].ended_ns else None
        for role, message in self._inputs.take():
            if role in LATCHED:
                self._latched[role] = message
            if running is not None:
                running.messages.append(message)

    def write(self, out: Path) -> Sequence[EpisodeInfo]:
        """Each scene into a folder of `out`, labelled by its success."""
        return [self._write(folder_of(out, number), heard) for number, heard in enumerate(self._heard)]

    def _write(self, folder: Path, heard: Heard) -> EpisodeInfo:
        info = EpisodeInfo(
            task=heard.task,
            instruction=heard.instruction,
            streams=self._topics,
            arm=self._rig.arm,
            rig=self._rig.to_dict(),
            seed=heard.scene,
        )
        expected = (*(f"camera/{name}" for name in self._rig.names), "joint_states", "joint_commands")
        config = RecordingConfig(fps=self._fps, queue_mb=QUEUE_MB, bad_share=SIMULATED_BAD_SHARE)
        recorder = EpisodeRecorder(folder, info, expected, config, heard.begun_ns, heard.latched)
        for message in heard.messages:
            recorder.add(message)
        heard.messages.clear()
        recorder.finish(heard.ended_ns)
        recorder.relabel("success" if heard.success else "failure")
        return recorder.info
