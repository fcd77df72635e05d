"""`genima cameras`."""

import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import cv2
from rich.console import Console
from rich.table import Table

from genima_core.camera_sources.playback import INTRINSICS
from genima_core.camera_sources.realsense import (
    Device,
    Profile,
    RealSenseConfig,
    devices,
    import_realsense,
    in_short,
    nearest,
    open_realsense,
)
from genima_core.files import write_json

PREFERRED = Profile(640, 480, 30)
SETTLED = 30
"""Pictures until exposure and white balance have settled."""
WITHIN_S = 5.0


def cameras(save: Path | None = None, json: Path | None = None) -> int:
    """Lists the connected RealSense cameras, and with --save takes a picture of each.

    Says serial number, USB, firmware and colour profiles. Exit status 1 if there is none, or a picture could not be
    taken.

    Example: genima cameras --save pictures

    Args:
        save: Folder for picture and intrinsics of each, in <serial>/, which the camera node plays as source folder.
        json: File for the same as JSON.
    """
    rs = import_realsense()
    found = [info for _, info in devices(rs)]
    if not found:
        text = "no RealSense camera is connected; check cable and port, and on Linux librealsense's udev rules"
        raise RuntimeError(text)
    problems = {}
    if save is not None:
        for info in found:
            try:
                save_picture(rs, info, save / info.serial)
            except (OSError, RuntimeError, ValueError) as error:
                problems[info.serial] = f"no picture: {error}"
    table, rows = Table("camera", "serial", "USB", "firmware", "colour profiles", box=None), []
    for info in found:
        table.add_row(info.name, info.serial, info.usb or "?", info.firmware, in_short(info.profiles) or "none")
        problem, profiles = problems.get(info.serial, ""), [str(profile) for profile in info.profiles]
        rows.append({**asdict(info), "profiles": profiles, "usb2": info.slow, "problem": problem})
    Console().print(table)
    for info in found:
        if info.slow:
            print(f"{info.serial} is connected by USB {info.usb}: use a USB 3 port and a USB 3 cable")
        if info.serial in problems:
            print(f"{info.serial}: {problems[info.serial]}")
    write_json(json, {"cameras": rows})
    return 1 if problems else 0


def save_picture(rs: ModuleType, info: Device, folder: Path) -> None:
    """A settled picture of a camera; ValueError, OSError or RuntimeError if it cannot be opened, or none comes."""
    if not info.profiles:
        raise ValueError("it has no colour stream")
    config = RealSenseConfig(info.serial, nearest(info.profiles, PREFERRED, 1)[0])
    frame, count, end_s = None, 0, time.monotonic() + WITHIN_S
    with closing(open_realsense(rs, config, None, time.time)) as source:
        while count < SETTLED and time.monotonic() < end_s:
            if (newer := source.read(0.2)) is not None:
                frame, count = newer, count + 1
    if frame is None:
        raise OSError(f"nothing arrived within {WITHIN_S:g} s; unplug it and plug it in again")
    folder.mkdir(parents=True, exist_ok=True)
    frame.lens.save(folder / INTRINSICS)
    if not cv2.imwrite(str(folder / "picture.png"), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{folder / 'picture.png'} cannot be written")
