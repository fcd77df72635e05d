from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from genima_core.arm import PANDA, Arm
from genima_core.cameras import CameraRig
from genima_core.geometry import invert, transform_points
from genima_core.targets.draw import over_observation
from genima_core.targets.gate import Gate, GateConfig
from genima_core.targets.look import TARGET_NAMES
from genima_core.targets.renderer import TargetRenderer
from genima_core.targets.triangulation import camera_poses, outline_labels, project, reach, triangulate

DRAWINGS = 20
Q_NOW = PANDA.home


@pytest.fixture(scope="module")
def gate(rig):
    return Gate(rig, duration_s=1.0)


@pytest.fixture
def q_target(rng):
    return Q_NOW + 0.1 * rng.uniform(-1, 1, 7)


@pytest.fixture
def drawing(renderer, scene, q_target):
    return over_observation(renderer.render(Q_NOW, q_target, 1.0), scene)


def painted_over(rig, drawing, scene, q_target, target, views=slice(None)):
    """The drawing without one sphere in some views."""
    labels = outline_labels(rig, camera_poses(rig, Q_NOW), PANDA.target_poses(q_target)[:, :3, 3])
    rim = np.stack(
        [
            np.max(
                [np.roll(view == target + 1, (dv, du), (0, 1)) for dv in range(-2, 3) for du in range(-2, 3)], axis=0
            )
            for view in labels
        ]
    )
    result = drawing.copy()
    result[views] = np.where(rim[..., None], scene, drawing)[views]
    return result


def test_triangulation_undoes_projection(rig, rng):
    T_base_cam = camera_poses(rig, Q_NOW)
    points = rng.uniform((0.2, -0.2, 0.2), (0.5, 0.2, 0.7), (4, 3))
    pixels, radii = project(rig, T_base_cam, points)
    np.testing.assert_allclose(triangulate(rig, T_base_cam, pixels), points, atol=1e-6)
    p_cam = transform_points(invert(T_base_cam[1]), points)
    np.testing.assert_allclose(radii[1], 0.08 * rig.cameras[1].intrinsics.fx / p_cam[:, 2])


def test_one_view_does_not_locate(rig):
    centres = np.full((4, 4, 2), np.nan)
    centres[2] = 30.0
    assert np.isnan(triangulate(rig, camera_poses(rig, Q_NOW), centres)).all()


def test_outlines_are_what_the_renderer_shows(rig, renderer, rng):
    for _ in range(5):
        q_target = Q_NOW + 0.1 * rng.standard_normal(7)
        labels = renderer.render(Q_NOW, q_target, 1.0).labels
        ours = outline_labels(rig, camera_poses(rig, Q_NOW), PANDA.target_poses(q_target)[:, :3, 3])
        assert (ours == labels).mean() > 0.98


def test_reach_finds_the_arm_that_the_points_belong_to(rng):
    margin = 0.2
    for _ in range(DRAWINGS):
        q = np.clip(Q_NOW + 0.3 * rng.standard_normal(7), PANDA.limits.lower + margin, PANDA.limits.upper - margin)
        points = PANDA.target_poses(q)[:, :3, 3]
        found = reach(PANDA, points, Q_NOW)
        assert found.distance_m.max() < 0.005
        np.testing.assert_allclose(PANDA.target_poses(found.q)[:, :3, 3], found.points)
        assert (found.q >= PANDA.limits.lower).all()
        assert (found.q <= PANDA.limits.upper).all()
        assert found.q[6] == pytest.approx(Q_NOW[6], abs=1e-6)  # four points leave it open


def test_reach_goes_without_a_point(rng):
    q = Q_NOW + 0.1 * rng.standard_normal(7)
    points = PANDA.target_poses(q)[:, :3, 3]
    points[1] = np.nan
    found = reach(PANDA, points, Q_NOW)
    assert np.isnan(found.distance_m[1])
    assert np.nanmax(found.distance_m) < 0.005


def test_true_drawings_pass(gate, renderer, scene, rng):
    for i in range(DRAWINGS):
        q_now = Q_NOW + 0.15 * rng.standard_normal(7)
        q_target = q_now + 0.1 * rng.standard_normal(7)
        verdict = gate.check(over_observation(renderer.render(q_now, q_target, i % 2), scene), q_now, scene)
        assert verdict.passed, verdict.reasons
        assert np.abs(verdict.points - PANDA.target_poses(q_target)[:, :3, 3]).max() < 0.02
        assert verdict.measures.joint_speed < gate.config.joint_speed


def test_the_joints_at_capture_count(gate, drawing):
    assert gate.check(drawing, Q_NOW).passed
    turned = Q_NOW + np.array([1.6, 0, 0, 0, 0, 0, 0])
    verdict = gate.check(drawing, turned)
    assert any("too far for 1.0 s: joint 1" in reason for reason in verdict.reasons)


def test_noise_is_told(gate, drawing, scene, rng):
    noisy = drawing.copy()
    noisy[3] = np.clip(noisy[3] + 40 * rng.standard_normal(noisy[3].shape), 0, 255)
    verdict = gate.check(noisy, Q_NOW, scene)
    assert "the left_shoulder view is noisy: " in verdict.reasons[0]
    assert verdict.measures.noise_levels == pytest.approx(40, rel=0.3)


@pytest.mark.parametrize("target", range(4))
def test_a_missing_sphere_is_named(gate, rig, drawing, scene, q_target, target):
    nowhere = gate.check(painted_over(rig, drawing, scene, q_target, target), Q_NOW, scene)
    # Where the base is, is known.
    words = "cannot be located: it is drawn in " if target else "is missing in the "
    assert any(reason.startswith(f"the {TARGET_NAMES[target]} sphere {words}") for reason in nowhere.reasons)
    assert np.isnan(nowhere.points[target]).all() == (target > 0)
    missing = gate.check(painted_over(rig, drawing, scene, q_target, target, views=2), Q_NOW, scene)
    assert any(
        reason.startswith(f"the {TARGET_NAMES[target]} sphere is missing in the right_shoulder view")
        for reason in missing.reasons
    )


def test_a_sphere_that_one_view_shows_elsewhere(gate, rig, renderer, scene, drawing, q_target):
    moved = drawing.copy()
    moved[2] = painted_over(rig, drawing, scene, q_target, 1)[2]
    moved[2, 50:60, 4:14] = (0, 230, 0)
    reasons = gate.check(moved, Q_NOW, scene).reasons
    assert any("the views contradict each other: the elbow sphere of the right_shoulder view" in r for r in reasons)


def test_a_thing_of_the_bases_colour_that_changes_does_not_matter(gate, drawing, scene):
    drawing[1, 50:60, 4:14] = (255, 0, 0)
    assert gate.check(drawing, Q_NOW, scene).passed


def test_spheres_that_fit_no_arm(gate, renderer, scene, monkeypatch, q_target):
    poses = PANDA.target_poses(q_target)
    poses[1, :3, 3] += (0.0, 0.25, 0.0)
    monkeypatch.setattr(Arm, "target_poses", lambda self, q: poses)
    verdict = gate.check(over_observation(renderer.render(Q_NOW, q_target, 1.0), scene), Q_NOW, scene)
    assert any("no arm looks like this" in reason for reason in verdict.reasons)
    assert not any("contradict" in reason for reason in verdict.reasons)  # all views agree


def test_what_is_too_far_for_the_time(gate, renderer, scene):
    q_target = Q_NOW + np.array([0.6, 0, 0, 0, 0, 0, 0])
    drawing = over_observation(renderer.render(Q_NOW, q_target, 1.0), scene)
    slow, fast = replace(gate, duration_s=2.0), replace(gate, duration_s=0.3)
    assert slow.check(drawing, Q_NOW, scene).passed
    reasons = fast.check(drawing, Q_NOW, scene).reasons
    assert any("too far for 0.3 s: joint 1" in reason for reason in reasons)
    assert any("the gripper would move at" in reason for reason in reasons)


def test_the_workspace_is_a_box(gate, drawing, scene):
    low = replace(gate, config=GateConfig(workspace_upper_m=(0.9, 0.8, 0.5)))
    reasons = low.check(drawing, Q_NOW, scene).reasons
    assert any("outside of the workspace from (-0.30, -0.80, -0.05) to (0.90, 0.80, 0.50)" in r for r in reasons)


def test_another_scene_is_told_by_the_observation_alone(gate, drawing, scene):
    other = scene.copy()
    other[1:, 5:25, 5:25] = 20
    assert gate.check(drawing, Q_NOW).passed
    assert "another scene" in gate.check(drawing, Q_NOW, other).reasons[0]


def test_nothing_drawn_and_only_noise(gate, scene, rng):
    reasons = gate.check(scene, Q_NOW, scene).reasons
    for name in TARGET_NAMES:
        assert any(f"the {name} sphere" in reason for reason in reasons)
    verdict = gate.check(rng.integers(0, 256, scene.shape, dtype=np.uint8), Q_NOW, scene)
    assert not verdict.passed


@pytest.mark.parametrize(
    ("names", "off_m"),
    [(("front", "left_shoulder"), 0.05), (("right_shoulder", "front"), 0.05), (("front", "wrist"), 0.12)],
)
def test_two_cameras_are_enough(rig, scene, rng, names, off_m):
    two = CameraRig(tuple(rig[name] for name in names))
    gate, scene = Gate(two, duration_s=1.0), scene[:2]
    with closing(TargetRenderer(two)) as renderer:
        for i in range(DRAWINGS):
            q_now = Q_NOW + 0.1 * rng.standard_normal(7)
            q_target = q_now + 0.07 * rng.standard_normal(7)
            drawing = over_observation(renderer.render(q_now, q_target, i % 2), scene)
            verdict = gate.check(drawing, q_now, scene)
            assert verdict.passed, verdict.reasons
            # A sphere that the other hides is not located.
            assert np.nanmax(np.abs(verdict.points - PANDA.target_poses(q_target)[:, :3, 3])) < off_m
        drawing = over_observation(renderer.render(Q_NOW, Q_NOW, 1.0), scene)
    for target in (2, 3):  # the front camera sees hardly anything of the others here
        missing = painted_over(two, drawing, scene, Q_NOW, target)
        assert any(
            f"the {TARGET_NAMES[target]} sphere" in reason for reason in gate.check(missing, Q_NOW, scene).reasons
        )


def test_with_one_camera_at_the_base_that_is_the_one_that_is_needed(rig, scene):
    two = CameraRig((rig["wrist"], rig["front"]))
    reasons = Gate(two, duration_s=1.0).check(scene[:2], Q_NOW, scene[:2]).reasons
    assert "the elbow sphere cannot be located: it is drawn in 0 of 2 views (none), front is needed" in reasons


@pytest.mark.parametrize("names", [("front",), ("wrist",), ("wrist", "other")])
def test_too_few_cameras_for_a_gate_are_named(rig, names):
    given = {**{camera.name: camera for camera in rig.cameras}, "other": replace(rig["wrist"], name="other")}
    with pytest.raises(ValueError, match=r"needs two cameras .*at least one of them on the base; .*gate:=false"):
        Gate(CameraRig(tuple(given[name] for name in names)), duration_s=1.0)


@pytest.mark.parametrize(
    ("drawing_shape", "q", "words"),
    [
        ((4, 32, 32, 3), Q_NOW, "the drawing is"),
        ((2, 64, 64, 3), Q_NOW, "the drawing is"),
        ((4, 64, 64, 3), np.full(7, np.nan), "finite"),
        ((4, 64, 64, 3), np.zeros(6), "7 finite numbers"),
    ],
)
def test_wrong_input_is_explained(gate, drawing_shape, q, words):
    with pytest.raises(ValueError, match=words):
        gate.check(np.zeros(drawing_shape, np.uint8), q)
