import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import CLIPTextModelWithProjection, ResNetConfig, ResNetModel

from genima_core.arm import PANDA
from genima_core.controller import config
from genima_core.controller.augment import Pictures
from genima_core.controller.config import PAPER, Preset
from genima_core.controller.policy import Controller
from genima_core.controller.train import Learner, fit, train_controller
from genima_core.data.dataset import DatasetWriter
from genima_core.language import TextEncoder
from genima_core.training.config import ControllerTraining
from genima_core.training.run import count_steps, relative_rate

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


def training(out, steps=4, **options) -> ControllerTraining:
    return ControllerTraining(out, out, steps=steps, **options)


def test_overfits_one_batch(rig, windows):
    preset = synthetic.tiny()
    preset = replace(preset, train=replace(preset.train, batch_size=12, learning_rate=3e-3, backbone_rate=3e-3))
    learner = make_learner(rig, windows, preset)
    plain = windows.arrays["rgb"].float() / 255
    frames = learner.model.frames
    learner.augmentation = lambda rgb, alpha, q, goal, backgrounds: Pictures(
        rgb.float() / 255, *frames.visible(q, goal)
    )
    torch.manual_seed(0)
    history = [learner.step(i, 1.0) for i in range(120)]  # the turn of the hand is learned last
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["keypoints"] < 0.6 * history[0]["keypoints"]
    model, a = learner.model.eval(), windows.arrays
    with torch.inference_mode():
        joints = model(plain, a["q"], a["gripper"], learner.embed(["push the button"] * 12)).joints
    off = (joints - a["actions"]).abs().mean((1, 2))  # of each window; in one the hand's turn may be taken for another
    assert off.median() < 0.6 * (a["actions"] - a["q"][:, None]).abs().mean()


@pytest.mark.parametrize("preset", [synthetic.tiny(), synthetic.tiny_paper()], ids=["demo", "paper"])
def test_resumed_run_goes_on_as_if_it_had_never_stopped(rig, windows, tmp_path, preset):
    once, twice = (make_learner(rig, windows, preset) for _ in range(2))
    fit(training(tmp_path / "once", every=2), once, windows, show_progress=False)

    class Interrupted(Exception):
        pass

    validate = twice.validate

    def stop(validation, checked):
        twice.validate = interrupt
        return validate(validation, checked)

    def interrupt(validation, checked):
        raise Interrupted

    twice.validate = stop
    with pytest.raises(Interrupted):
        fit(training(tmp_path / "twice", every=2), twice, windows, show_progress=False)
    twice = make_learner(rig, windows, preset)
    fit(training(tmp_path / "twice", every=2), twice, windows, show_progress=False)
    for (name, a), b in zip(once.average.state_dict().items(), twice.average.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, msg=name)
    assert (tmp_path / "twice" / "loss.png").stat().st_size > 1000


def test_results_are_complete(learner, windows, tmp_path):
    scores = fit(training(tmp_path, steps=1), learner, windows, show_progress=False)
    assert set(scores) == {"clean", "degraded", "shuffled", "blank"}
    assert Controller.load(tmp_path / "controller").chunk_size == 5
    assert (tmp_path / "scores.json").is_file() and list((tmp_path / "tensorboard").iterdir())


def test_the_papers_recipe_trains_too(rig, windows):
    terms = make_learner(rig, windows, synthetic.tiny_paper()).step(0, 1.0)
    assert set(terms) == {"loss", "joints", "gripper", "kl"} and all(0 <= v < 1000 for v in terms.values())


def test_backbone_has_its_own_rate(rig, windows):
    preset = synthetic.tiny_paper()
    preset = replace(preset, train=replace(preset.train, learning_rate=1e-3, backbone_rate=0.0, weight_decay=0.0))
    learner = make_learner(rig, windows, preset)
    before = {name: p.clone() for name, p in learner.model.named_parameters()}
    learner.step(0, 1.0)
    moved = {name for name, p in learner.model.named_parameters() if not torch.equal(p, before[name])}
    assert {"input_proj.weight", "proj_text_emb.weight", "action_head.bias"} <= moved
    assert not [name for name in moved if name.startswith("backbone.")]


def test_epochs_are_counted_in_whole_batches():
    assert count_steps(None, PAPER.train.epochs, 96 * 7 + 95, 96) == 7000
    assert count_steps(None, PAPER.train.epochs, 10, 96) == 1000
    assert count_steps(3, None, 10, 96) == 3


def test_too_little_memory_is_explained(learner):
    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    learner.augmentation = exhausted
    with pytest.raises(RuntimeError, match="out of GPU memory while training: lower --batch-size"):
        learner.step(0, 1.0)


def test_pretrained_parts_that_are_missing_are_named(data, tmp_path):
    with pytest.raises(FileNotFoundError, match="hf download openai/clip"):
        train_controller(ControllerTraining(data, tmp_path / "out", preset="paper"))


def test_other_options_do_not_resume(rig, windows, learner, tmp_path):
    fit(training(tmp_path, steps=1), learner, windows, show_progress=False)
    other = make_learner(rig, windows, synthetic.tiny(hidden=64))
    with pytest.raises(ValueError, match=r"cannot resume .*differ in preset.model.hidden \(\d+ and 64\); use"):
        fit(training(tmp_path, steps=2), other, windows, show_progress=False)


def test_budget_is_steps_or_minutes(learner, windows, tmp_path):
    with pytest.raises(ValueError, match="steps"):
        fit(training(tmp_path, minutes=1), learner, windows, show_progress=False)


def test_schedule_rises_then_falls():
    rates = [relative_rate(p / 100, 0.1, 0.01) for p in range(101)]
    assert max(rates) == rates[10] == 1
    assert rates[0] == pytest.approx(0.01) and rates[100] == pytest.approx(0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.fixture
def data(tmp_path):
    """Two episodes at 10 Hz, the second of which is shorter than a chunk."""
    with DatasetWriter(tmp_path / "data", recorded.rig(), fps=10) as writer:
        writer.add(recorded.episode(0))
        writer.add(recorded.episode(1, T=4))
    return tmp_path / "data"


@pytest.fixture
def pretrained(tmp_path):
    """Folders of a ResNet and of a CLIP text encoder of the same classes as the paper's, tiny and random."""
    ResNetModel(
        ResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 16, 16, 16],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            downsample_in_first_stage=False,
        )
    ).save_pretrained(tmp_path / "resnet")
    spelling = TextEncoder.tiny(32)
    config = spelling.model.config
    config.projection_dim = 64
    CLIPTextModelWithProjection(config).save_pretrained(tmp_path / "clip")
    spelling.tokenizer.save_pretrained(tmp_path / "clip")
    return tmp_path / "resnet", tmp_path / "clip"


def act(folder):
    drawing = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    return Controller.load(folder).act(drawing, PANDA.home, 1.0, "push the red button")[0]


def test_demo_preset_trains_on_a_data_set(data, tmp_path, monkeypatch):
    monkeypatch.setitem(config.PRESETS, "demo", synthetic.tiny())
    train_controller(ControllerTraining(data, tmp_path / "out", steps=1, variants=2, backgrounds=4, workers=1))
    controller = Controller.load(tmp_path / "out" / "controller")
    assert (controller.size, controller.dt_s) == ((32, 32), 0.1)
    assert act(tmp_path / "out" / "controller").shape == (5, 7)


def test_paper_preset_trains_on_a_data_set(data, pretrained, tmp_path, monkeypatch):
    resnet, clip = map(str, pretrained)
    small = replace(synthetic.tiny_paper(), backbone=resnet, text_encoder=clip)
    monkeypatch.setitem(config.PRESETS, "paper", small)
    out = tmp_path / "out"
    train_controller(ControllerTraining(data, out, preset="paper", steps=2, batch_size=3, backgrounds=4, workers=1))
    summary = json.loads((out / "scores.json").read_text())
    assert summary["steps"] == 2 and summary["scores"]["clean"]["goal_tip_cm"] is None
    controller = Controller.load(out / "controller")
    # The projection of CLIP's text encoder is part of what is saved.
    torch.testing.assert_close(controller.text.pooled(["push"]), TextEncoder.load(clip).pooled(["push"]))
    resnet_weight = ResNetModel.from_pretrained(resnet).state_dict()["embedder.embedder.convolution.weight"]
    torch.testing.assert_close(controller.model.backbone.conv1.weight, resnet_weight, atol=1e-3, rtol=0)
    np.testing.assert_array_equal(act(out / "controller"), act(out / "controller"))


def test_text_encoder_must_fit_the_preset(data, tmp_path):
    TextEncoder.tiny(32).save(tmp_path / "text")
    with pytest.raises(ValueError, match="gives 32 numbers"):
        train_controller(ControllerTraining(data, tmp_path / "out", text_encoder=str(tmp_path / "text"), steps=1))


def test_backbone_must_fit_the_preset(data, tmp_path, monkeypatch):
    monkeypatch.setitem(config.PRESETS, "demo", synthetic.tiny())
    with pytest.raises(ValueError, match="leave --backbone out"):
        train_controller(
            ControllerTraining(
                data, tmp_path / "out", backbone="microsoft/resnet-18", steps=1, backgrounds=4, workers=1
            )
        )
