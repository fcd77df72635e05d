import numpy as np
import pytest

from genima_core.targets.draw import OPACITY, TargetViews, over_backgrounds, over_observation


def flat_views(alpha: int, colour: tuple = (255, 0, 0)) -> TargetViews:
    return TargetViews(
        np.full((4, 8, 8, 3), colour, np.uint8), np.full((4, 8, 8), alpha, np.uint8), np.full((4, 8, 8), 1, np.uint8)
    )


def test_nothing_drawn_leaves_the_observation(scene, views):
    empty = TargetViews(views.rgb, np.zeros_like(views.alpha), np.zeros_like(views.labels))
    np.testing.assert_array_equal(over_observation(empty, scene), scene)


def test_covered_pixels_are_the_sphere_and_free_ones_the_observation(scene, views):
    drawn = over_observation(views, scene)
    np.testing.assert_array_equal(drawn[views.alpha == 255], views.rgb[views.alpha == 255])
    np.testing.assert_array_equal(drawn[views.alpha == 0], scene[views.alpha == 0])


def test_edges_lie_between(scene, views):
    edge = (views.alpha > 0) & (views.alpha < 255)
    drawn, low, high = over_observation(views, scene)[edge], *np.sort([scene[edge], views.rgb[edge]], axis=0)
    assert (drawn >= low).all()
    assert (drawn <= high).all()


def test_a_colour_over_itself_stays():
    for alpha in (1, 77, 254, 255):
        images = np.full((4, 8, 8, 3), (255, 0, 0), np.uint8)
        np.testing.assert_array_equal(over_observation(flat_views(alpha), images), images)


def test_inputs_are_left_alone(scene, views):
    before = scene.copy()
    over_observation(views, scene)
    np.testing.assert_array_equal(scene, before)


def test_opacity_is_one_number_per_view_in_the_original_range():
    rng = np.random.default_rng(0)
    black = np.zeros((4, 8, 8, 3), np.uint8)
    opacity = np.concatenate([over_backgrounds(flat_views(255), black, rng)[..., 0] for _ in range(50)]) / 255
    assert (np.ptp(opacity.reshape(200, -1), axis=1) == 0).all()
    assert opacity.min() >= OPACITY[0] - 0.003
    assert opacity.min() < OPACITY[0] + 0.05
    assert opacity.max() > OPACITY[1] - 0.05


def test_backgrounds_stay_outside_the_spheres(scene, views, rng):
    drawn = over_backgrounds(views, scene, rng)
    np.testing.assert_array_equal(drawn[views.alpha == 0], scene[views.alpha == 0])


def test_pictures_of_another_size(views):
    with pytest.raises(ValueError, match="rig of the pictures' size"):
        over_observation(views, np.zeros((4, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        over_observation(views, np.zeros((4, 64, 64, 3), np.float32))
