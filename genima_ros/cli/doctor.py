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

from genima_core.files import write_json
from genima_ros.cli.terminal.status_table import print_statuses
from genima_ros.graph.domain import node_environment, own_domain
from genima_ros.graph.packages import apt_package, extras, remedy
from genima_ros.share import DEMO_CHECKPOINT, find_checkpoint

DEMO_EXTRAS = ("", "sim", "train", "ros")
DEMO_MEMORY_GB, DEMO_DISK_GB = 6.0, 2.0
PROBE_TIMEOUT_S = 120.0
RUNS = "[green]The demo can run here:[/] make demo"
GL_REMEDY = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"

MUJOCO_PROBE = """
from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.sim.task import DEFAULT_TASK, make_task
cell = Cell(make_task(DEFAULT_TASK), default_rig(32, 32))
cell.reset(0)
assert cell.render("front").max() > 0, "the picture is black"
from OpenGL import GL
print(GL.glGetString(GL.GL_RENDERER).decode())
"""

PYRENDER_PROBE = """
from genima_core.sim.scene import default_rig
from genima_core.targets.renderer import TargetRenderer
rig = default_rig(32, 32)
renderer = TargetRenderer(rig)
assert renderer.render(rig.arm.home, rig.arm.home, 1.0).alpha.max() > 0, "the picture is empty"
from OpenGL import GL
print(GL.glGetString(GL.GL_RENDERER).decode())
"""

LOOPBACK_PROBE = """
import os, signal
signal.alarm(60)
child = os.fork()
import rclpy
from rclpy.task import Future
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("doctor_listener" if child else "doctor_talker")
if not child:
    publisher = node.create_publisher(String, "doctor", 1)
    node.create_timer(0.05, lambda: publisher.publish(String(data="hello")))
    rclpy.spin(node)
heard = Future()
node.create_subscription(String, "doctor", lambda message: heard.done() or heard.set_result(message.data), 1)
rclpy.spin_until_future_complete(node, heard, timeout_sec=20.0)
os.kill(child, signal.SIGKILL)
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
    checks = list(examine())
    missing = [check.name for check in checks if check.status == "missing"]
    write_json(json, {"ok": not missing, "checks": [asdict(check) for check in checks]})
    last = f"[red]The demo cannot run here;[/] missing: {', '.join(missing)}" if missing else RUNS
    print_statuses(((check.status, check.name, check.detail, check.remedy) for check in checks), last)
    return 1 if missing else 0


def passed(
    name: str, ok: bool, detail: str, remedy: str, otherwise: Literal["missing", "optional"] = "missing"
) -> Check:
    return Check(name, "ok", detail) if ok else Check(name, otherwise, detail, remedy)


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
    yield passed("platform", linux, platform.platform(), "use Linux")
    yield Check("processors", "ok", str(len(os.sched_getaffinity(0)) if linux else os.cpu_count()))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    remedy = f"the node graph needs up to {DEMO_MEMORY_GB:.0f} GB"
    yield passed("memory", memory_gb >= DEMO_MEMORY_GB, f"{memory_gb:.1f} GB", remedy)
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    remedy = f"free {DEMO_DISK_GB:.0f} GB for runs and data sets"
    yield passed("disk", free_gb >= DEMO_DISK_GB, f"{free_gb:.1f} GB free in {Path.cwd()}", remedy)


def torch_build() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("torch", "missing", str(error), "make env")
    device = f"CUDA, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "CPU"
    return Check("torch", "ok", f"{torch.__version__}, {device}")


def packages() -> Iterator[Check]:
    for extra, required in extras().items():
        name = f"extra: {extra}" if extra else "core packages"
        absent = ", ".join(f"{p.name}{p.required} ({p.installed or 'absent'})" for p in required if not p.ok)
        remedy = f"pip install -e '.[{extra}]'" if extra else "pip install -e ."
        if not absent:
            yield Check(name, "ok", ", ".join(f"{p.name} {p.installed}" for p in required))
        elif extra == "ros" and importlib.util.find_spec("rclpy"):
            yield Check(name, "ok", f"not the wheels: ROS 2 {os.environ.get('ROS_DISTRO', '')} is sourced")
        elif extra in DEMO_EXTRAS:
            yield Check(name, "missing", f"needs {absent}", f"make env, or {remedy}")
        else:
            yield Check(name, "optional", f"needs {absent}", remedy)


def probe(name: str, code: str, remedy: str, environment: dict[str, str] | None = None) -> Check:
    """Runs a probe in its own process (it may crash); its last line is the detail."""
    command, environment = [sys.executable, "-c", code], {**os.environ, **(environment or {})}
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, env=environment)
    except subprocess.TimeoutExpired:
        return Check(name, "missing", f"no answer within {PROBE_TIMEOUT_S:.0f} s", remedy)
    output = result.stderr if result.returncode else result.stdout
    lines = output.strip().splitlines() or [f"exit status {result.returncode}"]
    return passed(name, result.returncode == 0, lines[-1], remedy)


def loopback() -> Check:
    """Whether a message passes from one ROS process to another."""
    remedy = "make env, or source a ROS 2; allow UDP on the loopback interface"
    if importlib.util.find_spec("rclpy") is None:
        return Check("ROS 2", "missing", "rclpy cannot be imported", remedy)
    with own_domain() as domain:
        return probe("ROS 2", LOOPBACK_PROBE, remedy, node_environment(os.environ, domain))


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
        yield passed(name, found, "importable" if found else f"for {purpose}", remedy(name), "optional")
    rviz = shutil.which("rviz2")
    install = f"apt-get install {apt_package('rviz2')}"
    yield passed("rviz2", rviz is not None, rviz or "for watching the drawn targets live", install, "optional")


def realsense() -> Iterator[Check]:
    """How many RealSense cameras are connected, where their package is installed."""
    if importlib.util.find_spec("pyrealsense2") is not None:
        check = probe("realsense cameras", REALSENSE_PROBE, "apt-get install libusb-1.0-0 libudev1")
        yield check if check.status == "ok" else replace(check, status="optional")


def checkpoint(path: Path) -> Check:
    """Whether the demo's checkpoint is there, complete and undamaged in what can be seen without loading it."""
    from genima_core.checkpoint import Checkpoint  # not at the top: `--help` answers at once

    try:
        info = Checkpoint.open(path).info
    except (OSError, ValueError) as error:
        detail, _, remedy = str(error).partition("; ")
        return Check("demo checkpoint", "missing", detail, remedy)
    size_mb = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6
    return Check("demo checkpoint", "ok", f"{', '.join(info.tasks)}; {info.view_size} px views; {size_mb:.0f} MB")
