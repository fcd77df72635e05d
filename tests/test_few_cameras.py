"""Rigs of less cameras than the demo's, from a data set to a chunk, with tiny networks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genima_core.cameras import CameraRig
from genima_core.checkpoint import Checkpoint, Parts, assemble
from genima_core.controller.config import Preset
from genima_core.controller.policy import Controller
from genima_core.controller.train import Learner, fit
from genima_core.data.cache import WindowCache
from genima_core.data.dataset import Dataset, DatasetWriter
from genima_core.data.windows import FollowingWindows
from genima_core.diffusion.building import build
from genima_core.diffusion.config import DEMO, BaseConfig
from genima_core.diffusion.train import fit_diffusion
from genima_core.diffusion.train_autoencoder import fit_autoencoder
from genima_core.language import TextEncoder
from genima_core.policy import Policy
from genima_core.targets.gate import GateConfig
from genima_core.training.config import ControllerTraining, DiffusionTraining, Training
from genima_core.types import Observation
from genima_ros.cli import main as cli

from .controller import synthetic
from .data import synthetic as recorded

SIZE = 32


@pytest.fixture(scope="module", params=[("front", "left_shoulder"), ("front",)], ids=len)
def data(request, tmp_path_factory) -> Path:
    """Four episodes."""
    names, rig = request.param, recorded.rig(SIZE)
    root = tmp_path_factory.mktemp("few") / "data"
    with DatasetWriter(root, CameraRig(tuple(rig[name] for name in names))) as writer:
        for seed in range(4):
            writer.add(recorded.episode(seed, size=SIZE, names=names))
    return root


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    cache = WindowCache.build(Dataset(data), 5, SIZE, show_progress=False)
    small = replace(DEMO.autoencoder, latent_channels=8, width=16, encoder_blocks=1, decoder_blocks=1, batch_size=8)
    config = replace(
        # Moved and coloured in every step, so that this is seen too.
        DEMO,
        size=(SIZE, SIZE),
        base=BaseConfig((32, 32, 32), heads=2, text_width=16),
        autoencoder=small,
        batch_size=4,
        crop_px=2,
        jitter=(0.2, 0.2, 0.1, 0.05),
    )
    coding = Training(data, folder / "coder", steps=2, device="cpu", checked=1)
    fit_autoencoder(coding, cache, small, show_progress=False)
    drawing = DiffusionTraining(data, folder / "diffusion", steps=2, device="cpu", checked=1)
    fit_diffusion(drawing, cache, config, build(config, folder / "coder"), show_progress=False)
    following = ControllerTraining(data, folder / "controller", steps=2, checked=2)
    windows = [FollowingWindows(cache, split, show_progress=False) for split in ("train", "val")]
    fit(following, learner(synthetic.tiny(), cache.rig, windows[0]), windows[1], show_progress=False)
    assemble(Parts(data, folder / "diffusion", folder / "controller", folder / "all"))
    return folder / "all"


def learner(preset: Preset, rig: CameraRig, windows: FollowingWindows) -> Learner:
    backgrounds = torch.randint(0, 256, (6, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0)).byte()
    return Learner(preset, rig, windows, TextEncoder.tiny(), backgrounds, seed=0)


def test_it_draws_and_acts(data, checkpoint):
    policy, episode = Policy.load(checkpoint), Dataset(data).episode(0)
    images = {name: episode.frames(name)[0] for name in policy.checkpoint.rig.names}
    observation = Observation(0.0, images, episode.q[0], 1.0, episode.instruction)
    drawing = policy.draw(observation, seed=0)
    assert drawing.shape == (len(images), SIZE, SIZE, 3)
    assert policy.act(drawing, observation).positions.shape == (5, 7)
    for refused in (np.zeros((4, SIZE, SIZE, 3), np.uint8), drawing[:0]):
        with pytest.raises(ValueError, match=rf"needed is \({len(images)}, 32, 32, 3\) uint8"):
            policy.agent.draw(refused, episode.instruction, seed=0)
        with pytest.raises(ValueError, match=rf"needed is \({len(images)}, 32, 32, 3\) uint8"):
            policy.act(refused, observation)


@pytest.mark.slow
def test_it_is_evaluated_in_the_simulated_cell(checkpoint, tmp_path):
    """Which shows what its cameras see, and no others."""
    briefly = ["--episodes", "1", "--timeout-s", "0.5", "--score-episodes", "1", "--json", str(tmp_path / "eval.json")]
    assert cli.run(["eval", "push_button", "--checkpoint", str(checkpoint), *briefly]) == 0
    assert json.loads((tmp_path / "eval.json").read_text())["episodes"] == 1


def test_two_cameras_have_a_gate_and_one_has_none(data, checkpoint):
    opened, episode = Checkpoint.open(checkpoint), Dataset(data).episode(0)
    images = np.stack([episode.frames(name)[0] for name in opened.rig.names])
    if len(images) == 2:
        assert "cannot be located" in " ".join(opened.gate().check(images, episode.q[0], images).reasons)
        assert opened.gate().config != GateConfig()
    else:
        with pytest.raises(ValueError, match="the target gate needs two cameras"):
            opened.gate()


@pytest.mark.parametrize("preset", [synthetic.tiny, synthetic.tiny_paper, synthetic.tiny_diffusion_policy])
def test_every_controller_learns_and_is_read_again(data, preset, tmp_path):
    tiny = preset()
    cache = WindowCache.build(Dataset(data), tiny.model.chunk_size, SIZE, folder=tmp_path, show_progress=False)
    made = learner(tiny, cache.rig, FollowingWindows(cache, "train", variants=2, show_progress=False))
    assert np.isfinite(made.step(0, 1.0)["loss"])
    Controller(made.average, made.text).save(tmp_path / "controller")
    drawing = np.array(cache.images[0])
    positions, _ = Controller.load(tmp_path / "controller").act(drawing, cache.q[0], 1.0, "push the red button")
    assert positions.shape == (tiny.model.chunk_size, 7)
