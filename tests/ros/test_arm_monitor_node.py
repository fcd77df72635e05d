"""The arm monitor with the drivers' real types, built from minimal definitions: it never claims more than it heard."""

import importlib
import subprocess
import sys

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus

from genima_core.arm_status import MODES
from genima_ros.messages import interfaces
from genima_ros.nodes.arm_monitor_node import ArmMonitorNode, load_message

pytestmark = pytest.mark.ros

TYPES = ("franka_msgs/msg/FrankaRobotState", "franka_msgs/msg/FrankaState")
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Driver:
    """Publishes the state of an arm at 100 Hz, until it is silent."""

    def __init__(self, bench, type_name: str = TYPES[0]) -> None:
        self.kind = load_message(type_name)
        self.publisher = interfaces.publish(bench.probe, interfaces.robot_state(self.kind))
        self.mode, self.errors, self.silent = "move", (), False
        bench.probe.create_timer(0.01, self.say)

    def say(self) -> None:
        if self.silent:
            return
        message = self.kind(robot_mode=MODES.index(self.mode))
        for error in self.errors:
            setattr(message.current_errors, error, True)
        self.publisher.publish(message)


def start(bench, statuses, type_name: str = TYPES[0]) -> Driver:
    """A monitor that has heard of an arm in its move mode."""
    driver = Driver(bench, type_name)
    bench.node(ArmMonitorNode, parameters={"robot_state_type": type_name})
    bench.until(lambda: statuses and statuses[-1].level == OK)
    return driver


@pytest.mark.parametrize("type_name", TYPES)
def test_the_state_becomes_a_status(bench, interface_packages, type_name):
    if not hasattr(importlib.import_module("franka_msgs.msg"), type_name.rpartition("/")[2]):
        pytest.skip(f"the franka_msgs that are installed are of another arm: no {type_name}")
    statuses = bench.listen(interfaces.ARM_STATUS)
    driver = start(bench, statuses, type_name)
    assert statuses[-1].name == "arm" and statuses[-1].message == ""
    driver.mode, driver.errors = "reflex", ("cartesian_reflex", "joint_velocity_violation")
    bench.until(lambda: statuses[-1].level == ERROR)
    assert "reflex with joint_velocity_violation, cartesian_reflex" in statuses[-1].message
    assert {pair.key: pair.value for pair in statuses[-1].values} == {
        "mode": "reflex",
        "errors": "joint_velocity_violation, cartesian_reflex",
    }
    driver.mode, driver.errors = "guiding", ()
    bench.until(lambda: statuses[-1].level == WARN)
    assert "guiding" in statuses[-1].message
    driver.mode = "user_stopped"
    bench.until(lambda: statuses[-1].level == ERROR)
    assert "release the user stop" in statuses[-1].message


def test_it_repeats_itself_without_a_change(bench, interface_packages):
    statuses, times_s = bench.listen(interfaces.ARM_STATUS), []
    start(bench, statuses)
    bench.probe.create_subscription(DiagnosticStatus, "arm_status", lambda _: times_s.append(bench.now_s()), 10)
    bench.until(lambda: len(times_s) > 20)
    assert (times_s[-1] - times_s[0]) / (len(times_s) - 1) < 0.1


def test_silence_of_the_driver_ends_the_permission_but_not_an_error(bench, interface_packages):
    statuses, diagnostics = bench.listen(interfaces.ARM_STATUS), bench.listen(interfaces.DIAGNOSTICS)
    driver = start(bench, statuses)
    driver.silent = True
    bench.until(lambda: statuses[-1].level == WARN)
    assert "its driver has ended" in statuses[-1].message
    bench.until(bench.problem("arm_monitor", diagnostics, "its driver has ended"))
    driver.silent = False
    bench.until(lambda: statuses[-1].level == OK)
    driver.mode = "reflex"
    bench.until(lambda: statuses[-1].level == ERROR)
    driver.silent = True
    seen = len(statuses)
    bench.until(lambda: len(statuses) > seen + 20)  # a second
    assert {status.level for status in statuses[seen:]} == {ERROR}


def test_before_the_first_state_it_claims_nothing(bench, interface_packages):
    statuses = bench.listen(interfaces.ARM_STATUS)
    bench.node(ArmMonitorNode)
    bench.until(lambda: len(statuses) > 10)
    assert {status.level for status in statuses} == {WARN}
    assert "no state has arrived yet" in statuses[-1].message


def test_bytes_that_are_no_state_count_as_silence(bench, interface_packages):
    statuses, diagnostics = bench.listen(interfaces.ARM_STATUS), bench.listen(interfaces.DIAGNOSTICS)
    driver = start(bench, statuses)
    driver.silent = True
    bench.probe.create_timer(0.01, lambda: driver.publisher.publish(b"\x00\x01\x00\x00\x07"))
    bench.until(lambda: statuses[-1].level == WARN)
    bench.until(bench.problem("arm_monitor", diagnostics, "robot_state is not a franka_msgs/msg/FrankaRobotState"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("FrankaState", "valid is a message such as franka_msgs/msg/FrankaRobotState"),
        ("std_msgs/msg/String", "which has no current_errors and no robot_mode"),
        ("std_msgs/msg/FrankaState", "multipanda_ros2 for a Panda"),
    ],
)
def test_another_type_is_refused(name, words):
    with pytest.raises((ValueError, RuntimeError), match=words):
        load_message(name)


def test_without_franka_msgs_the_error_names_what_to_install():
    code = (
        "import sys; sys.modules['franka_msgs'] = None\nfrom genima_ros.nodes.arm_monitor_node import load_message\n"
        "try:\n    load_message('franka_msgs/msg/FrankaState')\nexcept RuntimeError as error:\n    print(error)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "apt-get install ros-jazzy-franka-msgs" in output and "multipanda_ros2" in output
