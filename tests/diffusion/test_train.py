import itertools
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from genima_core.diffusion import train
from genima_core.diffusion.autoencoder import load_autoencoder, tiled
from genima_core.diffusion.building import build
from genima_core.diffusion.config import SD_TURBO
from genima_core.diffusion.examples import CodingPictures, DrawingExamples
from genima_core.diffusion.train import fit_diffusion, train_diffusion
from genima_core.diffusion.train_autoencoder import train_autoencoder
from genima_core.training.config import DiffusionTraining, Training
from genima_core.training.run import STATE, Run, learning_rate, shuffled


def weights(folder):
    return torch.load(folder / STATE, weights_only=True)["parts"]


def training(out, steps=4, **options):
    return DiffusionTraining(out, out, steps=steps, checked=1, device="cpu", **options)


def test_writes_everything_that_the_help_promises(trained):
    for name in ("agent/unet", "training.pt", "loss.png", "validation.png", "tensorboard"):
        assert (trained / name).exists(), name
    summary = json.loads((trained / "scores.json").read_text())
    assert summary["steps"] == 4
    assert set(summary["scores"]) == {"found", "error_px_median", "error_px_p90"}


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(trained, cache, tiny, autoencoder, tmp_path, monkeypatch):
    """Stopped after two of four steps."""

    class Stopped(Exception):
        pass

    def stop(self):
        save(self)
        if self.step == 2:
            raise Stopped

    save, options = Run._save, training(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_save", stop)
        with pytest.raises(Stopped):
            fit_diffusion(replace(options, every=2), cache, tiny, build(tiny, autoencoder), show_progress=False)
    fit_diffusion(options, cache, tiny, build(tiny, autoencoder), show_progress=False)
    for part in ("learner", "average"):
        for (name, a), b in zip(weights(trained)[part].items(), weights(tmp_path)[part].values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)


def test_parts_that_another_run_left_are_not_kept(trained, cache, tiny, autoencoder, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "agent/vae/config.json").write_text('{"of": "another autoencoder"}')
    fit_diffusion(training(tmp_path / "run"), cache, tiny, build(tiny, autoencoder), show_progress=False)
    expected, written = (load_autoencoder(path).config for path in (autoencoder, tmp_path / "run" / "agent"))
    assert written == {**expected, "_name_or_path": written["_name_or_path"]}


def test_refuses_to_resume_with_other_options_or_from_a_damaged_state(trained, cache, tiny, autoencoder, tmp_path):
    networks = build(tiny, autoencoder, seed=1)
    with pytest.raises(ValueError, match=r"seed \(0 and 1\)"):
        fit_diffusion(training(trained, seed=1), cache, tiny, networks, show_progress=False)
    other = replace(tiny, sphere_weight=1.0)
    with pytest.raises(ValueError, match=r"config.sphere_weight \(4.0 and 1.0\)"):
        fit_diffusion(training(trained), cache, other, build(other, autoencoder), show_progress=False)
    shutil.copytree(autoencoder / "vae", tmp_path / "vae")
    coder = json.loads((tmp_path / "vae/config.json").read_text())
    (tmp_path / "vae/config.json").write_text(json.dumps({**coder, "scaling_factor": 3.0}))
    with pytest.raises(ValueError, match=r"autoencoder \([0-9.]+ and 3.0\)"):
        fit_diffusion(training(trained), cache, tiny, build(tiny, tmp_path), show_progress=False)
    (tmp_path / STATE).write_bytes(b"half a file")
    with pytest.raises(ValueError, match="cannot resume"):
        fit_diffusion(training(tmp_path), cache, tiny, networks, show_progress=False)


def test_training_lowers_the_loss(cache, tiny, autoencoder, tmp_path):
    trainable = build(tiny, autoencoder)
    examples = DrawingExamples(cache, trainable.networks, show_progress=False)
    batch = examples.batch(list(range(16)), torch.Generator())
    config = replace(tiny, learning_rate=3e-3, warmup_steps=1)

    def loss():
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            return train.drawing_loss(train.Learner(trainable), trainable, batch, config, generator).item()

    before = loss()
    fit_diffusion(training(tmp_path, steps=25), cache, config, trainable, show_progress=False)
    assert loss() < 0.9 * before


@pytest.mark.parametrize("budget", [{"steps": 5, "minutes": 1.0}, {"steps": 0}, {"minutes": -1.0}])
def test_a_run_has_one_budget(tmp_path, budget):
    with pytest.raises(ValueError, match="give one"):
        Run(Training(tmp_path, tmp_path, **budget), {}, {}, 5)


@pytest.mark.parametrize("options", [{"every": 0}, {"checked": 0}])
def test_a_run_is_validated(tmp_path, options):
    with pytest.raises(ValueError, match="both must be at least 1"):
        Run(Training(tmp_path, tmp_path, **options), {}, {}, 5)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    with Run(Training(tmp_path, tmp_path), {}, {}, 5) as run, pytest.raises(RuntimeError, match="step 1"):
        run.advance({"loss": math.nan})


def test_the_learning_rate_rises_and_falls():
    rates = [learning_rate(1.0, "cosine", 10, step, step / 100) for step in range(101)]
    assert rates[0] < 0.11
    assert max(rates) == pytest.approx(1, abs=0.03)
    assert rates[-1] == pytest.approx(0)
    assert learning_rate(1.0, "constant", 10, 99, 0.99) == 1


def test_every_epoch_shows_every_example_in_another_order():
    first, second = ([i for step in range(5 * e, 5 * e + 5) for i in shuffled(20, 4, step, seed=0)] for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert shuffled(3, 4, step=7, seed=0)  # fewer examples than a batch


def test_examples_are_what_the_agent_will_see(cache, tiny, autoencoder):
    trainable = build(tiny, autoencoder)
    examples = DrawingExamples(cache, trainable.networks, show_progress=False)
    batch = examples.batch([3, 17], torch.Generator())
    window = cache.windows("train")[17]
    observation = tiled(torch.from_numpy(np.array(cache.images[window]))[None]).float() / 255
    torch.testing.assert_close(batch.observed[1:], trainable.networks.observe(observation), rtol=0.01, atol=0.02)
    assert batch.instructions[1] == cache.instructions[cache.episode_index[window]]
    assert batch.spheres.max() > 0.5
    live = DrawingExamples(cache, trainable.networks, jitter=(0.0, 0.0, 0.0, 0.0), show_progress=False)
    again = live.batch([3, 17], torch.Generator())
    torch.testing.assert_close(again.latents, batch.latents, rtol=0.01, atol=0.02)
    torch.testing.assert_close(again.spheres, batch.spheres, rtol=0, atol=1 / 128)


def test_condition_and_target_are_shifted_alike_as_in_the_published_training(cache, tiny, autoencoder):
    """The tiled picture by up to 2 pixels, each shift as likely as any other, its borders reflected."""
    reach, count, size = SD_TURBO.crop_px, 5000, 12
    assert reach == 2
    networks = build(tiny, autoencoder).networks
    examples = DrawingExamples(cache, networks, reach, show_progress=False)
    grid = torch.arange(7.0 * size * size).reshape(7, size, size)  # every pixel another
    pictures = grid.expand(count, 7, size, size)
    changed = examples._augmented(pictures, torch.Generator().manual_seed(1))
    padded = np.pad(grid.numpy(), ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    places = itertools.product(range(2 * reach + 1), repeat=2)
    shifted = [torch.from_numpy(padded[:, y : y + size, x : x + size]) for y, x in places]
    counts = np.array([int((changed == each).flatten(1).all(1).sum()) for each in shifted])
    assert counts.sum() == count
    expected = count / len(shifted)
    assert ((counts - expected) ** 2 / expected).sum() < 51  # chi-squared of 24 degrees of freedom: 0.1 %
    assert torch.equal(
        changed, examples._augmented(grid.expand(count, 7, size, size), torch.Generator().manual_seed(1))
    )


def test_only_the_condition_is_coloured_anew(cache, tiny, autoencoder):
    networks = build(tiny, autoencoder).networks
    pictures = torch.full((200, 7, 8, 8), 0.5)
    brighter = DrawingExamples(cache, networks, jitter=(0.2, 0.0, 0.0, 0.0), show_progress=False)
    changed = brighter._augmented(pictures, torch.Generator().manual_seed(1))
    factors = changed[:, :3].mean((1, 2, 3)) / 0.5
    assert 0.8 <= factors.min() < 0.83 and 1.17 < factors.max() <= 1.2
    assert torch.equal(changed[:, 3:], pictures[:, 3:])
    coloured = DrawingExamples(cache, networks, SD_TURBO.crop_px, SD_TURBO.jitter, show_progress=False)
    pictures = torch.rand(4, 7, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = coloured._augmented(pictures, torch.Generator().manual_seed(1))
    values = pictures[:, 3:].flatten().unique()
    assert torch.isin(changed[:, 3:], values).all() and not torch.isin(changed[:, :3], pictures).all()
    assert (changed[:, :3] - pictures[:, :3]).abs().mean() > 0.02


def test_coding_pictures_show_targets_where_the_coverage_says(cache):
    pictures, coverage = CodingPictures(cache, seed=0, textures=8).batch(12, np.random.default_rng(0))
    assert pictures.shape == (12, 3, 32, 32)
    assert coverage.shape == (12, 1, 32, 32)
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert 0 < coverage.mean() < 0.5


def test_unknown_presets_are_listed(tmp_path):
    with pytest.raises(ValueError, match="preset is 'large'; valid are demo, sd-turbo, sdxl-turbo"):
        train_diffusion(DiffusionTraining(tmp_path, tmp_path, preset="large"))


def test_the_pretrained_preset_has_no_autoencoder_to_train(tmp_path):
    with pytest.raises(ValueError, match="nothing to train"):
        train_autoencoder(Training(tmp_path, tmp_path, preset="sd-turbo"))


def test_missing_pretrained_weights_come_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match="hf download stabilityai/sd-turbo"):
        build(SD_TURBO)
    with pytest.raises(FileNotFoundError, match=r"unet/, vae/.*--base"):
        build(SD_TURBO, base=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no pretrained weights at runs/my/base: download"):
        build(SD_TURBO, base="runs/my/base")


def test_presets_refuse_what_they_do_not_use(tiny, autoencoder):
    with pytest.raises(ValueError, match="--autoencoder"):
        build(tiny)
    with pytest.raises(ValueError, match="--base"):
        build(tiny, autoencoder, "somewhere")
    with pytest.raises(ValueError, match="--autoencoder"):
        build(SD_TURBO, autoencoder)
