"""Trains the drawing agent with accelerate: on one process, or under `accelerate launch` on many."""

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from genima_core.data.cache import WindowCache
from genima_core.data.dataset import Dataset
from genima_core.device import choose_device
from genima_core.diffusion.agent import DiffusionAgent
from genima_core.diffusion.building import TrainableNetworks, build
from genima_core.diffusion.config import DiffusionConfig
from genima_core.diffusion.config import preset as diffusion_preset
from genima_core.diffusion.examples import Batch, DrawingExamples
from genima_core.diffusion.networks import cast
from genima_core.diffusion.prompts import PromptEmbeddings
from genima_core.diffusion.scores import score_agent
from genima_core.training.average import decay_at, follow, frozen_copy
from genima_core.training.config import DiffusionTraining, Precision
from genima_core.training.run import Run, out_of_memory
from genima_core.training.schedule import count_steps, learning_rate, shuffled

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
"""What accelerate calls them."""
REMEDY = "raise --accumulate, use --precision bfloat16 or --checkpointing, or lower --batch-size"
"""For too little GPU memory."""


@dataclass(frozen=True)
class Resources:
    """How the work of a step is done; what is learnt does not depend on it, but for rounding."""

    device: str = "cpu"
    precision: Precision = "float32"
    """Of the passes; what learns is kept in float32."""
    accumulate: int = 1
    """Parts that a process does one after the other."""
    checkpointing: bool = False
    """Compute activations twice instead of keeping them."""

    def accelerator(self) -> Accelerator:
        """
        Raises:
            ValueError: not possible on this device.
        """
        cpu = self.device == "cpu"
        if cpu and self.precision == "float16":
            raise ValueError("precision float16 needs a GPU; take bfloat16 or float32, or --device cuda")
        choose_device(self.device)
        if self.device.startswith("cuda:"):
            torch.cuda.set_device(self.device)
        return Accelerator(cpu=cpu, mixed_precision=MIXED[self.precision])


def train_diffusion(training: DiffusionTraining) -> None:
    """Trains the agent that draws targets; resumes a run that is in the folder.

    Raises:
        ValueError: what the preset, the device or the data cannot do.
    """
    config = diffusion_preset(training.preset, batch_size=training.batch_size)
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    device = choose_device(training.device)
    resources = Resources(device, training.precision, training.accumulate, training.checkpointing)
    accelerator = resources.accelerator()
    trainable = build(
        config, training.autoencoder, training.base, training.controlnet, training.seed, str(accelerator.device)
    )
    with accelerator.main_process_first():
        cache = WindowCache.build(Dataset(training.data), config.horizon, config.size, workers=training.workers)
    trainable.networks.prompts.check_distinct(cache.instructions)
    fit_diffusion(
        cache,
        training.out,
        config,
        trainable,
        training.steps,
        training.minutes,
        training.seed,
        resources,
        training.every,
        checked=training.checked,
    )


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
    cache: WindowCache,
    out: Path,
    config: DiffusionConfig,
    trainable: TrainableNetworks,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    resources: Resources = Resources(),
    every: int = 500,
    show_progress: bool = True,
    checked: int = 16,
) -> DiffusionAgent:
    """The loop of `train_diffusion`; `checked` held-out windows are drawn every `every` steps, four times as many last.

    Learning is a function of the options and the step only, so a resumed run gives the same weights.

    Raises:
        ValueError: a batch that cannot be shared out; a budget in minutes on several processes; a state to resume from
            that does not fit.
        RuntimeError: out of GPU memory.
    """
    accelerator = resources.accelerator()
    main, processes = accelerator.is_main_process, accelerator.num_processes
    parts = processes * resources.accumulate
    if config.batch_size % parts:
        raise ValueError(
            f"a batch of {config.batch_size} cannot be shared by {processes} processes in "
            f"{resources.accumulate} parts each; choose --batch-size as a multiple of {parts}"
        )
    if minutes is not None and processes > 1:
        raise ValueError("with several processes give --steps, not --minutes: their clocks differ")
    show_progress = show_progress and main
    networks = trainable.networks
    prepare_frozen(trainable, resources)
    examples = DrawingExamples(
        cache, networks.vae, config.crop_px, config.jitter, device=str(accelerator.device), show_progress=show_progress
    )
    if len(examples) < parts:
        raise ValueError(f"{len(examples)} training windows cannot be shared in {parts} parts; record more episodes")
    learner = Learner(trainable).train()
    average = nn.ModuleDict({name: frozen_copy(part) for name, part in learner.learning.items() if config.ema > 0})
    optimizer = torch.optim.AdamW(
        learner.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    agent = DiffusionAgent.assemble(networks.replaced(dict(average)), config.size, config.draw_steps)
    if steps is None and minutes is None:
        steps = count_steps(config.steps, config.epochs, len(examples), config.batch_size)
    options = {"seed": seed, "dataset": cache.fingerprint, "batch_size": config.batch_size, "parts": parts}
    stateful = {"learner": learner.learning, "average": average, "optimizer": optimizer}
    model, stepper = accelerator.prepare(learner, optimizer)
    if accelerator.scaler is not None:
        stateful["scaler"] = accelerator.scaler
    with Run(out, stateful, options, steps, minutes, config.batch_size, main, show_progress) as run:
        while run.progress < 1:
            index = shuffled(len(examples), config.batch_size, run.step, seed)
            rate = learning_rate(config.learning_rate, config.schedule, config.warmup_steps, run.step, run.progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses = []
            for i in range(resources.accumulate):
                part = accelerator.process_index * resources.accumulate + i
                generator = run.generator(part)
                last = i == resources.accumulate - 1
                with nullcontext() if last else accelerator.no_sync(model), out_of_memory(REMEDY):
                    batch = examples.batch(index[part::parts], generator)
                    with accelerator.autocast():
                        loss = drawing_loss(model, trainable, batch, config, generator)
                    accelerator.backward(loss / resources.accumulate)
                losses.append(loss.detach())
            accelerator.clip_grad_norm_(model.parameters(), config.clip)
            stepper.step()
            stepper.zero_grad(set_to_none=True)
            if config.ema > 0:
                follow(average, learner.learning, decay_at(run.step, config.ema))
            loss = accelerator.reduce(torch.stack(losses).mean(), "mean").item()
            run.advance({"loss": loss, "learning_rate": rate})
            if run.is_checkpoint(every):
                if main:
                    with accelerator.autocast():
                        score = score_agent(agent, cache, out / "validation.png", checked)
                    run.validated(asdict(score))
                    agent.save(out / "agent", changed=trainable.trained)
                accelerator.wait_for_everyone()
        if main:
            agent.save(out / "agent", changed=trainable.trained)
            with accelerator.autocast():
                score = score_agent(agent, cache, out / "validation.png", 4 * checked)
            run.finish(asdict(score), learner)
        accelerator.wait_for_everyone()
    return agent


def drawing_loss(
    model: nn.Module, trainable: TrainableNetworks, batch: Batch, config: DiffusionConfig, generator: torch.Generator
) -> Tensor:
    """Mean squared error of what the networks predict from noisy latents; patches with targets count more.

    `model` is a `Learner`, or accelerate's wrapper of one.
    """
    clean, noising, networks = batch.latents, trainable.noising, trainable.networks
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    last = noising.config.num_train_timesteps
    u = torch.rand(len(clean), generator=generator) ** (1 / (1 + config.noise_bias))
    t = (u * last).long().clamp(max=last - 1).to(clean.device)
    noisy = noising.add_noise(clean, noise, t).contiguous(memory_format=torch.channels_last)
    prompts = networks.prompts.embed(batch.instructions).to(clean.device)
    with torch.no_grad():
        observed = networks.observe(batch.condition).contiguous(memory_format=torch.channels_last)
    predicted = model(noisy, t, prompts, observed).float()
    kind = noising.config.prediction_type
    target = {
        "sample": lambda: clean,
        "epsilon": lambda: noise,
        "v_prediction": lambda: noising.get_velocity(clean, noise, t),
    }[kind]()
    weight = 1 + config.sphere_weight * batch.spheres
    return (weight * F.mse_loss(predicted, target, reduction="none")).mean() / weight.mean()


def prepare_frozen(trainable: TrainableNetworks, resources: Resources) -> None:
    """Saves memory: what is frozen needs no float32, and activations can be computed twice."""
    networks = trainable.networks
    dtype = DTYPES[resources.precision]
    for name, part in networks.parts().items():
        # SDXL's autoencoder overflows in float16.
        if name not in trainable.trained and not (
            name == "vae" and networks.family == "sdxl" and dtype == torch.float16
        ):
            cast(part, dtype)
    if resources.checkpointing:
        for network in (networks.unet, networks.controlnet):
            if network is not None:
                network.enable_gradient_checkpointing()
