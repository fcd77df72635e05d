"""How much faster than real time a recording becomes a data set, and how much memory that takes.

python benchmarks/conversion.py --json conversion.json
python benchmarks/conversion.py --seconds 600
"""

import os
import resource
import struct
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from genima_core import geometry
from genima_core.arm import PANDA
from genima_core.cameras import CameraRig, PinholeCamera, RigCamera
from genima_core.data.bags import messages
from genima_core.data.bags.conversion import convert_recordings
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.episodes import Options
from genima_core.data.bags.writer import BagWriter
from genima_core.files import write_json

CAMERAS = ("wrist", "front", "right_shoulder", "left_shoulder")
FINGERS = ("panda_finger_joint1", "panda_finger_joint2")
CAMERA_HZ, JOINT_HZ, COMMAND_HZ = 30, 100, 200
PICTURES = 60
"""Different images of each camera; then the first comes again."""
BEGIN_NS = 1_700_000_000 * 10**9


def main(seconds: float = 60.0, size: int = 256, seed: int = 10000, json: Path | None = None) -> None:
    """Exits with 1 below 5 times real time.

    Args:
        seconds: length of the recording
        size: width and height of the four images
        seed: of the pictures
        json: where to write the results for machines
    """
    with tempfile.TemporaryDirectory() as scratch:
        _record(Path(scratch) / "recording", seconds, size, np.random.default_rng(seed))
        before_mb, before_s = _peak_mb(), time.process_time()
        result = convert_recordings(Path(scratch) / "recording", Path(scratch) / "set", Options())
        cpu_s = time.process_time() - before_s
    row = {
        "name": f"four {size}x{size} cameras at {CAMERA_HZ} Hz, {seconds:g} s",
        "device": f"{len(os.sched_getaffinity(0))} CPU cores",
        "real_time_ratio": result["real_time_ratio"],
        "seconds": result["seconds"],
        "cpu_seconds": round(cpu_s, 2),
        "frames": result["frames"],
        "memory_peak_mb": round(_peak_mb()),
        "memory_before_mb": round(before_mb),
    }
    table = Table("what", "x real time", "seconds", "CPU seconds", "peak memory MB", "before MB", title=row["device"])
    table.add_row(
        row["name"],
        f"{row['real_time_ratio']:.1f}",
        f"{row['seconds']:.1f}",
        f"{row['cpu_seconds']:.1f}",
        str(row["memory_peak_mb"]),
        str(row["memory_before_mb"]),
    )
    Console().print(table)
    write_json(json, {"rows": [row]})


def _record(folder: Path, seconds: float, size: int, rng: np.random.Generator) -> None:
    """Writes the recording, as an arm that moves all the time gives it."""
    types = messages.typestore().types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](0, 0), "camera")
    rig, streams, lines = _rig(size), {}, []
    for i, name in enumerate(CAMERAS):
        image, info = f"/{name}/color/image_raw/compressed", f"/{name}/color/camera_info"
        streams |= {f"camera/{name}": image, f"camera_info/{name}": info}
        pictures = [
            types["sensor_msgs/msg/CompressedImage"](header, "jpeg", _jpeg(picture)) for picture in _pictures(rng, size)
        ]
        lines += _lines(image, "sensor_msgs/msg/CompressedImage", pictures, CAMERA_HZ, seconds, 0.002 * i)
        K = rig[name].intrinsics.K
        region = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        lines += _lines(
            info,
            "sensor_msgs/msg/CameraInfo",
            [
                types["sensor_msgs/msg/CameraInfo"](
                    header,
                    size,
                    size,
                    "plumb_bob",
                    np.zeros(5),
                    K.ravel(),
                    np.eye(3).ravel(),
                    np.hstack([K, np.zeros((3, 1))]).ravel(),
                    0,
                    0,
                    region,
                )
            ],
            CAMERA_HZ,
            seconds,
            0.002 * i,
        )
    for role, names, rate_hz in (
        ("joint_states", (*PANDA.joint_names, *FINGERS), JOINT_HZ),
        ("joint_commands", PANDA.joint_names, COMMAND_HZ),
    ):
        streams[role] = f"/{role}"
        phase = 2 * np.pi * np.arange(400) / 400
        states = [
            types["sensor_msgs/msg/JointState"](
                header,
                list(names),
                np.append(PANDA.home + 0.3 * np.sin(p), np.full(len(names) - 7, 0.04)),
                np.append(np.full(7, 0.3 * np.cos(p)), np.zeros(len(names) - 7)),
                np.zeros(0),
            )
            for p in phase
        ]
        lines += _lines(streams[role], "sensor_msgs/msg/JointState", states, rate_hz, seconds, 0.0)
    writer = BagWriter(folder)
    for due_ns, topic, kind, buffer in sorted(lines, key=lambda line: line[:2]):
        struct.pack_into("<iI", buffer, 4, *divmod(due_ns, 10**9))  # CDR's own four bytes come first
        writer.write(topic, kind, bytes(buffer), due_ns, due_ns)
    EpisodeInfo(
        task="push_button",
        instruction="push the button",
        label="success",
        streams=streams,
        fps=CAMERA_HZ,
        rig=rig.to_dict(),
    ).save(folder)
    writer.close()


def _lines(topic: str, kind: str, made: list, rate_hz: float, seconds: float, delay_s: float) -> list[tuple]:
    """(Time in ns, topic, type, bytes) of messages that are sent in turns."""
    buffers = [bytearray(messages.serialize(message, kind)) for message in made]
    return [
        (BEGIN_NS + round(1e9 * (delay_s + k / rate_hz)), topic, kind, buffers[k % len(buffers)])
        for k in range(round(seconds * rate_hz))
    ]


def _pictures(rng: np.random.Generator, size: int) -> list[np.ndarray]:
    """Soft light, fine texture that moves, coloured shapes with edges, and a sensor's noise."""
    rows, columns = np.mgrid[:size, :size] / size
    light = 90 + 60 * rows[..., None] + 30 * np.sin(columns[..., None] * [5, 7, 9])
    texture = 60 * cv2.GaussianBlur(rng.normal(size=(size, size + 2 * PICTURES, 3)), (0, 0), 1.5)
    result = []
    for k in range(PICTURES):
        picture = light + texture[:, 2 * k : 2 * k + size]
        for j in range(5):
            angle = j + 2 * np.pi * k / PICTURES
            centre = size * (0.5 + 0.35 * np.array([np.cos(angle), np.sin(2 * angle)]))
            cv2.circle(
                picture, tuple(int(c) for c in centre), size // 12, (40.0 * j, 200.0 - 40 * j, 90.0), -1, cv2.LINE_AA
            )
        result.append(np.clip(picture + rng.normal(0, 2.5, picture.shape), 0, 255).astype(np.uint8))
    return result


def _jpeg(picture: np.ndarray) -> np.ndarray:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].ravel()


def _rig(size: int) -> CameraRig:
    intrinsics = PinholeCamera.from_fov(size, size, np.deg2rad(60.0))
    pose = geometry.look_at(np.array([1.6, 0.0, 0.8]), np.array([0.4, 0.0, 0.3]))
    return CameraRig(tuple(RigCamera(name, intrinsics, "base", pose, 0.065) for name in CAMERAS))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    tyro.cli(main)
