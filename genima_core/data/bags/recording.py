"""One episode while it is recorded: messages go into a queue, and a worker thread writes and measures them."""

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from genima_core.data.bags import messages
from genima_core.data.bags.episode_info import EpisodeInfo, Label, number_of
from genima_core.data.bags.messages import Message
from genima_core.data.bags.meter import QualityMeter
from genima_core.data.bags.quality import QualityBounds, suspect
from genima_core.data.bags.writer import BagWriter, Compression

UNFINISHED = "its recording was interrupted"
POLL_S = 0.01
"""The worker looks this often; waking it for each message would cost more than the messages do."""
FLUSH_S = 0.5
"""Everything older than this survives the end of the process."""
MEGABYTE = 10**6
DRAWINGS = "targets"
"""Role of what the agent draws."""


@dataclass(frozen=True)
class RecordingConfig(QualityBounds):
    """How episodes are written."""

    fps: float = 30.0
    """Rate that the cameras are set to; gaps are judged by it. Every message is recorded."""
    images: Literal["jpeg", "raw"] = "jpeg"
    """jpeg: as JPEG pictures; raw: the bytes as received."""
    jpeg_quality: int = 95
    """1 to 100."""
    compression: Compression = "zstd"
    """Of the chunks of the MCAP file."""
    reserve_mb: float = 500.0
    """Space to be left on the disk: the recording stops when there is less."""
    queue_mb: float = 256.0
    """Messages that may wait for the disk; more are lost, and counted."""


SIMULATED_BAD_SHARE = 0.1
"""`bad_share` of rendered views of 64 pixels: they may be the same twice while the last joint turns a little."""


def is_picture(role: str) -> bool:
    """Whether messages of this role are stored as JPEG."""
    return role == DRAWINGS or role.startswith("camera/")


def free_bytes(folder: Path) -> int:
    """Space that a user may still fill on the file system of `folder`, which need not exist yet."""
    return shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free


class EpisodeRecorder:
    """Writes one episode into a new folder; `add` only puts into a queue, and any one thread may call it.

    An OSError of the writing, or too little space, ends the writing but not the program: `problem` says so, and
    `finish` keeps what was written.
    """

    def __init__(
        self,
        folder: Path,
        info: EpisodeInfo,
        expected: tuple[str, ...],
        config: RecordingConfig,
        begun_ns: int,
        latched: Iterable[Message] = (),
        flush_s: float = FLUSH_S,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        """Makes the folder, and starts the thread that writes.

        Args:
            folder: To be made; FileExistsError if it exists, another OSError if it cannot be made.
            info: Its streams are the topics on which messages arrive, those of images as the cameras send them.
            expected: Roles of streams without which the episode is suspect.
            config: How it is written and judged.
            begun_ns: When it begins, by the clock of reception.
            latched: Messages that came before, and still hold.
            flush_s: How often what was written is handed to the operating system.
            free: Says how many bytes are free on the disk of a folder.
        """
        self.folder = folder
        self._arriving = {topic: role for role, topic in info.streams.items()}
        stored = {
            role: f"{topic}/compressed" if is_picture(role) and config.images == "jpeg" else topic
            for role, topic in info.streams.items()
        }
        self.info = replace(info, streams=stored, fps=config.fps, suspect=(UNFINISHED,))
        self.problem = ""
        """Why nothing is written any more; "" while all is well."""
        self.minutes_left: float | None = None
        """Until the disk is down to the reserve, at the rate so far; None if not known yet."""
        self.overflow = 0
        """Messages that were lost because too many waited."""
        self._config, self._begun_ns, self._flush_s, self._free = config, begun_ns, flush_s, free
        self._writer = BagWriter(folder, compression=config.compression)
        try:
            self.info.save(folder)
        except OSError:
            self._writer.close()
            shutil.rmtree(folder)
            raise
        self._meter = QualityMeter(config.fps, expected, info.arm.joint_names)
        self._queue: deque[Message] = deque()
        self._begun_s = self._flushed_s = time.monotonic()
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
    def number(self) -> int:
        return number_of(self.folder)

    @property
    def name(self) -> str:
        return f"episode {self.number}"

    @property
    def verdict(self) -> str:
        counts = sorted({camera["messages"] for camera in self.info.quality["cameras"].values()}) or [0]
        frames = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
        why = f"suspect: {'; '.join(self.info.suspect)}" if self.info.suspect else "ok"
        return f"{self.name}: {self.info.quality['duration_s']:.1f} s, {frames} frames a camera, {why}"

    @property
    def waiting_mb(self) -> float:
        return (self._added - self._taken) / MEGABYTE

    @property
    def written_mb(self) -> float:
        return self._writer.bytes_written / MEGABYTE

    def finish(self, ended_ns: int, instruction: str = "") -> EpisodeInfo:
        """Writes what is waiting, closes the bag and says how good it is; a full disk is no error here."""
        self._end()
        quality = self._meter.result(self._begun_ns, ended_ns, self.overflow)
        info = replace(self.info, instruction=instruction or self.info.instruction, quality=quality.to_dict())
        reasons = suspect(quality, self._config)
        self.info = replace(info, suspect=(self.problem, *reasons) if self.problem else reasons)
        with self._noting_problems():
            self.info.save(self.folder)
        if self.problem and self.problem not in self.info.suspect:  # it could not be saved
            self.info = replace(info, suspect=(self.problem, *reasons))
        return self.info

    def relabel(self, label: Label) -> None:
        """Changes the label, during the recording or afterwards; OSError if that fails: then the old label stays."""
        info = replace(self.info, label=label)
        info.save(self.folder)
        self.info = info

    def discard(self) -> None:
        """Ends the writing if need be, and removes the folder; OSError if that fails."""
        self._end()
        shutil.rmtree(self.folder)

    def _end(self) -> None:
        self._ending.set()
        self._worker.join()
        with self._noting_problems():
            self._writer.close()

    def _work(self) -> None:
        last = False
        while not last:
            last = self._ending.wait(POLL_S)  # before the queue is emptied, so that nothing remains in it
            while self._queue:
                message = self._queue.popleft()
                with self._noting_problems():
                    self._write(message)
                    self._flush_if_due()  # also while more comes than can be written
                self._taken += len(message.data)
            with self._noting_problems():
                self._flush_if_due()

    @contextmanager
    def _noting_problems(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"writing stopped: {error}; make space on the disk of {self.folder.parent}"
            self.problem = self.problem or text
        except Exception as error:  # a thread that ends without a word would lose all that follows
            self.problem = self.problem or f"writing stopped: {error!r}"

    def _write(self, message: Message) -> None:
        if self.problem:
            return
        role, image, stored = self._arriving.get(message.topic, ""), None, message
        if is_picture(role):
            image = messages.image_or_error(message.data, message.type)
            if message.type == messages.IMAGE and self._config.images == "jpeg" and not isinstance(image, ValueError):
                try:
                    data = messages.serialize(messages.to_jpeg(image, self._config.jpeg_quality), messages.JPEG)
                    stored = message._replace(topic=self.info.streams[role], type=messages.JPEG, data=data)
                except ValueError:
                    pass  # written as it came; the meter counts it as unreadable
        self._writer.write(*stored)
        if role != DRAWINGS:  # nobody judges them, and they come when they are finished
            self._meter.add(role, message.data, message.published_ns, message.received_ns, image)

    def _flush_if_due(self) -> None:
        now_s = time.monotonic()
        if self.problem or now_s - self._flushed_s < self._flush_s:
            return
        self._flushed_s = now_s
        self._writer.flush()
        left = self._free(self.folder) - self._config.reserve_mb * MEGABYTE
        if self._writer.bytes_written:
            self.minutes_left = max(0.0, left) * (now_s - self._begun_s) / self._writer.bytes_written / 60
        if left <= 0:
            raise OSError(f"less than {self._config.reserve_mb:g} MB of space are left")
