import pytest
import torch

from genima_core.controller.resnet import FilmResNet

SIZES = (64, 128, 256, 512), (2, 2, 2, 2)


@pytest.fixture
def backbone():
    return FilmResNet(*SIZES, (1, 2, 3), 16).eval()


def test_resnet_18_weights_of_transformers_fit(backbone, tmp_path):
    from transformers import ResNetConfig, ResNetModel

    theirs = ResNetModel(
        ResNetConfig(embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic")
    ).eval()
    theirs.save_pretrained(tmp_path)
    backbone.load_pretrained(tmp_path)
    for film in backbone.film_models.values():  # scales by one and shifts by zero
        torch.nn.init.zeros_(film.weight)
        torch.nn.init.zeros_(film.bias)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs(backbone.normalise(images)).last_hidden_state
        torch.testing.assert_close(backbone(images, torch.randn(1, 16)), expected, rtol=1e-3, atol=1e-4)


def test_weights_that_do_not_fit_are_refused(backbone, tmp_path):
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="missing"):
        backbone.load_pretrained(tmp_path / "weights.pth")


@pytest.mark.parametrize("name", ["weights.pth", "model.safetensors"])
def test_damaged_weights_are_refused(backbone, tmp_path, name):
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match="no weights that can be read"):
        backbone.load_pretrained(tmp_path / name)


def test_weights_that_are_not_there_are_named(backbone):
    with pytest.raises(FileNotFoundError, match="hf download"):
        backbone.load_pretrained("nobody/no-such-resnet")
