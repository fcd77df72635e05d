"""One episode while it is recorded: messages go into a queue, and a worker thread writes and measures them."""

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genima_core.data.bags import messages
from genima_core.data.bags.episode_info import EpisodeInfo, Label
from genima_core.data.bags.meter import QualityMeter
from genima_core.data.bags.quality import Quality, QualityBounds, suspect
from genima_core.data.bags.writer import BagWriter

UNFINISHED = "its recording was interrupted"
"""Of every episode until it is finished."""
POLL_S = 0.01
"""The worker looks this often; waking it for each message would cost more than the messages do."""
MEGABYTE = 10**6


class Message(NamedTuple):
    """What was received, as it came."""

    topic: str
    type: str
    data: bytes
    received_ns: int
    captured_ns: int
    qos: str = ""
    """For those who play it back: rosbag2's profile of the publisher."""


@dataclass(frozen=True)
class RecordingConfig:
    """How episodes are written."""

    streams: Mapping[str, str]
    """Role to the topic that it arrives on, of all that is recorded; images as they come from the camera."""
    expected: tuple[str, ...]
    """Roles without which an episode is suspect."""
    fps: float = 30.0
    images: Literal["jpeg", "raw"] = "jpeg"
    jpeg_quality: int = 95
    compression: Literal["zstd", "lz4", "none"] = "zstd"
    flush_s: float = 0.5
    """All that is older survives the end of the process."""
    queue_mb: float = 256.0
    """Of messages that wait to be written; more are lost, and counted."""
    reserve_mb: float = 500.0
    """Free space at which the recording stops."""
    bounds: QualityBounds = field(default_factory=QualityBounds)

    def stored(self) -> dict[str, str]:
        """Role to topic in the bag."""
        return {
            role: f"{topic}/compressed" if role.startswith("camera/") and self.images == "jpeg" else topic
            for role, topic in self.streams.items()
        }


def free_bytes(folder: Path) -> int:
    """What a user may still write on the file system of `folder`."""
    return shutil.disk_usage(folder).free


class EpisodeRecorder:
    """Writes one episode into a new folder; `add` only puts into a queue, and any one thread may call it.

    An OSError of the writing, or too little space, ends the writing but not the program: `problem` says so, and
    `finish` keeps what was written.
    """

    def __init__(
        self,
        folder: Path,
        about: EpisodeInfo,
        config: RecordingConfig,
        begun_ns: int,
        latched: Iterable[Message] = (),
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        """`latched` came before and is written first; `begun_ns` is of the clock that messages are received by.

        Raises:
            FileExistsError, OSError: the folder exists, or cannot be made.
        """
        self.folder = folder
        self.about = replace(about, streams=config.stored(), fps=config.fps, suspect=(UNFINISHED,))
        self.problem = ""
        """Why nothing is written any more."""
        self.minutes_left: float | None = None
        """Until the reserve is reached, at the rate so far."""
        self.overflow = 0
        self._config, self._begun_ns, self._free = config, begun_ns, free
        self._writer = BagWriter(folder, compression=config.compression)
        try:
            self.about.save(folder)
        except OSError:
            self._writer.close()
            shutil.rmtree(folder)
            raise
        self._meter = QualityMeter(config.fps, config.expected, about.arm.joint_names)
        self._roles = {topic: role for role, topic in config.streams.items()}
        self._stored = config.stored()
        self._queue: deque[Message] = deque()
        self._flushed_s = 0.0
        self._added = self._taken = 0  # bytes: each is counted by one thread only, so neither needs a lock
        for message in latched:
            self.add(message._replace(received_ns=begun_ns))
        self._ending = threading.Event()
        self._worker = threading.Thread(target=self._work, name="episode writer", daemon=True)
        self._worker.start()

    def add(self, message: Message) -> None:
        """Takes a message in; it is lost, and counted, if too many wait."""
        if self._added - self._taken > self._config.queue_mb * MEGABYTE:
            self.overflow += 1
            return
        self._added += len(message.data)
        self._queue.append(message)

    @property
    def waiting_mb(self) -> float:
        return (self._added - self._taken) / MEGABYTE

    @property
    def written_mb(self) -> float:
        return self._writer.bytes_written / MEGABYTE

    def finish(self, ended_ns: int, instruction: str = "") -> EpisodeInfo:
        """Writes what waits, closes the bag and says how good it is; never raises for a disk that is full."""
        self._end_worker()
        try:
            self._writer.close()
        except OSError as error:
            self._fail(error)
        quality = self._meter.result(self._begun_ns, ended_ns, self.overflow)
        reasons = suspect(quality, self._config.bounds)
        if self.problem:
            reasons = (self.problem, *reasons)
        self.about = replace(
            self.about, instruction=instruction or self.about.instruction, suspect=reasons, quality=quality.to_dict()
        )
        try:
            self.about.save(self.folder)
        except OSError as error:
            self._fail(error)
            self.about = replace(self.about, suspect=tuple(dict.fromkeys((self.problem, *reasons))))
        return self.about

    def relabel(self, label: Label) -> None:
        """Another label, while it is recorded or afterwards.

        Raises:
            OSError: it cannot be written; the label stays as it was.
        """
        about = replace(self.about, label=label)
        about.save(self.folder)
        self.about = about

    def discard(self) -> None:
        """Ends the writing if need be, and removes the folder.

        Raises:
            OSError: it cannot be removed.
        """
        self._end_worker()
        try:
            self._writer.close()
        except OSError as error:
            self._fail(error)
        shutil.rmtree(self.folder)

    def _end_worker(self) -> None:
        self._ending.set()
        self._worker.join()

    def _work(self) -> None:
        begun_s = self._flushed_s = time.monotonic()
        while True:
            last = self._ending.wait(POLL_S)  # before the queue is emptied, so that nothing remains in it
            while self._queue:
                message = self._queue.popleft()
                if not self.problem:
                    self._guarded(self._write, message)
                self._taken += len(message.data)
                self._flush_if_due(begun_s)  # also while more comes than can be written
            if last:
                return
            self._flush_if_due(begun_s)

    def _flush_if_due(self, begun_s: float) -> None:
        now_s = time.monotonic()
        if not self.problem and now_s - self._flushed_s >= self._config.flush_s:
            self._flushed_s = now_s
            self._guarded(self._flush, max(now_s - begun_s, 1e-3))

    def _guarded(self, act: Callable, argument: object) -> None:
        try:
            act(argument)
        except OSError as error:
            self._fail(error)
        except Exception as error:  # a thread that ends without a word would lose all that follows
            self.problem = self.problem or f"writing stopped: {error!r}"

    def _fail(self, error: OSError) -> None:
        self.problem = self.problem or f"writing stopped: {error}; make space on the disk of {self.folder.parent}"

    def _write(self, message: Message) -> None:
        role, image = self._roles.get(message.topic, ""), None
        topic, kind, data = message.topic, message.type, message.data
        if role.startswith("camera/"):
            image = messages.image_or_error(data, kind)
            if kind == messages.IMAGE and self._config.images == "jpeg" and not isinstance(image, ValueError):
                try:
                    data = messages.serialize(messages.to_jpeg(image, self._config.jpeg_quality), messages.JPEG)
                    topic, kind = self._stored[role], messages.JPEG
                except ValueError:
                    pass  # written as it came; the meter counts it as unreadable
        self._writer.write(topic, kind, data, message.received_ns, message.captured_ns, message.qos)
        self._meter.add(role, message.data, message.captured_ns, message.received_ns, image)

    def _flush(self, elapsed_s: float) -> None:
        self._writer.flush()
        left = self._free(self.folder) - self._config.reserve_mb * MEGABYTE
        if self._writer.bytes_written:
            self.minutes_left = max(0.0, left) / (self._writer.bytes_written / elapsed_s) / 60
        if left <= 0:
            raise OSError(f"less than {self._config.reserve_mb:g} MB of space are left")


def verdict(name: str, quality: Quality | Mapping[str, Any], reasons: Iterable[str]) -> str:
    """One line about a finished episode."""
    numbers = quality.to_dict() if isinstance(quality, Quality) else quality
    counts = [camera["messages"] for camera in numbers["cameras"].values()]
    frames = f"{min(counts)} to {max(counts)}" if len(set(counts)) > 1 else f"{counts[0] if counts else 0}"
    why = "; ".join(reasons)
    return f"{name}: {numbers['duration_s']:.1f} s, {frames} frames a camera, {'suspect: ' + why if why else 'ok'}"
