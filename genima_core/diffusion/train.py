"""Trains the drawing agent with accelerate: on one process, or under `accelerate launch` on many."""

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from genima_core.config import given, pick
from genima_core.data.cache import WindowCache
from genima_core.device import choose_device, out_of_memory
from genima_core.diffusion.agent import PRECISIONS, DiffusionAgent
from genima_core.diffusion.building import TrainableNetworks, build
from genima_core.diffusion.config import PRESETS, DiffusionConfig
from genima_core.diffusion.examples import Batch, DrawingExamples, windows_of
from genima_core.diffusion.networks import PromptEmbeddings
from genima_core.pixels import tile
from genima_core.targets.detect import score_drawing
from genima_core.targets.draw import over_observation
from genima_core.targets.look import GRIPPER_OPEN_ABOVE
from genima_core.training.config import DiffusionTraining
from genima_core.training.run import (
    Run,
    count_steps,
    follow,
    frozen_copy,
    learning_rate,
    set_up,
    shuffled,
    write_pictures,
)

MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
OUT_OF_MEMORY = (
    "out of GPU memory while training: raise --accumulate, use --precision bfloat16 or --checkpointing, or lower "
    "--batch-size"
)


def train_diffusion(training: DiffusionTraining) -> None:
    """Trains the agent that draws targets; resumes a run that is in the folder. ValueError: what cannot be done."""
    config = replace(pick(PRESETS, training.preset, "preset"), **given(batch_size=training.batch_size))
    set_up(training)
    device = str(make_accelerator(training).device)
    cache = windows_of(training, config)
    parts = training.autoencoder, training.base, training.controlnet
    trainable = build(config, *parts, cache.instructions, training.seed, device)
    trainable.networks.prompts.check_distinct(cache.instructions)
    fit_diffusion(training, cache, config, trainable)


def make_accelerator(training: DiffusionTraining) -> Accelerator:
    """How a step is done; what is learnt does not depend on it, but for rounding."""
    device = choose_device(training.device)
    if device == "cpu" and training.precision == "float16":
        raise ValueError("precision float16 needs a GPU; take bfloat16 or float32, or --device cuda")
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    return Accelerator(cpu=device == "cpu", mixed_precision=MIXED[training.precision])


def attention(device: torch.device) -> AbstractContextManager[None]:
    """On CPUs the plain attention: torch's fused one has a slow way back, in bfloat16 a fifth of a whole step."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


class Learner(nn.Module):
    """The networks that learn, as one module whose forward pass is their prediction; the frozen ones stand aside."""

    def __init__(self, trainable: TrainableNetworks) -> None:
        super().__init__()
        parts = trainable.networks.parts()
        self.learning = nn.ModuleDict({name: parts[name] for name in trainable.trained})
        self.networks = (trainable.networks,)  # in a tuple, or all of them would be registered

    def forward(self, noisy: Tensor, t: Tensor, prompts: PromptEmbeddings, observed: Tensor) -> Tensor:
        return self.networks[0].predict(noisy, t, prompts, observed)


def fit_diffusion(
    training: DiffusionTraining,
    cache: WindowCache,
    config: DiffusionConfig,
    trainable: TrainableNetworks,
    show_progress: bool = True,
) -> DiffusionAgent:
    """The loop of `train_diffusion`; `checked` held-out windows are drawn every `every` steps, four times as many last.

    Learning is a function of the options and the step only, so a resumed run gives the same weights. ValueError: a
    batch that cannot be shared out; a budget in minutes on several processes; a state to resume from that does not fit;
    RuntimeError: out of GPU memory.
    """
    accelerator = make_accelerator(training)
    main, processes = accelerator.is_main_process, accelerator.num_processes
    parts = processes * training.accumulate
    if config.batch_size % parts:
        shares = f"{processes} processes in {training.accumulate} parts each"
        remedy = f"choose --batch-size as a multiple of {parts}"
        raise ValueError(f"a batch of {config.batch_size} cannot be shared by {shares}; {remedy}")
    if training.minutes is not None and processes > 1:
        raise ValueError("with several processes give --steps, not --minutes: their clocks differ")
    show_progress = show_progress and main
    networks = trainable.networks
    prepare_frozen(trainable, training)
    examples = DrawingExamples(cache, networks, config.crop_px, config.jitter, show_progress)
    if len(examples) < parts:
        raise ValueError(f"{len(examples)} training windows cannot be shared in {parts} parts; record more episodes")
    learner = Learner(trainable).train()
    average = nn.ModuleDict({name: frozen_copy(part) for name, part in learner.learning.items() if config.ema > 0})
    parameters, decay = learner.parameters(), config.weight_decay
    optimizer = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=decay, fused=True)
    drawing = replace(networks, **given(**average))
    agent = DiffusionAgent.assemble(drawing, config.size, config.draw_steps, cache.look, cache.rig.names)
    # The scaling factor is measured after an autoencoder's training, so it tells one from another.
    coder = networks.vae.config.scaling_factor
    options = {"config": asdict(config), "dataset": cache.fingerprint, "autoencoder": coder, "parts": parts}
    stateful = {"learner": learner.learning, "average": average, "optimizer": optimizer}
    model, stepper = accelerator.prepare(learner, optimizer)
    if accelerator.scaler is not None:
        stateful["scaler"] = accelerator.scaler
    order = cache.balanced("train") - examples.windows.start
    steps = count_steps(config.steps, config.epochs, len(order), config.batch_size)
    with Run(training, stateful, options, steps, config.batch_size, main, show_progress) as run:
        changed: tuple[str, ...] = ()  # at first all parts are written: those in the folder may be of another run

        def save_and_score(count: int) -> dict[str, float]:
            nonlocal changed
            agent.save(run.out / "agent", changed)
            changed = trainable.trained
            with accelerator.autocast():
                return score_agent(agent, cache, run.out / "validation.png", count)

        while run.progress < 1:
            index = order[shuffled(len(order), config.batch_size, run.step, training.seed)].tolist()
            rate = learning_rate(config.learning_rate, config.schedule, config.warmup_steps, run.step, run.progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses = []
            for i in range(training.accumulate):
                part = accelerator.process_index * training.accumulate + i
                generator = run.generator(part)
                last = i == training.accumulate - 1
                sync = nullcontext() if last else accelerator.no_sync(model)
                with sync, attention(accelerator.device), out_of_memory(OUT_OF_MEMORY):
                    batch = examples.batch(index[part::parts], generator)
                    with accelerator.autocast():
                        loss = drawing_loss(model, trainable, batch, config, generator)
                    accelerator.backward(loss / training.accumulate)
                losses.append(loss.detach())
            accelerator.clip_grad_norm_(model.parameters(), config.clip)
            stepper.step()
            stepper.zero_grad(set_to_none=True)
            if config.ema > 0:
                follow(average, learner.learning, run.step, config.ema)
            loss = accelerator.reduce(torch.stack(losses).mean(), "mean").item()
            run.advance({"loss": loss, "learning_rate": rate})
            if run.is_checkpoint:
                if main:
                    run.validated(save_and_score(training.checked))
                accelerator.wait_for_everyone()
        if main:
            run.finish(save_and_score(4 * training.checked), learner)
        accelerator.wait_for_everyone()
    return agent


def drawing_loss(
    model: nn.Module, trainable: TrainableNetworks, batch: Batch, config: DiffusionConfig, generator: torch.Generator
) -> Tensor:
    """Squared error of a `Learner`'s predictions from noisy latents; patches with targets count more."""
    clean, noising, networks = batch.latents, trainable.noising, trainable.networks
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    last = noising.config.num_train_timesteps
    u = torch.rand(len(clean), generator=generator) ** (1 / (1 + config.noise_bias))
    t = (u * last).long().clamp(max=last - 1).to(clean.device)
    noisy = noising.add_noise(clean, noise, t).contiguous(memory_format=torch.channels_last)
    prompts = networks.prompts.embed(batch.instructions).to(clean.device)
    observed = batch.observed.contiguous(memory_format=torch.channels_last)
    predicted = model(noisy, t, prompts, observed).float()
    targets = {
        "sample": lambda: clean,
        "epsilon": lambda: noise,
        "v_prediction": lambda: noising.get_velocity(clean, noise, t),
    }
    target = targets[noising.config.prediction_type]()
    weight = 1 + config.sphere_weight * batch.spheres
    return (weight * F.mse_loss(predicted, target, reduction="none")).mean() / weight.mean()


def score_agent(agent: DiffusionAgent, cache: WindowCache, picture: Path, count: int) -> dict[str, float]:
    """Draws held-out windows; `picture` gets observation, drawing and truth of eight of them.

    "found" is the share of the visible spheres that are drawn near their true centre; the others are of those.
    """
    windows = np.linspace(cache.windows("val").start, cache.windows("val").stop - 1, count).astype(int)
    rows, errors = [], []
    visible, found = Counter[str](), Counter[str]()
    for w in windows:
        images, views = np.array(cache.images[w]), cache.views(w)
        drawing = agent.draw(images, cache.instructions[cache.episode_index[w]], seed=int(w))
        score = score_drawing(drawing, views, images, bool(cache.gripper_target[w] > GRIPPER_OPEN_ABOVE), cache.look)
        task = cache.tasks[cache.episode_index[w]]
        visible[task] += int(score.visible.sum())
        found[task] += int(score.found.sum())
        errors.append(score.error_px[score.found])
        rows.append((tile(images), tile(drawing), tile(over_observation(views, images))))
    write_pictures(picture, rows[:: max(1, len(rows) // 8)][:8])
    error = np.concatenate(errors)
    median, p90 = (float(np.quantile(error, q)) if len(error) else float(agent.size[0]) for q in (0.5, 0.9))
    scores = {"found": len(error) / max(visible.total(), 1), "error_px_median": median, "error_px_p90": p90}
    by_task = {f"found/{task}": found[task] / max(count, 1) for task, count in visible.items()}
    return scores | by_task if len(by_task) > 1 else scores


def prepare_frozen(trainable: TrainableNetworks, training: DiffusionTraining) -> None:
    """Saves memory: what is frozen needs no float32, and activations can be computed twice."""
    networks = trainable.networks
    networks.cast(PRECISIONS[training.precision], kept=trainable.trained)
    if training.checkpointing:
        networks.unet.enable_gradient_checkpointing()
        if networks.controlnet is not None:
            networks.controlnet.enable_gradient_checkpointing()
