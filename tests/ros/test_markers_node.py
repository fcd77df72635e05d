import numpy as np
import pytest

pytest.importorskip("rclpy")

from genima_core.panda import HOME, JOINT_NAMES, target_poses
from genima_core.targets import palette
from genima_core.types import ActionChunk
from genima_ros import conversions, interfaces
from genima_ros.markers_node import MarkersNode

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(("opening", "colour"), [(1.0, palette.GRIPPER_OPEN), (0.0, palette.GRIPPER_CLOSED)])
def test_spheres_show_where_the_chunk_ends(bench, opening, colour):
    messages = bench.listen(interfaces.TARGET_MARKERS)
    bench.node(MarkersNode)
    positions = HOME + 0.02 * np.arange(20)[:, None]
    chunk = ActionChunk(positions, np.full(20, opening), 0.05, 1.0, 1.0)
    bench.talk(interfaces.ACTION_CHUNK).publish(conversions.chunk_to_trajectory(chunk, JOINT_NAMES))
    bench.until(lambda: messages)
    markers = messages[0].markers
    assert [marker.ns for marker in markers] == list(palette.TARGET_NAMES)
    for marker, T_base_target in zip(markers, target_poses(positions[-1]), strict=True):
        p = marker.pose.position
        assert [p.x, p.y, p.z] == pytest.approx(T_base_target[:3, 3])
        assert marker.header.frame_id == "panda_link0"
    gripper = markers[3].color
    assert [gripper.r, gripper.g, gripper.b] == pytest.approx(np.array(colour.light) / 255)
    bench.until(lambda: messages[-1].markers[0].color.a < 0.9)  # an old plan fades


def test_a_broken_chunk_is_explained(bench):
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    bench.node(MarkersNode)
    chunk = ActionChunk(np.tile(HOME, (20, 1)), np.zeros(20), 0.05, 1.0, 1.0)
    bench.talk(interfaces.ACTION_CHUNK).publish(
        conversions.chunk_to_trajectory(chunk, [f"fr3_joint{i}" for i in range(1, 8)]))
    bench.until(bench.problem("markers", diagnostics, "fr3_joint1"))
