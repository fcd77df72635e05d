import numpy as np
import pytest
import torch

from genima_core.controller.act import Act, ActConfig
from genima_core.controller.policy import Engine
from genima_core.controller.resnet import FilmResNet, FrozenBatchNorm, fold_norms
from genima_core.sim.scene import default_rig

CONFIG = ActConfig(
    size=(64, 64),
    chunk_size=4,
    text_dim=8,
    widths=(8, 16),
    blocks=(1, 2),
    film_stages=(1,),
    hidden=16,
    heads=2,
    feedforward=16,
    encoder_layers=1,
    decoder_layers=1,
    latent=4,
)


@pytest.fixture
def network():
    """With norms as pretrained weights have them: none of their numbers is 0 or 1."""
    torch.manual_seed(0)
    network = Act(CONFIG, default_rig(64, 64)).eval()
    for part in network.modules():
        if isinstance(part, FrozenBatchNorm):
            for buffer in part.buffers():
                buffer.uniform_(0.5, 1.5)
    return network


@pytest.fixture
def inputs(rng):
    targets = torch.from_numpy(rng.integers(0, 256, (1, 4, 64, 64, 3), dtype=np.uint8))
    return targets, torch.randn(1, 7), torch.tensor([1.0]), torch.randn(1, 8)


def plain(network, targets, q, gripper, text):
    with torch.no_grad():
        prediction = network(targets.permute(0, 1, 4, 2, 3) / 255, q, gripper, text)
    return prediction.joints, prediction.gripper


def test_gives_what_the_plain_forward_pass_gives(network, inputs):
    for ours, expected in zip(Engine(network).act(*inputs), plain(network, *inputs), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_leaves_the_network_as_it_is(network, inputs):
    before = network.state_dict()
    Engine(network).act(*inputs)
    assert before.keys() == network.state_dict().keys()
    assert any(isinstance(part, FrozenBatchNorm) for part in network.modules())


def test_no_norm_is_left(network):
    folded = fold_norms(network)
    assert not any(isinstance(part, FrozenBatchNorm) for part in folded.modules())


def test_an_engine_that_is_not_tuned_follows_the_weights(network, inputs):
    engine = Engine(network, tuned=False)
    before = engine.act(*inputs)[0]
    with torch.no_grad():
        network.backbone.conv1.weight.neg_()
    assert (engine.act(*inputs)[0] != before).any()


def test_folding_keeps_features(rng):
    torch.manual_seed(1)
    resnet = FilmResNet((8, 16), (1, 1), (), 4).eval()
    for buffer in resnet.buffers():
        buffer.uniform_(0.5, 1.5)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = resnet(images, None)
        torch.testing.assert_close(fold_norms(resnet)(images, None), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
def test_a_captured_graph_gives_the_same(network, inputs):
    engine = Engine(network.to("cuda"))
    for _ in range(2):
        for ours, expected in zip(engine.act(*inputs), plain(network, *(x.cuda() for x in inputs)), strict=True):
            torch.testing.assert_close(ours, expected.cpu(), rtol=1e-2, atol=1e-3)  # TF32
