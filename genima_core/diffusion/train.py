"""Trains the drawing agent: first its autoencoder, then UNet and ControlNet."""

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional as F

from genima_core.data.cache import WindowCache
from genima_core.data.dataset import Dataset
from genima_core.diffusion.agent import DiffusionAgent, save_half
from genima_core.diffusion.autoencoder import PatchAutoencoder, load_autoencoder, to_latents, to_pictures
from genima_core.diffusion.config import AutoencoderConfig, DiffusionConfig
from genima_core.diffusion.config import preset as diffusion_preset
from genima_core.diffusion.examples import Batch, CodingPictures, DrawingExamples
from genima_core.diffusion.networks import Networks, build
from genima_core.diffusion.run import Run, learning_rate, shuffled
from genima_core.language import prompt
from genima_core.targets.detect import find_centres, score_drawing, visible_targets
from genima_core.targets.draw import over_observation
from genima_core.tiling import tile

Show = Callable[[str], None]


def train_autoencoder(data: Path, out: Path, preset: str = "demo", steps: int | None = None,
                      minutes: float | None = None, seed: int = 0, device: str = "cpu", threads: int | None = None,
                      workers: int = 2) -> None:
    """Train the drawing agent's image coder; resumes a run that is in the folder.

    Args:
        data: Data set (`genima collect`).
        out: Folder for vae/ (the result), training.pt, loss.png, scores.json, validation.png and tensorboard/.
        preset: demo. The preset sd-turbo has a pretrained one.
        steps: Length of the run; the preset's by default.
        minutes: Length of the run, instead of steps; the learning rate falls in time.
        seed: Of weights, batches and textures.
        device: cpu or cuda.
        threads: Of torch on the CPU.
        workers: Processes that prepare the data once.
    """
    config = diffusion_preset(preset)
    if config.autoencoder is None:
        raise ValueError(f"preset {preset!r} uses the pretrained model's autoencoder: there is nothing to train")
    if threads is not None:
        torch.set_num_threads(threads)
    cache = WindowCache.build(Dataset(Path(data)), config.horizon, config.size, workers=workers)
    fit_autoencoder(cache, Path(out), config.autoencoder, steps, minutes, seed, device)


def train_diffusion(data: Path, out: Path, autoencoder: Path | None = None, base: str | None = None,
                    preset: str = "demo", steps: int | None = None, minutes: float | None = None, seed: int = 0,
                    device: str = "cpu", threads: int | None = None, workers: int = 2, every: int = 500) -> None:
    """Train the agent that draws targets; resumes a run that is in the folder.

    Args:
        data: Data set (`genima collect`).
        out: Folder for agent/ (the result), training.pt, loss.png, scores.json, validation.png and tensorboard/.
        autoencoder: Folder that `genima train autoencoder` wrote (preset demo).
        base: Name or folder of the pretrained model, if not the preset's (preset sd-turbo).
        preset: demo, or sd-turbo.
        steps: Length of the run; the preset's by default.
        minutes: Length of the run, instead of steps; the learning rate falls in time.
        seed: Of weights, batches and noise.
        device: cpu or cuda.
        threads: Of torch on the CPU.
        workers: Processes that prepare the data once.
        every: Steps between two validations.
    """
    config = diffusion_preset(preset)
    if threads is not None:
        torch.set_num_threads(threads)
    networks = build(config, autoencoder, base, seed, device)
    cache = WindowCache.build(Dataset(Path(data)), config.horizon, config.size, workers=workers)
    fit_diffusion(cache, Path(out), config, networks, steps, minutes, seed, device, every)


# --- autoencoder ---------------------------------------------------------------------------------------------------

def fit_autoencoder(cache: WindowCache, out: Path, config: AutoencoderConfig, steps: int | None = None,
                    minutes: float | None = None, seed: int = 0, device: str = "cpu", show_progress: bool = True,
                    every: int = 100, checked: int = 64) -> PatchAutoencoder:
    """The loop of `train_autoencoder`; `checked` held-out windows are scored every `every` steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PatchAutoencoder(config.latent_channels, config.width, config.encoder_blocks, config.decoder_blocks)
    pictures = CodingPictures(cache, seed)
    model.start_from_pca(pictures.batch(256, np.random.default_rng(seed))[0] * 2 - 1)
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=1e-4)
    options = {"seed": seed, "config": asdict(config), "dataset": cache.fingerprint}
    if steps is None and minutes is None:
        steps = config.steps
    with Run(out, {"model": model, "optimizer": optimizer}, options, steps, minutes) as run, _bar(show_progress) as bar:
        task = bar.add_task("autoencoder", total=1.0, completed=run.progress)
        while run.progress < 1:
            generator = run.generator()
            truth, spheres = (x.to(device) for x in pictures.batch(config.batch_size,
                                                                   np.random.default_rng([seed, run.step])))
            rate = learning_rate(config.learning_rate, "cosine", 100, run.step, run.progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            latents = model.encode(truth * 2 - 1).latent_dist.mode()
            # Noise in proportion: latents spend their deviation, whatever it is, on what matters in the picture.
            noise = torch.randn(latents.shape, generator=generator).to(device) * config.latent_noise
            decoded = model.decode(latents + noise * latents.detach().std()).sample / 2 + 0.5
            loss = coding_loss(decoded, truth, spheres, config.sphere_weight)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            run.advance({"loss": loss.item(), "error": (decoded.detach() - truth).square().mean().sqrt().item()})
            if run.step % every == 0 or run.progress >= 1:
                _measure_scale(model, pictures, device)
                score = score_autoencoder(model, cache, out / "validation.png", checked)
                run.log(score, "validation")
                run.save()
                bar.console.print(f"step {run.step} {run.elapsed_s / 60:.1f} min {_line(run.recent())} | "
                                  f"{_line(score)}")
            bar.update(task, completed=run.progress)
        score = score_autoencoder(model, cache, out / "validation.png", checked)
        save_half(model, out / "vae")
        _write_scores(out, run, config.batch_size, score, model)
    return load_autoencoder(out / "vae", device)


def coding_loss(decoded: Tensor, truth: Tensor, spheres: Tensor, sphere_weight: float) -> Tensor:
    """Absolute and squared errors, and absolute errors of the differences between neighbours, in [0, 1] units."""
    weight = 1 + sphere_weight * spheres
    error = decoded - truth
    edges = sum((error.diff(dim=d).abs() * weight.narrow(d, 1, weight.shape[d] - 1)).mean() for d in (2, 3))
    return (weight * (error.abs() + 5 * error.square())).mean() + 0.5 * edges


@torch.inference_mode()
def score_autoencoder(model: nn.Module, cache: WindowCache, picture: Path | None = None,
                      count: int = 64) -> dict[str, float]:
    """How well held-out drawings survive coding: PSNR, and shifts of the spheres' centres."""
    windows = np.linspace(cache.windows("val").start, cache.windows("val").stop - 1, count).astype(int)
    truth = np.stack([over_observation(cache.views(w), np.array(cache.images[w])) for w in windows])
    device = next(model.parameters()).device
    x = torch.from_numpy(np.stack([tile(t) for t in truth])).permute(0, 3, 1, 2).to(device).float() / 255
    decoded = to_pictures(model, to_latents(model, x)).cpu()
    x = x.cpu()
    back = decoded.mul(255).round().byte().unflatten(3, (2, -1)).unflatten(2, (2, -1)).permute(0, 2, 4, 3, 5, 1)
    back = back.flatten(1, 2).numpy()
    spheres = torch.from_numpy(np.stack([tile(cache.target_alpha[w][..., None]) for w in windows])) > 127
    error = (decoded - x).square().mean(1)
    shifts = []
    for w, one, coded in zip(windows, truth, back, strict=True):
        opened = bool(cache.gripper_target[w] > 0.1)
        shift = np.linalg.norm(find_centres(coded, opened) - find_centres(one, opened), axis=-1)
        shifts.append(shift[visible_targets(cache.views(w)) & np.isfinite(shift)])
    if picture is not None:
        _write_picture(picture, [(tile(t), tile(b)) for t, b in zip(truth[::max(1, count // 8)],
                                                                    back[::max(1, count // 8)], strict=True)])
    shift = np.concatenate(shifts)
    return {"psnr_db": float(-10 * error.mean().log10()), "psnr_spheres_db": float(-10 * error[spheres[..., 0]].mean()
                                                                                   .log10()),
            "centre_shift_px_median": float(np.median(shift)), "centre_shift_px_p90": float(np.quantile(shift, 0.9))}


@torch.inference_mode()
def _measure_scale(model: PatchAutoencoder, pictures: CodingPictures, device: str) -> None:
    truth, _ = pictures.batch(256, np.random.default_rng(0))
    latents = model.encode(truth.to(device) * 2 - 1).latent_dist.mode()
    model.register_to_config(scaling_factor=float(1 / latents.std()))


# --- diffusion -----------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class DrawingScores:
    """How well held-out windows are drawn."""

    found: float
    """Share of the visible spheres that are drawn near their true centre."""
    error_px_median: float
    error_px_p90: float


def fit_diffusion(cache: WindowCache, out: Path, config: DiffusionConfig, networks: Networks,
                  steps: int | None = None, minutes: float | None = None, seed: int = 0, device: str = "cpu",
                  every: int = 500, show_progress: bool = True, checked: int = 16) -> DiffusionAgent:
    """The loop of `train_diffusion`; `checked` held-out windows are drawn every `every` steps, four times as many last.

    Learning is a function of the options and the step only, so a resumed run gives the same weights.
    """
    examples = DrawingExamples(cache, networks.autoencoder, config.crop_px, config.jitter, device=device,
                               show_progress=show_progress)
    learner = networks.trained.train()
    average = copy.deepcopy(learner).eval().requires_grad_(False)
    parameters = list(learner.parameters())
    optimizer = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay, fused=True)
    unet = average["unet"] if networks.unet_trains else networks.unet
    agent = DiffusionAgent.assemble(networks.autoencoder, unet, average["controlnet"], networks.drawing, networks.text,
                                    config.size, config.draw_steps)
    if steps is None and minutes is None:
        steps = config.steps or config.epochs * max(1, len(examples) // config.batch_size)
    options = {"seed": seed, "dataset": cache.fingerprint, "batch_size": config.batch_size}
    stateful = {"learner": learner, "average": average, "optimizer": optimizer}
    with Run(out, stateful, options, steps, minutes) as run, _bar(show_progress) as bar:
        task = bar.add_task("diffusion", total=1.0, completed=run.progress)
        while run.progress < 1:
            generator = run.generator()
            batch = examples.batch(shuffled(len(examples), config.batch_size, run.step, seed), generator)
            rate = learning_rate(config.learning_rate, config.schedule, config.warmup_steps, run.step, run.progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = drawing_loss(networks, batch, config, generator)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, config.clip)
            optimizer.step()
            # A short run must not average in its first steps.
            decay = min(config.ema, (1 + run.step) / (10 + run.step)) if config.ema > 0 else 0.0
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), parameters, 1 - decay)
            run.advance({"loss": loss.item(), "learning_rate": rate})
            if run.step % every == 0 or run.progress >= 1:
                score = score_agent(agent, cache, out / "validation.png", checked)
                run.log(asdict(score), "validation")
                run.save()
                agent.save(out / "agent")
                rate = run.step * config.batch_size / run.elapsed_s
                bar.console.print(f"step {run.step} {run.elapsed_s / 60:.1f} min {rate:.1f} samples/s "
                                  f"{_line(run.recent())} | {_line(asdict(score))}")
            bar.update(task, completed=run.progress)
        agent.save(out / "agent")
        score = score_agent(agent, cache, out / "validation.png", 4 * checked)
        _write_scores(out, run, config.batch_size, asdict(score), learner)
    return agent


def drawing_loss(networks: Networks, batch: Batch, config: DiffusionConfig, generator: torch.Generator) -> Tensor:
    """Mean squared error of what the networks predict from noisy latents; patches with targets count more."""
    clean = batch.latents
    noising = networks.noising
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    last = noising.config.num_train_timesteps
    u = torch.rand(len(clean), generator=generator) ** (1 / (1 + config.noise_bias))
    t = (u * last).long().clamp(max=last - 1).to(clean.device)
    noisy = noising.add_noise(clean, noise, t).contiguous(memory_format=torch.channels_last)
    text = networks.text.tokens([prompt(i) for i in batch.instructions]).to(clean.device)
    condition = batch.condition.contiguous(memory_format=torch.channels_last)
    down, middle = networks.controlnet(noisy, t, text, condition, return_dict=False)
    predicted = networks.unet(noisy, t, text, down_block_additional_residuals=down,
                              mid_block_additional_residual=middle, return_dict=False)[0]
    kind = noising.config.prediction_type
    target = {"sample": lambda: clean, "epsilon": lambda: noise,
              "v_prediction": lambda: noising.get_velocity(clean, noise, t)}[kind]()
    weight = 1 + config.sphere_weight * batch.spheres
    return (weight * F.mse_loss(predicted, target, reduction="none")).mean() / weight.mean()


def score_agent(agent: DiffusionAgent, cache: WindowCache, picture: Path | None = None, count: int = 16,
                steps: int | None = None) -> DrawingScores:
    """Draws held-out windows; `picture` gets observation, drawing and truth of the first eight."""
    windows = np.linspace(cache.windows("val").start, cache.windows("val").stop - 1, count).astype(int)
    rows, visible, errors = [], 0, []
    for w in windows:
        images = np.array(cache.images[w])
        drawing = agent.draw(images, cache.instructions[cache.episode_index[w]], seed=int(w), steps=steps)
        views = cache.views(w)
        score = score_drawing(drawing, views, images, bool(cache.gripper_target[w] > 0.1))
        visible += int(score.visible.sum())
        errors.append(score.error_px[score.found])
        rows.append((tile(images), tile(drawing), tile(over_observation(views, images))))
    if picture is not None:
        _write_picture(picture, rows[:: max(1, len(rows) // 8)][:8])
    error = np.concatenate(errors)
    median, p90 = (float(np.quantile(error, q)) if len(error) else float(agent.size[0]) for q in (0.5, 0.9))
    return DrawingScores(len(error) / max(visible, 1), median, p90)


# --- output --------------------------------------------------------------------------------------------------------

def _bar(show_progress: bool) -> Progress:
    return Progress(console=Console(quiet=not show_progress), disable=not show_progress)


def _line(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())


def _write_picture(path: Path, rows: list[tuple[np.ndarray, ...]]) -> None:
    """Rows of tiled pictures (2H, 2W, 3), two rows beside each other, enlarged to be looked at."""
    strips = [np.hstack(row) for row in rows]
    if len(strips) % 2:
        strips.append(np.zeros_like(strips[0]))
    sheet = np.vstack([np.hstack(strips[i:i + 2]) for i in range(0, len(strips), 2)])
    factor = max(1, 2400 // sheet.shape[1])
    sheet = cv2.resize(sheet, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _write_scores(out: Path, run: Run, batch_size: int, score: dict[str, float], model: nn.Module) -> None:
    summary = {"steps": run.step, "minutes": run.elapsed_s / 60,
               "samples_per_s": run.step * batch_size / max(run.elapsed_s, 1e-9),
               "parameters": sum(p.numel() for p in model.parameters()), "scores": score}
    (out / "scores.json").write_text(json.dumps(summary, indent=2) + "\n")
