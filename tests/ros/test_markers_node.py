import json

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import String
from visualization_msgs.msg import Marker

from genima_core.arm import FR3, PANDA
from genima_core.geometry import invert, transform_points
from genima_core.pixels import tile
from genima_core.streaming.states import Reason, Status
from genima_core.targets.draw import over_observation
from genima_core.targets.gate import GateState
from genima_core.targets.locate import locate
from genima_core.targets.look import OURS, TARGET_NAMES
from genima_core.targets.triangulation import camera_poses
from genima_core.types import ActionChunk
from genima_ros.messages import conversions, interfaces
from genima_ros.messages.status import status_to_message
from genima_ros.nodes.markers import MarkerBuilder, to_colour
from genima_ros.nodes.markers_node import (
    FRESH,
    GATE_COLUMNS,
    OLD,
    MarkersNode,
    camera_markers,
    drawn_markers,
    frustum,
    gate_words,
    planned_markers,
)

pytestmark = pytest.mark.ros

Q_TARGET = PANDA.home + np.array([0.2, 0.1, -0.1, 0.15, 0.1, -0.1, 0.2])
BUILDER = MarkerBuilder("panda_link0", conversions.to_time(100.0), conversions.to_duration(0.3))


def chunk_to(q: np.ndarray, stamp_s: float, opening: float = 1.0) -> ActionChunk:
    way = PANDA.home + np.linspace(1 / 20, 1, 20)[:, None] * (q - PANDA.home)
    return ActionChunk(way, np.full(20, opening), 0.05, stamp_s, stamp_s)


def position(marker: Marker) -> np.ndarray:
    p = marker.pose.position
    return np.array([p.x, p.y, p.z])


def by_ns(markers) -> dict[str, list[Marker]]:
    result: dict[str, list[Marker]] = {}
    for marker in markers:
        result.setdefault(marker.ns, []).append(marker)
    return result


@pytest.fixture(scope="module")
def true_drawing(rig):
    """What an agent that knows draws, over grey pictures."""
    renderer_of = pytest.importorskip("genima_core.targets.renderer").TargetRenderer
    renderer = renderer_of(rig)
    drawing = over_observation(renderer.render(PANDA.home, Q_TARGET, 1.0), np.full((4, 64, 64, 3), 150, np.uint8))
    renderer.close()
    return drawing


@pytest.mark.parametrize(("opening", "colour"), [(1.0, OURS.gripper_open), (0.0, OURS.gripper_closed)])
def test_planned_targets_are_where_the_chunk_ends(opening, colour):
    chunk = chunk_to(Q_TARGET, 100.0, opening)
    markers = by_ns(planned_markers(BUILDER, PANDA, chunk, 0.03, 4.0, 0.5))
    for name, T_base_target in zip(TARGET_NAMES, PANDA.target_poses(Q_TARGET), strict=True):
        np.testing.assert_allclose(position(markers[name][0]), T_base_target[:3, 3], atol=1e-9)
    gripper = markers["gripper"][0].color
    assert [gripper.r, gripper.g, gripper.b] == pytest.approx(np.array(colour.light) / 255)
    way = markers["way"][0].points
    assert [way[-1].x, way[-1].y, way[-1].z] == pytest.approx(PANDA.target_poses(Q_TARGET)[3, :3, 3])
    assert len(way) == 20
    for i, arrow in enumerate(markers["axis"]):
        start, end = (np.array([p.x, p.y, p.z]) for p in arrow.points)
        along = (end - start) / np.linalg.norm(end - start)
        np.testing.assert_allclose(along, PANDA.target_poses(Q_TARGET)[i, :3, 2], atol=1e-6)


def test_drawn_targets_are_where_the_drawing_says(rig, true_drawing):
    """Seen from each camera, planned and drawn targets cover each other when the drawing is true."""
    drawn = locate(true_drawing, rig, PANDA.home, 100.0)
    away_m = np.linalg.norm(drawn.points - PANDA.target_poses(Q_TARGET)[:, :3, 3], axis=1)
    assert away_m.max() < 0.04 and np.median(away_m) < 0.02
    spheres = by_ns(drawn_markers(BUILDER, drawn, 0.065, 4.0, 0.0))["drawn"]
    assert all(sphere.color.a < 0.5 for sphere in spheres)  # what is planned shows through
    shown = np.array([position(sphere) for sphere in spheres])
    assert shown.shape == (4, 3)
    for camera, T_base_cam in zip(rig.cameras[1:], camera_poses(rig, PANDA.home)[1:], strict=True):
        planned_px, drawn_px = (
            camera.intrinsics.project(transform_points(invert(T_base_cam), points))
            for points in (PANDA.target_poses(Q_TARGET)[:, :3, 3], shown)
        )
        assert np.linalg.norm(planned_px - drawn_px, axis=1).max() < 2.0


@pytest.mark.parametrize(("opening", "colour"), [(1.0, OURS.gripper_open), (0.0, OURS.gripper_closed)])
def test_the_drawn_gripper_has_the_colour_of_the_drawing(rig, opening, colour):
    renderer = pytest.importorskip("genima_core.targets.renderer").TargetRenderer(rig)
    drawing = over_observation(renderer.render(PANDA.home, Q_TARGET, opening), np.full((4, 64, 64, 3), 150, np.uint8))
    renderer.close()
    drawn = locate(drawing, rig, PANDA.home, 100.0)
    gripper = by_ns(drawn_markers(BUILDER, drawn, 0.065, 4.0, 0.0))["drawn"][3].color
    assert [gripper.r, gripper.g, gripper.b] == pytest.approx(np.array(colour.light) / 255)


def closed(text: str) -> Status:
    return Status(GateState.CLOSED, Reason.DRAWING, text)


def test_the_gates_reason_fits_into_the_picture():
    lines = gate_words(closed("; ".join(["the wrist view is noisy: 31 of 255 levels"] * 9))).splitlines()
    assert lines[0].startswith("gate closed: the wrist") and lines[-1].endswith("...")
    assert max(map(len, lines)) <= GATE_COLUMNS


def test_what_cannot_be_located_is_not_shown(rig):
    nothing = locate(np.full((4, 64, 64, 3), 150, np.uint8), rig, PANDA.home, 100.0)
    assert list(drawn_markers(BUILDER, nothing, 0.065, 4.0, 0.0)) == []


@pytest.mark.parametrize(("age_s", "colour"), [(0.3, FRESH), (3.0, OLD)])
def test_the_age_is_written_beside_them(age_s, colour):
    [text] = by_ns(planned_markers(BUILDER, PANDA, chunk_to(Q_TARGET, 100.0), 0.03, 4.0, age_s))["age"]
    assert text.text == f"planned {age_s:.1f} s"
    assert (text.color.r, text.color.g, text.color.b) == pytest.approx(colour)


def test_the_ages_stand_above_the_hand_and_not_in_each_other(rig, true_drawing):
    """A hand is 0.1 m long, and hangs from a flange 0.1 m above it."""
    planned = by_ns(planned_markers(BUILDER, PANDA, chunk_to(Q_TARGET, 100.0), 0.03, 4.0, 0.3))["age"]
    drawn = by_ns(drawn_markers(BUILDER, locate(true_drawing, rig, PANDA.home, 100.0), 0.065, 4.0, 0.3))["age"]
    gripper = PANDA.target_poses(Q_TARGET)[3, :3, 3]
    assert position(planned[0])[2] - gripper[2] == pytest.approx(0.34)
    assert position(drawn[0])[2] - gripper[2] == pytest.approx(0.42, abs=0.03)


def test_blanks_are_as_wide_as_letters_need():
    """RViz takes the width of a blank from scale.x, and of none where that is 0."""
    text = BUILDER.text("gate", 0, np.zeros(3), "two words", 0.05, to_colour(FRESH))
    assert (text.scale.x, text.scale.z) == pytest.approx((0.03, 0.05))


def test_cameras_are_where_the_rig_has_them_and_one_moves_with_the_arm(rig):
    for q in (PANDA.home, Q_TARGET):
        markers = by_ns(camera_markers(BUILDER, rig, q))
        for camera, axes, name in zip(rig.cameras, markers["axes"], markers["name"], strict=True):
            T_base_cam = camera.T_base_cam(PANDA.frame_pose(q, "hand"))
            points = np.array([[p.x, p.y, p.z] for p in axes.points])
            np.testing.assert_allclose(points[::2], np.tile(T_base_cam[:3, 3], (3, 1)), atol=1e-9)
            along = points[1::2] - points[::2]
            np.testing.assert_allclose(along / np.linalg.norm(along, axis=1)[:, None], T_base_cam[:3, :3].T, atol=1e-6)
            assert name.text == camera.name
        for camera, wires in zip(rig.cameras, markers["frustum"], strict=True):
            T_cam_base = invert(camera.T_base_cam(PANDA.frame_pose(q, "hand")))
            ends = transform_points(T_cam_base, np.array([[p.x, p.y, p.z] for p in wires.points]))
            corners = camera.intrinsics.project(ends[1:8:2])
            np.testing.assert_allclose(corners, [[-0.5, -0.5], [63.5, -0.5], [63.5, 63.5], [-0.5, 63.5]], atol=1e-6)


def test_a_frustum_holds_the_picture(rig):
    camera = rig.cameras[0].intrinsics
    corners = camera.project(frustum(camera, 0.2)[1:])
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [63.5, -0.5], [63.5, 63.5], [-0.5, 63.5]], atol=1e-9)


def test_a_running_graph_is_shown(bench, rig, true_drawing):
    targets, cameras = bench.listen(interfaces.TARGET_MARKERS), bench.listen(interfaces.CAMERA_MARKERS)
    bench.node(MarkersNode)
    interfaces.publish(bench.probe, interfaces.CAMERA_RIG).publish(String(data=json.dumps(rig.to_dict())))
    joints, chunks = bench.talk(interfaces.JOINT_STATES), bench.talk(interfaces.ACTION_CHUNK)
    drawings, gate = bench.talk(interfaces.TARGETS), interfaces.publish(bench.probe, interfaces.GATE)
    joints.publish(conversions.to_joint_state(PANDA.joint_names, PANDA.home, bench.now_s()))
    bench.until(lambda: cameras)
    assert cameras[-1].markers[0].header.frame_id == "panda_link0"
    now_s = bench.now_s()
    drawings.publish(conversions.rgb_to_image(tile(true_drawing), now_s))
    chunks.publish(conversions.chunk_to_trajectory(chunk_to(Q_TARGET, now_s), PANDA))
    bench.until(lambda: targets and {"drawn", "gripper"} <= set(by_ns(targets[-1].markers)))
    gate.publish(status_to_message("gate", closed("the front view is noisy")))
    bench.until(lambda: "gate" in by_ns(targets[-1].markers))
    assert by_ns(targets[-1].markers)["gate"][0].text == "gate closed: the front view is noisy"
    bench.until(lambda: by_ns(targets[-1].markers).keys() == {"gate"})  # old targets disappear
    gate.publish(status_to_message("gate", Status(GateState.OPEN)))


def test_a_broken_chunk_is_explained(bench):
    diagnostics = bench.listen(interfaces.DIAGNOSTICS)
    bench.node(MarkersNode)
    chunk = ActionChunk(np.tile(PANDA.home, (20, 1)), np.zeros(20), 0.05, 1.0, 1.0)
    bench.talk(interfaces.ACTION_CHUNK).publish(conversions.chunk_to_trajectory(chunk, FR3))
    bench.until(bench.problem("markers", diagnostics, "fr3_joint1"))
