import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter

from genima_core.arm import PANDA
from genima_core.streaming.states import Reason
from genima_core.streaming.streamer import Streamer
from genima_core.types import ActionChunk
from genima_ros.clients.demo_observer import CommandSet, violations
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import read_diagnostics, values_of
from genima_ros.nodes.streamer_node import StreamerNode, WidthFilter

from .conftest import Bench, as_text

pytestmark = pytest.mark.ros


class Arm:
    """Is where the last command wanted it, and says so at 100 Hz."""

    def __init__(self, bench, names=PANDA.joint_names, q=PANDA.home) -> None:
        self.bench, self.names, self.q = bench, names, np.array(q)
        self.commands = bench.listen(interfaces.JOINT_COMMANDS)
        self.publisher = interfaces.publish(bench.probe, interfaces.JOINT_STATES)
        self.timer = bench.probe.create_timer(0.01, self.say)

    def say(self) -> None:
        if self.commands:
            self.q = np.array(self.commands[-1].position)
        self.publisher.publish(conversions.to_joint_state(self.names, self.q, self.bench.now_s(), np.zeros(7)))


def send_chunk(bench, publisher, offset_rad: float, K: int = 10, change=None) -> None:
    """A chunk that turns joint 1 by this much from home."""
    positions = np.tile(PANDA.home, (K, 1))
    positions[:, 0] += offset_rad * np.linspace(1 / K, 1, K)
    now_s = bench.now_s()
    message = conversions.chunk_to_trajectory(ActionChunk(positions, np.zeros(K), 0.05, now_s + 0.05, now_s), PANDA)
    if change is not None:
        change(message)
    publisher.publish(message)


def start(bench, **parameters):
    return bench.node(StreamerNode, parameters={"enabled": True, **parameters})


def test_a_chunk_becomes_smooth_motion_and_the_gripper_closes(bench):
    arm = Arm(bench)
    trajectories, widths = bench.listen(interfaces.ARM_TRAJECTORY), bench.listen(interfaces.GRIPPER_COMMAND)
    wanted = bench.listen(interfaces.CHUNK_WANTED)
    start(bench)
    publisher = bench.talk(interfaces.ACTION_CHUNK)
    bench.until(lambda: wanted and wanted[-1].data)
    send_chunk(bench, publisher, 0.2)
    bench.until(lambda: wanted and not wanted[-1].data)
    bench.until(lambda: wanted[-1].data)
    assert arm.commands[-1].position[0] == pytest.approx(PANDA.home[0] + 0.2, abs=1e-3)
    assert widths[-1].data == 0.0
    stream = [
        CommandSet(conversions.seconds(c.header.stamp), np.array(c.position), np.array(c.velocity))
        for c in arm.commands
    ]
    assert violations(stream, PANDA.limits) == 0
    for message in trajectories:
        assert list(message.joint_names) == list(PANDA.joint_names)
        assert conversions.seconds(message.header.stamp) == 0
        assert len(message.points) >= 2
        assert conversions.seconds(message.points[0].time_from_start) == pytest.approx(0.02)
        assert np.abs(message.points[-1].velocities).max() < 1e-6


@pytest.mark.parametrize(
    ("command", "topic", "read"),
    [
        ("joint_state", interfaces.ARM_JOINT_STATE, lambda message: message.position),
        ("float64_array", interfaces.ARM_POSITIONS, lambda message: message.data),
    ],
)
def test_other_arm_controllers_get_what_they_understand(bench, tmp_path, command, topic, read):
    Arm(bench)
    messages = bench.listen(topic)
    arm = tmp_path / "mine.yaml"
    arm.write_text(f"arm: panda\ncommand: {command}\nreceiver_follows_horizon: false\n")
    start(bench, arm=str(arm))
    bench.until(lambda: messages)
    assert np.array(read(messages[0])) == pytest.approx(PANDA.home)


def test_it_waits_to_be_enabled(bench):
    arm = Arm(bench)
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    start(bench, enabled=False)
    bench.until(lambda: any("joint_states_age_ms" in read_diagnostics(m).get("streamer", {}) for m in diagnostics))
    assert not arm.commands
    assert bench.call("streamer", "enable", data=True).success
    bench.until(lambda: arm.commands)
    assert np.array(arm.commands[0].position) == pytest.approx(PANDA.home)


def test_stop_ends_the_commands_smoothly(bench):
    arm = Arm(bench)
    wanted, diagnostics = bench.listen(interfaces.CHUNK_WANTED), bench.listen(interfaces.DIAGNOSTICS)
    trajectories = bench.listen(interfaces.ARM_TRAJECTORY)
    start(bench)
    publisher = bench.talk(interfaces.ACTION_CHUNK)
    bench.until(lambda: wanted and wanted[-1].data)
    send_chunk(bench, publisher, 0.6, K=20)
    bench.until(lambda: arm.commands and abs(arm.commands[-1].velocity[0]) > 0.1)
    assert bench.call("streamer", "stop").success
    seen = len(diagnostics)
    bench.until(lambda: len(diagnostics) > seen + 1)  # the arm stops within a second
    assert read_diagnostics(diagnostics[-1])["streamer"]["state"] == "holding"
    count, seen = len(arm.commands), len(diagnostics)
    bench.until(lambda: len(diagnostics) > seen)  # one second
    assert len(arm.commands) == count
    end = trajectories[-1].points[-1]
    assert np.abs(end.velocities).max() < 1e-6
    assert end.positions[0] < PANDA.home[0] + 0.6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda message: message.joint_names.__setitem__(0, "shoulder"), "panda_joint1"),
        (lambda message: message.points[3].positions.__setitem__(0, float("nan")), "finite"),
        (lambda message: message.points[3].positions.__setitem__(3, 1.5), "panda_joint4"),
        (lambda message: setattr(message.points[5], "time_from_start", message.points[2].time_from_start), "increas"),
        (lambda message: setattr(message.header.stamp, "sec", message.header.stamp.sec - 60), "old"),
        (lambda message: message.points.clear(), "action_chunk not used"),
    ],
)
def test_bad_chunks_move_nothing_and_are_explained(bench, change, words):
    arm = Arm(bench)
    wanted, diagnostics = bench.listen(interfaces.CHUNK_WANTED), bench.listen(interfaces.DIAGNOSTICS)
    start(bench)
    publisher = bench.talk(interfaces.ACTION_CHUNK)
    bench.until(lambda: wanted and wanted[-1].data)
    send_chunk(bench, publisher, 0.2, change=change)
    bench.until(bench.problem("streamer", diagnostics, words))
    assert np.array(arm.commands[-1].position) == pytest.approx(PANDA.home)


@pytest.mark.parametrize("names", [[f"fr3_joint{i}" for i in range(1, 8)], PANDA.joint_names[:6]])
def test_renamed_or_missing_joints_are_explained(bench, names):
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    arm = Arm(bench, names, PANDA.home[: len(names)])
    start(bench)
    bench.until(bench.problem("streamer", diagnostics, "joint_states not used"))
    assert not arm.commands


def test_the_state_is_told_with_its_reason_to_whoever_comes_later(bench):
    Arm(bench)
    start(bench, enabled=False)
    states = bench.listen(interfaces.STREAMER_STATE)
    bench.until(lambda: states and as_text(states[-1]).startswith("holding: The streamer is disabled"))
    assert bench.call("streamer", "enable", data=True).success
    bench.until(lambda: as_text(states[-1]) == "holding: Waiting for a chunk.")


def test_targets_are_followed_and_bad_ones_explained(bench):
    arm = Arm(bench)
    diagnostics, states = bench.listen(interfaces.DIAGNOSTICS), bench.listen(interfaces.STREAMER_STATE)
    start(bench, period_s=0.005)
    publisher = bench.talk(interfaces.JOINT_TARGET)
    bench.until(lambda: arm.commands)
    q = PANDA.home + 0.03
    timer = bench.probe.create_timer(
        0.01, lambda: publisher.publish(conversions.to_joint_state(PANDA.joint_names, q, bench.now_s(), np.zeros(7)))
    )
    bench.until(lambda: np.abs(np.array(arm.commands[-1].position) - q).max() < 1e-3)
    assert as_text(states[-1]) == "tracking"
    q[0] += 1.0
    bench.until(bench.problem("streamer", diagnostics, "joint_target not used"))
    bench.until(lambda: as_text(states[-1]).startswith("holding: The target of panda_joint1 jumped"))
    timer.cancel()


def test_an_emergency_stop_needs_a_reset_and_an_operator(bench):
    arm = Arm(bench)
    states = bench.listen(interfaces.STREAMER_STATE)
    start(bench)
    publisher = bench.talk(interfaces.ACTION_CHUNK)
    bench.until(lambda: states and as_text(states[-1]) == "holding: Waiting for a chunk.")
    send_chunk(bench, publisher, 0.6, K=20)
    bench.until(lambda: arm.commands and abs(arm.commands[-1].velocity[0]) > 0.1)
    assert bench.call("streamer", "emergency_stop").success
    bench.until(lambda: as_text(states[-1]).startswith("fault: The emergency stop"))
    assert arm.commands[-1].position[0] < PANDA.home[0] + 0.6
    refused = bench.call("streamer", "enable", data=True)
    assert not refused.success and "reset" in refused.message
    assert bench.call("streamer", "reset_fault").success
    bench.until(lambda: as_text(states[-1]).startswith("holding: The streamer is disabled"))
    assert bench.call("streamer", "enable", data=True).success
    bench.until(lambda: as_text(states[-1]) == "holding: Waiting for a chunk.")


def test_the_velocity_scale_and_the_execution_change_while_it_runs_and_nothing_else_does(bench):
    Arm(bench)
    states = bench.listen(interfaces.STREAMER_STATE)
    node = start(bench)
    for name, value in (("velocity_scale", 0.1), ("execution", "confirm")):
        assert bench.set("streamer", name, value).successful
        assert getattr(node.streamer.config, name) == node.get_parameter(name).value == value
    bench.until(lambda: states and values_of(states[-1])["execution"] == "confirm")
    for name, value, why in (
        ("velocity_scale", 0.0, "[0.01, 1]"),
        ("velocity_scale", 1.5, "[0.01, 1]"),
        ("velocity_scale", float("nan"), "needs a finite number"),
        ("velocity_scale", "fast", "needs a float"),
        ("execution", "eager", "valid are 'sync', 'async', 'confirm'"),
        ("execution", 1, "valid are 'sync', 'async', 'confirm'"),
        ("velocity_factor", 0.5, "read-only"),
    ):
        refused = bench.set("streamer", name, value)
        assert not refused.successful and why in refused.reason
    config = node.streamer.config
    assert (config.velocity_scale, config.execution) == (0.1, "confirm")


def test_an_arm_in_reflex_is_left_alone_until_somebody_recovers_and_enables_it(bench):
    Arm(bench)
    states = bench.listen(interfaces.STREAMER_STATE)
    start(bench, watch_arm_status=True)
    bench.until(lambda: states and as_text(states[-1]).startswith("holding: Waiting for the arm's status"))
    publisher, status = bench.talk(interfaces.ARM_STATUS), DiagnosticStatus(name="arm")
    bench.probe.create_timer(0.05, lambda: publisher.publish(status))
    bench.until(lambda: as_text(states[-1]) == "holding: Waiting for a chunk.")
    status.level, status.message = DiagnosticStatus.ERROR, "reflex with cartesian_reflex"
    bench.until(
        lambda: as_text(states[-1]) == "fault: The arm reports reflex with cartesian_reflex; then: genima recover."
    )
    assert not bench.call("streamer", "reset_fault").success
    refused = bench.call("streamer", "enable", data=True)
    assert not refused.success and "cartesian_reflex" in refused.message
    status.level, status.message = DiagnosticStatus.OK, ""
    bench.until(lambda: bench.call("streamer", "reset_fault").success)
    bench.until(lambda: as_text(states[-1]).startswith("holding: The streamer is disabled"))
    assert bench.call("streamer", "enable", data=True).success
    bench.until(lambda: as_text(states[-1]) == "holding: Waiting for a chunk.")


def test_it_stops_before_the_arm_touches_the_table(bench):
    pytest.importorskip("mujoco")
    arm = Arm(bench)
    states = bench.listen(interfaces.STREAMER_STATE)
    start(bench, check_collisions=True, table_height_m=0.3)
    publisher = bench.talk(interfaces.ACTION_CHUNK)
    bench.until(lambda: states and as_text(states[-1]) == "holding: Waiting for a chunk.")

    def lower(message):
        for k, point in enumerate(message.points):
            point.positions[1] += 0.03 * k

    send_chunk(bench, publisher, 0.0, K=20, change=lower)
    bench.until(lambda: as_text(states[-1]).startswith("holding: Going on would bring finger"))
    assert 0 < arm.commands[-1].position[1] - PANDA.home[1] < 0.5


def test_without_mujoco_the_error_names_what_to_install():
    code = (
        "import sys; sys.modules['mujoco'] = None\nfrom genima_ros.nodes.streamer_node import make_clearance, Margins\n"
        "try:\n    make_clearance(Margins(), None)\nexcept RuntimeError as error:\n    print(error)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "genima_ros[sim]" in output and "check_collisions" in output


def test_a_gripper_is_not_flooded_and_gets_the_last_width():
    widths, sent = WidthFilter(), []
    for k in range(400):
        now_s = 10.0 + 0.005 * k
        width_m = min(0.08 * k / 200, 0.0795)
        if (passed := widths.pass_on(width_m, now_s)) is not None:
            sent.append((now_s, passed))
    assert len(sent) <= 14 and np.diff([at_s for at_s, _ in sent]).min() >= 0.0999
    assert sent[-1][1] == 0.0795
    quiet = WidthFilter()
    assert quiet.pass_on(None, 1.0) is None
    assert quiet.pass_on(0.04, 1.0) == 0.04
    assert quiet.pass_on(0.0405, 1.2) is None and quiet.pass_on(0.0405, 1.6) == 0.0405


def test_an_unknown_arm_is_refused(bench):
    refused = Bench()
    with pytest.raises(FileNotFoundError, match="no arm 'ur5'; valid are"):
        start(refused, arm="ur5")
    refused.close()
    start(bench)
    bench.settle("streamer")
    # Else later tests would meet "another /streamer".
    assert bench.probe.get_node_names().count("streamer") == 1


class Logged(Streamer):
    """Notes what it is asked for, in order."""

    log: ClassVar[list[str]] = []

    def __getattribute__(self, name):
        if name.startswith("on_") or name in ("enable", "disable", "emergency_stop"):
            Logged.log.append(name)
        return super().__getattribute__(name)


def test_an_emergency_stop_waits_behind_no_other_message(bench):
    """It is called last of many, while nobody handles any."""
    states = bench.listen(interfaces.STREAMER_STATE)
    bench.node(lambda **options: StreamerNode(Logged, **options), parameters={"enabled": True})
    topics = (interfaces.JOINT_STATES, interfaces.ACTION_CHUNK, interfaces.JOINT_TARGET, interfaces.ARM_STATUS)
    publishers = [bench.talk(topic) for topic in topics]
    enable, stop = (
        bench.probe.create_client(interfaces.SERVICES[name].type, f"streamer/{name}")
        for name in ("enable", "emergency_stop")
    )
    bench.until(lambda: enable.service_is_ready() and stop.service_is_ready() and states)
    for _ in range(20):
        for publisher, topic in zip(publishers, topics, strict=True):
            publisher.publish(topic.type())
        enable.call_async(enable.srv_type.Request(data=True))
    answer = stop.call_async(stop.srv_type.Request())
    Logged.log.clear()
    bench.until(answer.done)
    assert answer.result().success
    assert Logged.log[0] == "emergency_stop"
    bench.until(lambda: as_text(states[-1]).startswith("fault: The emergency stop"))


@pytest.mark.parametrize("value", [1, 0.5])
def test_a_number_without_a_point_is_taken_for_a_float(bench, value):
    node = start(bench, velocity_scale=0.1)
    result = node.set_parameters([Parameter("velocity_scale", value=value)])[0]
    assert result.successful and node.streamer.config.velocity_scale == value
    for wrong in ("fast", True, 7, 0, [1.0]):
        assert not node.set_parameters([Parameter("velocity_scale", value=wrong)])[0].successful
    assert node.streamer.config.velocity_scale == value


def test_another_commander_of_the_arm_is_noticed_and_named(bench):
    arm = Arm(bench)
    states = bench.listen(interfaces.STREAMER_STATE)
    start(bench)
    publisher = bench.talk(interfaces.ACTION_CHUNK)
    bench.until(lambda: states and as_text(states[-1]) == "holding: Waiting for a chunk.")
    send_chunk(bench, publisher, 0.6, K=20)
    bench.until(lambda: arm.commands and abs(arm.commands[-1].velocity[0]) > 0.1)
    other = interfaces.publish(bench.probe, interfaces.ARM_TRAJECTORY)
    bench.until(lambda: as_text(states[-1]).startswith("holding: /probe commands the arm as well"))
    assert arm.commands[-1].position[0] < PANDA.home[0] + 0.6
    refused = bench.call("streamer", "enable", data=True)
    assert not refused.success and "/probe" in refused.message
    bench.probe.destroy_publisher(other)
    bench.until(lambda: bench.call("streamer", "enable", data=True).success)
    bench.until(lambda: as_text(states[-1]) == "holding: Waiting for a chunk.")


def test_of_two_streamers_none_commands(bench):
    arm = Arm(bench)
    states = bench.listen(interfaces.STREAMER_STATE)
    first = start(bench)
    bench.until(lambda: states and as_text(states[-1]) == "holding: Waiting for a chunk.")
    second = start(bench)
    bench.until(lambda: first.status.reason is second.status.reason is Reason.COMMANDERS)
    assert "another /streamer" in first.status.text
    seen = len(states)
    bench.until(lambda: len(states) > seen + 4)  # the stop is over
    count, seen = len(arm.commands), len(states)
    bench.until(lambda: len(states) > seen + 4)
    assert len(arm.commands) == count


def test_nothing_heavy_is_imported():
    code = (
        "import sys, genima_ros.nodes.streamer_node; heavy = {'torch', 'mujoco', 'pyrender', 'diffusers', 'cv2'} "
        "& set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
