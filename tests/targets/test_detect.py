import cv2
import numpy as np
import pytest

from genima_core.targets.backgrounds import ProceduralBackgrounds
from genima_core.targets.detect import find_centres, label_centres, score_drawing, visible_targets
from genima_core.targets.draw import TargetViews, over_observation

DRAWINGS = 40


@pytest.fixture(scope="module")
def truths(renderer):
    """Rendered targets of many poses, with the gripper open or closed."""
    rng = np.random.default_rng(7)
    arms = [
        np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785]) + 0.15 * rng.standard_normal(7) for _ in range(DRAWINGS)
    ]
    return [renderer.render(q, q + 0.1 * rng.standard_normal(7), i % 2) for i, q in enumerate(arms)]


def summary(scores) -> tuple[float, float]:
    found = np.concatenate([s.found[s.visible] for s in scores])
    errors = np.concatenate([s.error_px[s.found] for s in scores])
    return found.mean(), float(np.median(errors))


@pytest.mark.parametrize("given", ["observation", "drawing only"])
def test_finds_ground_truth(truths, scene, given):
    found, error = summary(
        [score_drawing(over_observation(t, scene), t, scene if given == "observation" else None) for t in truths]
    )
    assert found >= 0.99
    assert error < 0.5


def test_finds_ground_truth_in_colourful_scenes(truths, rng):
    pairs = [(t, ProceduralBackgrounds().sample(rng, 4, 64, 64)) for t in truths]
    found, error = summary([score_drawing(over_observation(t, scene), t, scene) for t, scene in pairs])
    assert found >= 0.99
    assert error < 0.5


def test_finds_blurred_and_noisy_drawings(truths, scene, rng):
    scores = []
    for truth in truths:
        drawn = np.stack([cv2.GaussianBlur(d, (0, 0), 0.8) for d in over_observation(truth, scene)])
        drawn = np.clip(drawn + 8 * rng.standard_normal(drawn.shape), 0, 255).astype(np.uint8)
        scores.append(score_drawing(drawn, truth, scene))
    found, error = summary(scores)
    assert found >= 0.97
    assert error < 0.5


def test_finds_nothing_where_nothing_is_drawn(truths, scene):
    assert np.isnan(find_centres(scene)).all()
    score = score_drawing(scene, truths[0], scene)
    assert score.visible.any()
    assert not score.found.any()
    assert np.isnan(score.error_px).all()


def test_a_drawing_of_other_targets_scores_worse(truths, scene):
    """What is measured is the drawing, not the scene."""
    shifted = [np.roll(over_observation(t, scene), 20, axis=(1, 2)) for t in truths]
    scores = [score_drawing(d, t) for d, t in zip(shifted, truths, strict=True)]
    assert np.concatenate([s.found[s.visible] for s in scores]).mean() < 0.1


def test_errors_are_distances_in_pixels(truths, scene):
    truth = truths[0]
    moved = TargetViews(*(np.roll(a, 3, axis=2) for a in (truth.rgb, truth.alpha, truth.labels)))
    score = score_drawing(over_observation(moved, scene), truth, scene)
    error = score.error_px[1:][score.found[1:]]
    assert len(error) >= 6
    assert np.median(error) == pytest.approx(3.0, abs=0.3)


def test_gripper_state_can_be_given(truths, scene):
    closed = over_observation(truths[0], scene)
    assert np.isfinite(find_centres(closed, gripper_open=False, observation=scene)[1:, 3]).any()
    assert np.isnan(find_centres(closed, gripper_open=True, observation=scene)[:, 3]).all()


def test_label_centres_and_visibility():
    labels = np.zeros((4, 10, 20), np.uint8)
    labels[0, 2:5, 6:13] = 1
    labels[2, 9, 19] = 4
    blank = TargetViews(np.zeros((4, 10, 20, 3), np.uint8), np.zeros_like(labels), labels)
    centres = label_centres(labels)
    np.testing.assert_allclose(centres[0, 0], [9, 3])
    np.testing.assert_allclose(centres[2, 3], [19, 9])
    assert np.isnan(centres).sum() == 2 * 14
    assert visible_targets(blank, 21).sum() == 1
    assert visible_targets(blank, 22).sum() == 0
    assert visible_targets(blank, 1).sum() == 2


def test_observation_of_another_size(scene):
    with pytest.raises(ValueError, match="size of the drawing"):
        find_centres(scene, observation=scene[:, :32])
