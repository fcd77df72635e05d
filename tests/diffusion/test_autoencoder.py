import json
import shutil

import pytest
import torch

from genima_core.diffusion.autoencoder import PatchAutoencoder, load_autoencoder, to_latents, to_pictures
from genima_core.diffusion.train_autoencoder import fit_autoencoder
from genima_core.training.config import Training


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (64, 128)])
def test_codes_views_and_tiles_at_an_eighth(height, width):
    model = PatchAutoencoder(latent_channels=6, width=16)
    x = torch.rand(2, 3, height, width)
    z = to_latents(model, x)
    assert z.shape == (2, 6, height // 8, width // 8)
    assert to_pictures(model, z).shape == x.shape
    assert model(x * 2 - 1).sample.shape == x.shape


def test_refuses_sizes_that_are_no_multiple_of_a_patch():
    with pytest.raises(ValueError, match="60x64; width and height must be multiples of 8"):
        PatchAutoencoder(width=16).encode(torch.rand(1, 3, 64, 60))


def test_is_what_pipelines_ask_of_an_autoencoder():
    model = PatchAutoencoder(latent_channels=6, width=16)
    assert 2 ** (len(model.config.block_out_channels) - 1) == 8
    x = torch.rand(1, 3, 32, 32)
    distribution = model.encode(x, return_dict=False)[0]
    assert torch.equal(distribution.mode(), distribution.sample(torch.Generator()))
    assert torch.equal(
        model.decode(distribution.mode(), return_dict=False, generator=None)[0],
        model.decode(distribution.mode()).sample,
    )


def test_far_away_pixels_do_not_matter():
    """A view is coded alike whatever else is in the tile, except near the seam."""
    model = PatchAutoencoder(width=16, encoder_blocks=1)
    one, other = torch.rand(2, 1, 3, 64, 128)
    other[..., :64] = one[..., :64]
    assert torch.allclose(to_latents(model, one)[..., :5], to_latents(model, other)[..., :5], atol=1e-5)


def test_training_writes_a_coder_with_latents_of_deviation_one(autoencoder, cache):
    model = load_autoencoder(autoencoder)
    observed = torch.from_numpy(cache.images[:8].reshape(-1, 32, 32, 3).copy()).permute(0, 3, 1, 2) / 255
    assert 0.7 < to_latents(model, observed).std() < 1.4  # it was measured with targets and textures
    assert (autoencoder / "validation.png").exists()
    scores = json.loads((autoencoder / "scores.json").read_text())["scores"]
    assert set(scores) == {"psnr_db", "psnr_spheres_db", "centre_shift_px_median", "centre_shift_px_p90"}


def test_a_finished_run_that_is_started_again_leaves_the_same_coder(autoencoder, cache, tiny, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(autoencoder, out)
    fit_autoencoder(Training(out, out, steps=4, device="cpu", checked=1), cache, tiny.autoencoder, show_progress=False)
    before, after = (json.loads((folder / "vae/config.json").read_text()) for folder in (autoencoder, out))
    assert after["scaling_factor"] == pytest.approx(before["scaling_factor"])


def test_a_folder_without_autoencoder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="genima train autoencoder"):
        load_autoencoder(tmp_path)


@pytest.mark.parametrize("content", ['{"_class_name": "AutoencoderDC"}', "{"])
def test_an_unknown_or_damaged_one_is_an_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=str(tmp_path)):
        load_autoencoder(tmp_path)
