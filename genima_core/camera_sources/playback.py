"""Pictures in a folder, or a video, played as if a camera took them now; over and over."""

from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.source import Frame
from genima_core.pixels import read_picture

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
INTRINSICS = "intrinsics.json"
"""In the folder of pictures, or beside the video."""


class Playback:
    """A `Source` that gives `pictures` at `fps`, each stamped with the moment it was due."""

    def __init__(
        self,
        pictures: Generator[np.ndarray],
        lens: Lens,
        fps: float,
        ros_s: Callable[[], float],
        wait: Callable[[float], object],
    ) -> None:
        self.lens = lens
        self._pictures, self._period_s = pictures, 1 / fps
        self._ros_s, self._wait = ros_s, wait
        self._due_s: float | None = None
        self._number = 0

    def read(self, timeout_s: float) -> Frame | None:
        now_s = self._ros_s()
        due_s = now_s if self._due_s is None else self._due_s
        if due_s - now_s > timeout_s:
            self._wait(timeout_s)
            return None
        if due_s > now_s:
            self._wait(due_s - now_s)
        elif now_s - due_s > self._period_s:  # somebody was slow: time goes on from here, pictures do not run ahead
            due_s = now_s
        self._due_s = due_s + self._period_s
        self._number += 1
        return Frame(next(self._pictures), due_s, self._number, self.lens)

    def close(self) -> None:
        self._pictures.close()


class FolderOpener:
    """Pictures of a folder in the order of their names."""

    warning = ""

    def __init__(
        self, folder: Path, lens: Lens, fps: float, ros_s: Callable[[], float], wait: Callable[[float], object]
    ) -> None:
        self._folder, self._lens, self._fps, self._ros_s, self._wait = folder, lens, fps, ros_s, wait

    def open(self) -> Playback:
        if not self._folder.is_dir():
            raise FileNotFoundError(f"folder {self._folder} does not exist; give one with pictures")
        files = sorted(p for p in self._folder.iterdir() if p.suffix.lower() in PICTURES)
        if not files:
            raise ValueError(f"{self._folder} has no pictures; valid are {', '.join(PICTURES)}")
        return Playback(
            _checked(_forever(files), self._lens, self._folder), self._lens, self._fps, self._ros_s, self._wait
        )

    def reset(self) -> None:
        """A folder needs none."""


class VideoOpener:
    """Frames of a video, at its own rate."""

    warning = ""

    def __init__(self, path: Path, lens: Lens, ros_s: Callable[[], float], wait: Callable[[float], object]) -> None:
        self._path, self._lens, self._ros_s, self._wait = path, lens, ros_s, wait

    def open(self) -> Playback:
        if not self._path.is_file():
            raise FileNotFoundError(f"there is no video {self._path}")
        pictures = _checked(_frames(self._path), self._lens, self._path)
        return Playback(pictures, self._lens, _rate_of(self._path), self._ros_s, self._wait)

    def reset(self) -> None:
        """A video needs none."""


def _checked(pictures: Generator[np.ndarray], lens: Lens, path: Path) -> Generator[np.ndarray]:
    """The same pictures, of which the first is looked at now.

    Raises:
        ValueError, OSError: it cannot be read, or has another size than the intrinsics.
    """
    first = next(pictures)
    size, expected = (first.shape[1], first.shape[0]), (lens.camera.width, lens.camera.height)
    if size != expected:
        raise ValueError(
            f"{path} has pictures of {size[0]}x{size[1]}, its intrinsics are of {expected[0]}x"
            f"{expected[1]}; give intrinsics of the pictures' size"
        )

    def all_of_them() -> Generator[np.ndarray]:
        yield first
        yield from pictures

    return all_of_them()


def _forever(files: list[Path]) -> Generator[np.ndarray]:
    while True:
        for path in files:
            yield read_picture(path)


def _av():
    try:
        import av
    except ImportError as error:
        raise RuntimeError(f"videos need PyAV ({error}): pip install '.[record]' in the source tree") from error
    return av


def _rate_of(path: Path) -> float:
    av = _av()
    try:
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} cannot be read as a video: {error}") from error
    return float(rate or 30.0)


def _frames(path: Path) -> Generator[np.ndarray]:
    av = _av()
    try:
        while True:
            count = 0
            with av.open(str(path)) as container:
                for frame in container.decode(container.streams.video[0]):
                    count += 1
                    yield frame.to_ndarray(format="rgb24")
            if not count:
                raise ValueError(f"{path} has no frames")
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} cannot be read as a video: {error}") from error
