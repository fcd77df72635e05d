"""Frames to and from mp4 files; those of all cameras of an episode at the same time."""

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

import av
import numpy as np

from genima_core.data.episode import Frames
from genima_core.files import explained

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
"""Statistics that lerobot keeps beside minimum, maximum, mean and deviation; it cannot extend a data set without."""

CODEC = "libx264"
SAMPLED = 50
"""Frames, about, of an episode that its statistics are taken from."""


def pixel_format(width: int, height: int) -> str:
    """How the colours of a video of this size are stored.

    Views as the models see them keep full colour resolution: at 64x64 a button is three pixels wide. yuv420p reaches
    34 dB there and 39 dB at 256x256; yuv444p reaches 47 and 51 dB for a quarter more bytes.
    Larger pictures, as cameras send them, are stored so that every player shows them.
    """
    return "yuv444p" if max(width, height) <= 256 else "yuv420p"


def encode(path: Path, frames: Frames, fps: int, crf: int = 12) -> None:
    """Writes frames (T, H, W, 3) uint8 RGB one at a time as H.264 in mp4, frame t at t / fps; ValueError: odd size."""
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"frames are {width}x{height}; video needs an even width and height: resize or crop them")
    # Every second frame a key frame: training reads frames at random. No B-frames: times start at zero everywhere.
    # Of a 256x256 view with a sensor's noise, "fast" makes 20 kB at 41.3 dB in 8 ms, this 27 kB at 40.7 dB in 1.4 ms;
    # of a clean one 2.9 kB at 48 dB and 6.2 kB at 51 dB.
    options = {"crf": str(crf), "preset": "ultrafast", "g": "2", "bf": "0"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(CODEC, rate=fps, options=options)
        if not isinstance(stream, av.VideoStream):
            raise TypeError(f"{CODEC} is not a video's codec")
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format(width, height)
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        for t, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = t
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


class VideoFrames:
    """Frames of a video, decoded one at a time; every iteration reads the file again."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self, path: Path, first: int, count: int, size: tuple[int, int], fps: int, copyable: bool = False
    ) -> None:
        """`count` frames of width and height `size` from `first` on; frame t is the one shown at t / fps.

        `copyable`: the file holds just these, as `encode` writes them.
        """
        self.path, self.first, self.fps, self.copyable = path, first, fps, copyable
        self.shape = (count, size[1], size[0], 3)

    def __iter__(self) -> Iterator[np.ndarray]:
        """FileNotFoundError, ValueError: no such video; it is damaged, of another size, or lacks a frame."""
        if not Path(self.path).is_file():
            raise FileNotFoundError(f"video {self.path} is missing")
        wanted, end = self.first, self.first + self.shape[0]
        with explained(f"video {self.path} is damaged", av.FFmpegError), av.open(str(self.path)) as container:
            if not container.streams.video:
                raise ValueError(f"video {self.path} is damaged: it shows nothing")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if wanted and stream.time_base is not None:
                container.seek(int(wanted / self.fps / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time is None or round(frame.time * self.fps) < wanted:
                    continue
                if (frame.width, frame.height) != self.shape[2:0:-1]:
                    needed = f"the rig says {self.shape[2]}x{self.shape[1]}"
                    raise ValueError(f"video {self.path} is {frame.width}x{frame.height}; {needed}")
                if round(frame.time * self.fps) > wanted:
                    break
                yield frame.to_ndarray(format="rgb24")
                wanted += 1
                if wanted == end:
                    return
        raise ValueError(f"video {self.path} has no frame {wanted}; {end} are needed")


def encode_all(frames: Mapping[Path, Frames], fps: int) -> list[dict[str, np.ndarray]]:
    """Writes each camera's frames, one at a time in a thread of its own; their statistics. If one fails, all end."""
    stop = Event()
    passing = [_Passing(some, stop) for some in frames.values()]
    try:
        with ThreadPoolExecutor(len(passing)) as pool:
            try:
                futures = [pool.submit(_write, *job, fps) for job in zip(frames, passing, strict=True)]
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                stop.set()
            for future in done:
                future.result()  # raises what went wrong
    except BaseException:
        for path in frames:
            path.unlink(missing_ok=True)
        raise
    return [some.statistics() for some in passing]


def _write(path: Path, frames: "_Passing", fps: int) -> None:
    source = frames.source
    if not (isinstance(source, VideoFrames) and source.copyable):
        encode(path, frames, fps)
        return
    for _ in frames:  # for their statistics; a damaged file is found out as well
        pass
    shutil.copyfile(source.path, path)


class _Passing:
    """Frames on their way to be encoded; counted, and cut off when another camera failed."""

    def __init__(self, frames: Frames, stop: Event) -> None:
        self.shape, self.dtype = frames.shape, frames.dtype
        self.source, self._stop = frames, stop
        self._histogram = np.zeros((3, 256), np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        every = max(1, self.shape[0] // SAMPLED)
        for t, frame in enumerate(self.source):
            if self._stop.is_set():
                raise CancelledError("another camera's video failed")
            if t % every == 0:
                for channel, counts in enumerate(self._histogram):
                    counts += np.bincount(frame[..., channel].ravel(), minlength=256)
            yield frame

    def statistics(self) -> dict[str, np.ndarray]:
        """Per channel in 0 to 1, shape (3, 1, 1)."""
        levels, number = np.arange(256) / 255.0, self._histogram.sum(1)
        mean, square = self._histogram @ levels / number, self._histogram @ levels**2 / number
        occurring = [levels[counts > 0] for counts in self._histogram]
        low, high = np.array([some[0] for some in occurring]), np.array([some[-1] for some in occurring])
        risen = self._histogram.cumsum(1) / number[:, None]
        moments = {name: levels[(risen < share).sum(1)] for name, share in QUANTILES.items()}
        moments |= {"min": low, "max": high, "mean": mean, "std": np.sqrt(np.maximum(square - mean**2, 0.0))}
        return {name: value.reshape(3, 1, 1) for name, value in moments.items()} | {"count": np.array([self.shape[0]])}
