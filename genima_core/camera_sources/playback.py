"""Pictures in a folder, or a video, played as if a camera took them now; over and over."""

from collections.abc import Generator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.source import Clock, Frame
from genima_core.pixels import read_picture

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
INTRINSICS = "intrinsics.json"
"""In the folder of pictures, or beside the video."""


class Playback:
    """A `Source` of pictures that never end, each stamped with the moment it was due."""

    live, warning = False, ""

    def __init__(self, path: Path, pictures: Generator[np.ndarray], fps: float, lens: Lens, clock: Clock) -> None:
        """ValueError or OSError if the first picture cannot be read, or has another size than the intrinsics."""
        first = next(pictures)
        size, expected = first.shape[1::-1], lens.camera.size
        if size != expected:
            given = f"{path} has pictures of {size[0]}x{size[1]}, its intrinsics are of {expected[0]}x{expected[1]}"
            raise ValueError(f"{given}; give intrinsics of the pictures' size")
        self.lens = lens
        self._pictures, self._all = pictures, chain([first], pictures)
        self._period_s, self._clock = 1 / fps, clock
        self._due_s = clock.ros_s()
        self._number = 0

    def read(self, timeout_s: float) -> Frame | None:
        now_s = self._clock.ros_s()
        if self._due_s - now_s > timeout_s:
            self._clock.wait(timeout_s)
            return None
        if self._due_s > now_s:
            self._clock.wait(self._due_s - now_s)
        elif now_s - self._due_s > self._period_s:  # somebody was slow: time goes on from here, pictures never hurry
            self._due_s = now_s
        stamp_s, self._due_s = self._due_s, self._due_s + self._period_s
        self._number += 1
        return Frame(next(self._all), stamp_s, self._number, self.lens)

    def close(self) -> None:
        self._pictures.close()


def play_folder(folder: Path, fps: float, lens: Lens, clock: Clock) -> Playback:
    """Its pictures in the order of their names."""
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder} does not exist; give one with pictures")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)
    if not files:
        raise ValueError(f"{folder} has no pictures; valid are {', '.join(PICTURES)}")
    return Playback(folder, _forever(files), fps, lens, clock)


def _forever(files: list[Path]) -> Generator[np.ndarray]:
    while True:
        yield from map(read_picture, files)


def play_video(path: Path, lens: Lens, clock: Clock) -> Playback:
    """Its frames, at its own rate."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no video {path}")
    rate = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)
    return Playback(path, _frames(path), rate or 30.0, lens, clock)


def _frames(path: Path) -> Generator[np.ndarray]:
    while True:
        video, count = cv2.VideoCapture(str(path)), 0
        while (picture := video.read()[1]) is not None:
            count += 1
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        if not count:
            raise ValueError(f"{path} cannot be read as a video: it has no frames")
