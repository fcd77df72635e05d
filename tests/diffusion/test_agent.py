import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from genima_core.diffusion.agent import PARTS, DiffusionAgent
from genima_core.diffusion.building import load_base
from genima_core.diffusion.networks import Networks, Prompts
from genima_core.language import TextEncoder, prompt
from genima_core.pixels import tile, untile

from .bases import save_base

INSTRUCTION = "push the red button"


@pytest.fixture(scope="module")
def agent(trained):
    return DiffusionAgent.load(trained / "agent")


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def test_draws_views_of_the_observations_size(agent, images):
    drawing = agent.draw(images, INSTRUCTION, seed=1)
    assert drawing.shape == images.shape
    assert drawing.dtype == np.uint8


def test_the_same_seed_gives_the_same_drawing(agent, images):
    first, again, other = (agent.draw(images, INSTRUCTION, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_draws_what_the_stock_pipeline_draws(agent, images):
    """No part of the agent is more than a stock pipeline: prompt, guidance and noise are all there is to it."""
    picture = agent.pipeline()(
        prompt(INSTRUCTION),
        torch.from_numpy(tile(images)).permute(2, 0, 1)[None] / 255,
        num_inference_steps=2,
        guidance_scale=0.0,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).images[0]
    expected = untile((picture * 255).round().astype(np.uint8), 4)
    np.testing.assert_allclose(
        agent.draw(images, INSTRUCTION, seed=3, steps=2).astype(int), expected.astype(int), atol=1
    )


def test_a_batch_draws_what_single_calls_draw(agent, rng):
    scenes = rng.integers(0, 256, (2, 4, 32, 32, 3), dtype=np.uint8)
    prompts = agent.networks.prompts.embed([INSTRUCTION, "open the drawer"])
    together, _ = agent.engine.draw(torch.from_numpy(scenes), prompts, [5, 6], agent.steps)
    alone = [agent.draw(scenes[0], INSTRUCTION, 5), agent.draw(scenes[1], "open the drawer", 6)]
    np.testing.assert_allclose(together.numpy().astype(int), np.stack(alone).astype(int), atol=1)


def test_an_instruction_is_encoded_once(agent, images, monkeypatch):
    agent.draw(images, INSTRUCTION, seed=0)
    encoder = agent.networks.prompts.encoders[0].model
    monkeypatch.setattr(encoder, "forward", lambda *_, **__: pytest.fail("encoded again"))
    agent.draw(images, INSTRUCTION, seed=0)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 32, 31, 3), np.uint8),
        np.zeros((3, 32, 32, 3), np.uint8),
        np.zeros((4, 32, 32, 4), np.uint8),
        np.zeros((4, 32, 32, 3), np.float32),
    ],
)
def test_refuses_other_images(agent, wrong):
    with pytest.raises(ValueError, match=r"\(4, 32, 32, 3\) uint8"):
        agent.draw(wrong, INSTRUCTION, seed=0)


def test_refuses_to_draw_in_no_steps(agent, images):
    with pytest.raises(ValueError, match="at least one"):
        agent.draw(images, INSTRUCTION, seed=0, steps=0)


@pytest.fixture(scope="module")
def controlled(tmp_path_factory):
    """The folder of an agent with a ControlNet."""
    folder = tmp_path_factory.mktemp("controlled")
    DiffusionAgent.assemble(load_base("sd", str(save_base(folder / "base", "sd"))), (32, 32), 2).save(folder / "agent")
    return folder / "agent"


@pytest.mark.parametrize("part", [*PARTS, "controlnet"])
def test_a_missing_part_is_named(controlled, tmp_path, part):
    folder = tmp_path / "agent"
    shutil.copytree(controlled, folder)
    shutil.rmtree(folder / part) if (folder / part).is_dir() else (folder / part).unlink()
    with pytest.raises(FileNotFoundError, match=f"{part} is missing.*the shipped checkpoints/demo"):
        DiffusionAgent.load(folder)


@pytest.mark.parametrize(
    "file",
    [
        "agent.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "controlnet/config.json",
        "scheduler/scheduler_config.json",
        "text_encoder/model.safetensors",
    ],
)
def test_a_damaged_part_is_an_error(controlled, tmp_path, file):
    folder = tmp_path / "agent"
    shutil.copytree(controlled, folder)
    (folder / file).write_bytes(b"{ not what it was")
    with pytest.raises((ValueError, FileNotFoundError), match=str(folder)):
        DiffusionAgent.load(folder)


def test_weights_that_are_not_finite_are_never_drawn_with(trained, agent, tmp_path, images):
    folder = tmp_path / "agent"
    shutil.copytree(trained / "agent", folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_out.bias"] = torch.full_like(weights["conv_out.bias"], torch.nan)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"not finite: conv_out\.bias"):
        DiffusionAgent.load(folder)
    networks = replace(agent.networks, unet=copy.deepcopy(agent.networks.unet))
    torch.nn.init.constant_(networks.unet.conv_out.bias, torch.nan)
    with pytest.raises(RuntimeError, match="not finite"):
        DiffusionAgent.assemble(networks, agent.size, agent.steps).draw(images, INSTRUCTION, seed=0)


def test_weights_are_stored_in_half_precision_and_used_in_single(trained, agent):
    stored = load_file(trained / "agent" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {w.dtype for w in stored.values()} == {torch.float16}
    assert agent.networks.unet.dtype == agent.networks.vae.dtype == torch.float32
    assert not list(trained.glob(".agent.*"))
    told = json.loads((trained / "agent" / "agent.json").read_text())
    assert (told["family"], told["size"], told["steps"]) == ("pix2pix", [32, 32], 2)


def test_an_agent_around_other_diffusers_classes_is_saved_and_loaded(tmp_path, images):
    """What preset sd-turbo is made of: another autoencoder and the paper's scheduler, through the same code."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 4, 4),
        norm_num_groups=2,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    scheduler = EulerAncestralDiscreteScheduler(prediction_type="epsilon", timestep_spacing="trailing")
    networks = Networks("sd", vae, unet, ControlNetModel.from_unet(unet), Prompts((TextEncoder.tiny(16),)), scheduler)
    whole = DiffusionAgent.assemble(networks, (32, 32), 2)
    whole.save(tmp_path / "agent")
    loaded = DiffusionAgent.load(tmp_path / "agent")
    assert type(loaded.networks.scheduler) is EulerAncestralDiscreteScheduler
    assert type(loaded.networks.vae) is AutoencoderKL
    first, again = (loaded.draw(images, INSTRUCTION, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)  # this scheduler draws noise in every step


def test_no_folder_of_this_machine_is_written(agent, tmp_path):
    agent.save(tmp_path / "first")
    DiffusionAgent.load(tmp_path / "first").save(tmp_path / "second")
    assert not [path for path in (tmp_path / "second").glob("*/config.json") if str(tmp_path) in path.read_text()]
