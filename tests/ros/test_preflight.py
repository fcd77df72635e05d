"""`genima preflight` on a cell that runs: untrained models, simulated or published by the test."""

import json

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import String

from genima_core.arm import PANDA
from genima_core.streaming.states import State
from genima_ros.cli.preflight import preflight
from genima_ros.clients.preflight_observer import PreflightObserver
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.streamer_node import StreamerNode

pytestmark = pytest.mark.ros


@pytest.fixture
def observer(bench, rig):
    import os

    with PreflightObserver(int(os.environ["ROS_DOMAIN_ID"]), rig.names, PANDA.joint_names) as observer:
        yield observer


def test_it_sees_what_runs(bench, observer, rig):
    images = {name: interfaces.publish(bench.probe, interfaces.camera_image(name)) for name in rig.names}
    infos = {name: interfaces.publish(bench.probe, interfaces.camera_info(name)) for name in rig.names}
    joints = interfaces.publish(bench.probe, interfaces.JOINT_STATES)
    interfaces.publish(bench.probe, interfaces.CAMERA_RIG).publish(String(data=json.dumps(rig.to_dict())))
    bench.node(StreamerNode, parameters={"velocity_scale": 0.25})
    shade = 0

    def send() -> None:
        nonlocal shade
        shade += 1
        now_s = bench.now_s()
        joints.publish(conversions.to_joint_state(PANDA.joint_names, PANDA.home, now_s))
        for name in rig.names:
            value = 7 if name == "front" else shade % 250
            picture = np.full((rig.size[1], rig.size[0], 3), value, np.uint8)
            images[name].publish(conversions.rgb_to_image(picture, now_s))
            infos[name].publish(conversions.camera_to_camera_info(rig[name].intrinsics, now_s))

    bench.probe.create_timer(0.02, send)

    def complete() -> bool:
        observer.spin(0.01)
        return (
            len(observer._q) > 5
            and "streamer" in observer.diagnostics
            and observer._rig is not None
            and observer._cameras["front"].repeated > 3
        )

    bench.until(complete)
    seen = observer.report()
    assert seen.rig.fingerprint() == rig.fingerprint()
    assert seen.arm.names == PANDA.joint_names
    np.testing.assert_allclose(seen.arm.q[-1], PANDA.home)
    assert seen.streamer.state is State.HOLDING
    for name, camera in seen.cameras.items():
        assert camera.size == rig.size
        assert camera.camera == rig[name].intrinsics
        assert camera.pictures.publishers == 1
        assert 0 < camera.pictures.rate_hz < 200
        assert (camera.repeated > 0) == (name == "front")


def test_where_nothing_runs_nothing_is_ready(tmp_path, untrained, capfd):
    file = tmp_path / "findings.json"
    assert preflight((f"checkpoint:={untrained}",), seconds=1.0, json=file) == 1
    findings = json.loads(file.read_text())
    assert not findings["ok"]
    assert {f["name"] for f in findings["findings"] if f["status"] == "failed"} >= {
        "camera wrist",
        "joint states",
        "arm",
        "streamer",
        "nodes",
        "policy",
    }
    assert "Do not enable the arm" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "seconds", "text"),
    [(("arm:=ur5",), 1.0, "no arm 'ur5'"), (("rig:=a",), 1.0, "valid are arm:="), ((), 0.1, "1 to 600")],
)
def test_bad_input_is_explained(words, seconds, text):
    with pytest.raises((ValueError, OSError), match=text):
        preflight(words, seconds=seconds)
