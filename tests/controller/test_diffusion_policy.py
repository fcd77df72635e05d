import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn

from genima_core.arm import PANDA
from genima_core.controller import config
from genima_core.controller.diffusion_policy import DiffusionPolicy, DiffusionPolicyConfig
from genima_core.controller.policy import Controller, Engine
from genima_core.controller.train import train_controller
from genima_core.data.dataset import DatasetWriter
from genima_core.language import TextEncoder
from genima_core.training.config import ControllerTraining

from ..data import synthetic as recorded
from . import synthetic

SAMPLERS = ("ddim", "ddpm")


def network(rig, batch=None, **model) -> DiffusionPolicy:
    """Random, but the same for the same sizes; statistics are the batch's, if it is given."""
    torch.manual_seed(0)
    chosen = synthetic.tiny_diffusion_policy(**model).model
    statistics = None if batch is None else DiffusionPolicy.measure(batch.q, batch.actions, batch.is_pad, None)
    return DiffusionPolicy(chosen, rig.resize(*chosen.size), statistics).eval()


def inputs(batch):
    return batch.images, batch.q, batch.gripper, batch.text


@pytest.fixture(scope="module")
def batch(rig):
    windows = synthetic.windows(rig.resize(32, 32), 3, seed=0, chunk=8, episodes=2)
    return synthetic.training_batch(windows, 64)


class PerfectUNet(nn.Module):
    """Knows the chunk (B, 8, K), and so the noise in any noisy one."""

    def __init__(self, chunk, scheduler):
        super().__init__()
        self.chunk, self.kept = chunk, scheduler.alphas_cumprod

    def forward(self, x, step, condition):
        kept = self.kept[step][:, None, None]
        return (x - kept.sqrt() * self.chunk) / (1 - kept).sqrt()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 7, 20, 100])
def test_perfect_noise_prediction_gives_the_chunk_back(rig, batch, sampler, steps):
    model = network(rig, batch, sampler=sampler, steps=steps)
    opened = (batch.action_gripper > 0.5).float()
    model.unet = PerfectUNet(model.normalise(batch.actions, opened).transpose(1, 2), model.scheduler)
    prediction = model(*inputs(batch))
    torch.testing.assert_close(prediction.joints, batch.actions, atol=1e-4, rtol=0)
    torch.testing.assert_close(prediction.gripper, opened, atol=1e-4, rtol=0)


def test_ddpm_is_ddpm(rig, batch):
    model = network(rig, batch, sampler="ddpm", steps=10)
    scheduler = DDPMScheduler(100, beta_schedule="squaredcos_cap_v2")
    scheduler.set_timesteps(10)
    alone = [x[:1] for x in inputs(batch)]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 8, generator=generator)
    with torch.no_grad():
        condition = model.observe(*alone)
        for t in scheduler.timesteps:
            x = scheduler.step(model.unet(x, t[None], condition), t, x, generator=generator).prev_sample
    middle, half = model.action_range()
    torch.testing.assert_close(model(*alone).joints, x[:, :7].transpose(1, 2) * half + middle, atol=1e-4, rtol=0)


def test_learns_which_chunk_belongs_to_which_state(rig):
    b = synthetic.training_batch(synthetic.windows(rig.resize(16, 16), 2, seed=3, chunk=8, episodes=2), 64)
    model = network(rig, b, size=(16, 16), unet_widths=(64,), step_dim=64)
    often = type(b)(**{name: value.repeat(16, *[1] * (value.dim() - 1)) for name, value in vars(b).items()})
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    history = []
    for i in range(150):
        optimizer.param_groups[0]["lr"] = 6e-3 * min(1, (i + 1) / 20) * (1 - i / 150)
        loss = sum(model.losses(often).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert np.mean(history[-10:]) < 0.15 * history[0]
    half, keep = model.action_range()[1], ~b.is_pad
    apart = ((b.actions[0] - b.actions[1]) / half).abs().mean()
    for sampler in SAMPLERS:
        trained = DiffusionPolicy(replace(model.config, sampler=sampler), rig.resize(16, 16), model.statistics)
        trained.load_state_dict(model.state_dict())
        prediction = trained(*inputs(b))
        assert ((prediction.joints - b.actions) / half).abs()[keep].mean() < 0.25 * apart
        assert (prediction.gripper - b.action_gripper).abs()[keep].mean() < 0.25


@pytest.mark.parametrize(("chunk_size", "unet_widths"), [(5, (8,)), (6, (8, 16)), (4, (8, 16, 16)), (20, (8, 16, 16))])
def test_shapes(rig, batch, chunk_size, unet_widths):
    prediction = network(rig, chunk_size=chunk_size, unet_widths=unet_widths)(*inputs(batch))
    assert prediction.joints.shape == (3, chunk_size, 7) and prediction.gripper.shape == (3, chunk_size)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_same_inputs_same_chunk_whatever_else_is_in_the_batch(rig, batch, sampler):
    model = network(rig, batch, sampler=sampler)
    together = model(*inputs(batch)).joints
    torch.manual_seed(5)
    torch.testing.assert_close(model(*inputs(batch)).joints, together, atol=0, rtol=0)
    alone = model(*(x[1:2] for x in inputs(batch))).joints
    torch.testing.assert_close(alone, together[1:2], atol=1e-4, rtol=0)
    assert not torch.allclose(network(rig, batch, sampler=sampler, seed=1)(*inputs(batch)).joints, together, atol=1e-2)


def test_everything_is_read(rig, batch):
    model = network(rig, batch)
    condition = model.observe(*inputs(batch))
    for i in range(4):
        others = [1 - x if i == j else x for j, x in enumerate(inputs(batch))]
        assert not torch.allclose(condition, model.observe(*others), atol=1e-4), f"input {i} changes nothing"


def test_even_heat_is_the_middle_of_a_view(rig, batch):
    model = network(rig, batch)
    nn.init.zeros_(model.heat.weight)
    assert model.observe(*inputs(batch))[:, : 4 * 8 * 2].abs().max() < 1e-6


def test_every_parameter_learns(rig, batch):
    model = network(rig, batch)
    sum(model.losses(batch).values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_loss_is_the_mean_square_of_the_noise_that_is_missed(rig, batch):
    model = network(rig, batch)
    b = replace(batch, is_pad=torch.zeros_like(batch.is_pad))
    for p in model.unet.head[1].parameters():
        nn.init.zeros_(p)
    # Noise has variance 1, and none of it is found.
    with torch.no_grad():
        terms = [model.losses(b) for _ in range(20)]
    for name, share in (("joints", 7 / 8), ("gripper", 1 / 8)):
        assert sum(t[name].item() for t in terms) / 20 == pytest.approx(share, rel=0.2)
    model.unet = PerfectUNet(model.normalise(b.actions, b.action_gripper).transpose(1, 2), model.scheduler)
    assert sum(model.losses(b).values()) < 1e-6


def test_padded_actions_change_no_loss(rig, batch):
    model = network(rig, batch)
    is_pad = torch.zeros_like(batch.is_pad)
    is_pad[0, 5:] = is_pad[1, 1:] = True
    last = batch.actions.clone()
    last[0, 5:], last[1, 1:] = last[0, 4], last[1, 0]
    base = replace(batch, actions=last, is_pad=is_pad)
    other = replace(
        base,
        actions=last + is_pad[..., None],
        action_gripper=torch.where(is_pad, 1 - batch.action_gripper, batch.action_gripper),
    )
    torch.manual_seed(0)
    terms = model.losses(base)
    torch.manual_seed(0)
    for name, value in model.losses(other).items():
        torch.testing.assert_close(value, terms[name], atol=0, rtol=0, msg=name)
    assert sum(model.losses(replace(batch, is_pad=torch.ones_like(is_pad))).values()) == 0


def test_actions_that_were_measured_are_never_clipped(rig, batch):
    model = network(rig, batch)
    known = model.normalise(batch.actions, batch.action_gripper)[~batch.is_pad]
    assert (known[:, :7].abs() < 1).all() and set(known[:, 7].tolist()) <= {-1.0, 1.0}
    assert (model.action_max - model.action_min >= 0.2 - 1e-6).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_chunks_are_finite_and_within_the_range(rig, batch, sampler, scale):
    model = network(rig, batch, sampler=sampler)
    for p in model.unet.parameters():
        p.data.mul_(scale**0.5)
    images, q, gripper, text = inputs(batch)
    prediction = model(images.round(), scale * q, gripper, scale * text)
    assert ((prediction.joints >= model.action_min - 1e-5) & (prediction.joints <= model.action_max + 1e-5)).all()
    assert ((prediction.gripper >= 0) & (prediction.gripper <= 1)).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_loaded_network_gives_the_same_chunk(rig, batch, tmp_path, sampler):
    controller = Controller(network(rig, batch, sampler=sampler), TextEncoder.tiny())
    controller.save(tmp_path / "exact", torch.float32)
    controller.save(tmp_path / "half")
    given = (255 * batch.images[0]).byte().permute(0, 2, 3, 1).numpy(), PANDA.home, 1.0, "push the button"
    expected, opened = controller.act(*given)
    exact = Controller.load(tmp_path / "exact")
    positions, again = exact.act(*given)
    np.testing.assert_allclose(positions, expected, atol=1e-5)  # the engine of a loaded one folds norms
    np.testing.assert_array_equal(opened, again)
    np.testing.assert_array_equal(Controller.load(tmp_path / "exact").act(*given)[0], positions)
    np.testing.assert_allclose(Controller.load(tmp_path / "half").act(*given)[0], expected, atol=0.05)
    exact.model.unet.head[1].bias[0] = torch.nan
    with pytest.raises(RuntimeError, match="not finite"):
        exact.act(*given)


@pytest.mark.gpu
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_captured_graph_gives_the_same(rig, batch, sampler):
    model = network(rig, batch, sampler=sampler).to("cuda")
    targets = (255 * batch.images[:1]).byte().permute(0, 1, 3, 4, 2).contiguous()
    given = targets, *(x[:1] for x in inputs(batch)[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that nothing was captured
        for ours, expected in zip(Engine(model).act(*given), Engine(model, tuned=False).act(*given), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-2, atol=1e-2)  # TF32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunk_size": 22}, r"multiple of 4, because unet_widths .* halve the chunk 2 times: 20 or 24"),
        ({"chunk_size": 2}, "4 or 8 would do"),
        ({"widths": (64, 128)}, "one length"),
        ({"film_stages": (4,)}, "film_stages"),
        ({"size": (32, 32)}, "more than 32 pixels"),
        ({"unet_widths": (12, 24, 48)}, "multiples of 8"),
        ({"unet_widths": ()}, "multiples of 8"),
        ({"kernel_size": 4}, "kernel_size 4 odd"),
        ({"step_dim": 15}, "step_dim 15"),
        ({"steps": 101}, "1 to train_steps 100"),
        ({"sampler": "euler"}, "sampler is 'euler'; valid are ddim, ddpm"),
    ],
)
def test_impossible_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(DiffusionPolicyConfig(), **change)


def test_preset_trains_on_a_data_set(tmp_path, monkeypatch):
    """The second of its two episodes is shorter than a chunk."""
    with DatasetWriter(tmp_path / "data", recorded.rig()) as writer:
        writer.add(recorded.episode(0))
        writer.add(recorded.episode(1, T=4))
    TextEncoder.tiny(64).save(tmp_path / "text")
    small = replace(synthetic.tiny_diffusion_policy(), text_encoder=str(tmp_path / "text"))
    monkeypatch.setitem(config.PRESETS, "diffusion-policy", small)
    out = tmp_path / "out"
    train_controller(
        ControllerTraining(
            tmp_path / "data", out, preset="diffusion-policy", steps=2, batch_size=3, backgrounds=4, workers=1
        )
    )
    controller = Controller.load(out / "controller")
    assert isinstance(controller.model, DiffusionPolicy) and controller.chunk_size == 8
    drawing = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    assert controller.act(drawing, PANDA.home, 1.0, "push the red button")[0].shape == (8, 7)
