from dataclasses import replace

import pytest
import torch

from genima_core.controller.augment import Pictures
from genima_core.controller.config import PAPER, Preset
from genima_core.controller.policy import Controller
from genima_core.controller.train import Learner, fit, schedule, train_controller
from genima_core.data.dataset import DatasetWriter
from genima_core.language import TextEncoder

from ..data import synthetic as recorded
from . import synthetic


@pytest.fixture(scope="module")
def windows(rig):
    return synthetic.Windows(rig.resize(32, 32), 12, seed=0)


@pytest.fixture
def learner(rig, windows):
    return make_learner(rig, windows)


def make_learner(rig, windows, preset: Preset | None = None) -> Learner:
    backgrounds = torch.randint(0, 256, (6, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    return Learner(preset or synthetic.tiny(), rig.resize(32, 32), windows, TextEncoder.tiny(), backgrounds, seed=0)


def test_overfits_one_batch(rig, windows):
    preset = synthetic.tiny()
    preset = replace(preset, train=replace(preset.train, batch_size=12, learning_rate=3e-3, backbone_rate=3e-3))
    learner = make_learner(rig, windows, preset)
    plain = windows.arrays["rgb"].float() / 255
    frames = learner.model.frames
    learner.augmentation = lambda rgb, alpha, q, goal, backgrounds: Pictures(
        rgb.float() / 255, *frames.visible(q, goal), torch.zeros(len(rgb), dtype=torch.bool))
    torch.manual_seed(0)
    history = [learner.step(1.0, 0.9) for _ in range(60)]
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["keypoints"] < 0.6 * history[0]["keypoints"]
    model, a = learner.model.eval(), windows.arrays
    with torch.inference_mode():
        joints = model(plain, a["q"], a["gripper"], learner.embed(["push the button"] * 12)).joints
    assert (joints - a["actions"]).abs().mean() < 0.6 * (a["actions"] - a["q"][:, None]).abs().mean()


def test_resumed_run_goes_on_as_if_it_had_never_stopped(rig, windows, tmp_path):
    once, twice = (make_learner(rig, windows) for _ in range(2))
    fit(once, windows, tmp_path / "once", steps=4, every=2, show_progress=False)

    class Interrupted(Exception):
        pass

    validate = twice.validate

    def stop(validation):
        twice.validate = interrupt
        return validate(validation)

    def interrupt(validation):
        raise Interrupted

    twice.validate = stop
    with pytest.raises(Interrupted):
        fit(twice, windows, tmp_path / "twice", steps=4, every=2, show_progress=False)
    twice = make_learner(rig, windows)
    fit(twice, windows, tmp_path / "twice", steps=4, every=2, show_progress=False)
    for (name, a), b in zip(once.average.state_dict().items(), twice.average.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, msg=name)
    assert (tmp_path / "twice" / "loss.png").stat().st_size > 1000


def test_results_are_complete(learner, windows, tmp_path):
    scores = fit(learner, windows, tmp_path, steps=1, show_progress=False)
    assert set(scores) == {"clean", "degraded", "shuffled", "blank"}
    assert Controller.load(tmp_path / "controller").chunk_size == 5
    assert (tmp_path / "scores.json").is_file() and list((tmp_path / "tensorboard").iterdir())


def test_the_papers_recipe_trains_too(rig, windows):
    tiny = synthetic.tiny(image_tokens="grid", base="none", norm="frozen", stem="resnet", hold_at_end=False,
                          position_weight=0.0, keypoint_weight=0.0)
    terms = make_learner(rig, windows, replace(tiny, augment=PAPER.augment)).step(1.0, 0.9)
    assert set(terms) == {"loss", "joints", "gripper", "kl"} and all(0 <= v < 100 for v in terms.values())


def test_pretrained_parts_that_are_missing_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="huggingface-cli download openai/clip"):
        train_controller(tmp_path, tmp_path / "out", preset="paper")


def test_other_options_do_not_resume(rig, windows, learner, tmp_path):
    fit(learner, windows, tmp_path, steps=1, show_progress=False)
    other = make_learner(rig, windows, synthetic.tiny(hidden=64))
    with pytest.raises(ValueError, match="cannot resume"):
        fit(other, windows, tmp_path, steps=2, show_progress=False)


def test_budget_is_steps_or_minutes(learner, windows, tmp_path):
    with pytest.raises(ValueError, match="steps"):
        fit(learner, windows, tmp_path, steps=1, minutes=1, show_progress=False)


def test_schedule_rises_then_falls():
    rates = [schedule(p / 100, 0.1, 0.01) for p in range(101)]
    assert max(rates) == rates[10] == 1
    assert rates[0] == pytest.approx(0.01) and rates[100] == pytest.approx(0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_trains_on_a_data_set(tmp_path, monkeypatch):
    from genima_core.controller import config

    small = synthetic.tiny()
    monkeypatch.setitem(config.PRESETS, "demo", small)
    with DatasetWriter(tmp_path / "data", recorded.rig()) as writer:
        for seed in range(2):
            writer.add(recorded.episode(seed))
    train_controller(tmp_path / "data", tmp_path / "out", steps=1, variants=2, backgrounds=4, workers=1)
    assert Controller.load(tmp_path / "out" / "controller").size == (32, 32)


def test_text_encoder_must_fit_the_preset(tmp_path):
    TextEncoder.tiny(32).save(tmp_path / "text")
    with pytest.raises(ValueError, match="gives 32 numbers"):
        train_controller(tmp_path, tmp_path / "out", text_encoder=str(tmp_path / "text"), steps=1)
