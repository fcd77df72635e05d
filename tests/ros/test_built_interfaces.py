"""Message packages built for tests: importable, usable over the wire, and built once."""

import subprocess
import sys

import pytest

from . import built_interfaces as built

rclpy = pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros


def test_they_travel(bench, interface_packages):
    from franka_msgs.msg import GraspEpsilon

    received: list = []
    bench.probe.create_subscription(GraspEpsilon, "epsilon", received.append, 10)
    publisher = bench.probe.create_publisher(GraspEpsilon, "epsilon", 10)
    bench.until(lambda: publisher.get_subscription_count() > 0)
    publisher.publish(GraspEpsilon(inner=0.25, outer=0.5))
    bench.until(lambda: received)
    assert (received[0].inner, received[0].outer) == (0.25, 0.5)


def test_processes_started_from_here_have_them(interface_packages):
    code = (
        "import rclpy; from rclpy.action import ActionClient; from control_msgs.action import GripperCommand; "
        "rclpy.init(); ActionClient(rclpy.create_node('client'), GripperCommand, 'gripper_cmd')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_they_are_built_once(built_interfaces):
    before = {path: path.stat().st_mtime_ns for path in built_interfaces.rglob("*.so")}
    built.build([], built_interfaces)
    assert before == {path: path.stat().st_mtime_ns for path in built_interfaces.rglob("*.so")}


def test_where_all_are_installed_none_is_built(tmp_path):
    folder = built.prefix([], tmp_path)
    built.build([], folder)
    built.load(folder)
    assert (folder / "done").is_file()


def test_what_is_defined_decides_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(built, "DEFINITIONS", tmp_path)
    package = tmp_path / "some_msgs"
    (package / "msg").mkdir(parents=True)
    definition = package / "msg" / "Some.msg"
    definition.write_text("std_msgs/Header header\nsensor_msgs/JointState[] states # geometry_msgs/Pose\nb/A a")
    one = built.prefix([package], tmp_path)
    assert one == built.prefix([package], tmp_path)
    definition.write_text("float64 value\n")
    assert one != built.prefix([package], tmp_path)


def test_dependencies_are_read_from_the_definitions(tmp_path):
    for folder, text in (
        ("msg/A.msg", "std_msgs/Header header\nfloat64 x # geometry_msgs/Pose\nown_msgs/B b\nB[] bs"),
        ("msg/B.msg", "float64 value"),
        ("srv/C.srv", "---\nsensor_msgs/JointState[2] states"),
    ):
        path = tmp_path / "own_msgs" / folder
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert built.dependencies(tmp_path / "own_msgs") == ["sensor_msgs", "service_msgs", "std_msgs"]
