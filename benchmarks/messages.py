"""Random messages on every topic that any node hears: which nodes die, hang or grow.

    python benchmarks/messages.py --messages 100000 --json messages.json

Half of them are well-formed with random values (NaN, huge numbers, long texts and lists), half of them damaged bytes.
The nodes run as processes, in a ROS domain of their own; exits with 1 if one died or fell silent. Growth is that of the
memory while the third and the last quarter of the messages came: what fills once grows less in the last.
"""

import importlib
import os
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tyro
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from rclpy.timer import Timer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from genima_core.cameras import CameraRig, PinholeCamera
from genima_core.files import write_json
from genima_ros.clients.observer import Observer
from genima_ros.clients.running import start, wait_ready
from genima_ros.graph.domain import own_domain
from genima_ros.graph.graph import READY_S, GraphDescription, NodeProcess, describe_graph, parse_arguments
from genima_ros.messages import conversions

ROOT = Path(__file__).parents[1]
RIG = ROOT / "checkpoints/demo/rig.json"
CELL = (
    "arm:=panda",
    f"rig:={RIG}",
    f"cameras:={ROOT / 'config/cameras_realsense_ros.yaml'}",
    "respawn:=false",
)
"""A real cell's nodes; its arm and cameras are silent."""
GRAPHS = {"sim": ("gate:=true", "respawn:=false"), "teleop_sim": (), "teleop_real": CELL}
NOT_OURS = ("/parameter_events", "/rosout", "/clock")
NUMBERS = (0.0, 1.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e308, -1e-308, 1e6)
LENGTHS = (0, 1, 2, 7, 8, 20, 5000)
TEXTS = ("", "panda_joint1", "rgb8", "é" * 3, "x" * 100_000, "{" * 5000, "[" * 100_000, "closed: why")
SHORT = 300
"""Letters of a text in a list: receivers keep room for the largest message so far, in each place of their queues."""
LISTENS_S = 20.0
"""A node that goes on says so once a second; on busy cores it may take a while to work off what has come."""
SETTLES_S = 5.0
"""Until every subscription has been made and found."""
PAUSE_EVERY, PAUSE_S = 50, 0.02


def main(messages: int = 100_000, seed: int = 0, json: Path | None = None) -> None:
    """Starts each graph, sends, and looks at its nodes afterwards.

    Args:
        messages: how many, over all graphs
        seed: of the messages
        json: where to write the results for machines
    """
    sys.path.insert(0, str(ROOT))
    from tests.ros import built_interfaces  # the drivers' message packages, where they are not installed

    folder = built_interfaces.provide()
    modules = str(built_interfaces.site_packages(folder))
    sys.path.insert(0, modules)
    for name, path in (("PYTHONPATH", modules), ("LD_LIBRARY_PATH", str(folder / "lib"))):
        os.environ[name] = os.pathsep.join(filter(None, (path, os.environ.get(name))))
    rows = [row for i, mode in enumerate(GRAPHS) for row in try_graph(mode, messages // len(GRAPHS), seed + i)]
    columns = ("name", "node", "topics", "messages", "died", "silent", "growth_mb", "last_growth_mb")
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)
    if json is not None:
        write_json(json, {"rows": rows})
    if any(row["died"] or row["silent"] for row in rows):
        raise SystemExit(1)


def try_graph(mode: str, messages: int, seed: int) -> list[dict[str, Any]]:
    """A row for each node of a graph."""
    rng = np.random.default_rng(seed)
    with ExitStack() as stack:
        domain = stack.enter_context(own_domain())
        log = stack.enter_context(Path(os.devnull).open("w"))
        description = describe(mode, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        running, observer = start(description, stack, domain, Observer, log)
        feed = feed_cameras(observer)
        wait_ready(running, observer, READY_S)
        observer.spin(SETTLES_S)
        feed.cancel()
        pids = dict(running.pids)
        heard = {name: topics_of(observer, name) for name in pids}
        topics = sorted({topic for found in heard.values() for topic in found.items()})
        publishers = [(kind, publisher(observer, topic, kind)) for topic, kind in topics]
        sizes, sent = [], dict.fromkeys(topics, 0)
        for n in track(range(messages), mode):
            k = int(rng.integers(len(topics)))
            kind, sender = publishers[k]
            with suppress(RuntimeError):  # the middleware itself sends no bytes that are not even a header
                sender.publish(damaged(kind, rng) if rng.random() < 0.5 else serialized(kind, rng))
            sent[topics[k]] += 1
            if n in (messages // 2, 3 * messages // 4, messages - 1):
                sizes.append({name: rss(pid) for name, pid in pids.items()})
            if n % PAUSE_EVERY == 0:
                observer.spin(PAUSE_S)
        died = [name for name, pid in pids.items() if running.pids.get(name) != pid]
        observer.diagnostics.clear()
        observer.spin_until(lambda: set(observer.diagnostics) >= set(pids) - set(died), LISTENS_S)
        return [
            {
                "name": mode,
                "node": name,
                "device": "cpu",
                "topics": len(heard[name]),
                "messages": sum(sent[topic] for topic in heard[name].items()),
                "died": name in died,
                "silent": name not in died and name not in observer.diagnostics,
                "growth_mb": round((sizes[1][name] - sizes[0][name]) / 1e6, 1),
                "last_growth_mb": round((sizes[2][name] - sizes[1][name]) / 1e6, 1),
            }
            for name, pid in pids.items()
        ]


def describe(mode: str, recordings: Path) -> GraphDescription:
    """The graph of this name; the simulated cell is recorded, and the real one looks for a board."""
    description = describe_graph(mode, parse_arguments(mode, GRAPHS[mode]))
    more: tuple[NodeProcess, ...] = ()
    if mode == "teleop_sim":
        parameters = {"out": str(recordings), "task": "push_button", "arm": "sim"}
        more = (NodeProcess("recorder", "recorder_node", parameters, (), (), niceness=0, respawn=False),)
    elif mode == "teleop_real":
        calibrate = parse_arguments("calibrate", (*CELL, "camera:=front"))
        more = describe_graph("calibrate", calibrate, ("board",)).processes
    return replace(description, processes=(*description.processes, *more))


def feed_cameras(observer: Observer) -> Timer:
    """Pictures of another driver: without any, the camera nodes of a real cell do not start."""
    camera, rng = PinholeCamera.from_fov(640, 480, 1.0), np.random.default_rng(0)
    topics = [f"/camera/{name}/color/" for name in CameraRig.load(RIG).names]
    images = [publisher(observer, topic + "image_raw", "sensor_msgs/Image") for topic in topics]
    infos = [publisher(observer, topic + "camera_info", "sensor_msgs/CameraInfo") for topic in topics]

    def feed() -> None:
        now_s = observer.node.get_clock().now().nanoseconds * 1e-9
        for image, info in zip(images, infos, strict=True):
            picture = np.full((480, 640, 3), rng.integers(256), np.uint8)  # the same ones would be a frozen camera
            image.publish(conversions.rgb_to_image(picture, now_s))
            info.publish(conversions.camera_to_camera_info(camera, now_s))

    return observer.node.create_timer(0.1, feed)


def rss(pid: int) -> float:
    """Memory of a process in bytes; NaN where it is gone."""
    try:
        return float(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return float("nan")


def topics_of(observer: Observer, name: str) -> dict[str, str]:
    """Topics that a node subscribes to, or its part `<name>_inputs`, with their types."""
    nodes = [node for node in observer.node.get_node_names() if node in (name, f"{name}_inputs")]
    found = [row for node in nodes for row in observer.node.get_subscriber_names_and_types_by_node(node, "/")]
    return {topic: kinds[0] for topic, kinds in found if topic not in NOT_OURS and "/_action/" not in topic}


def publisher(observer: Observer, topic: str, kind: str) -> Any:
    """Reliable and latched, so that every subscription hears it."""
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return observer.node.create_publisher(load(kind), topic, qos)


def load(kind: str) -> Any:
    """The class of a name such as sensor_msgs/msg/Image or sensor_msgs/Image."""
    package, _, name = kind.replace("/msg/", "/").partition("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def random_message(kind: str, rng: np.random.Generator) -> Any:
    """All fields at random."""
    message = load(kind)()
    for name, of in message.get_fields_and_field_types().items():
        try:
            setattr(message, name, random_value(of, rng))
        except (AssertionError, ValueError, OverflowError, TypeError):
            continue  # the message's own class refuses it, as every sender's would
    return message


def random_value(kind: str, rng: np.random.Generator) -> Any:
    if kind.startswith("sequence<"):
        inner = kind.removeprefix("sequence<").partition(">")[0].partition(",")[0]
        count = int(rng.choice(LENGTHS)) if "/" not in inner else int(rng.choice(LENGTHS[:-1]))
        if inner == "uint8":
            return rng.integers(0, 256, count, dtype=np.uint8).tobytes()
        values = [random_value(inner, rng) for _ in range(min(count, 300))]
        return [value[:SHORT] for value in values] if inner == "string" else values
    if kind.endswith("]"):
        inner, _, size = kind.removesuffix("]").partition("[")
        return [random_value(inner, rng) for _ in range(int(size))]
    if "/" in kind:
        return random_message(kind, rng)
    if kind == "string":
        return TEXTS[int(rng.integers(len(TEXTS)))]
    if kind in ("double", "float", "float32", "float64"):
        return float(NUMBERS[int(rng.integers(len(NUMBERS)))])
    if kind == "boolean":
        return bool(rng.integers(2))
    if kind in ("octet", "byte"):
        return bytes([int(rng.integers(256))])
    most = 2 ** (int("".join(filter(str.isdigit, kind)) or 32) - 1) - 1
    value = int(rng.choice([0, 1, -1, 7, 64, most // 2, most]))
    return abs(value) if kind.startswith("uint") else value


def serialized(kind: str, rng: np.random.Generator) -> bytes:
    """The bytes of a random message."""
    return bytes(serialize_message(random_message(kind, rng)))


def damaged(kind: str, rng: np.random.Generator) -> bytes:
    """Serialized, then cut off, with bytes changed or added, or nothing but noise."""
    data = bytearray(serialized(kind, rng))
    how = int(rng.integers(4))
    if how == 0:
        return bytes(data[: int(rng.integers(len(data) + 1))])
    if how == 1:
        for i in rng.integers(0, len(data), 8):
            data[i] = int(rng.integers(256))
        return bytes(data)
    noise = rng.integers(0, 256, int(rng.integers(200)), dtype=np.uint8).tobytes()
    return bytes(data) + noise if how == 2 else noise


if __name__ == "__main__":
    begin_s = time.perf_counter()
    tyro.cli(main)
    print(f"{time.perf_counter() - begin_s:.0f} s")
