"""RealSense cameras by serial number, through pyrealsense2, which is imported only when one is asked for."""

import importlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from genima_core.camera_sources.lens import Lens
from genima_core.camera_sources.source import Frame, SourceLost, Timing
from genima_core.cameras import PinholeCamera
from genima_core.timing import DeviceClock

QUEUE = 2
"""Pictures that wait for a busy reader; the oldest is dropped."""
DELAYS = 300
"""Pictures over which the shortest delay is looked for."""


@dataclass(frozen=True, order=True)
class Profile:
    width: int
    height: int
    fps: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.fps}"

    @classmethod
    def parse(cls, text: str) -> "Profile":
        """A profile from "640x480x30"; ValueError for another form."""
        found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})", text)
        if found is None:
            raise ValueError(f"profile is {text!r}; it needs width x height x rate, such as 640x480x30")
        return cls(*map(int, found.groups()))


def nearest(profiles: Iterable[Profile], wanted: Profile, count: int = 4) -> list[Profile]:
    """Those most like `wanted`, the most alike first: the size counts before the rate."""

    def distance(profile: Profile) -> tuple[float, float]:
        size = abs(np.log(profile.width / wanted.width)) + abs(np.log(profile.height / wanted.height))
        return round(float(size), 6), abs(profile.fps - wanted.fps)

    return sorted(profiles, key=distance)[:count]


def in_short(profiles: Iterable[Profile]) -> str:
    """Sizes with their rates: "640x480 @ 6, 15, 30; 1280x720 @ 6, 15"."""
    rates: dict[str, list[int]] = {}
    for profile in sorted(set(profiles)):
        rates.setdefault(f"{profile.width}x{profile.height}", []).append(profile.fps)
    return "; ".join(f"{size} @ {', '.join(map(str, fps))}" for size, fps in rates.items())


@dataclass(frozen=True)
class RealSenseConfig:
    serial: str
    profile: Profile
    exposure_us: float | None = None
    """None leaves exposure and gain to the camera."""
    gain: float | None = None
    white_balance_k: float | None = None
    """None leaves it to the camera."""


def import_realsense() -> ModuleType:
    """pyrealsense2; RuntimeError, which says how to get it, if it cannot be imported."""
    try:
        return importlib.import_module("pyrealsense2")
    except ImportError as error:
        remedy = "pip install '.[realsense]' in the source tree, and apt-get install libusb-1.0-0 libudev1"
        raise RuntimeError(f"RealSense cameras need pyrealsense2 ({error}): {remedy}") from error


@dataclass(frozen=True)
class Device:
    name: str
    serial: str
    usb: str
    """Version of the USB connection, such as 3.2; "" where it is none or not told."""
    firmware: str
    profiles: tuple[Profile, ...]

    @property
    def slow(self) -> bool:
        """Whether it is connected by USB 2, which does not carry what it could send."""
        return self.usb.startswith("2")

    def __str__(self) -> str:
        return f"{self.name} {self.serial}{f', USB {self.usb}' if self.usb else ''}"


def devices(rs: ModuleType) -> list[tuple[Any, Device]]:
    """Connected cameras, in the order of their serial numbers; those that vanish while asked are left out."""
    info, found = rs.camera_info, []
    keys = info.name, info.serial_number, info.usb_type_descriptor, info.firmware_version
    for device in rs.context().query_devices():
        with suppress(RuntimeError):
            name, serial, usb, firmware = (device.get_info(key) if device.supports(key) else "" for key in keys)
            profiles = tuple(sorted(color_profiles(rs, color_sensor(rs, device))))
            found.append((device, Device(name, serial, usb, firmware, profiles)))
    return sorted(found, key=lambda pair: pair[1].serial)


def color_sensor(rs: ModuleType, device: Any) -> Any | None:
    """The sensor with colour streams; on a D405 it is the stereo module."""
    return next((sensor for sensor in device.query_sensors() if color_profiles(rs, sensor)), None)


def color_profiles(rs: ModuleType, sensor: Any | None) -> dict[Profile, Any]:
    """A sensor's streams of RGB pictures, as librealsense has them."""
    found = {}
    for profile in [] if sensor is None else sensor.get_stream_profiles():
        if (profile.stream_type(), profile.format()) == (rs.stream.color, rs.format.rgb8):
            video = profile.as_video_stream_profile()
            found[Profile(video.width(), video.height(), profile.fps())] = profile
    return found


def open_realsense(
    rs: ModuleType, config: RealSenseConfig, lens: Lens | None, ros_s: Callable[[], float], reset: bool = False
) -> "SensorSource":
    """The camera with a serial number, `lens` in place of its own; SourceLost: not there, busy; ValueError: cannot."""
    found = {details.serial: (device, details) for device, details in devices(rs)}
    if config.serial not in found:
        there = "; ".join(str(details) for _, details in found.values()) or "none"
        raise SourceLost(f"there is no camera with serial number {config.serial!r}; connected are: {there}")
    device, details = found[config.serial]
    if reset:
        device.hardware_reset()
        raise SourceLost(f"{details} restarts")
    sensor = color_sensor(rs, device)
    if sensor is None:
        raise ValueError(f"camera {details.name} {details.serial} has no colour stream; take a model that has one")
    profile = color_profiles(rs, sensor).get(config.profile)
    if profile is None:
        likely = ", ".join(map(str, nearest(details.profiles, config.profile))) or "none"
        raise ValueError(f"{details} has no colour profile {config.profile}; the nearest are {likely}")
    try:
        set_options(rs, sensor, config)
        source = SensorSource(rs, device, sensor, profile, lens, ros_s)
    except RuntimeError as error:
        raise SourceLost(f"{details} cannot be opened: {error}; does another program use it?") from error
    source.warning = f"{details} is connected by USB 2: use a USB 3 port and cable" if details.slow else ""
    return source


def set_options(rs: ModuleType, sensor: Any, config: RealSenseConfig) -> None:
    """Fixes exposure, gain and white balance, or leaves them to the camera; ValueError for what it cannot do."""
    fixed = config.exposure_us is not None or config.gain is not None
    for option, on in (
        (rs.option.enable_auto_exposure, not fixed),
        (rs.option.auto_exposure_priority, False),  # else the rate falls in dim light
        (rs.option.enable_auto_white_balance, config.white_balance_k is None),
    ):
        if sensor.supports(option):
            sensor.set_option(option, float(on))
    for name, option, value in (
        ("exposure_us", rs.option.exposure, config.exposure_us),
        ("gain", rs.option.gain, config.gain),
        ("white_balance_k", rs.option.white_balance, config.white_balance_k),
    ):
        if value is None:
            continue
        if not sensor.supports(option):
            raise ValueError(f"this camera has no {name}; leave the parameter out")
        valid = sensor.get_option_range(option)
        if not valid.min <= value <= valid.max:
            span = f"{valid.min:g} to {valid.max:g} in steps of {valid.step:g}"
            raise ValueError(f"{name} is {value:g}; valid for this camera are {span}")
        sensor.set_option(option, float(value))


class SensorSource:
    """A `Source` of one colour sensor of librealsense, that of a real device or of a `software_device`."""

    live, warning = True, ""

    def __init__(
        self, rs: ModuleType, device: Any, sensor: Any, profile: Any, lens: Lens | None, ros_s: Callable[[], float]
    ) -> None:
        """Starts a stream, `lens` in place of its own; ValueError: another size; RuntimeError: it does not start."""
        video = profile.as_video_stream_profile()
        self.lens = lens or lens_of(video.get_intrinsics())
        if self.lens.camera.size != (video.width(), video.height()):
            given = f"the given intrinsics are of {self.lens.camera.width}x{self.lens.camera.height}"
            profiled = f"the profile is {video.width()}x{video.height()}"
            raise ValueError(f"{profiled}, {given}; give intrinsics of this profile")
        self._rs, self._device, self._sensor, self._ros_s = rs, device, sensor, ros_s
        self._device_clock = DeviceClock(DELAYS)
        self._queue = rs.frame_queue(QUEUE)
        sensor.open(profile)
        try:
            sensor.start(self._queue)
        except RuntimeError:
            sensor.close()
            raise

    def read(self, timeout_s: float) -> Frame | None:
        arrived, frame = self._queue.try_wait_for_frame(round(1e3 * timeout_s))
        if not arrived:
            if not self._device.is_connected():
                raise SourceLost("the camera was unplugged, or lost its USB connection")
            return None
        now_s = self._ros_s()
        frame = frame.as_video_frame()
        stamp_s, timing = self._stamp(1e-3 * frame.get_timestamp(), frame.get_frame_timestamp_domain(), now_s)
        return Frame(np.array(frame.get_data()), stamp_s, frame.get_frame_number(), self.lens, timing)

    def close(self) -> None:
        try:
            self._sensor.stop()
        finally:
            self._sensor.close()

    def _stamp(self, stamp_s: float, domain: Any, now_s: float) -> tuple[float, Timing]:
        if domain == self._rs.timestamp_domain.global_time:
            return stamp_s, "device"
        if domain == self._rs.timestamp_domain.system_time:
            return stamp_s, "host"
        return self._device_clock.to_host(stamp_s, now_s), "estimated"


def lens_of(intrinsics: Any) -> Lens:
    """Intrinsics of librealsense, whose pixels have their centres at whole numbers, as OpenCV's."""
    i = intrinsics
    camera = PinholeCamera(i.width, i.height, i.fx, i.fy, i.ppx, i.ppy)
    name = str(i.model).rpartition(".")[2]
    return Lens(camera, {"brown_conrady": "plumb_bob"}.get(name, name), tuple(i.coeffs))
