"""`genima doctor`: what works on this machine, tried rather than guessed, and what to install."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from genima_core.checkpoint import Checkpoint
from genima_core.files import write_json
from genima_ros.cli.terminal.status_table import status_table
from genima_ros.graph.domain import own_domain
from genima_ros.graph.packages import apt_package, extras, remedy
from genima_ros.graph.processes import node_environment
from genima_ros.share import DEMO_CHECKPOINT, find_checkpoint

DEMO_EXTRAS = ("", "sim", "train", "ros")
DEMO_MEMORY_GB = 6.0
DEMO_DISK_GB = 2.0
PROBE_TIMEOUT_S = 120.0
COLOURS = {"ok": "green", "missing": "bold red", "optional": "yellow"}
GL_REMEDY = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"

MUJOCO_PROBE = """
from genima_core import gl
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom type='sphere' size='.3'/><camera pos='0 0 2'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 32, 32)
renderer.update_scene(data, camera=0)
assert renderer.render().max() > 0, "the picture is black"
from OpenGL import GL
print(GL.glGetString(GL.GL_RENDERER).decode())
"""

PYRENDER_PROBE = """
from genima_core import gl
import numpy as np
import pyrender, trimesh
scene = pyrender.Scene(ambient_light=[1.0, 1.0, 1.0], bg_color=[0.0, 0.0, 0.0])
scene.add(pyrender.Mesh.from_trimesh(trimesh.creation.icosphere(radius=0.3)))
pose = np.eye(4)
pose[2, 3] = 2.0
scene.add(pyrender.PerspectiveCamera(0.8), pose=pose)
colour, _ = pyrender.OffscreenRenderer(32, 32).render(scene)
assert colour.max() > 0, "the picture is black"
from OpenGL import GL
print(GL.glGetString(GL.GL_RENDERER).decode())
"""

TALKER = """
import rclpy
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("doctor_talker")
publisher = node.create_publisher(String, "doctor", 1)
node.create_timer(0.05, lambda: publisher.publish(String(data="hello")))
rclpy.spin(node)
"""

LISTENER = """
import rclpy
from rclpy.task import Future
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("doctor_listener")
heard = Future()
node.create_subscription(String, "doctor", lambda message: heard.done() or heard.set_result(message.data), 1)
rclpy.spin_until_future_complete(node, heard, timeout_sec=20.0)
assert heard.done(), "two processes on this machine do not hear each other; is loopback multicast blocked?"
print(rclpy.get_rmw_implementation_identifier(), "between two processes")
"""

REALSENSE_PROBE = """
import pyrealsense2 as rs
print(len(rs.context().query_devices()), "connected")
"""


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    status: Literal["ok", "missing", "optional"]
    """"missing" keeps the demo from running; "optional" is absent, and only needed for what `remedy` says."""
    detail: str
    remedy: str = ""


def doctor(json: Path | None = None) -> int:
    """Says what works on this machine, and what to install.

    Exit status 0 when the demo can run here.

    Example: genima doctor --json doctor.json

    Args:
        json: File for the report.
    """
    from rich.console import Console

    checks = list(examine())
    ready = all(check.status != "missing" for check in checks)
    write_json(json, {"ok": ready, "checks": [asdict(check) for check in checks]})
    console = Console()
    console.print(status_table(((c.status, c.name, c.detail, c.remedy) for c in checks), COLOURS))
    if ready:
        console.print("[green]The demo can run here:[/] make demo")
    else:
        missing = ", ".join(check.name for check in checks if check.status == "missing")
        console.print(f"[red]The demo cannot run here;[/] missing: {missing}")
    return 0 if ready else 1


def examine() -> Iterator[Check]:
    """All checks, cheapest first."""
    yield from machine()
    yield torch_build()
    yield from packages()
    yield probe("rendering: mujoco", MUJOCO_PROBE, GL_REMEDY)
    yield probe("rendering: pyrender", PYRENDER_PROBE, GL_REMEDY)
    yield loopback()
    yield from workstation()
    yield from realsense()
    yield checkpoint(find_checkpoint(DEMO_CHECKPOINT))


def machine() -> Iterator[Check]:
    """Interpreter, platform, cores, memory and disk."""
    yield Check("python", "ok", f"{platform.python_version()} in {sys.prefix}")
    linux = sys.platform == "linux"
    yield Check("platform", "ok" if linux else "missing", platform.platform(), "" if linux else "use Linux")
    yield Check("processors", "ok", str(len(os.sched_getaffinity(0)) if linux else os.cpu_count()))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    enough = memory_gb >= DEMO_MEMORY_GB
    yield Check(
        "memory",
        "ok" if enough else "missing",
        f"{memory_gb:.1f} GB",
        "" if enough else f"the node graph needs up to {DEMO_MEMORY_GB:.0f} GB",
    )
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    enough = free_gb >= DEMO_DISK_GB
    yield Check(
        "disk",
        "ok" if enough else "missing",
        f"{free_gb:.1f} GB free in {Path.cwd()}",
        "" if enough else f"free {DEMO_DISK_GB:.0f} GB for runs and data sets",
    )


def torch_build() -> Check:
    """Whether torch imports, and whether it sees a CUDA device."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("torch", "missing", str(error), "make env")
    device = f"CUDA, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "CPU"
    return Check("torch", "ok", f"{torch.__version__}, {device}")


def packages() -> Iterator[Check]:
    """Each extra's packages."""
    for extra, required in extras().items():
        wanting = [p for p in required if not p.ok]
        name = f"extra: {extra}" if extra else "core packages"
        versions = ", ".join(f"{p.name} {p.installed}" for p in required if p.ok)
        if not wanting:
            yield Check(name, "ok", versions)
        elif extra == "ros" and importlib.util.find_spec("rclpy"):
            yield Check(name, "ok", f"not the wheels: ROS 2 {os.environ.get('ROS_DISTRO', '')} is sourced")
        else:
            absent = ", ".join(f"{p.name}{p.required} ({p.installed or 'absent'})" for p in wanting)
            remedy = f"pip install -e '.[{extra}]'" if extra else "pip install -e ."
            yield Check(
                name,
                "missing" if extra in DEMO_EXTRAS else "optional",
                f"needs {absent}",
                f"make env, or {remedy}" if extra in DEMO_EXTRAS else remedy,
            )


def probe(name: str, code: str, remedy: str, environment: dict[str, str] | None = None) -> Check:
    """Runs a probe in its own process (it may crash); its last line is the detail."""
    try:
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        return Check(name, "missing", f"no answer within {PROBE_TIMEOUT_S:.0f} s", remedy)
    output = result.stdout if result.returncode == 0 else result.stderr
    lines = output.strip().splitlines() or [f"exit status {result.returncode}"]
    return Check(name, "ok", lines[-1]) if result.returncode == 0 else Check(name, "missing", lines[-1], remedy)


def loopback() -> Check:
    """Whether a message passes from one ROS process to another."""
    remedy = "make env, or source a ROS 2; allow UDP on the loopback interface"
    if importlib.util.find_spec("rclpy") is None:
        return Check("ROS 2", "missing", "rclpy cannot be imported", remedy)
    with own_domain() as domain:
        environment = node_environment(os.environ, domain)
        talker = subprocess.Popen(
            [sys.executable, "-c", TALKER],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return probe("ROS 2", LISTENER, remedy, environment)
        finally:
            talker.kill()
            talker.wait()


def workstation() -> Iterator[Check]:
    """What only a ROS 2 installed by apt brings."""
    needed_for = {
        "launch_ros": "ros2 launch (genima up does without)",
        "tf2_msgs": "a real cell: camera poses on tf",
        "control_msgs": "a real cell: gripper action",
        "franka_msgs": "a real cell: Franka hand and error recovery",
    }
    for name, purpose in needed_for.items():
        found = importlib.util.find_spec(name) is not None
        yield Check(
            name,
            "ok" if found else "optional",
            "importable" if found else f"for {purpose}",
            "" if found else remedy(name),
        )
    rviz = shutil.which("rviz2")
    yield Check(
        "rviz2",
        "ok" if rviz else "optional",
        rviz or "for watching the drawn targets live",
        "" if rviz else f"apt-get install {apt_package('rviz2')}",
    )


def realsense() -> Iterator[Check]:
    """How many RealSense cameras are connected, where their package is installed."""
    if importlib.util.find_spec("pyrealsense2") is not None:
        check = probe("realsense cameras", REALSENSE_PROBE, "apt-get install libusb-1.0-0 libudev1")
        yield check if check.status == "ok" else replace(check, status="optional")


def checkpoint(path: Path) -> Check:
    """Whether the demo's checkpoint is there, complete and undamaged in what can be seen without loading it."""
    try:
        info = Checkpoint.open(path).info
    except (OSError, ValueError) as error:
        detail, _, remedy = str(error).partition("; ")
        return Check("demo checkpoint", "missing", detail, remedy)
    size_mb = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6
    return Check("demo checkpoint", "ok", f"{', '.join(info.tasks)}; {info.view_size} px views; {size_mb:.0f} MB")
