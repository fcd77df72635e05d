"""Trains the drawing agent's autoencoder."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from genima_core.capture import channels_last
from genima_core.config import pick
from genima_core.data.cache import WindowCache
from genima_core.device import choose_device
from genima_core.diffusion.agent import save_half
from genima_core.diffusion.autoencoder import (
    PatchAutoencoder,
    encode,
    load_autoencoder,
    tiled,
    to_latents,
    to_pictures,
    untiled,
)
from genima_core.diffusion.config import PRESETS, AutoencoderConfig
from genima_core.diffusion.examples import CodingPictures, windows_of
from genima_core.pixels import tile
from genima_core.targets.detect import find_centres, visible_targets
from genima_core.targets.draw import over_observation
from genima_core.targets.look import GRIPPER_OPEN_ABOVE
from genima_core.training.config import Training
from genima_core.training.run import Run, learning_rate, set_up, write_pictures


def train_autoencoder(training: Training) -> None:
    """Trains the drawing agent's image coder; resumes a run that is there. ValueError: the preset brings its own."""
    config = pick(PRESETS, training.preset, "preset")
    if config.autoencoder is None:
        raise ValueError(f"preset {training.preset!r} has a pretrained autoencoder: there is nothing to train")
    set_up(training)
    cache = windows_of(training, config)
    fit_autoencoder(training, cache, config.autoencoder)


def fit_autoencoder(
    training: Training, cache: WindowCache, config: AutoencoderConfig, show_progress: bool = True
) -> PatchAutoencoder:
    seed, device = training.seed, choose_device(training.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PatchAutoencoder(config.latent_channels, config.width, config.encoder_blocks, config.decoder_blocks)
    pictures = CodingPictures(cache, seed)
    model.start_from_pca(pictures.batch(256, np.random.default_rng(seed))[0] * 2 - 1)
    model = channels_last(model, device)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=1e-4)
    options = {"config": asdict(config), "dataset": cache.fingerprint}
    stateful = {"model": model, "optimizer": optimizer}
    with Run(training, stateful, options, config.steps, config.batch_size, show_progress=show_progress) as run:
        while run.progress < 1:
            generator = run.generator()
            batch = pictures.batch(config.batch_size, np.random.default_rng([seed, run.step]))
            truth, spheres = (x.to(device) for x in batch)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config.learning_rate, "cosine", 100, run.step, run.progress)
            latents = encode(model, truth)
            # Noise in proportion: latents spend their deviation, whatever it is, on what matters in the picture.
            noise = torch.randn(latents.shape, generator=generator).to(device) * config.latent_noise
            decoded = model.decode(latents + noise * latents.detach().std()).sample / 2 + 0.5
            loss = coding_loss(decoded, truth, spheres, config.sphere_weight)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            run.advance({"loss": loss.item(), "error": (decoded.detach() - truth).square().mean().sqrt().item()})
            if run.is_checkpoint:
                run.validated(score_autoencoder(model, cache, run.out / "validation.png", training.checked))
        # Here and not in the loop: a run that was finished already only comes here, and its state has no configuration.
        with torch.no_grad():
            latents = encode(model, pictures.batch(256, np.random.default_rng(0))[0].to(device))
        model.register_to_config(scaling_factor=float(1 / latents.std()))
        save_half(model, run.out / "vae")
        run.finish(score_autoencoder(model, cache, run.out / "validation.png", training.checked), model)
    return load_autoencoder(run.out / "vae", device)


def coding_loss(decoded: Tensor, truth: Tensor, spheres: Tensor, sphere_weight: float) -> Tensor:
    """Absolute and squared errors, and absolute errors of the differences between neighbours, in [0, 1] units."""
    weight = 1 + sphere_weight * spheres
    error = decoded - truth
    edges = sum((error.diff(dim=d).abs() * weight.narrow(d, 1, weight.shape[d] - 1)).mean() for d in (2, 3))
    return (weight * (error.abs() + 5 * error.square())).mean() + 0.5 * edges


@torch.inference_mode()
def score_autoencoder(model: nn.Module, cache: WindowCache, picture: Path, count: int) -> dict[str, float]:
    """How well held-out drawings survive coding: PSNR, and shifts of the spheres' centres."""
    windows = np.linspace(cache.windows("val").start, cache.windows("val").stop - 1, count).astype(int)
    truth = np.stack([over_observation(cache.views(w), np.array(cache.images[w])) for w in windows])
    x = tiled(torch.from_numpy(truth)).float() / 255
    decoded = to_pictures(model, to_latents(model, x.to(next(model.parameters()).device))).cpu()
    back = untiled(decoded.mul(255).round().byte(), truth.shape[1]).numpy()
    spheres = tiled(torch.from_numpy(np.stack([cache.target_alpha[w][..., None] for w in windows])))[:, 0] > 127
    error = (decoded - x).square().mean(1)
    shifts = []
    for w, one, coded in zip(windows, truth, back, strict=True):
        opened = bool(cache.gripper_target[w] > GRIPPER_OPEN_ABOVE)
        before, after = (find_centres(views, opened, look=cache.look) for views in (one, coded))
        shift = np.linalg.norm(after - before, axis=-1)
        shifts.append(shift[visible_targets(cache.views(w)) & np.isfinite(shift)])
    shown = slice(None, None, max(1, count // 8))
    write_pictures(picture, [(tile(t), tile(b)) for t, b in zip(truth[shown], back[shown], strict=True)])
    shift = np.concatenate(shifts)
    return {
        "psnr_db": float(-10 * error.mean().log10()),
        "psnr_spheres_db": float(-10 * error[spheres].mean().log10()),
        "centre_shift_px_median": float(np.median(shift)),
        "centre_shift_px_p90": float(np.quantile(shift, 0.9)),
    }
