"""Which RealSense cameras are connected, and how."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from genima_core.camera_sources.profile import Profile


@dataclass(frozen=True)
class Device:
    """What a connected camera says about itself."""

    name: str
    serial: str
    usb: str
    """Version of the USB connection, such as 3.2; "" where it is none or not told."""
    firmware: str
    profiles: tuple[Profile, ...]
    """Of colour, as RGB."""

    @property
    def slow(self) -> bool:
        """Whether it is connected by USB 2, which does not carry what it could send."""
        return self.usb.startswith("2")


def devices(rs: ModuleType) -> list[tuple[Any, Device]]:
    """Connected cameras, in the order of their serial numbers; those that vanish while asked are left out."""
    found = []
    for device in rs.context().query_devices():
        try:
            found.append((device, _ask(rs, device)))
        except RuntimeError:
            continue
    return sorted(found, key=lambda pair: pair[1].serial)


def describe(device: Device) -> str:
    usb = f", USB {device.usb}" if device.usb else ""
    return f"{device.name} {device.serial}{usb}"


def color_sensor(rs: ModuleType, device: Any) -> Any | None:
    """The sensor with colour streams; on a D405 it is the stereo module."""
    for sensor in device.query_sensors():
        if _profiles(rs, sensor):
            return sensor
    return None


def _ask(rs: ModuleType, device: Any) -> Device:
    def info(key: Any) -> str:
        return device.get_info(key) if device.supports(key) else ""

    sensor = color_sensor(rs, device)
    return Device(
        info(rs.camera_info.name),
        info(rs.camera_info.serial_number),
        info(rs.camera_info.usb_type_descriptor),
        info(rs.camera_info.firmware_version),
        () if sensor is None else _profiles(rs, sensor),
    )


def _profiles(rs: ModuleType, sensor: Any) -> tuple[Profile, ...]:
    found = set()
    for profile in sensor.get_stream_profiles():
        if (profile.stream_type(), profile.format()) == (rs.stream.color, rs.format.rgb8):
            video = profile.as_video_stream_profile()
            found.add(Profile(video.width(), video.height(), profile.fps()))
    return tuple(sorted(found))
