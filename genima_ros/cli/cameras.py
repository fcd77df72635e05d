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
    found = [about for _, about in devices(rs)]
    if not found:
        text = "no RealSense camera is connected; check cable and port, and on Linux librealsense's udev rules"
        raise RuntimeError(text)
    problems = {}
    if save is not None:
        for about in found:
            try:
                save_picture(rs, about, save / about.serial)
            except (OSError, RuntimeError, ValueError) as error:
                problems[about.serial] = f"no picture: {error}"
    table, rows = Table("camera", "serial", "USB", "firmware", "colour profiles", box=None), []
    for about in found:
        table.add_row(about.name, about.serial, about.usb or "?", about.firmware, in_short(about.profiles) or "none")
        problem, profiles = problems.get(about.serial, ""), [str(profile) for profile in about.profiles]
        rows.append({**asdict(about), "profiles": profiles, "usb2": about.slow, "problem": problem})
    Console().print(table)
    for about in found:
        if about.slow:
            print(f"{about.serial} is connected by USB {about.usb}: use a USB 3 port and a USB 3 cable")
        if about.serial in problems:
            print(f"{about.serial}: {problems[about.serial]}")
    write_json(json, {"cameras": rows})
    return 1 if problems else 0


def save_picture(rs: ModuleType, about: Device, folder: Path) -> None:
    """A settled picture of a camera; ValueError, OSError or RuntimeError if it cannot be opened, or none comes."""
    if not about.profiles:
        raise ValueError("it has no colour stream")
    config = RealSenseConfig(about.serial, nearest(about.profiles, PREFERRED, 1)[0])
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
