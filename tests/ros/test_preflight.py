"""`genima preflight` on a cell that runs: untrained models, simulated or published by the test."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from std_msgs.msg import String

from genima_core.arm import PANDA
from genima_core.streaming.states import State
from genima_ros.cli.preflight import preflight
from genima_ros.clients import preflight_observer
from genima_ros.clients.preflight_observer import GraphFound, PreflightObserver, find_graph
from genima_ros.messages import conversions, interfaces
from genima_ros.nodes.streamer_node import StreamerNode

pytestmark = pytest.mark.ros


@pytest.fixture
def observer(bench, rig):
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
            len(observer.seen.arm.q) > 5
            and "streamer" in observer.diagnostics
            and observer.seen.rig is not None
            and observer.seen.cameras["front"].repeated > 3
        )

    bench.until(complete)
    with ThreadPoolExecutor(1) as pool:
        report = pool.submit(observer.report)
        bench.until(report.done)
    seen = report.result()
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


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"arm": "ur5"}, "no arm 'ur5'"),
        ({"seconds": 0.1}, "1 to 600"),
        ({}, "no streamer is running in ROS domain .*genima up"),
    ],
)
def test_bad_input_and_an_empty_domain_are_explained(arguments, text, monkeypatch):
    monkeypatch.setattr(preflight_observer, "FOUND_S", 1.0)
    with pytest.raises((ValueError, OSError, RuntimeError), match=text):
        preflight(**{"seconds": 1.0} | arguments)


def test_it_asks_the_graph_what_runs(bench):
    bench.node(StreamerNode, parameters={"arm": "panda"})
    bench.node(partial(rclpy.create_node, "teleop"))
    interfaces.publish(bench.probe, interfaces.camera_image("top"))
    late = bench.probe.create_timer(  # it is not known at once, as in a cell where discovery takes its time
        1.0, lambda: (late.cancel(), interfaces.publish(bench.probe, interfaces.camera_image("side")))
    )
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(find_graph, int(os.environ["ROS_DOMAIN_ID"]))
        bench.until(found.done)
    assert found.result() == GraphFound(("streamer", "teleop"), ("side", "top"), "panda", "")
