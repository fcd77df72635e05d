"""Tiny networks, trained for a few steps on synthetic scenes, once for all tests of the agent."""

from dataclasses import replace
from pathlib import Path

import pytest

from genima_core.cameras import CameraRig
from genima_core.data.cache import WindowCache
from genima_core.diffusion.building import build
from genima_core.diffusion.config import DEMO, BaseConfig, DiffusionConfig
from genima_core.diffusion.train import fit_diffusion
from genima_core.diffusion.train_autoencoder import fit_autoencoder
from genima_core.training.config import DiffusionTraining, Training

from . import synthetic


@pytest.fixture(scope="session")
def tiny() -> DiffusionConfig:
    """The demo preset, shrunk."""
    base = BaseConfig((16, 16, 16), heads=2, text_width=16)
    autoencoder = replace(
        DEMO.autoencoder, latent_channels=8, width=16, encoder_blocks=1, decoder_blocks=1, batch_size=8
    )
    return replace(DEMO, size=(32, 32), base=base, autoencoder=autoencoder, batch_size=4, draw_steps=2)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, rig: CameraRig) -> WindowCache:
    return synthetic.cache(tmp_path_factory.mktemp("windows") / "cache", rig)


@pytest.fixture(scope="session")
def autoencoder(tmp_path_factory: pytest.TempPathFactory, cache: WindowCache, tiny: DiffusionConfig) -> Path:
    out = tmp_path_factory.mktemp("autoencoder")
    fit_autoencoder(Training(out, out, steps=4, device="cpu", checked=1), cache, tiny.autoencoder, show_progress=False)
    return out


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, cache: WindowCache, tiny: DiffusionConfig, autoencoder: Path
) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("diffusion")
    training = DiffusionTraining(out, out, steps=4, device="cpu", checked=1)
    fit_diffusion(training, cache, tiny, build(tiny, autoencoder), show_progress=False)
    return out
