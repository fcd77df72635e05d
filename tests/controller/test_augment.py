import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from genima_core.controller.augment import Augmentation
from genima_core.controller.config import DEMO, PAPER, AugmentConfig
from genima_core.controller.kinematics import DrawnFrames

from . import synthetic


class Unseen:
    """In place of a rig: no sphere is seen."""

    def visible(self, q, q_target):
        return torch.zeros(len(q), 2, 4, 2), torch.zeros(len(q), 2, 4, dtype=torch.bool)


PLAIN = AugmentConfig(jitter=(0, 0, 0, 0), jitter_share=0, crop_px=0, elastic_share=0, noise=(0, 0), opacity=(1, 1))


@pytest.fixture
def windows(rig):
    batch = synthetic.windows(rig, 4, seed=0, chunk=5, episodes=2)
    backgrounds = torch.randint(0, 60, batch["rgb"].shape, generator=torch.Generator().manual_seed(0)).byte()
    return batch["rgb"], batch["alpha"], batch["q"], batch["actions"][:, -1], backgrounds


def centres(images: torch.Tensor, channel: int) -> torch.Tensor:
    """Centroids (..., 2) of what is bright in one channel and dark in the others."""
    others = [c for c in range(3) if c != channel]
    mass = (images[..., channel, :, :] - images[..., others, :, :].amax(-3) - 0.25).clamp(min=0)
    v, u = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in mass.shape[-2:]), indexing="ij")
    total = mass.sum((-1, -2))
    return torch.stack([(mass * u).sum((-1, -2)), (mass * v).sum((-1, -2))], -1) / total[..., None]


def test_without_augmentation_spheres_lie_on_the_background(rig, windows):
    rgb, alpha, *_, backgrounds = windows
    images = Augmentation(PLAIN, DrawnFrames(rig))(*windows).images * 255
    opaque, clear = (alpha == 255).expand_as(rgb), (alpha == 0).expand_as(rgb)
    torch.testing.assert_close(images[opaque], rgb[opaque].float(), atol=0.01, rtol=0)
    torch.testing.assert_close(images[clear], backgrounds[clear].float(), atol=0.01, rtol=0)


@pytest.mark.parametrize("config", [DEMO.augment, PAPER.augment], ids=["demo", "paper"])
def test_pictures_are_valid_and_follow_from_the_seed(rig, windows, config):
    augmentation = Augmentation(config, DrawnFrames(rig))
    torch.manual_seed(0)
    first = augmentation(*windows)
    torch.manual_seed(0)
    second = augmentation(*windows)
    assert first.images.shape == (4, 4, 3, 64, 64)
    assert 0 <= first.images.min() and first.images.max() <= 1
    torch.testing.assert_close(first.images, second.images, rtol=0, atol=0)
    assert not torch.equal(first.images, augmentation(*windows).images)


@pytest.mark.parametrize("shift_px", [0.0, 2.0])
def test_keypoints_are_where_the_spheres_have_moved_to(rig, windows, shift_px):
    torch.manual_seed(0)
    config = replace(PLAIN, drawing_share=1.0, shift_px=shift_px)
    pictures = Augmentation(config, DrawnFrames(rig))(*windows)
    found = centres(pictures.images[:, 1:], 0)  # red: the base, in the views fixed to the base
    expected = pictures.pixels[:, 1:, 0]
    inside = pictures.shown[:, 1:, 0] & ((expected > 8) & (expected < 56)).all(-1)
    assert inside.sum() >= 3
    assert (found - expected)[inside].norm(dim=-1).median() < 0.6


def test_dropped_spheres_are_gone_and_say_so(rig, windows):
    *_, backgrounds = windows
    pictures = Augmentation(replace(PLAIN, drawing_share=1.0, drop=1.0), DrawnFrames(rig))(*windows)
    assert not pictures.shown.any()
    torch.testing.assert_close(pictures.images, backgrounds.float() / 255)


def test_blank_pictures_show_the_background_alone(rig, windows):
    *_, backgrounds = windows
    pictures = Augmentation(replace(PLAIN, blank=1.0), DrawnFrames(rig))(*windows)
    assert not pictures.shown.any()
    torch.testing.assert_close(pictures.images, backgrounds.float() / 255)


def test_recoding_reaches_a_share_of_the_drawings(rig, windows):
    asked = []

    def recode(images, noise):
        asked.append((images.shape[1:], noise.max()))
        return torch.zeros_like(images)

    config = replace(PLAIN, drawing_share=1.0, recode=1.0, latent_noise=0.5)
    pictures = Augmentation(config, DrawnFrames(rig), recode)(*windows)
    assert pictures.images.abs().max() == 0
    assert asked[0][0] == (4, 3, 64, 64) and asked[0][1] <= 0.5


def test_half_of_the_samples_are_shifted_all_views_alike_with_black_borders():
    """As the published crop does: by up to 4 pixels, each shift as likely as any other."""
    samples, reach = 3000, PAPER.augment.crop_px
    grid = torch.arange(1, 257.0).reshape(16, 16) / 256  # every pixel another, none black
    images = grid.expand(samples, 2, 3, 16, 16)
    config = replace(PLAIN, crop_px=reach, crop_share=PAPER.augment.crop_share)
    nothing = torch.zeros(samples, 2, 1, 16, 16)
    q = torch.zeros(samples, 7)
    augmentation = Augmentation(config, Unseen())
    torch.manual_seed(0)
    changed = augmentation(torch.zeros_like(images), nothing, q, q, images * 255).images
    padded = F.pad(images, (reach,) * 4)
    counts = torch.zeros(2 * reach + 1, 2 * reach + 1)
    for y, x in itertools.product(range(2 * reach + 1), repeat=2):
        same = (changed - padded[..., y : y + 16, x : x + 16]).abs().flatten(1).amax(1) < 1e-3
        counts[y, x] = same.sum()
    assert counts.sum() == samples
    still, moved = counts[reach, reach], counts.flatten()[torch.arange(81) != 40]
    assert abs(still / samples - 0.5 - 0.5 / 81) < 0.03
    assert moved.min() > 0 and abs(moved.mean() - samples / 162) < 1.5 and moved.std() < 2 * (samples / 162) ** 0.5


def test_noise_is_as_strong_as_published(rig, windows):
    *_, backgrounds = windows
    config = replace(PLAIN, blank=1.0, noise=PAPER.augment.noise)
    torch.manual_seed(0)
    grey = torch.full_like(backgrounds, 128)
    noise = 255 * Augmentation(config, DrawnFrames(rig))(*windows[:-1], grey).images - 128
    deviations = noise.flatten(2).std(2)
    assert ((deviations - 5).abs() < 0.2).all()
