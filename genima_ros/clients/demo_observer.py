"""What the demo sees from outside: drawings, chunks, commands, and pictures for the film."""

import time
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

from genima_core.arm import PANDA, JointLimits
from genima_core.tiling import tile
from genima_ros.clients.observer import Observer
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import image_to_rgb, seconds

PERIOD_S = 0.02
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


@dataclass(frozen=True)
class CommandSet:
    """One set point."""

    stamp_s: float
    """ROS time that it is meant for."""
    received_s: float
    """Steady time here."""
    q: np.ndarray
    """(7,) rad."""
    dq: np.ndarray
    """(7,) rad/s."""


class DemoObserver(Observer):
    """Records a running graph; one episode's pictures at a time."""

    def __init__(self, domain: int, cameras: tuple[str, ...]) -> None:
        super().__init__(domain, "demo_observer")
        self.cameras = cameras
        self.succeeded = False
        self.joint_stamp_s = 0.0
        """Of the newest joint state."""
        self.drawings = self.chunks = self.drawings_in_episode = self.chunks_in_episode = 0
        self.drawing_latencies_s: list[float] = []
        self.chunk_latencies_s: list[float] = []
        self.frames: list[Frame] = []
        self.followed: list[np.ndarray] = []
        """Drawings that became a chunk, tiled."""
        self._recording = self._counting = False
        self._images: dict[str, np.ndarray] = {}
        self._fresh: set[str] = set()
        self._drawing: np.ndarray | None = None
        self._recent: dict[tuple[int, int], np.ndarray] = {}
        self._streams: list[list[CommandSet]] = [[]]
        self._begin_s = self._begin_stamp_s = 0.0
        self._last_command_s = 0.0
        for name in cameras:
            interfaces.subscribe(
                self.node, interfaces.camera_image(name), lambda message, name=name: self._on_image(name, message)
            )
        interfaces.subscribe(self.node, interfaces.TARGETS, self._on_drawing)
        interfaces.subscribe(self.node, interfaces.ACTION_CHUNK, self._on_chunk)
        interfaces.subscribe(self.node, interfaces.JOINT_COMMANDS, self._on_command)
        interfaces.subscribe(self.node, interfaces.SUCCESS, self._on_success)
        interfaces.subscribe(self.node, interfaces.JOINT_STATES, self._on_joint_state)

    def begin_episode(self) -> None:
        """Forget the last episode's pictures and success."""
        self.frames, self.followed, self._drawing, self.succeeded = [], [], None, False
        self.drawings_in_episode = self.chunks_in_episode = 0
        self._recording = self._counting = True
        self._begin_s = time.monotonic()
        self._begin_stamp_s = self.joint_stamp_s

    def end_episode(self) -> None:
        """Stop counting; the film goes on until the next episode."""
        self._counting = False

    def arm_is_quiet(self) -> bool:
        """No commands flow."""
        return time.monotonic() - self._last_command_s > QUIET_S

    def command_statistics(self, limits: JointLimits = PANDA.limits) -> dict[str, float | int | None]:
        """Rate, jitter and gaps as received here, and how many commanded differences exceed a limit."""
        periods_s = np.concatenate(
            [np.diff([c.received_s for c in stream]) for stream in self._streams if stream] or [np.zeros(0)]
        )
        if len(periods_s) == 0:
            return {"commands": 0, "rate_hz": 0.0, "jitter_ms_p99": None, "gap_ms_max": None, "limit_violations": 0}
        return {
            "commands": sum(map(len, self._streams)),
            "rate_hz": float(1 / periods_s.mean()),
            "jitter_ms_p99": 1e3 * float(np.percentile(abs(periods_s - PERIOD_S), 99)),
            "gap_ms_max": 1e3 * float(periods_s.max()),
            "limit_violations": sum(violations(stream, limits) for stream in self._streams),
        }

    def _on_image(self, name: str, message: Image) -> None:
        self._images[name] = image_to_rgb(message)
        self._fresh.add(name)
        if self._recording and len(self._fresh) == len(self.cameras):
            self._fresh.clear()
            self.frames.append(
                Frame(
                    time.monotonic() - self._begin_s,
                    tile([self._images[n] for n in self.cameras]),
                    self._drawing,
                    self.succeeded,
                )
            )

    def _on_drawing(self, message: Image) -> None:
        if seconds(message.header.stamp) < self._begin_stamp_s:
            return  # of the scene before
        self._drawing = image_to_rgb(message)
        self._recent[_key(message.header.stamp)] = self._drawing
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        self.drawings += 1
        if self._counting:
            self.drawings_in_episode += 1
            self.drawing_latencies_s.append(self._ros_now_s() - seconds(message.header.stamp))

    def _on_chunk(self, message: JointTrajectory) -> None:
        self.chunks += 1
        if self._counting:
            self.chunks_in_episode += 1
            self.chunk_latencies_s.append(self._ros_now_s() - seconds(message.header.stamp))
            if (drawing := self._recent.get(_key(message.header.stamp))) is not None:
                self.followed.append(drawing)

    def _on_command(self, message: JointState) -> None:
        self._last_command_s = time.monotonic()
        command = CommandSet(
            seconds(message.header.stamp), self._last_command_s, np.array(message.position), np.array(message.velocity)
        )
        stream = self._streams[-1]
        if stream and command.stamp_s - stream[-1].stamp_s > STREAM_ENDS_S:
            self._streams.append([])
        self._streams[-1].append(command)

    def _on_joint_state(self, message: JointState) -> None:
        self.joint_stamp_s = seconds(message.header.stamp)

    def _on_success(self, message: Bool) -> None:
        self.succeeded = message.data

    def _ros_now_s(self) -> float:
        return self.node.get_clock().now().nanoseconds * 1e-9


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
    fast = abs(np.diff(q, axis=0)) / dt_s > limits.velocity * (1 + TOLERANCE)
    hard = abs(np.diff(dq, axis=0)) / dt_s > limits.acceleration * (1 + TOLERANCE)
    return int((outside | fast | hard).any(axis=1).sum())


def _key(stamp) -> tuple[int, int]:
    return stamp.sec, stamp.nanosec
