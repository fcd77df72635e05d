"""The videos of one episode, all cameras at the same time."""

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

import numpy as np

from genima_core.data import video
from genima_core.data.episode import Frames

Statistics = dict[str, np.ndarray]

SAMPLED = 50
"""Frames, about, of an episode that its statistics are taken from."""


def encode_all(frames: Mapping[Path, Frames], fps: int) -> list[Statistics]:
    """Writes each camera's frames, in a thread of its own, and returns the statistics of each.

    If one fails or is interrupted, the others end too. Frames are taken one at a time, so memory does not grow with
    the length of the episode.
    """
    stop = Event()
    passing = [_Passing(some, stop) for some in frames.values()]
    try:
        with ThreadPoolExecutor(len(passing)) as pool:
            try:
                futures = [pool.submit(video.encode, *job, fps) for job in zip(frames, passing, strict=True)]
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


class _Passing:
    """Frames on their way to be encoded; counted, and cut off when another camera failed."""

    def __init__(self, frames: Frames, stop: Event) -> None:
        self.shape, self.dtype = frames.shape, frames.dtype
        self._frames, self._stop = frames, stop
        self._histogram = np.zeros((3, 256), np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        every = max(1, self.shape[0] // SAMPLED)
        for t, frame in enumerate(self._frames):
            if self._stop.is_set():
                raise CancelledError("another camera's video failed")
            if t % every == 0:
                for channel, counts in enumerate(self._histogram):
                    counts += np.bincount(frame[..., channel].ravel(), minlength=256)
            yield frame

    def statistics(self) -> Statistics:
        """Per channel in 0 to 1, shape (3, 1, 1)."""
        levels, number = np.arange(256) / 255.0, self._histogram.sum(1)
        mean, square = self._histogram @ levels / number, self._histogram @ levels**2 / number
        occurring = [levels[counts > 0] for counts in self._histogram]
        moments = {
            "min": np.array([some[0] for some in occurring]),
            "max": np.array([some[-1] for some in occurring]),
            "mean": mean,
            "std": np.sqrt(np.maximum(square - mean**2, 0.0)),
        }
        return {name: value.reshape(3, 1, 1) for name, value in moments.items()} | {"count": np.array([self.shape[0]])}
