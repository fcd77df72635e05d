from dataclasses import replace

import pytest
import torch

from genima_core.controller.backbone import FilmResNet, cell_centres, heat_targets
from genima_core.controller.config import PAPER, ControllerConfig, preset
from genima_core.controller.model import Act
from genima_core.controller.train import losses

from . import synthetic

GRID = {"image_tokens": "grid", "base": "none", "norm": "frozen", "stem": "resnet", "hold_at_end": False}


@pytest.fixture
def batch(rig):
    return synthetic.windows(rig.resize(32, 32), 3, seed=0, chunk=5, episodes=2)


def inputs(batch, text_dim=64):
    text = torch.randn(len(batch["q"]), text_dim, generator=torch.Generator().manual_seed(0))
    return batch["rgb"].float() / 255, batch["q"], batch["gripper"], text


def actions(batch):
    return batch["actions"], batch["action_gripper"], batch["is_pad"]


@pytest.mark.parametrize("options", [{}, {"base": "now"}, GRID], ids=["goal", "now", "grid"])
def test_shapes(rig, batch, options):
    config = synthetic.tiny(**options).model
    model = Act(config, rig.resize(32, 32))
    prediction = model(*inputs(batch), *actions(batch))
    assert prediction.joints.shape == prediction.normalised.shape == (3, 5, 7)
    assert prediction.gripper.shape == (3, 5, 2)
    assert prediction.mean.shape == prediction.log_variance.shape == (3, config.latent)
    if config.image_tokens == "keypoints":
        assert prediction.keypoints.heat.shape == (3, 4, 4, 8 * 8 + 1)
        assert prediction.keypoints.pixels.shape == (3, 4, 4, 2)


def test_latent_is_zero_in_use_and_sampled_in_training(rig, batch):
    model = Act(synthetic.tiny().model, rig.resize(32, 32)).eval()
    torch.nn.init.normal_(model.posterior_head.weight)
    x = inputs(batch)
    torch.testing.assert_close(model(*x).joints, model(*x).joints, rtol=0, atol=0)
    assert not torch.equal(model(*x, *actions(batch)).joints, model(*x, *actions(batch)).joints)
    assert model(*x).mean is None


def test_padded_actions_change_neither_loss_nor_posterior(rig, batch):
    config = synthetic.tiny(**GRID).model
    model = Act(config, rig.resize(32, 32)).eval()
    torch.nn.init.normal_(model.posterior_head.weight)
    batch["is_pad"][:, 3:] = True
    changed = {**batch, "actions": batch["actions"].clone(), "action_gripper": batch["action_gripper"].clone()}
    changed["actions"][:, 3:] += 1.0
    changed["action_gripper"][:, 3:] = 1 - changed["action_gripper"][:, 3:]
    results = []
    for b in (batch, changed):
        torch.manual_seed(0)
        prediction = model(*inputs(b), *actions(b))
        terms = losses(prediction, model.normalise(b["actions"], prediction.base), b, None, model.frames, config)
        results.append(torch.stack([*terms.values()]))
    torch.testing.assert_close(results[0], results[1])


def test_drawing_and_instruction_are_read(rig, batch):
    model = Act(synthetic.tiny().model, rig.resize(32, 32)).eval()
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


def test_resnet_18_weights_of_transformers_fit(tmp_path):
    from transformers import ResNetConfig, ResNetModel

    theirs = ResNetModel(ResNetConfig(embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2],
                                      layer_type="basic")).eval()
    theirs.save_pretrained(tmp_path)
    ours = FilmResNet(PAPER.model).eval()
    ours.load_pretrained(tmp_path)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs((images - ours.mean) / ours.std).last_hidden_state
        torch.testing.assert_close(ours(images, torch.zeros(1, 512)), expected, rtol=1e-3, atol=1e-4)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="missing"):
        FilmResNet(PAPER.model).load_pretrained(tmp_path / "weights.pth")


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="huggingface-cli download"):
        FilmResNet(PAPER.model).load_pretrained("nobody/no-such-resnet")


@pytest.mark.slow
def test_paper_preset_runs(rig):
    config = replace(PAPER.model, size=(256, 256))
    model = Act(config, rig.resize(256, 256)).eval()
    with torch.inference_mode():
        prediction = model(torch.rand(1, 4, 3, 256, 256), torch.zeros(1, 7), torch.zeros(1), torch.zeros(1, 512))
    assert prediction.joints.shape == (1, 20, 7)
    assert sum(p.numel() for p in model.backbone.parameters()) > 11e6


def test_configuration_round_trip_and_errors(tmp_path):
    config = synthetic.tiny().model
    config.save(tmp_path / "config.json")
    assert ControllerConfig.load(tmp_path / "config.json") == config
    (tmp_path / "config.json").write_text('{"hiden": 3}')
    with pytest.raises(ValueError, match="hiden"):
        ControllerConfig.load(tmp_path / "config.json")
    with pytest.raises(FileNotFoundError, match="config.json"):
        ControllerConfig.load(tmp_path / "nothing" / "config.json")
    with pytest.raises(ValueError, match="demo, paper"):
        preset("huge")
    with pytest.raises(ValueError, match="keypoints"):
        replace(PAPER.model, base="goal")
