"""Same seed, same drawing as the stock pipeline."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerAncestralDiscreteScheduler
from PIL import Image

from genima_core.capture import shared_twin
from genima_core.diffusion.agent import PRECISIONS, DiffusionAgent
from genima_core.diffusion.autoencoder import tiled, untiled
from genima_core.diffusion.building import load_base, with_autoencoder
from genima_core.diffusion.engine import Engine, Schedule
from genima_core.language import prompt
from genima_core.pixels import tile, untile

from .bases import save_base, save_tiny_autoencoder

INSTRUCTION = "push the red button"
LEAST_PSNR_DB = 40

compile_with = torch.compile


@pytest.fixture(scope="module")
def agents(tmp_path_factory, trained):
    """Folders of one agent of each family, whose networks do look at the observation."""
    folders = {"demo": trained / "agent"}
    for family in ("sd", "sdxl", "pix2pix"):
        base = save_base(tmp_path_factory.mktemp(family), "sdxl" if family == "sdxl" else "sd")
        networks = load_base(family, str(base))
        with torch.no_grad():
            if networks.controlnet is None:
                networks.unet.conv_in.weight[:, 4:].normal_(std=0.1)
            else:
                for p in networks.controlnet.parameters():
                    p.normal_(std=0.1) if p.abs().max() == 0 else None
        folders[family] = base / "agent"
        DiffusionAgent.assemble(networks, (32, 32), 2).save(folders[family])
        if family == "sd":
            tiny = with_autoencoder(networks, save_tiny_autoencoder(base / "taesd"))
            folders["tiny decoder"] = base / "fast"
            DiffusionAgent.assemble(tiny, (32, 32), 2).save(folders["tiny decoder"])
    return folders


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def psnr_db(a, b):
    return -10 * np.log10(max(np.square(a.astype(float) - b).mean() / 255**2, 1e-12))


def stock(agent, images, seed, steps):
    """What a user of diffusers would call."""
    call = {
        "image": Image.fromarray(tile(images)),
        "guidance_scale": 0.0,
        "num_inference_steps": steps,
        "generator": torch.Generator().manual_seed(seed),
    }
    return untile(np.array(agent.pipeline()(prompt(INSTRUCTION), **call).images[0]), 4)


@pytest.mark.parametrize("family", ["demo", "sd", "sdxl", "pix2pix", "tiny decoder"])
@pytest.mark.parametrize("steps", [1, 5, 10])
def test_draws_what_the_stock_pipeline_draws(agents, images, family, steps):
    agent = DiffusionAgent.load(agents[family])
    drawing = agent.draw(images, INSTRUCTION, seed=3, steps=steps)
    assert psnr_db(drawing, stock(agent, images, 3, steps)) > LEAST_PSNR_DB
    assert psnr_db(drawing, agent.draw(images, INSTRUCTION, 4, steps)) < LEAST_PSNR_DB


def test_in_half_precision_too(agents, images):
    agent = DiffusionAgent.load(agents["demo"], precision="bfloat16")
    assert agent.networks.dtype == torch.bfloat16
    assert psnr_db(agent.draw(images, INSTRUCTION, 3, 5), stock(agent, images, 3, 5)) > LEAST_PSNR_DB


def test_the_observation_is_looked_at(agents, images):
    for family in agents:
        agent = DiffusionAgent.load(agents[family])
        assert (agent.draw(images, INSTRUCTION, 3) != agent.draw(255 - images, INSTRUCTION, 3)).any(), family


def test_drawing_leaves_the_networks_as_they_are(agents, images):
    agent = DiffusionAgent.load(agents["demo"])
    before = {k: v.clone() for k, v in agent.networks.unet.state_dict().items()}
    agent.draw(images, INSTRUCTION, 0)
    after = agent.networks.unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_an_engine_that_is_not_tuned_follows_the_weights(agents, images):
    networks = DiffusionAgent.load(agents["demo"]).networks
    agent = DiffusionAgent.assemble(networks, (32, 32), 2)
    before = agent.draw(images, INSTRUCTION, 0)
    with torch.no_grad():
        networks.unet.conv_out.weight.neg_()
    assert (agent.draw(images, INSTRUCTION, 0) != before).any()


def test_fused_projections_predict_the_same_and_leave_the_original_alone(agents):
    """What is tuned on a GPU."""
    networks = DiffusionAgent.load(agents["demo"]).networks
    twin = shared_twin(networks.unet)
    twin.fuse_qkv_projections()
    assert any("to_qkv" in name for name, _ in twin.named_parameters())
    assert not any("to_qkv" in name for name, _ in networks.unet.named_parameters())
    noisy, words = torch.randn(1, 16, 8, 8), networks.prompts.embed([INSTRUCTION])
    with torch.no_grad():
        plain, fused = (unet(noisy, torch.tensor(3), words.tokens).sample for unet in (networks.unet, twin))
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)


def test_compiled_networks_draw_the_same(agents, images, monkeypatch):
    """Traced and run as a graph; that C++ of it computes the same is tested with a small one, and `genima bench`."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: compile_with(function, backend="aot_eager"))
    agent = DiffusionAgent.load(agents["demo"])
    compiled = Engine(agent.networks, compiled=True)
    words = agent.networks.prompts.embed([INSTRUCTION])
    drawing, finite = compiled.draw(torch.from_numpy(images)[None], words, [3], 2)
    assert finite
    assert psnr_db(drawing[0].numpy(), agent.draw(images, INSTRUCTION, 3, 2)) > LEAST_PSNR_DB


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["demo", "sd", "sdxl", "pix2pix", "tiny decoder"])
def test_a_captured_graph_draws_what_the_stock_pipeline_draws(agents, images, family):
    agent = DiffusionAgent.load(agents[family], "cuda", "float32")
    for seed in (3, 4):  # the second one replays
        assert psnr_db(agent.draw(images, INSTRUCTION, seed, 5), stock(agent, images, seed, 5)) > LEAST_PSNR_DB


def test_unknown_precisions_are_listed(agents):
    with pytest.raises(ValueError, match=f"valid are {', '.join(PRECISIONS)}"):
        DiffusionAgent.load(agents["demo"], precision="int8")


@pytest.mark.parametrize("count", range(1, 7))
def test_tiling_on_the_device_is_tiling(rng, count):
    views = rng.integers(0, 256, (count, 4, 6, 3), dtype=np.uint8)
    there = tiled(torch.from_numpy(views)[None])
    np.testing.assert_array_equal(there[0].permute(1, 2, 0), tile(views))
    np.testing.assert_array_equal(untiled(there, count)[0], views)


@pytest.mark.parametrize("kind", [DDIMScheduler, EulerAncestralDiscreteScheduler])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [1, 4, 10])
def test_a_schedule_does_what_its_scheduler_does(kind, prediction, steps):
    config = DDPMScheduler(beta_schedule="scaled_linear", prediction_type=prediction, clip_sample=False).config
    scheduler = kind.from_config(config, timestep_spacing="trailing")
    schedule = Schedule.of(scheduler, steps)
    predictions = torch.randn(steps, 1, 2, 3, 3, generator=torch.Generator().manual_seed(9))
    noise = schedule.draw_noise((2, 3, 3), [5], torch.float32)

    generator = torch.Generator().manual_seed(5)
    scheduler.set_timesteps(steps)
    expected = torch.randn(1, 2, 3, 3, generator=generator) * scheduler.init_noise_sigma
    ours = noise[0] * schedule.start
    for i, t in enumerate(scheduler.timesteps):
        assert t == schedule.timesteps[i]
        torch.testing.assert_close(ours * schedule.scale[i], scheduler.scale_model_input(expected, t))
        expected = scheduler.step(predictions[i], t, expected, generator=generator, return_dict=False)[0]
        ours = schedule.keep[i] * ours + schedule.add[i] * predictions[i]
        ours = ours + (schedule.noise[i] * noise[i + 1] if schedule.draws else 0)
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_a_scheduler_that_clips_is_refused():
    with pytest.raises(ValueError, match="clip_sample"):
        Schedule.of(DDIMScheduler(clip_sample=True), 3)
