from dataclasses import replace

import pytest
import torch

from genima_core.controller.keypoint_act import KeypointAct, KeypointActConfig
from genima_core.controller.keypoints import cell_centres, heat_targets

from . import synthetic


@pytest.fixture
def batch(rig):
    windows = synthetic.windows(rig.resize(32, 32), 3, seed=0, chunk=5, episodes=2)
    return synthetic.training_batch(windows, 64, rig.resize(32, 32))


@pytest.fixture
def model(rig):
    torch.manual_seed(0)
    return KeypointAct(synthetic.tiny().model, rig.resize(32, 32)).eval()


def inputs(batch):
    return batch.images, batch.q, batch.gripper, batch.text


def test_shapes(model, batch):
    prediction = model(*inputs(batch))
    assert prediction.joints.shape == (3, 5, 7) and prediction.goal.shape == (3, 7)
    assert prediction.gripper.shape == (3, 5) and ((prediction.gripper >= 0) & (prediction.gripper <= 1)).all()
    assert prediction.pixels.shape == (3, 4, 4, 2)
    assert model.read(*inputs(batch)).keypoints.heat.shape == (3, 4, 4, 8 * 8 + 1)


def test_latent_is_zero_in_use_and_sampled_in_training(model, batch):
    torch.nn.init.normal_(model.posterior_head.weight)
    torch.testing.assert_close(model(*inputs(batch)).joints, model(*inputs(batch)).joints, rtol=0, atol=0)
    assert not torch.equal(model.losses(batch)["joints"], model.losses(batch)["joints"])


def test_the_end_of_a_demonstration_is_learned_as_standing_still(model, batch):
    model.losses(batch)
    torch.manual_seed(0)
    terms = model.losses(batch)
    torch.manual_seed(0)
    padded = model.losses(replace(batch, is_pad=torch.ones_like(batch.is_pad)))
    assert set(terms) == {"joints", "gripper", "kl", "position", "keypoints", "turn"}
    for name, value in terms.items():
        torch.testing.assert_close(value, padded[name], msg=name)


def test_drawing_and_instruction_are_read(model, batch):
    for film in model.backbone.film:
        torch.nn.init.normal_(film.weight)
    images, q, gripper, text = inputs(batch)
    joints = model(images, q, gripper, text).joints
    assert not torch.allclose(joints, model(images.roll(1, 0), q, gripper, text).joints)
    assert not torch.allclose(joints, model(images, q, gripper, text + 1).joints)


def test_expected_position_of_the_target_heat_is_the_pixel():
    pixels = torch.tensor([[3.3, 20.9], [31.0, 0.0], [14.5, 14.5], [5.0, 5.0]])
    shown = torch.tensor([True, True, True, False])
    heat = heat_targets(pixels, shown, (32, 32), 8, 8)
    torch.testing.assert_close(heat.sum(-1), torch.ones(4))
    position = (heat[:, :-1] @ cell_centres(8, 8, pixels.device) + 1) / 2 * 32 - 0.5
    inside = pixels.clamp(1.5, 29.5)  # centres of the outermost cells
    torch.testing.assert_close(position[:3], inside[:3])
    assert heat[3, -1] == 1


@pytest.mark.parametrize(("change", "message"), [({"strides": (1,)}, "one length"), ({"heads": 3}, "heads 3")])
def test_impossible_sizes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(KeypointActConfig(), **change)


def test_has_no_pretrained_backbone(model):
    with pytest.raises(ValueError, match="leave --backbone out"):
        model.load_backbone("microsoft/resnet-18")
