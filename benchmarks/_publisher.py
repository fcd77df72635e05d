"""A synthetic cell in a process of its own: cameras, both arms and the commands, each at its exact rate.

    python benchmarks/_publisher.py --seconds 60

Prints one line of JSON at its end: topic to the number of messages, the stamp of the last and the period between them.
"""

import json
import os
import signal
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rclpy
import tyro
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Float64, String

sys.path.insert(0, str(Path(__file__).parents[1]))
from genima_core.arm import PANDA
from genima_core.cameras import PinholeCamera
from genima_core.pixels import tile
from genima_ros.graph.domain import choose_transport
from genima_ros.messages import interfaces
from genima_ros.messages.conversions import camera_to_camera_info, rgb_to_image, to_joint_state

CAMERAS = ("wrist", "front", "right_shoulder", "left_shoulder")
STAMP_AT = 4
"""Where a message with a header has its stamp, behind CDR's own four bytes."""


@dataclass
class Stream:
    """Messages made beforehand that are sent in turns, stamped when they are."""

    topic: interfaces.Topic
    publisher: object
    buffers: list[bytearray]
    period_ns: int
    due_ns: int
    stamped: bool
    count: int = 0

    def send(self) -> None:
        buffer = self.buffers[self.count % len(self.buffers)]
        if self.stamped:
            struct.pack_into("<iI", buffer, STAMP_AT, *divmod(self.due_ns, 10**9))
        self.publisher.publish(bytes(buffer))
        self.count += 1
        self.due_ns += self.period_ns


def main(
    seconds: float = 60.0,
    size: int = 256,
    fps: float = 30.0,
    joint_hz: float = 100.0,
    drawings_hz: float = 0.0,
    seed: int = 10000,
) -> None:
    """Publishes until the time is over; however late it is, no message is left out.

    Args:
        seconds: how long
        size: width and height of the images
        fps: images a second and camera
        joint_hz: of joint states and commands
        drawings_hz: of tiled drawings, if there are any
        seed: of the pictures
    """
    rng = np.random.default_rng(seed)
    choose_transport(os.environ, sends_images=True)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # not in the midst of sending
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    node = rclpy.create_node("synthetic_cell")
    start_ns = time.time_ns() + 200_000_000
    streams = []

    def add(topic: interfaces.Topic, messages: list, rate_hz: float, offset_s: float = 0.0) -> None:
        streams.append(
            Stream(
                topic,
                interfaces.publish(node, topic),
                [bytearray(serialize_message(message)) for message in messages],
                round(1e9 / rate_hz),
                start_ns + round(1e9 * offset_s),
                hasattr(messages[0], "header"),
            )
        )

    for i, name in enumerate(CAMERAS):
        offset_s = 0.002 * i  # cameras that are started one after the other
        add(
            interfaces.camera_image(name),
            [rgb_to_image(picture, 0.0, name) for picture in pictures(rng, size)],
            fps,
            offset_s,
        )
        camera = PinholeCamera.from_fov(size, size, np.deg2rad(60.0))
        add(interfaces.camera_info(name), [camera_to_camera_info(camera, 0.0, name)], fps, offset_s)
    if drawings_hz:
        views = [tile([picture] * len(CAMERAS)) for picture in pictures(rng, size, 10)]
        add(interfaces.TARGETS, [rgb_to_image(view, 0.0, "tiled") for view in views], drawings_hz)
    states, commands = arm_messages()
    add(interfaces.JOINT_STATES, states, joint_hz)
    add(interfaces.LEADER_JOINT_STATES, states, joint_hz, 0.003)
    add(interfaces.JOINT_COMMANDS, commands, joint_hz, 0.005)
    add(interfaces.GRIPPER_COMMAND, [Float64(data=0.08)], 2.0)
    instruction = interfaces.publish(node, interfaces.INSTRUCTION)
    instruction.publish(String(data="push the button"))
    end_ns = start_ns + round(1e9 * seconds)
    while (stream := min(streams, key=lambda stream: stream.due_ns)).due_ns < end_ns:
        time.sleep(max(0, stream.due_ns - time.time_ns()) * 1e-9)
        stream.send()
    print(
        json.dumps(
            {
                f"/{stream.topic.name}": {
                    "messages": stream.count,
                    "last_ns": stream.due_ns - stream.period_ns,
                    "period_ns": stream.period_ns,
                }
                for stream in streams
            }
        ),
        flush=True,
    )
    time.sleep(2.0)  # what was sent last is still on its way


def pictures(rng: np.random.Generator, size: int, count: int = 30) -> list[np.ndarray]:
    """Scenes with soft light, edges, fine texture and a sensor's noise; JPEG has as much work as with real ones."""
    rows, columns = np.mgrid[:size, :size] / size
    scene = 90 + 60 * rows[..., None] + 30 * np.sin(columns[..., None] * [5, 7, 9])
    scene += 12 * cv2.GaussianBlur(rng.normal(size=(size, size, 3)), (0, 0), 1.5)
    result = []
    for k in range(count):
        picture = scene.copy()
        for j in range(6):
            centre = size * (0.5 + 0.35 * np.array([np.cos(j + k / 15), np.sin(2 * j + k / 15)]))
            colour = tuple(40.0 * ((j + i) % 6) for i in range(3))
            cv2.circle(picture, tuple(int(c) for c in centre), size // 12, colour, -1)
        result.append(np.clip(picture + rng.normal(0, 2.5, picture.shape), 0, 255).astype(np.uint8))
    return result


def arm_messages(count: int = 200) -> tuple[list, list]:
    """Joint states with fingers, and commands, of an arm that moves to and fro."""
    states, commands = [], []
    for k in range(count):
        phase = 2 * np.pi * k / count
        q, dq = PANDA.home + 0.3 * np.sin(phase), np.full(7, 0.3 * np.cos(phase))
        states.append(
            to_joint_state((*PANDA.joint_names, *PANDA.gripper.joints), [*q, 0.04, 0.04], 0.0, [*dq, 0.0, 0.0])
        )
        commands.append(to_joint_state(PANDA.joint_names, q, 0.0, dq))
    return states, commands


if __name__ == "__main__":
    tyro.cli(main)
