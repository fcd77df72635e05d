"""What is rendered agrees with the rig's projection, and GL contexts live side by side."""

from dataclasses import replace

import cv2
import mujoco
import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.cameras import CameraRig
from genima_core.geometry import invert, look_at, transform_points
from genima_core.targets.detect import label_centres
from genima_core.targets.look import OURS
from genima_core.targets.renderer import TargetRenderer
from genima_core.targets.triangulation import camera_poses, project


def true_centres(rig: CameraRig, q_now: np.ndarray, q_target: np.ndarray) -> np.ndarray:
    return project(rig, camera_poses(rig, q_now), PANDA.target_poses(q_target)[:, :3, 3])[0]


def outlines(rig: CameraRig, q_now: np.ndarray, q_target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (4, 4, 2) px and areas (4, 4) px² of the ellipses that the spheres project to; NaN behind the camera.

    A sphere off the optical axis is seen as an ellipse whose centre lies beyond the projection of its own.
    """
    T_base_hand, p_base = PANDA.frame_pose(q_now, "hand"), PANDA.target_poses(q_target)[:, :3, 3]
    centres, areas = [], []
    for camera in rig.cameras:
        k, r = camera.intrinsics, camera.target_radius_m
        p = transform_points(invert(camera.T_base_cam(T_base_hand)), p_base)
        x, y, z = np.where(p[:, 2:] > r, p, np.nan).T
        centres.append(np.stack([k.fx * x * z, k.fy * y * z], -1) / (z**2 - r**2)[:, None] + [k.cx, k.cy])
        areas.append(np.pi * k.fx * k.fy * r**2 * np.sqrt(x**2 + y**2 + z**2 - r**2) / (z**2 - r**2) ** 1.5)
    return np.array(centres), np.array(areas)


def alone_and_inside(rig: CameraRig, centres: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Which spheres (4, 4) neither overlap another one nor touch the border."""
    radius = 1.2 * np.sqrt(areas / np.pi) + 1  # ellipses are longer than circles of their area
    inside = (centres > radius[..., None]).all(-1) & (centres < np.array(rig.size) - 1 - radius[..., None]).all(-1)
    gaps = np.linalg.norm(centres[:, :, None] - centres[:, None], axis=-1) - radius[:, :, None] - radius[:, None]
    return inside & (np.nan_to_num(gaps + 1e3 * np.eye(4), nan=1e3).min(-1) > 0)


@pytest.mark.parametrize("supersample", [1, 2, 3, 4])
def test_rendered_centroids_are_the_projected_centres(rig, random_arm, supersample):
    renderer = TargetRenderer(rig, supersample)
    checked = np.zeros((4, 4), int)
    for _ in range(40):
        q_now, q_target = random_arm(0.25), random_arm(0.25)
        q_target[4:] = q_now[4:]
        centres, areas = outlines(rig, q_now, q_target)
        rendered = label_centres(renderer.render(q_now, q_target, 1.0).labels)
        sure = alone_and_inside(rig, centres, areas)
        checked += sure
        np.testing.assert_allclose(rendered[sure], centres[sure], atol=0.5)
        sure[0] = False  # so near to the hand camera, an ellipse's centre is not the sphere's
        assert np.abs(rendered - true_centres(rig, q_now, q_target))[sure].max(initial=0) < 1.0
    renderer.close()
    assert checked[1:].sum() > 100


def test_centroids_have_no_offset(rig):
    """A sphere on the optical axis lies exactly on the principal point, whatever the number of samples."""
    p_elbow = PANDA.frame_pose(PANDA.home, "joint4")[:3, 3]
    T_base_cam = look_at(p_elbow + [1.0, 0.4, 0.3], p_elbow)
    centred = CameraRig((*rig.cameras[:3], replace(rig.cameras[3], T_mount_cam=T_base_cam)))
    for supersample in (1, 2, 3, 8):
        renderer = TargetRenderer(centred, supersample)
        centre = label_centres(renderer.render(PANDA.home, PANDA.home, 1.0).labels)[3, 1]
        renderer.close()
        np.testing.assert_allclose(centre, [31.5, 31.5], atol=0.15)


def test_the_hand_camera_moves_with_the_arm(rig, renderer, random_arm):
    checked = 0
    for _ in range(60):
        q_now = random_arm(0.3)
        q_target = q_now + 0.02
        centres, areas = outlines(rig, q_now, q_target)
        if alone_and_inside(rig, centres, areas)[0, 3]:
            rendered = label_centres(renderer.render(q_now, q_target, 1.0).labels)[0, 3]
            np.testing.assert_allclose(rendered, centres[0, 3], atol=0.5)
            checked += 1
    assert checked > 20


def test_radius_depends_on_the_camera(rig, renderer, views):
    area = np.stack([[(views.labels[v] == t + 1).sum() for t in range(4)] for v in range(4)])
    centres, areas = outlines(rig, PANDA.home, PANDA.home)
    alone = alone_and_inside(rig, centres, areas)
    assert alone.sum() >= 4
    np.testing.assert_allclose(area[alone], areas[alone], rtol=0.1)


def test_stripes_turn_with_the_joint(renderer):
    """Joint 7 turns the gripper's frame about its own z axis: its sphere stays where it is, its stripes do not."""
    turned = PANDA.home + np.eye(7)[6] * 0.5
    before, after = (renderer.render(PANDA.home, q, 1.0) for q in (PANDA.home, turned))
    np.testing.assert_allclose(
        PANDA.frame_pose(PANDA.home, "tcp")[:3, 3], PANDA.frame_pose(turned, "tcp")[:3, 3], atol=1e-9
    )
    assert (before.labels != after.labels).sum() <= 3  # the outline is a polygon, which turns too
    gripper = (before.labels == 4) & (before.alpha == 255)
    others = (before.labels != 4) & (before.alpha == 255)
    difference = np.abs(before.rgb.astype(int) - after.rgb).max(-1)
    assert (difference[gripper] > 60).mean() > 0.2
    # Pixels on a common rim mix with the gripper's colour.
    assert (difference[others] > 0).mean() < 0.05


def test_stripes_run_from_pole_to_pole(rig):
    """Seen across the z axis, colours change along the equator and stay along a meridian."""
    T_base_tcp = PANDA.frame_pose(PANDA.home, "tcp")
    p, z = T_base_tcp[:3, 3], T_base_tcp[:3, 2]
    camera = replace(rig.cameras[3], T_mount_cam=look_at(p + T_base_tcp[:3, 0] * 0.4, p, up=-z))
    renderer = TargetRenderer(CameraRig((*rig.cameras[:3], camera)).resize(256, 256))
    picture = renderer.render(PANDA.home, PANDA.home, 1.0).rgb[3, :, :, 1].astype(int)
    renderer.close()
    centre = picture[108:149, 108:149]
    assert (np.abs(np.diff(centre, axis=1)) > 60).sum() > 20
    assert (np.abs(np.diff(centre, axis=0)) > 60).sum() < 0.5 * (np.abs(np.diff(centre, axis=1)) > 60).sum()


def test_tones_are_the_palette(views):
    for index, colour in enumerate(OURS.colours(1.0)):
        pixels = views.rgb[(views.labels == index + 1) & (views.alpha == 255)]
        tones = {tuple(int(c) for c in p) for p in pixels}
        assert colour.light in tones
        assert colour.dark in tones


def test_gripper_colour_tells_open_from_closed(renderer):
    for opening in (0.0, 1.0, 0.0):
        views = renderer.render(PANDA.home, PANDA.home, opening)
        tones = views.rgb[(views.labels == 4) & (views.alpha == 255)].reshape(-1, 3)
        assert (tones == OURS.gripper(opening).light).all(-1).sum() > 10


def test_the_nearer_sphere_hides_the_farther(rig):
    """A camera on the line through two spheres sees one label there, from either end."""
    p_wrist, p_tcp = (PANDA.frame_pose(PANDA.home, f)[:3, 3] for f in ("joint6", "tcp"))
    line = (p_tcp - p_wrist) / np.linalg.norm(p_tcp - p_wrist)
    for eye, front in ((p_wrist - 0.6 * line, 3), (p_tcp + 0.6 * line, 4)):
        middle = 0.5 * (p_wrist + p_tcp)
        camera = replace(rig.cameras[3], T_mount_cam=look_at(eye, middle, up=(0.3, 1.0, 0.2)))
        renderer = TargetRenderer(CameraRig((*rig.cameras[:3], camera)))
        labels = renderer.render(PANDA.home, PANDA.home, 1.0).labels[3]
        renderer.close()
        assert labels[31, 31] == front


def test_views_are_consistent(views):
    assert views.rgb.shape == (4, 64, 64, 3)
    assert views.alpha.shape == views.labels.shape == (4, 64, 64)
    assert {a.dtype for a in (views.rgb, views.alpha, views.labels)} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(views.rgb[views.alpha == 0], 255)
    assert (views.alpha[views.labels > 0] > 127).all()
    assert set(np.unique(views.labels)) <= {0, 1, 2, 3, 4}
    assert set(np.unique(views.alpha)) == {0, 64, 128, 191, 255}


def test_edges_keep_the_sphere_colour(views):
    """Colours of partly covered pixels are not mixed with the white or black of an empty picture."""
    hsv = cv2.cvtColor(views.rgb.reshape(-1, 64, 3), cv2.COLOR_RGB2HSV).reshape(4, 64, 64, 3)
    edge = (views.alpha > 0) & (views.alpha < 255)
    assert (hsv[edge][:, 1] > 240).mean() > 0.95
    assert (hsv[edge][:, 2] > 90).mean() > 0.95


def test_more_samples_show_the_same_spheres(rig):
    alphas = []
    for supersample in (2, 8):
        renderer = TargetRenderer(rig, supersample)
        alphas.append(renderer.render(PANDA.home, PANDA.home, 1.0).alpha.astype(int))
        renderer.close()
    assert abs(alphas[0].mean() - alphas[1].mean()) < 0.2


def test_rendering_is_repeatable(renderer, views):
    renderer.render(PANDA.home + 0.3, PANDA.home - 0.3, 0.0)
    again = renderer.render(PANDA.home, PANDA.home, 1.0)
    for name in ("rgb", "alpha", "labels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(views, name))


def test_nothing_is_drawn_behind_the_camera(rig):
    away = tuple(replace(c, mount="base", T_mount_cam=look_at((2.0, 0.0, 0.5), (3.0, 0.0, 0.5))) for c in rig.cameras)
    renderer = TargetRenderer(CameraRig(away))
    views = renderer.render(PANDA.home, PANDA.home, 1.0)
    renderer.close()
    assert not views.alpha.any()
    assert np.isnan(true_centres(CameraRig(away), PANDA.home, PANDA.home)).all()
    assert np.isnan(label_centres(views.labels)).all()


def test_views_need_not_be_square(rig):
    wide = CameraRig(tuple(replace(c, intrinsics=c.intrinsics.crop(0, 8, 64, 47)) for c in rig.cameras))
    renderer, whole = TargetRenderer(wide), TargetRenderer(rig)
    cropped, full = (r.render(PANDA.home, PANDA.home, 0.0) for r in (renderer, whole))
    renderer.close()
    whole.close()
    assert cropped.rgb.shape == (4, 47, 64, 3)
    assert (cropped.labels != full.labels[:, 8:55]).mean() < 0.002


def test_contexts_of_two_renderers_and_of_mujoco_live_side_by_side(rig, views):
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><light pos='0 0 3'/><geom type='sphere' size='.3' rgba='1 0 0 1'/>"
        "<camera name='c' pos='0 -2 0' xyaxes='1 0 0 0 0 1'/></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    cell_renderer = mujoco.Renderer(model, 32, 32)

    def photograph() -> np.ndarray:
        cell_renderer.update_scene(data, "c")
        return cell_renderer.render().copy()

    first, second = TargetRenderer(rig), TargetRenderer(rig)
    before = photograph()
    assert before.any()
    for renderer in (first, second, first):
        np.testing.assert_array_equal(renderer.render(PANDA.home, PANDA.home, 1.0).rgb, views.rgb)
        np.testing.assert_array_equal(photograph(), before)
    first.close()
    first.close()
    np.testing.assert_array_equal(photograph(), before)
    np.testing.assert_array_equal(second.render(PANDA.home, PANDA.home, 1.0).rgb, views.rgb)
    cell_renderer.close()
    np.testing.assert_array_equal(second.render(PANDA.home, PANDA.home, 1.0).rgb, views.rgb)
    second.close()


@pytest.mark.parametrize("supersample", [0, 9])
def test_supersample_out_of_range(rig, supersample):
    with pytest.raises(ValueError, match="valid are 1 to 8"):
        TargetRenderer(rig, supersample)


def test_a_closed_renderer_says_so(rig):
    renderer = TargetRenderer(rig)
    renderer.close()
    with pytest.raises(RuntimeError, match="closed"):
        renderer.render(PANDA.home, PANDA.home, 1.0)


def test_bad_joint_positions(renderer):
    with pytest.raises(ValueError, match="shape"):
        renderer.render(PANDA.home, PANDA.home[:6], 1.0)
    with pytest.raises(ValueError, match="not finite"):
        renderer.render(PANDA.home, np.full(7, np.nan), 1.0)
