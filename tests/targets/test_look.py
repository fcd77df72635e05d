import itertools
import json
from contextlib import closing
from dataclasses import asdict, replace

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.cameras import CameraRig
from genima_core.config import from_overrides
from genima_core.geometry import invert, look_at, transform_points
from genima_core.targets.detect import score_drawing
from genima_core.targets.draw import over_observation
from genima_core.targets.look import LOOKS, OURS, RELEASED, TARGET_NAMES, Look, Stripes, TargetColour
from genima_core.targets.renderer import TargetRenderer
from genima_core.targets.triangulation import camera_poses

BLUE_DEG = 240.0


def hue_distance(a: float, b: float) -> float:
    return abs((a - b + 180) % 360 - 180)


def colours(look: Look) -> tuple[TargetColour, ...]:
    return look.base, look.elbow, look.wrist, look.gripper_open, look.gripper_closed


def test_one_name_per_drawn_frame():
    assert len(TARGET_NAMES) == len(PANDA.drawn_frames) == len(OURS.colours(1.0))


def test_hues_are_apart_from_each_other_and_ours_from_blue():
    for look, others, least in ((OURS, [BLUE_DEG], 48), (RELEASED, [], 48)):
        hues = [c.hue_deg for c in colours(look)]
        assert min(hue_distance(a, b) for a, b in itertools.combinations([*hues, *others], 2)) >= least


def test_our_tones_share_their_hue_and_differ_in_brightness():
    for colour in colours(OURS):
        assert hue_distance(TargetColour(colour.dark, (0, 0, 0)).hue_deg, colour.hue_deg) < 1
        assert max(colour.light) - max(colour.dark) >= 100


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_gripper_colour_changes_at_the_original_threshold(look):
    assert look.gripper(0.0) is look.gripper(0.1) is look.gripper_closed
    assert look.gripper(0.11) is look.gripper(1.0) is look.gripper_open


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_look_is_written_and_read(look):
    assert from_overrides(Look, json.loads(json.dumps(asdict(look))), "it") == look


def test_stripes_look_different_after_every_turn():
    pattern = OURS.stripes.is_dark((np.arange(24) + 0.5) / 24)
    assert all((pattern != np.roll(pattern, k)).any() for k in range(1, 24))


def test_what_cannot_be_drawn_or_found_is_refused():
    with pytest.raises(ValueError, match="a grey; targets are found by their hue"):
        TargetColour((9, 9, 9), (0, 0, 0))
    with pytest.raises(ValueError, match="three numbers from 0 to 255"):
        TargetColour((9, 300, 9), (0, 0, 0))
    for dark in (((0.2, 0.1),), ((0.1, 0.3), (0.3, 0.4)), ((0.5, 1.5),)):
        with pytest.raises(ValueError, match="must increase, between 0 and 1"):
            Stripes("x", dark)
    for near_m in (0.0, -1.0, float("nan"), 2.0):
        with pytest.raises(ValueError, match="above 0, up to 1 m"):
            replace(OURS, near_m=near_m)


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_every_pixel_of_a_sphere_has_the_stripe_of_its_place(rig, random_arm, look):
    """Cast each pixel's ray onto the sphere, and look up the stripe there in the frame's own axes."""
    large = rig.resize(256, 256)
    q_now, q_target = random_arm(0.2), random_arm(0.2)
    with closing(TargetRenderer(large, supersample=1, look=look)) as renderer:
        views = renderer.render(q_now, q_target, 1.0)
    checked = 0
    for view, (camera, T_base_cam) in enumerate(zip(large.cameras, camera_poses(large, q_now), strict=True)):
        if camera.mount == "hand":
            continue
        for target, T_base_target in enumerate(PANDA.target_poses(q_target)):
            v, u = np.nonzero(views.labels[view] == target + 1)
            rays = camera.intrinsics.rays(np.stack([u, v], -1).astype(float))
            p_cam = transform_points(invert(T_base_cam), T_base_target[:3, 3])
            squared, along = (rays * rays).sum(-1), rays @ p_cam
            root = along**2 - squared * (p_cam @ p_cam - camera.target_radius_m**2)
            hit = root > 0
            depth = (along[hit] - np.sqrt(root[hit])) / squared[hit]
            T_target_cam = invert(T_base_target) @ T_base_cam
            x, y, z = normals = transform_points(T_target_cam, rays[hit] * depth[:, None]).T / camera.target_radius_m
            sight = (rays[hit] @ T_target_cam[:3, :3].T).T
            facing = -(normals * sight).sum(0) / np.linalg.norm(sight, axis=0)
            place = (x + 1) / 2 if look.stripes.around == "x" else np.arctan2(y, x) / (2 * np.pi) % 1
            wanted = look.stripes.is_dark(place)
            # Pixels at a stripe's border, at the rim, or near the poles where all meet, may fall to either side.
            step = 0.06
            sure = wanted == look.stripes.is_dark((place + step / 2) % 1)
            sure &= wanted == look.stripes.is_dark((place - step / 2) % 1)
            sure &= (facing > 0.5) & ((np.abs(z) < 0.8) if look.stripes.around == "z" else (np.abs(x) < 0.9))
            shown = views.rgb[view][v[hit], u[hit]].astype(int)
            colour = look.colours(1.0)[target]
            is_dark = np.abs(shown - colour.dark).max(-1) < np.abs(shown - colour.light).max(-1)
            assert (is_dark == wanted)[sure].mean() > 0.97
            checked += sure.sum()
    assert checked > 2000


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_spheres_of_each_look_are_found(rig, random_arm, look):
    grey = np.full((4, rig.size[1], rig.size[0], 3), 128, np.uint8)
    found, visible = 0, 0
    with closing(TargetRenderer(rig, look=look)) as renderer:
        for opening in (0.0, 1.0) * 5:
            views = renderer.render(random_arm(0.2), random_arm(0.2), opening)
            score = score_drawing(over_observation(views, grey), views, grey, opening > 0.5, look)
            found, visible = found + score.found.sum(), visible + score.visible.sum()
    assert found / visible > 0.95


def test_the_released_look_is_another_one(rig):
    with closing(TargetRenderer(rig)) as ours, closing(TargetRenderer(rig, look=RELEASED)) as released:
        a, b = (renderer.render(PANDA.home, PANDA.home, 1.0) for renderer in (ours, released))
    assert (a.labels != b.labels).mean() < 0.01  # the meshes' outlines differ a little
    assert (a.rgb != b.rgb).any()
    assert replace(OURS, base=RELEASED.base) not in LOOKS.values()


def test_the_released_rims_are_opaque_and_mixed_with_white(rig, random_arm):
    """As where a picture is composited after multisampling over white: of a black sphere, grey tells the coverage."""
    black = replace(RELEASED, stripes=Stripes("x", ((0.0, 1.0),)))
    q_now, q_target = random_arm(0.2), random_arm(0.2)
    with (
        closing(TargetRenderer(rig, look=black)) as white,
        closing(TargetRenderer(rig, 8, replace(black, rims="clear"))) as clear,
    ):
        mixed, covered = (renderer.render(q_now, q_target, 1.0) for renderer in (white, clear))
    coverage = covered.alpha / 255
    rim = (coverage > 0) & (coverage < 1)
    assert rim.sum() > 100
    assert set(np.unique(mixed.alpha)) == {0, 255}
    assert (mixed.alpha[coverage > 0.4] == 255).all()
    assert (mixed.rgb == mixed.rgb[..., :1]).all()
    error = 1 - mixed.rgb[..., 0] / 255 - coverage
    assert np.abs(error).max() < 0.4
    assert np.abs(error[rim]).mean() < 0.1
    drawn = over_observation(mixed, np.full_like(mixed.rgb, 90))[mixed.alpha > 0]
    np.testing.assert_array_equal(drawn, mixed.rgb[mixed.alpha > 0])  # the scene does not shine through


def test_the_released_look_draws_what_touches_a_camera(rig):
    p = PANDA.frame_pose(PANDA.home, "joint4")[:3, 3]
    camera = rig.cameras[3]
    eye = p + np.array([camera.target_radius_m + 0.001, 0.0, 0.0])
    near = CameraRig((*rig.cameras[:3], replace(camera, T_mount_cam=look_at(eye, p))))
    for look, seen in ((RELEASED, True), (OURS, False)):
        with closing(TargetRenderer(near, look=look)) as renderer:
            assert (renderer.render(PANDA.home, PANDA.home, 1.0).labels[3, 31, 31] == 2) == seen
