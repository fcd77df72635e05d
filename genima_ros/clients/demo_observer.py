"""What the demo sees from outside: drawings, chunks, commands, and pictures for the film."""

import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

from genima_core.arm import PANDA, JointLimits
from genima_core.pixels import tile
from genima_core.timing import PeriodMeter
from genima_ros.clients.latency import CommandLatency
from genima_ros.clients.observer import Observer
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import image_to_rgb, seconds

PERIOD_S = 0.02
MOST_PERIODS = 200_000
QUIET_S = 0.3
STREAM_ENDS_S = 0.5
"""Commands further apart belong to two streams."""
TOLERANCE = 1e-6
RECENT = 20
"""Drawings kept until their chunks come."""


@dataclass(frozen=True)
class Frame:
    """One picture of the film."""

    time_s: float
    """Since the episode began."""
    observation: np.ndarray
    """(2H, 2W, 3) uint8."""
    drawing: np.ndarray | None
    success: bool


@dataclass
class Episode:
    """One scene, from its reset on; filled as messages come."""

    begin_s: float
    """Steady time."""
    begin_stamp_s: float
    """What was captured before is of the scene before."""
    instruction: str
    counting: bool = True
    """Until its end; the film goes on until the next episode."""
    succeeded: bool = False
    drawings: int = 0
    chunks: int = 0
    frames: list[Frame] = field(default_factory=list)
    followed: list[np.ndarray] = field(default_factory=list)
    """Drawings that became a chunk, tiled."""


@dataclass(frozen=True)
class CommandSet:
    """One set point."""

    stamp_s: float
    """ROS time that it is meant for."""
    q: np.ndarray
    """(7,) rad."""
    dq: np.ndarray
    """(7,) rad/s."""


class DemoObserver(Observer):
    """Records a running graph; one episode's pictures at a time."""

    def __init__(self, domain: int, cameras: tuple[str, ...]) -> None:
        super().__init__(domain, "demo_observer")
        self.episode: Episode | None = None
        self.instruction = ""
        self.joint_stamp_s = 0.0
        """Of the newest joint state."""
        self.drawing_latencies_s: list[float] = []
        self.chunk_latencies_s: list[float] = []
        self.command_latency = CommandLatency()
        self._cameras = cameras
        self._images: dict[str, np.ndarray] = {}
        """The newest of each camera, since the last frame."""
        self._drawings: deque[tuple[Time, np.ndarray]] = deque(maxlen=RECENT)
        """Of this episode."""
        self._streams: list[list[CommandSet]] = []
        self._meter = PeriodMeter(PERIOD_S, MOST_PERIODS)
        self._last_command_s = 0.0
        for name in cameras:
            self.listen(interfaces.camera_image(name), partial(self._on_image, name))
        self.listen(interfaces.TARGETS, self._on_drawing)
        self.listen(interfaces.ACTION_CHUNK, self._on_chunk)
        self.listen(interfaces.JOINT_COMMANDS, self._on_command)
        self.listen(interfaces.SUCCESS, self._on_success)
        self.listen(interfaces.INSTRUCTION, lambda message: setattr(self, "instruction", message.data))
        self.listen(interfaces.JOINT_STATES, lambda m: setattr(self, "joint_stamp_s", seconds(m.header.stamp)))

    def begin_episode(self) -> Episode:
        self._drawings.clear()
        self.episode = Episode(time.monotonic(), self.joint_stamp_s, self.instruction)
        return self.episode

    def arm_is_quiet(self) -> bool:
        """No commands flow."""
        return time.monotonic() - self._last_command_s > QUIET_S

    def command_statistics(self, limits: JointLimits = PANDA.limits) -> dict[str, float | int | None]:
        """Rate, jitter and gaps as received here, and how many commanded differences exceed a limit."""
        periods_s, summary = self._meter.periods_s, self._meter.summary()
        measured = len(periods_s) > 0
        return {
            "commands": sum(map(len, self._streams)),
            "rate_hz": float(1 / np.mean(periods_s)) if measured else 0.0,
            "jitter_ms_p99": summary["jitter_ms_p99"] if measured else None,
            "gap_ms_max": summary["gap_ms_max"] if measured else None,
            "limit_violations": sum(violations(stream, limits) for stream in self._streams),
        }

    def _on_image(self, name: str, message: Image) -> None:
        self._images[name] = image_to_rgb(message)
        if self.episode is not None and len(self._images) == len(self._cameras):
            time_s = time.monotonic() - self.episode.begin_s
            observation = tile([self._images[name] for name in self._cameras])
            drawing = self._drawings[-1][1] if self._drawings else None
            self.episode.frames.append(Frame(time_s, observation, drawing, self.episode.succeeded))
            self._images.clear()

    def _on_drawing(self, message: Image) -> None:
        stamp_s = seconds(message.header.stamp)
        if self.episode is None or stamp_s < self.episode.begin_stamp_s:
            return
        self._drawings.append((message.header.stamp, image_to_rgb(message)))
        if self.episode.counting:
            self.episode.drawings += 1
            self.drawing_latencies_s.append(self.now_s() - stamp_s)

    def _on_chunk(self, message: JointTrajectory) -> None:
        if self.episode is None or not self.episode.counting:
            return
        self.episode.chunks += 1
        stamp_s = seconds(message.header.stamp)
        self.chunk_latencies_s.append(self.now_s() - stamp_s)
        self.command_latency.on_chunk(stamp_s)
        self.episode.followed += [drawing for stamp, drawing in self._drawings if stamp == message.header.stamp]

    def _on_success(self, message: Bool) -> None:
        if self.episode is not None:
            self.episode.succeeded = message.data

    def _on_command(self, message: JointState) -> None:
        self._last_command_s = time.monotonic()
        command = CommandSet(seconds(message.header.stamp), np.array(message.position), np.array(message.velocity))
        if not self._streams or command.stamp_s - self._streams[-1][-1].stamp_s > STREAM_ENDS_S:
            self._streams.append([])
            self._meter.pause()
        self._streams[-1].append(command)
        self._meter.tick(self._last_command_s)
        self.command_latency.on_command(float(np.abs(command.dq).max(initial=0.0)), self.now_s())


def violations(stream: list[CommandSet], limits: JointLimits) -> int:
    """How many commands exceed a limit of position, velocity or acceleration by their differences.

    The streamer moves on by whole periods, so these are what the differences are taken over.
    """
    if len(stream) < 2:
        return 0
    q, dq = np.stack([c.q for c in stream]), np.stack([c.dq for c in stream])
    periods = np.maximum(1, np.rint(np.diff([c.stamp_s for c in stream]) / PERIOD_S))
    dt_s = (periods * PERIOD_S)[:, None]
    outside = (q[1:] < limits.lower - TOLERANCE) | (q[1:] > limits.upper + TOLERANCE)
    fast = limits.too_fast(q[:-1], np.diff(q, axis=0) / dt_s / (1 + TOLERANCE))
    hard = abs(np.diff(dq, axis=0)) / dt_s > limits.acceleration * (1 + TOLERANCE)
    return int((outside | fast | hard).any(axis=1).sum())
