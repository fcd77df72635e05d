import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from diffusers import AutoencoderTiny, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler
from PIL import Image
from safetensors.torch import load_file, save_file

from genima_core.diffusion.agent import DiffusionAgent
from genima_core.diffusion.building import build, find_trained, load_base, with_autoencoder
from genima_core.diffusion.config import PRESETS
from genima_core.diffusion.train import fit_diffusion
from genima_core.importers.agents import Options, convert_agent
from genima_core.language import prompt
from genima_core.pixels import tile, untile
from genima_core.training.config import DiffusionTraining

from .bases import save_base, save_tiny_autoencoder

PRETRAINED = {"sd-turbo": "sd", "sdxl-turbo": "sdxl", "instruct-pix2pix": "sd"}
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return {family: save_base(tmp_path_factory.mktemp(family), family) for family in ("sd", "sdxl")}


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_pretrained_preset_trains_and_its_base_stays_as_it_is(name, bases, cache, tmp_path, rng):
    base = bases[PRETRAINED[name]]
    config = replace(
        PRESETS[name], size=(32, 32), batch_size=2, draw_steps=1, crop_px=2, warmup_steps=1, learning_rate=1e-3
    )
    trainable = build(config, base=str(base))
    learns = "unet" if name == "instruct-pix2pix" else "controlnet"
    assert trainable.trained == (learns,)
    before = {
        part: {k: v.clone() for k, v in net.state_dict().items()} for part, net in trainable.networks.parts().items()
    }
    training = DiffusionTraining(tmp_path, tmp_path, steps=2, device="cpu", checked=1)
    agent = fit_diffusion(training, cache, config, trainable, show_progress=False)
    for part, net in trainable.networks.parts().items():
        same = all(torch.equal(v, before[part][k]) for k, v in net.state_dict().items())
        assert same == (part != learns), part
    assert type(agent.networks.scheduler) is EulerAncestralDiscreteScheduler
    images = rng.integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    loaded = DiffusionAgent.load(tmp_path / "agent").draw(images, "push the button", seed=0)
    assert abs(loaded.astype(int) - agent.draw(images, "push the button", seed=0)).mean() < 2  # stored as float16


def test_a_new_controlnet_and_new_input_channels_change_nothing_yet(bases):
    for name in PRETRAINED:
        networks = build(PRESETS[name], base=str(bases[PRETRAINED[name]])).networks
        noisy, t = torch.randn(1, 4, 8, 8), torch.tensor(500)
        words = networks.prompts.embed(["push the button"])
        observed = [networks.observe(torch.rand(1, 3, 64, 64)) for _ in range(2)]
        torch.testing.assert_close(*(networks.predict(noisy, t, words, o) for o in observed))


def test_a_released_controlnet_is_found_and_loaded_unchanged(bases, tmp_path):
    networks = load_base("sd", str(bases["sd"]))
    torch.nn.init.normal_(networks.controlnet.controlnet_mid_block.weight)
    for step in (900, 10_000):
        networks.controlnet.save_pretrained(tmp_path / "run" / f"checkpoint-{step}" / "controlnet")
    newest = tmp_path / "run" / "checkpoint-10000"
    for source in (tmp_path / "run", newest, newest / "controlnet"):
        assert find_trained(source) == newest / "controlnet"
        loaded = load_base("sd", str(bases["sd"]), source).controlnet
        assert torch.equal(loaded.controlnet_mid_block.weight, networks.controlnet.controlnet_mid_block.weight)
    with pytest.raises(FileNotFoundError, match="no trained controlnet in"):
        find_trained(tmp_path)


def test_a_controlnet_of_another_base_is_refused(bases, tmp_path):
    load_base("sdxl", str(bases["sdxl"])).controlnet.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="cross_attention_dim 32 instead of 16.*SDXL"):
        load_base("sd", str(bases["sd"]), tmp_path)
    with pytest.raises(ValueError, match="has no ControlNet"):
        load_base("pix2pix", str(bases["sd"]), tmp_path)


@pytest.mark.parametrize("change", ["missing", "unexpected", "other shape"])
def test_tensors_that_do_not_fit_are_listed(bases, tmp_path, change):
    base = tmp_path / "base"
    shutil.copytree(bases["sd"], base)
    weights = load_file(base / "unet" / WEIGHTS)
    if change == "missing":
        del weights["conv_in.bias"]
    elif change == "unexpected":
        weights["conv_in.extra"] = torch.zeros(1)
    else:
        weights["conv_in.bias"] = torch.zeros(3)
    save_file(weights, base / "unet" / WEIGHTS, {"format": "pt"})
    with pytest.raises(ValueError, match="conv_in"):
        load_base("sd", str(base))


def test_half_a_download_is_an_error(bases, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(bases["sd"], base)
    whole = (base / "unet" / WEIGHTS).read_bytes()
    (base / "unet" / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        load_base("sd", str(base))
    (base / "unet" / WEIGHTS).unlink()
    with pytest.raises(ValueError, match="unet"):
        load_base("sd", str(base))


def test_weights_downloaded_in_half_precision_only_are_taken(bases, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(bases["sd"], base)
    for part in ("unet", "vae", "text_encoder"):
        (whole,) = (base / part).glob("*model.safetensors")
        whole.rename(whole.with_name(whole.name.replace("model.", "model.fp16.")))
    networks = load_base("sd", str(base))
    assert networks.unet.dtype == networks.prompts.encoders[0].model.dtype == torch.float32


@pytest.mark.parametrize("template", [None, "a robot that should {}", "tiled perspectives"])
def test_a_released_agent_draws_as_its_authors_run_it(bases, tmp_path, rng, template):
    """With the scheduler of its base, and what it was told; the stock pipeline of the converted folder must agree."""
    control = load_base("sd", str(bases["sd"])).controlnet
    torch.nn.init.normal_(control.controlnet_mid_block.weight)
    control.save_pretrained(tmp_path / "released")
    options = Options(base=str(bases["sd"]), size=32, denoising_steps=3, prompt=template)
    summary = convert_agent(tmp_path / "released", tmp_path / "agent", options)
    assert summary["scheduler"] == "EulerDiscreteScheduler"
    agent = DiffusionAgent.load(tmp_path / "agent")
    assert type(agent.networks.scheduler) is EulerDiscreteScheduler
    images = rng.integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    call = {"num_inference_steps": 3, "guidance_scale": 0.0, "generator": torch.Generator().manual_seed(5)}
    picture = Image.fromarray(tile(images))
    told = prompt("push the button") if template is None else prompt("push the button", template)
    assert ("push the button" in told) == (template != "tiled perspectives")
    stock = untile(np.array(agent.pipeline()(told, image=picture, **call).images[0]), 4)
    assert np.abs(stock.astype(int) - agent.draw(images, "push the button", seed=5)).max() <= 1


SAID = {"env": {"cameras": ["front", "wrist", "left_shoulder", "right_shoulder"]}, "visual_observation_shape": [48, 32]}
"""By a config.yaml."""


@pytest.fixture(scope="module")
def release(bases, tmp_path_factory):
    """As it is unpacked: an agent's folder, and a controller's."""
    root = tmp_path_factory.mktemp("release")
    load_base("sd", str(bases["sd"])).controlnet.save_pretrained(root / "diffusion")
    (root / "controller_act").mkdir()
    return root


@pytest.mark.parametrize("place", ["diffusion", "diffusion/.hydra", "controller_act"])
def test_a_released_agents_tiles_are_those_of_its_config(place, bases, release, tmp_path):
    root = shutil.copytree(release, tmp_path / "release")
    (root / place).mkdir(exist_ok=True)
    (root / place / "config.yaml").write_text(yaml.safe_dump(SAID))
    told = []
    options = Options(base=str(bases["sd"]), denoising_steps=1)
    summary = convert_agent(root / "diffusion", tmp_path / "agent", options, told.append)
    assert summary["config"] == str(root / place / "config.yaml")
    agent = DiffusionAgent.load(tmp_path / "agent")
    assert (agent.cameras, agent.size, agent.views) == (tuple(SAID["env"]["cameras"]), (48, 32), 4)
    assert not [text for text in told if text.startswith("warning")]


def test_where_the_config_is_silent_the_tiles_are_assumed_and_said(bases, release, tmp_path):
    base, told = str(bases["sd"]), []
    convert_agent(release / "diffusion", tmp_path / "agent", Options(base=base, size=32), told.append)
    assert DiffusionAgent.load(tmp_path / "agent").cameras == ("wrist", "front", "right_shoulder", "left_shoulder")
    (warning,) = [text for text in told if text.startswith("warning")]
    assert "no config.yaml in" in warning and "(--cameras says another)" in warning
    options, told = Options(base=base, size=32, cameras="left,right"), []
    convert_agent(release / "diffusion", tmp_path / "agent", options, told.append)
    agent = DiffusionAgent.load(tmp_path / "agent")
    assert (agent.cameras, agent.views) == (("left", "right"), 2)
    assert not [text for text in told if text.startswith("warning")]
    for cameras, message in (("a,../b", "is called '../b'"), ("a,b,a", "need as many, each once")):
        with pytest.raises(ValueError, match=message):
            convert_agent(release / "diffusion", tmp_path / "other", Options(base=base, cameras=cameras))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "config", ["env: {cameras: 7}", "env: [", "env: {cameras: [wrist]}\nvisual_observation_shape: 3"]
)
def test_a_damaged_config_of_an_agent_is_refused(config, bases, release, tmp_path):
    root = shutil.copytree(release, tmp_path / "release")
    (root / "diffusion/config.yaml").write_text(config)
    with pytest.raises(ValueError, match="config.yaml"):
        convert_agent(root / "diffusion", tmp_path / "agent", Options(base=str(bases["sd"])))


def test_a_scheduler_that_cannot_draw_is_named(bases, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(bases["sd"], base)
    path = base / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "_class_name": "PNDMScheduler"}))
    with pytest.raises(ValueError, match="the scheduler of .* is 'PNDMScheduler'; valid are EulerAncestral"):
        load_base("sd", str(base), own_scheduler=True)


def test_the_decoder_can_be_a_tiny_one(bases, tmp_path, rng):
    networks = with_autoencoder(load_base("sd", str(bases["sd"])), save_tiny_autoencoder(tmp_path / "taesd"))
    DiffusionAgent.assemble(networks, (32, 32), 1).save(tmp_path / "agent")
    agent = DiffusionAgent.load(tmp_path / "agent")
    assert type(agent.networks.vae) is AutoencoderTiny
    images = rng.integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    assert agent.draw(images, "push the button", seed=0).shape == images.shape
    with pytest.raises(ValueError, match="pix2pix"):
        with_autoencoder(load_base("pix2pix", str(bases["sd"])), tmp_path / "taesd")
    with pytest.raises(FileNotFoundError, match="neither a folder nor a downloaded model: get it with `hf download"):
        with_autoencoder(load_base("sd", str(bases["sd"])), "nobody/taesd")


def test_a_frozen_base_is_written_once(bases, tmp_path):
    networks = load_base("sd", str(bases["sd"]))
    agent = DiffusionAgent.assemble(networks, (32, 32), 1)
    agent.save(tmp_path / "agent", changed=("controlnet",))
    first = {part: (tmp_path / "agent" / part / WEIGHTS).stat().st_ino for part in ("unet", "controlnet")}
    agent.save(tmp_path / "agent", changed=("controlnet",))
    second = {part: (tmp_path / "agent" / part / WEIGHTS).stat().st_ino for part in ("unet", "controlnet")}
    assert first["unet"] == second["unet"]
    assert first["controlnet"] != second["controlnet"]
    assert json.loads((tmp_path / "agent" / "agent.json").read_text())["family"] == "sd"
