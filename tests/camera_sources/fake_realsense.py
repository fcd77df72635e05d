"""The part of pyrealsense2 that is used, without cameras: devices with one colour sensor that a test controls."""

from collections import deque
from enum import Enum
from types import SimpleNamespace

import numpy as np

stream = Enum("stream", "color depth")
format = Enum("format", "rgb8 yuyv")
distortion = Enum("distortion", "none brown_conrady inverse_brown_conrady modified_brown_conrady kannala_brandt4")
timestamp_domain = Enum("timestamp_domain", "hardware_clock system_time global_time")
camera_info = Enum("camera_info", "name serial_number usb_type_descriptor firmware_version")
option = Enum(
    "option", "enable_auto_exposure auto_exposure_priority enable_auto_white_balance exposure gain white_balance"
)

RANGES = {
    option.exposure: (1.0, 10000.0),
    option.gain: (0.0, 128.0),
    option.white_balance: (2800.0, 6500.0),
    option.enable_auto_exposure: (0.0, 1.0),
    option.auto_exposure_priority: (0.0, 1.0),
    option.enable_auto_white_balance: (0.0, 1.0),
}
SIZES = ((64, 48, 15), (64, 48, 30), (128, 96, 30))


class FakeProfile:
    def __init__(self, width: int, height: int, fps: int, kind: format = format.rgb8) -> None:
        self._size, self._fps, self._kind = (width, height), fps, kind
        self.model, self.coeffs = distortion.inverse_brown_conrady, [0.0] * 5

    def stream_type(self) -> stream:
        return stream.color

    def format(self) -> format:
        return self._kind

    def fps(self) -> int:
        return self._fps

    def width(self) -> int:
        return self._size[0]

    def height(self) -> int:
        return self._size[1]

    def as_video_stream_profile(self) -> "FakeProfile":
        return self

    def get_intrinsics(self) -> SimpleNamespace:
        width, height = self._size
        return SimpleNamespace(
            width=width, height=height, fx=60.0, fy=60.0, ppx=31.5, ppy=23.5, model=self.model, coeffs=self.coeffs
        )


class FakeFrame:
    def __init__(self, number: int, stamp_ms: float, domain: timestamp_domain, size: tuple[int, int]) -> None:
        self._number, self._stamp_ms, self._domain = number, stamp_ms, domain
        self._pixels = np.full((size[1], size[0], 3), number % 256, np.uint8)

    def as_video_frame(self) -> "FakeFrame":
        return self

    def get_timestamp(self) -> float:
        return self._stamp_ms

    def get_frame_timestamp_domain(self) -> timestamp_domain:
        return self._domain

    def get_frame_number(self) -> int:
        return self._number

    def get_data(self) -> np.ndarray:
        return self._pixels


class frame_queue:
    def __init__(self, capacity: int) -> None:
        self._frames: deque[FakeFrame] = deque(maxlen=capacity)

    def enqueue(self, frame: FakeFrame) -> None:
        self._frames.append(frame)

    def try_wait_for_frame(self, timeout_ms: int) -> tuple[bool, FakeFrame | None]:
        return (True, self._frames.popleft()) if self._frames else (False, None)


class FakeSensor:
    def __init__(self) -> None:
        self.profiles = [FakeProfile(*SIZES[0], format.yuyv), *(FakeProfile(*size) for size in SIZES)]
        self.options = {option.enable_auto_exposure: 1.0}
        self.lacks: set[option] = set()
        self.busy = ""
        self.playing: FakeProfile | None = None
        self.queue: frame_queue | None = None

    def get_stream_profiles(self) -> list[FakeProfile]:
        return self.profiles

    def supports(self, which: option) -> bool:
        return which not in self.lacks

    def get_option_range(self, which: option) -> SimpleNamespace:
        low, high = RANGES[which]
        return SimpleNamespace(min=low, max=high, step=1.0, default=low)

    def set_option(self, which: option, value: float) -> None:
        low, high = RANGES[which]
        if not low <= value <= high:
            raise RuntimeError('out of range value for argument "value"')
        self.options[which] = value

    def open(self, profile: FakeProfile) -> None:
        if self.busy:
            raise RuntimeError(self.busy)
        self.playing = profile

    def start(self, queue: frame_queue) -> None:
        self.queue = queue

    def stop(self) -> None:
        self.queue = None

    def close(self) -> None:
        self.playing = None

    def send(self, number: int, stamp_ms: float, domain: timestamp_domain = timestamp_domain.global_time) -> None:
        if self.queue is not None:
            self.queue.enqueue(FakeFrame(number, stamp_ms, domain, (self.playing.width(), self.playing.height())))


class FakeDevice:
    def __init__(self, serial: str, usb: str = "3.2") -> None:
        self._info = {
            camera_info.name: "Intel RealSense D415",
            camera_info.serial_number: serial,
            camera_info.usb_type_descriptor: usb,
            camera_info.firmware_version: "5.16.0.1",
        }
        self.sensor, self.connected, self.resets = FakeSensor(), True, 0

    def supports(self, key: camera_info) -> bool:
        return key in self._info

    def get_info(self, key: camera_info) -> str:
        return self._info[key]

    def query_sensors(self) -> list[FakeSensor]:
        return [self.sensor]

    def is_connected(self) -> bool:
        return self.connected

    def hardware_reset(self) -> None:
        self.resets += 1


class FakeRealSense:
    """Stands for the module."""

    stream, format, distortion, timestamp_domain = stream, format, distortion, timestamp_domain
    camera_info, option, frame_queue = camera_info, option, frame_queue

    def __init__(self, *devices: FakeDevice) -> None:
        self.devices = devices

    def context(self) -> "FakeRealSense":
        return self

    def query_devices(self) -> list[FakeDevice]:
        return [device for device in self.devices if device.connected]
