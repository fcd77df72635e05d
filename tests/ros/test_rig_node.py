import json

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time

from genima_core.cameras import CameraRig
from genima_core.geometry import from_quat_xyzw
from genima_ros.messages import interfaces
from genima_ros.nodes.rig_node import TF_STATIC, RigNode, to_transform

pytestmark = pytest.mark.ros


@pytest.fixture
def path(rig, tmp_path):
    rig.save(tmp_path / "rig.json")
    return str(tmp_path / "rig.json")


def test_who_comes_later_still_hears_where_the_cameras_are(bench, rig, path):
    bench.node(RigNode, parameters={"rig": path})
    heard = bench.listen(interfaces.CAMERA_RIG)
    bench.until(lambda: heard)
    assert CameraRig.from_dict(json.loads(heard[0].data)).fingerprint() == rig.fingerprint()


def test_where_tf_is_installed_the_cameras_are_frames(bench, rig, path, interface_packages):
    from tf2_msgs.msg import TFMessage

    bench.node(
        RigNode,
        parameters={"rig": path, "arm": "fr3", "leave_out": ["left_shoulder"]},
    )
    heard: list = []
    bench.probe.create_subscription(TFMessage, TF_STATIC, heard.append, interfaces.LATCHED)
    bench.until(lambda: heard)
    frames = {t.child_frame_id: t.header.frame_id for t in heard[0].transforms}
    assert len(frames) == 3 and "left_shoulder_color_optical_frame" not in frames
    assert frames["wrist_color_optical_frame"] == "fr3_hand"
    assert frames["front_color_optical_frame"] == "fr3_link0"


def test_a_transform_is_the_cameras_pose(rig):
    for camera in rig.cameras:
        message = to_transform(camera.T_mount_cam, "panda_hand", camera.name, Time())
        q, p = message.transform.rotation, message.transform.translation
        T = from_quat_xyzw(np.array([q.x, q.y, q.z, q.w]), np.array([p.x, p.y, p.z]))
        np.testing.assert_allclose(T, camera.T_mount_cam, atol=1e-9)
        assert (message.header.frame_id, message.child_frame_id) == ("panda_hand", camera.name)


def test_it_says_that_it_is_ready(bench, path):
    """The graph waits for every node's diagnostics."""
    bench.node(RigNode, parameters={"rig": path})
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    bench.until(lambda: any(status.name == "rig" for message in diagnostics for status in message.status))


def test_without_a_rig_it_says_what_it_needs(bench):
    with pytest.raises(ValueError, match=r"needs the parameter rig"):
        bench.node(RigNode)
