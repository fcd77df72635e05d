"""One camera: reads a RealSense, another driver's topic, a folder or a video; publishes what the rig needs of it."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any

from genima_core.camera_sources.lens import View, parse_crop, parse_size
from genima_core.camera_sources.source import Clock, Frame, Opener, Reader, ReadingConfig
from genima_core.config import check_positive
from genima_ros.graph.graph import CAMERA
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes import cameras
from genima_ros.nodes.base import GraphNode

SOURCES = Path(cameras.__file__).parent
WATCH_S = 0.25
LOOK_EVERY_S = 0.05
CLOSE_S = 3.0
"""A driver that does not come back by then is left behind."""
TIMINGS = {
    "estimated": "the device's clock is not global time: stamps rest on the shortest delay seen, and are late by that; "
    "update firmware and librealsense",
    "host": "the device gives no time of its own: stamps say when the host got the picture, which is late by exposure "
    "and transfer; build librealsense with metadata support",
}


@dataclass(frozen=True)
class CameraParameters(ReadingConfig):
    name: str = ""
    """Name of the camera in the rig: its topics are `<name>/color/image_raw` and `camera_info`. By default what follows
    "camera_" in the node's name."""
    source: str = "realsense"
    """What it reads from: realsense, topic, folder, video, or another file <source>_source.py of `cameras`."""
    serial: str = ""
    """Serial number of the RealSense; `genima cameras` lists them. In quotes in YAML, so that it stays text."""
    topic: str = ""
    """Image topic of another driver, such as realsense-ros: a full name, with camera_info beside it."""
    path: Path | None = None
    """Folder of pictures, or video."""
    profile: str = "640x480x30"
    """Width, height and rate of the RealSense's colour stream; of a folder only the rate counts, else nothing."""
    crop: str = ""
    """"square" (the largest in the middle) or left,top,width,height in px; "" keeps all."""
    size: str = ""
    """Width and height that the crop is resized to, such as 256x256; "" keeps it."""
    intrinsics: Path | None = None
    """JSON file that replaces the RealSense's own intrinsics; of a folder or video by default the intrinsics.json in or
    beside it."""
    frame_id: str = ""
    """<name>_color_optical_frame by default."""
    exposure_us: float | None = None
    """Fixed exposure; the camera's own automatic by default, which changes with the scene."""
    gain: float | None = None
    """Fixed gain, likewise."""
    white_balance_k: float | None = None
    """Fixed colour temperature of the white balance, likewise."""
    look_s: float = 1.0
    """How long to look for another node on the same topics before the start."""
    diagnostics_s: float = 1.0
    """Time between two diagnostics."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "diagnostics_s")


def make_opener(parameters: CameraParameters, clock: Clock) -> Opener:
    """The opener of real runs, by the file <source>_source.py in `cameras`; an error says what that lacks."""
    known = sorted(file.name.removesuffix("_source.py") for file in SOURCES.glob("*_source.py"))
    if parameters.source not in known:
        raise ValueError(f"source is {parameters.source!r}; valid are {', '.join(known)}")
    return import_module(f"{cameras.__name__}.{parameters.source}_source").opener(parameters, clock)


class CameraNode(GraphNode[CameraParameters]):
    """Publishes a camera's pictures, undistorted, cropped and resized: a thread reads them, a timer reports problems.

    Publishes: <camera>/color/image_raw (rgb8), <camera>/color/camera_info, both stamped with the capture time and
    without distortion; diagnostics.
    """

    sends_images = True

    def __init__(self, make: Callable[[CameraParameters, Clock], Opener] = make_opener, **options: Any) -> None:
        super().__init__("camera", CameraParameters, **options)
        self.name = self.parameters.name or self.get_name().partition(CAMERA)[2]
        if not self.name:
            remedy = f"set the parameter name, or call the node {CAMERA}front"
            raise ValueError(f"a camera needs the name that it has in the rig, such as front: {remedy}")
        self.frame_id = self.parameters.frame_id or f"{self.name}_color_optical_frame"
        self._ended = Event()
        self._topic, self._info_topic = interfaces.camera_image(self.name), interfaces.camera_info(self.name)
        clock = Clock(self.clock_s, self.ros_now_s, self._ended.wait)
        opener = make(replace(self.parameters, name=self.name), clock)
        self._refuse_two()
        self._reader = Reader(opener, self.parameters, clock)
        try:
            lens = self._reader.lens
            crop = parse_crop(self.parameters.crop, lens.camera.width, lens.camera.height)
            self._view = View(lens, crop, parse_size(self.parameters.size))
        except ValueError:
            self._reader.close()
            raise
        self.announce(self._topic, self._info_topic)
        self._ages_s: deque[float] = deque(maxlen=1000)
        self.diagnostics.every(self.parameters.diagnostics_s)
        self.every(WATCH_S, self._watch)
        self._thread = Thread(target=self._read, name="reading", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._reader.close()

    def _refuse_two(self) -> None:
        end_s = time.monotonic() + self.parameters.look_s
        while not (others := self._senders()) and time.monotonic() < end_s:
            self._ended.wait(LOOK_EVERY_S)
        if others:
            topic, remedy = self.full_name(self._topic), "end that camera node, or give this one another name"
            raise ValueError(f"{topic} has a publisher already; {remedy}")

    def _read(self) -> None:
        while not self._ended.is_set():
            if (frame := self._reader.step()) is not None:
                self._publish(frame)

    def _publish(self, frame: Frame) -> None:
        self._view = self._view.of(frame.lens)
        image, camera = self._view(frame.rgb), self._view.camera
        self.say(self._topic, conversions.rgb_to_image(image, frame.stamp_s, self.frame_id))
        self.say(self._info_topic, conversions.camera_to_camera_info(camera, frame.stamp_s, self.frame_id))
        self._ages_s.append(self.ros_now_s() - frame.stamp_s)

    def _watch(self) -> None:
        if not self._thread.is_alive():
            raise RuntimeError(f"the thread that reads {self.name} has ended; its error is above")
        while self._ages_s:
            self.diagnostics.worked(self._ages_s.popleft())
        reader, problem = self._reader, self._reader.problem
        if problem and not reader.connected:
            problem += "; it will be opened again"
        for text, key in ((problem, "source"), (TIMINGS.get(reader.timing), "timing"), (reader.warning, "device")):
            if text:
                self.diagnostics.warn(f"{self.name}: {text}", key)
        if (count := self._senders()) > 1:
            text = f"{self.full_name(self._topic)} has {count} publishers; end all but one"
            self.diagnostics.warn(text, "publishers")

    def _senders(self) -> int:
        return self.count_publishers(self.full_name(self._topic))

    def values(self) -> dict[str, object]:
        return {
            "connected": self._reader.connected,
            "stamps": self._reader.timing,
            "source": self.parameters.serial or self.parameters.topic or str(self.parameters.path),
            **self._reader.counts,
        }
