"""Recordings for tests, whose every value is a known function of time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from genima_core.arm import PANDA, Arm
from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.data.bags import messages
from genima_core.data.bags.episode_info import EpisodeInfo
from genima_core.data.bags.reader import open_bag
from genima_core.data.bags.writer import BagWriter

from .. import synthetic

BEGUN_S = 1.7e9
FINGERS = ("panda_finger_joint1", "panda_finger_joint2")
TYPES = messages.typestore().types
"""Message classes by name."""
STATUS = "diagnostic_msgs/msg/DiagnosticStatus"


def q(times_s: np.ndarray) -> np.ndarray:
    """(N, 7) rad, every joint at its own rhythm."""
    return PANDA.home + 0.2 * np.sin((np.asarray(times_s)[:, None] - BEGUN_S) * np.arange(1, 8) / 3)


def dq(times_s: np.ndarray) -> np.ndarray:
    rates = np.arange(1, 8) / 3
    return 0.2 * rates * np.cos((np.asarray(times_s)[:, None] - BEGUN_S) * rates)


def commanded(times_s: np.ndarray) -> np.ndarray:
    return q(times_s) + 0.01


def opening(times_s: np.ndarray) -> np.ndarray:
    """(N,) a gripper that closes steadily."""
    return np.clip(1 - (np.asarray(times_s) - BEGUN_S) / 4, 0, 1)


def picture(number: int, camera: int, size: tuple[int, int]) -> np.ndarray:
    """Image `number` of a camera: its own grey in the middle, a red mark at a quarter of width and height."""
    width, height = size
    image = np.full((height, width, 3), grey(number, camera), np.uint8)
    cv2.circle(image, (width // 4, height // 4), max(2, height // 10), (255, 0, 0), -1)
    return image


def grey(number: int, camera: int) -> int:
    return 20 + (number * 37 + camera * 50) % 200


@dataclass(frozen=True)
class Plan:
    """What a recording holds, and what is wrong with it."""

    seconds: float = 1.0
    rig: CameraRig = field(default_factory=synthetic.rig)
    camera_hz: float = 30.0
    delays_s: tuple[float, ...] = (0.001, 0.006, 0.011, 0.016)
    """Of each camera's first image; they are not triggered together."""
    joint_hz: float = 100.0
    velocities: bool = True
    command_hz: float = 200.0
    """0 for none; they begin and end with the recording."""
    gripper_commands: tuple[tuple[float, float], ...] = ((0.5, 0.25),)
    """(s after the beginning, opening)."""
    success: bool | None = None
    without: tuple[str, ...] = ()
    """Roles that are not recorded."""
    image_size: tuple[int, int] | None = None
    """If another than the rig's."""
    raw: bool = False
    edit: Callable[[str, int, float], float] = lambda topic, number, stamp_s: stamp_s
    """Changes stamps."""
    kept: Callable[[str, float], bool] = lambda topic, after_s: True
    """Which messages are recorded, by topic and seconds after the beginning."""
    arm_time_s: Callable[[float], float] = lambda stamp_s: stamp_s
    """When the arm was where it is now, for an arm that rests."""
    rad: float = 1.0
    """Unit of joint positions."""
    dark: str = ""
    """A camera whose pictures are black."""
    frozen: str = ""
    """One that sends its first picture again and again."""
    commanders: tuple[tuple[float, str], ...] = ()
    """(s after the beginning, who commands from then on)."""
    extra: tuple[tuple[float, str, str, object], ...] = ()
    """Other messages: s after the beginning, topic, type (of std_msgs), data."""
    damaged_image: int = -1
    """Number of an image of the last camera that is no JPEG."""
    infos: dict[str, PinholeCamera] | None = None
    gripper_width_m: float = 0.0
    """Of the open gripper, if that speaks for itself, on gripper/state; 0 where the arm's joint states hold it."""


def write(folder: Path, plan: Plan | None = None, info: dict | None = None, finished: bool = True) -> Path:
    """Writes a recording; `about` replaces fields of its episode.json."""
    plan = plan or Plan()
    streams = {}
    lines = []  # (time, topic, type, message)
    size = plan.image_size or plan.rig.size
    for i, name in enumerate(plan.rig.names):
        image_topic = f"/{name}/color/image_raw{'' if plan.raw else '/compressed'}"
        streams |= {f"camera/{name}": image_topic, f"camera_info/{name}": f"/{name}/color/camera_info"}
        intrinsics = (plan.infos or {}).get(name, plan.rig[name].intrinsics)
        stamps_s = BEGUN_S + plan.delays_s[i] + np.arange(0, plan.seconds, 1 / plan.camera_hz)
        for number, stamp_s in enumerate(stamps_s):
            pixels = picture(0 if name == plan.frozen else number, i, size) * (name != plan.dark)
            broken = number == plan.damaged_image and i == 3
            lines += [
                (
                    stamp_s,
                    *_image(image_topic, header(plan.edit(image_topic, number, stamp_s)), pixels, plan.raw, broken),
                ),
                (
                    stamp_s,
                    f"/{name}/color/camera_info",
                    "sensor_msgs/msg/CameraInfo",
                    camera_info(intrinsics, header(stamp_s)),
                ),
            ]
    for number, stamp_s in enumerate(BEGUN_S + np.arange(0, plan.seconds, 1 / plan.joint_hz)):
        shifted = plan.edit("/joint_states", number, stamp_s)
        fingers = PANDA.gripper.joint_positions(opening([stamp_s])[0])
        velocity = np.append(dq([stamp_s])[0], [0.0, 0.0]) if plan.velocities else np.zeros(0)
        joints = q([plan.arm_time_s(stamp_s)])[0] / plan.rad
        names, positions = (*PANDA.joint_names, *FINGERS), np.append(joints, fingers)
        if plan.gripper_width_m:
            names, positions, velocity = PANDA.joint_names, positions[:7], velocity[:7]
            lines.append(
                (
                    stamp_s,
                    "/gripper/state",
                    "sensor_msgs/msg/JointState",
                    joint_state(stamp_s, ("gripper",), opening([stamp_s]) * plan.gripper_width_m, np.zeros(0)),
                )
            )
        lines.append(
            (stamp_s, "/joint_states", "sensor_msgs/msg/JointState", joint_state(shifted, names, positions, velocity))
        )
    for stamp_s in BEGUN_S + np.arange(0, plan.seconds, 1 / plan.command_hz) if plan.command_hz else ():
        lines.append(
            (
                stamp_s,
                "/joint_commands",
                "sensor_msgs/msg/JointState",
                joint_state(stamp_s, PANDA.joint_names, commanded([stamp_s])[0], np.zeros(0)),
            )
        )
    for after_s, value in plan.gripper_commands:
        lines.append(
            (
                BEGUN_S + after_s,
                "/gripper/command",
                "std_msgs/msg/Float64",
                TYPES["std_msgs/msg/Float64"](data=value * (plan.gripper_width_m or PANDA.gripper.max_width_m)),
            )
        )
    lines.append((BEGUN_S, "/instruction", "std_msgs/msg/String", TYPES["std_msgs/msg/String"](data="push it")))
    for after_s, topic, kind, value in plan.extra:
        lines.append((BEGUN_S + after_s, topic, f"std_msgs/msg/{kind}", TYPES[f"std_msgs/msg/{kind}"](data=value)))
    for after_s, name in plan.commanders:
        lines.append((BEGUN_S + after_s, "/streamer_state", STATUS, streamer_state(name)))
    if plan.success is not None:
        lines.append(
            (BEGUN_S + plan.seconds, "/success", "std_msgs/msg/Bool", TYPES["std_msgs/msg/Bool"](data=plan.success))
        )
    streams |= {
        "joint_states": "/joint_states",
        "joint_commands": "/joint_commands",
        "gripper_command": "/gripper/command",
        "gripper_state": "/gripper/state",
        "instruction": "/instruction",
        "success": "/success",
        "streamer_state": "/streamer_state",
    }
    left_out = {streams[role] for role in plan.without}
    writer = BagWriter(folder)
    for time_s, topic, kind, message in sorted(lines, key=lambda line: line[:2]):
        if topic not in left_out and plan.kept(topic, time_s - BEGUN_S):
            writer.write(topic, kind, messages.serialize(message, kind), round(time_s * 1e9), round(time_s * 1e9))
    known = EpisodeInfo(
        task="push_button",
        instruction="push the red button",
        label="success",
        streams=streams,
        arm=PANDA if not plan.gripper_width_m else of_its_own_gripper(plan.gripper_width_m),
        rig=plan.rig.to_dict(),
        seed=7,
        begun_at="2026-01-01T10:00:00+00:00",
    )
    replace(known, **(info or {})).save(folder)
    if finished:
        writer.close()
    else:
        writer.flush()
    return folder


def of_its_own_gripper(width_m: float) -> Arm:
    """An arm whose gripper's width comes on a topic of its own."""
    gripper = replace(PANDA.gripper, kind="parallel_gripper_command", joints=("finger_joint",), max_width_m=width_m)
    return replace(PANDA, name="other", gripper=gripper)


def as_sqlite3(folder: Path, copy: Path, names: Mapping[str, str] | None = None) -> Path:
    """The same messages as rosbag2 stored them before MCAP, some topics by other names."""
    with Writer(copy, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connections = {}
        for message in open_bag(folder).messages():
            if message.topic not in connections:
                topic = (names or {}).get(message.topic, message.topic)
                connections[message.topic] = writer.add_connection(topic, message.type, typestore=messages.typestore())
            writer.write(connections[message.topic], message.received_ns, message.data)
    return copy


def header(stamp_s: float) -> object:
    ns = round(stamp_s * 1e9)
    return TYPES["std_msgs/msg/Header"](TYPES["builtin_interfaces/msg/Time"](ns // 10**9, ns % 10**9), "camera")


def joint_state(stamp_s: float, names: tuple[str, ...], position: np.ndarray, velocity: np.ndarray) -> object:
    return TYPES["sensor_msgs/msg/JointState"](
        header(stamp_s), list(names), np.asarray(position, float), np.asarray(velocity, float), np.zeros(0)
    )


def streamer_state(commander: str) -> object:
    values = {"state": "tracking", "reason": "", "commander": commander, "taken_over": "false"}
    pairs = [TYPES["diagnostic_msgs/msg/KeyValue"](key=key, value=value) for key, value in values.items()]
    return TYPES[STATUS](level=0, name="streamer", message="", hardware_id="", values=pairs)


def camera_info(camera: PinholeCamera, stamped: object) -> object:
    region = TYPES["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return TYPES["sensor_msgs/msg/CameraInfo"](
        stamped,
        camera.height,
        camera.width,
        "plumb_bob",
        np.zeros(5),
        camera.K.ravel(),
        np.eye(3).ravel(),
        np.hstack([camera.K, np.zeros((3, 1))]).ravel(),
        0,
        0,
        region,
    )


def _image(topic: str, stamped: object, pixels: np.ndarray, raw: bool, broken: bool) -> tuple[str, str, object]:
    if raw:
        height, width = pixels.shape[:2]
        kind = "sensor_msgs/msg/Image"
        return topic, kind, TYPES[kind](stamped, height, width, "rgb8", 0, 3 * width, pixels.ravel())
    kind = "sensor_msgs/msg/CompressedImage"
    data = (
        np.frombuffer(b"no picture", np.uint8)
        if broken
        else cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].ravel()
    )
    return topic, kind, TYPES[kind](stamped, "jpeg", data)
