from dataclasses import replace

import pytest
import torch

from genima_core.controller.act import Act, ActConfig
from genima_core.importers.robobase import rename

from . import published, synthetic

# What GenimaACT (RoboBase) gives for the weights and inputs of `published`: the first sample's first action, the last
# sample's last, and the second openings.
ORIGINAL = {
    "tiny": (
        published.TINY,
        [2.191299, 1.824887, -1.095927, 1.292543, 1.890681, 0.608971, 3.510688],
        [1.724927, 1.561985, -0.93366, 0.975818, 1.828541, 0.865066, 3.242274],
        [0.132052, 0.146203],
    ),
    "speechless": (
        published.SPEECHLESS,
        [1.082669, 1.12093, -0.99105, 1.783746, 2.630457, 0.439129, 4.647636],
        [1.227637, 0.56577, -0.84964, 1.305716, 2.725947, 0.566647, 4.776127],
        [0.115689, 0.116102],
    ),
    "paper": (
        published.PAPER,
        [0.429938, -4.998455, 0.495493, -5.382614, 0.324057, -0.822819, -1.272637],
        [0.442146, -4.996069, 0.506692, -5.396408, 0.355767, -0.846135, -1.249353],
        [0.397068],
    ),
}
ORIGINAL_LOSSES = {"tiny": (1.169042, 0.048057, 656.446777), "speechless": (1.280291, 0.056174, 656.446777)}


def network(rig, config: ActConfig) -> Act:
    model = Act(config, rig.resize(*config.size), published.statistics())
    agent = published.state_dict(config)
    model.load_state_dict({ours: agent[name] for name, ours in rename(agent)[0].items()})
    return model.eval()


@pytest.fixture(scope="module")
def tiny(rig):
    return network(rig, published.TINY)


@pytest.fixture
def batch(rig):
    return synthetic.windows(rig.resize(32, 32), 3, seed=0, chunk=5, episodes=2)


@pytest.mark.parametrize("name", ORIGINAL)
def test_numbers_are_the_originals(rig, name):
    config, first, last, opened = ORIGINAL[name]
    b = published.batch(config, len(opened))
    with torch.inference_mode():
        prediction = network(rig, config)(b.images, b.q, b.gripper, b.text)
    assert prediction.joints.shape == (len(opened), config.chunk_size, 7)
    torch.testing.assert_close(prediction.joints[0, 0], torch.tensor(first), atol=1e-4, rtol=0)
    torch.testing.assert_close(prediction.joints[-1, -1], torch.tensor(last), atol=1e-4, rtol=0)
    torch.testing.assert_close(prediction.gripper[:, 1], torch.tensor(opened), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ORIGINAL_LOSSES)
def test_losses_are_the_originals(rig, name):
    config = ORIGINAL[name][0]
    terms = network(rig, config).losses(published.batch(config))
    joints, gripper, kl = ORIGINAL_LOSSES[name]
    assert [terms["joints"].item(), terms["gripper"].item()] == pytest.approx([joints, gripper], abs=1e-4)
    assert terms["kl"].item() == pytest.approx(10 * kl, rel=1e-5)


def test_order_of_the_views_makes_no_difference(tiny):
    b = published.batch(published.TINY)
    with torch.inference_mode():
        torch.testing.assert_close(
            tiny(b.images, b.q, b.gripper, b.text).joints,
            tiny(b.images.flip(1), b.q, b.gripper, b.text).joints,
            atol=1e-5,
            rtol=0,
        )


def test_everything_is_read(tiny):
    b = published.batch(published.TINY)
    inputs = [b.images, b.q, b.gripper, b.text]
    with torch.inference_mode():
        joints = tiny(*inputs).joints
        for i in range(4):
            others = [1 - x if i == j else x for j, x in enumerate(inputs)]
            assert not torch.allclose(joints, tiny(*others).joints, atol=1e-3), f"input {i} changes nothing"


def test_without_language_instructions_change_nothing(rig):
    model = network(rig, published.SPEECHLESS)
    b = published.batch(published.SPEECHLESS)
    with torch.inference_mode():
        torch.testing.assert_close(
            model(b.images, b.q, b.gripper, b.text).joints,
            model(b.images, b.q, b.gripper, b.text + 1).joints,
            atol=0,
            rtol=0,
        )


def test_padded_actions_change_no_loss(rig):
    model = network(rig, published.TINY)
    b = published.batch(published.TINY)
    far = b.actions + b.is_pad[..., None]
    other = torch.where(b.is_pad, 1 - b.action_gripper, b.action_gripper)
    for name, value in model.losses(replace(b, actions=far, action_gripper=other)).items():
        torch.testing.assert_close(value, model.losses(b)[name], atol=1e-5, rtol=1e-5, msg=name)


def test_latent_is_sampled_in_training_and_zero_in_use(rig, batch):
    model = Act(synthetic.tiny_paper().model, rig.resize(32, 32)).eval()
    torch.nn.init.normal_(model.posterior.latent_proj.weight)
    b = synthetic.training_batch(batch, 64)
    assert not torch.equal(model.losses(b)["joints"], model.losses(b)["joints"])
    inputs = b.images, b.q, b.gripper, b.text
    torch.testing.assert_close(model(*inputs).joints, model(*inputs).joints, atol=0, rtol=0)


def test_every_parameter_but_one_head_learns(rig, batch):
    model = Act(synthetic.tiny_paper().model, rig.resize(32, 32))
    sum(model.losses(synthetic.training_batch(batch, 64)).values()).backward()
    assert {n for n, p in model.named_parameters() if p.grad is None} == {"is_pad_head.weight", "is_pad_head.bias"}
    assert {n for n, _ in model.backbone.named_parameters() if ".bn" in n} == set(), "batch norm is frozen"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (64, 128)}, "one length"),
        ({"film_stages": (4,)}, "film_stages"),
        ({"heads": 3}, "multiple of heads 3"),
    ],
)
def test_impossible_sizes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(ActConfig(), **change)
