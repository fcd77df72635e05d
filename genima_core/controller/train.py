"""Trains the controller on spheres over random backgrounds."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from genima_core.cameras import CameraRig
from genima_core.capture import channels_last
from genima_core.controller.augment import Augmentation, Recode
from genima_core.controller.config import Preset
from genima_core.controller.config import preset as controller_preset
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.network import TrainingBatch
from genima_core.controller.networks import NETWORKS
from genima_core.controller.policy import Controller
from genima_core.controller.scores import Score, as_numbers, score
from genima_core.data.dataset import Dataset
from genima_core.data.windows import FollowingWindows, WindowCache
from genima_core.device import choose_device
from genima_core.diffusion.autoencoder import load_autoencoder, to_latents, to_pictures
from genima_core.language import TextEncoder
from genima_core.targets.backgrounds import FolderBackgrounds, ProceduralBackgrounds
from genima_core.training.average import decay_at, follow, frozen_copy
from genima_core.training.config import ControllerTraining
from genima_core.training.run import Run, out_of_memory
from genima_core.training.schedule import count_steps, relative_rate

REMEDY = "lower --batch-size, or end other programs that use the GPU (nvidia-smi lists it)"
"""For too little GPU memory."""


def train_controller(training: ControllerTraining) -> None:
    """Trains the controller that follows drawn targets; resumes a run that is in the folder.

    Raises:
        ValueError: what the preset, the device or the data cannot do.
        FileNotFoundError: a pretrained part that is not there.
    """
    chosen, device = controller_preset(training.preset), choose_device(training.device)
    train = chosen.train
    chosen = replace(
        chosen,
        backbone=training.backbone or chosen.backbone,
        text_encoder=training.text_encoder or chosen.text_encoder,
        train=replace(
            train,
            batch_size=train.batch_size if training.batch_size is None else training.batch_size,
            variants=train.variants if training.variants is None else training.variants,
        ),
    )
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    text = (
        TextEncoder.load(chosen.text_encoder, device)
        if chosen.text_encoder
        else TextEncoder.tiny(chosen.model.text_dim)
    )
    if text.pooled_width != chosen.model.text_dim:
        raise ValueError(
            f"the text encoder gives {text.pooled_width} numbers, preset {training.preset!r} needs "
            f"{chosen.model.text_dim}; leave --text-encoder out, or give one of that width"
        )
    model, seed, workers = chosen.model, training.seed, training.workers
    cache = WindowCache.build(Dataset(training.data), model.chunk_size, model.size, workers=workers)
    text.check_distinct(cache.instructions)
    following, validation = (
        FollowingWindows(cache, split, chosen.train.variants, seed=seed, workers=workers) for split in ("train", "val")
    )
    width, height = model.size
    source: FolderBackgrounds | ProceduralBackgrounds
    source = FolderBackgrounds(training.textures) if training.textures else ProceduralBackgrounds()
    pictures = source.sample(np.random.default_rng(seed), training.backgrounds, height, width)
    bank = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
    recode = drawing_coder(training.autoencoder, device) if training.autoencoder else None
    learner = Learner(chosen, cache.rig, following, text, bank, seed, recode, device, cache.fingerprint)
    fit(learner, validation, training.out, training.steps, training.minutes, training.every, checked=training.checked)


class Learner:
    """The network, its average, its optimizer, and what they learn from."""

    def __init__(
        self,
        preset: Preset,
        rig: CameraRig,
        windows: FollowingWindows,
        text: TextEncoder,
        backgrounds: Tensor,
        seed: int,
        recode: Recode | None = None,
        device: str = "cpu",
        dataset: str = "",
    ) -> None:
        """`windows` as `FollowingWindows` gives them; `backgrounds` (N, 3, H, W) uint8; `dataset` is a fingerprint."""
        self.preset, self.rig, self.windows, self.text = preset, rig, windows, text
        self.backgrounds, self.seed, self.device, self.dataset = backgrounds, seed, device, dataset
        frames = DrawnFrames(rig).to(device)
        self.augmentation = Augmentation(preset.augment, frames, recode)
        # Nobody can follow what is not there: validation has its own check for blank pictures.
        self.degradation = Augmentation(replace(preset.augment, blank=0.0), frames, recode)
        torch.manual_seed(seed)
        network = NETWORKS[preset.model.network]
        sample = read_numbers(windows, torch.randperm(len(windows))[:4096].tolist())
        self.statistics = network.statistics_type.measure(*sample, DrawnFrames(rig))
        self.model = network(preset.model, rig, self.statistics)
        if preset.backbone:
            self.model.load_backbone(preset.backbone)
        channels_last(self.model, device)
        self.average = frozen_copy(self.model)
        t = preset.train
        backbone = self.model.backbone_parameters()
        chosen = {id(p) for p in backbone}
        rest = [p for p in self.model.parameters() if id(p) not in chosen]
        self.optimizer = torch.optim.AdamW(
            [{"params": rest, "peak": t.learning_rate}, {"params": backbone, "peak": t.backbone_rate}],
            lr=t.learning_rate,
            weight_decay=t.weight_decay,
            fused=True,
        )

    def pick_backgrounds(self, count: int) -> Tensor:
        """(count, 4, 3, H, W) uint8 at random, mirrored at random."""
        chosen = self.backgrounds[torch.randint(len(self.backgrounds), (count, 4))]
        return torch.where(torch.rand(count, 4, 1, 1, 1) < 0.5, chosen, chosen.flip(-1)).to(self.device)

    def embed(self, instructions: Sequence[str]) -> Tensor:
        return self.text.pooled(instructions).to(self.device)

    def step(self, rate: float, decay: float) -> dict[str, float]:
        """One update at `rate` times the learning rate; the average keeps `decay` of itself. Returns the losses.

        Raises:
            RuntimeError: the GPU's memory is too small for the batch.
        """
        t, model = self.preset.train, self.model
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        model.train()
        with out_of_memory(REMEDY):
            terms = model.losses(self.batch())
            total = torch.stack(list(terms.values())).sum()
            self.optimizer.zero_grad(set_to_none=True)
            total.backward()
        if t.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), t.clip)
        self.optimizer.step()
        follow(self.average, model, decay)
        return {"loss": total.item(), **{name: value.item() for name, value in terms.items()}}

    def batch(self) -> TrainingBatch:
        """Windows at random, augmented."""
        count = self.preset.train.batch_size
        batch = fetch(self.windows, torch.randint(len(self.windows), (count,)).tolist(), self.device)
        pictures = self.augmentation(
            batch["rgb"], batch["alpha"], batch["q"], batch["actions"][:, -1], self.pick_backgrounds(count)
        )
        return TrainingBatch(
            pictures.images,
            batch["q"],
            batch["gripper"],
            self.embed(batch["instruction"]),
            batch["actions"],
            batch["action_gripper"],
            batch["is_pad"],
            pictures.pixels,
            pictures.shown,
        )

    def validate(self, windows: FollowingWindows, count: int = 256) -> dict[str, Score]:
        """Scores of the averaged weights on held-out windows, always the same ones; see `scores.CHECKS`."""
        torch.manual_seed(12345)
        batch = fetch(windows, torch.randperm(len(windows))[:count].tolist(), self.device)
        return score(
            self.average,
            batch,
            self.embed(batch["instruction"]),
            self.pick_backgrounds(len(batch["q"])),
            self.degradation,
        )

    def controller(self) -> Controller:
        """The averaged weights, ready for use."""
        return Controller(self.average, self.text, self.device)


def fit(
    learner: Learner,
    validation: FollowingWindows,
    out: Path,
    steps: int | None = None,
    minutes: float | None = None,
    every: int = 250,
    show_progress: bool = True,
    checked: int = 256,
) -> dict[str, Score]:
    """The loop of `train_controller`."""
    t = learner.preset.train
    if steps is None and minutes is None:
        steps = count_steps(t.steps, t.epochs, len(learner.windows), t.batch_size)
    options = {"seed": learner.seed, "preset": asdict(learner.preset), "dataset": learner.dataset}
    stateful = {"model": learner.model, "average": learner.average, "optimizer": learner.optimizer}
    scores: dict[str, Score] = {}
    with Run(out, stateful, options, steps, minutes, t.batch_size, show_progress=show_progress) as run:
        while run.progress < 1:
            # Kornia takes no generator: batch, augmentation, dropout and latent all follow from seed and step.
            torch.manual_seed(run.generator().initial_seed())
            rate = relative_rate(run.progress, t.warmup, t.final_rate)
            run.advance(learner.step(rate, decay_at(run.step, t.ema)))
            if run.is_checkpoint(every):
                scores = learner.validate(validation, checked)
                run.validated(as_numbers(scores), " | ".join(f"{name} {score}" for name, score in scores.items()))
                learner.controller().save(out / "controller")
        scores = scores or learner.validate(validation, checked)
        learner.controller().save(out / "controller")
        run.finish(as_numbers(scores), learner.model)
    return scores


def fetch(windows: FollowingWindows, index: Sequence[int], device: str = "cpu") -> dict:
    """A batch of windows by index."""
    batch = default_collate([windows[i] for i in index])
    return {
        k: v.to(device, torch.float32)
        if isinstance(v, Tensor) and v.is_floating_point()
        else v.to(device)
        if isinstance(v, Tensor)
        else v
        for k, v in batch.items()
    }


def read_numbers(windows: FollowingWindows, index: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Joints (N, 7), actions (N, K, 7) and padding (N, K) of windows, read in portions: pictures need much memory."""
    portions = [fetch(windows, index[i : i + 256]) for i in range(0, len(index), 256)]
    q, actions, is_pad = (torch.cat([p[name] for p in portions]) for name in ("q", "actions", "is_pad"))
    return q, actions, is_pad


def drawing_coder(autoencoder: Path, device: str) -> Recode:
    """Pictures as the drawing agent's decoder would show them, from latents that are a little wrong."""
    coder = load_autoencoder(autoencoder, device)

    @torch.inference_mode()
    def recode(images: Tensor, noise: Tensor) -> Tensor:
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        latents = to_latents(coder, flat)
        latents = latents + noise.repeat_interleave(images.shape[1])[:, None, None, None] * torch.randn_like(latents)
        return to_pictures(coder, latents).reshape(images.shape)

    return recode
