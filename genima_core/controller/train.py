"""Trains the controller on spheres over random backgrounds, and scores how well it follows held-out windows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import default_collate

from genima_core.cameras import CameraRig
from genima_core.capture import channels_last
from genima_core.config import given, pick
from genima_core.controller.augment import Augmentation, Recode
from genima_core.controller.config import NETWORKS, PRESETS, Preset
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.network import Network, TrainingBatch
from genima_core.controller.policy import Controller
from genima_core.data.cache import WindowCache
from genima_core.data.dataset import Dataset
from genima_core.data.windows import FollowingWindows
from genima_core.device import out_of_memory
from genima_core.diffusion.autoencoder import load_autoencoder, to_latents, to_pictures
from genima_core.language import TextEncoder
from genima_core.targets.backgrounds import FolderBackgrounds, ProceduralBackgrounds
from genima_core.targets.look import LOOKS
from genima_core.training.config import ControllerTraining
from genima_core.training.run import Run, count_steps, follow, frozen_copy, relative_rate, set_up

OUT_OF_MEMORY = "out of GPU memory while training: lower --batch-size, or end other programs that nvidia-smi lists"


@dataclass(frozen=True)
class Score:
    """Errors at the last action, medians over windows: of joints 1 to 6, which four spheres show well, of each joint,
    of the gripper's distance from where the spheres show it, and the share of windows at whose end the gripper is open
    instead of closed, or closed instead of open.

    Where the network tells them, also the gripper's distance at the goal that it solved, and that of its keypoints
    from the visible spheres.
    """

    follow_rad: float
    joints_rad: tuple[float, ...]
    tip_cm: float
    tip_p90_cm: float
    gripper_wrong: float
    goal_tip_cm: float | None = None
    keypoint_px: float | None = None

    def __str__(self) -> str:
        goal = "" if self.goal_tip_cm is None else f", goal {self.goal_tip_cm:.1f} cm, {self.keypoint_px:.2f} px"
        return f"{self.follow_rad:.3f} rad {self.tip_cm:.1f} cm (p90 {self.tip_p90_cm:.1f}{goal})"


@torch.inference_mode()
def score(
    model: Network, batch: Mapping[str, Tensor], text: Tensor, backgrounds: Tensor, augmentation: Augmentation
) -> dict[str, Score]:
    """Scores of a batch of windows over backgrounds (B, V, 3, H, W) uint8.

    "clean" shows opaque spheres, "degraded" what training shows, "shuffled" another window's spheres, "blank" none.
    With the last two the error must grow manifold, or the controller does not read the drawing.
    """
    goal = batch["actions"][:, -1]
    plain = backgrounds.float() / 255
    alpha = batch["alpha"].float() / 255
    clean = plain * (1 - alpha) + batch["rgb"].float() / 255 * alpha
    degraded = augmentation(batch["rgb"], batch["alpha"], batch["q"], goal, backgrounds).images
    pictures = {"clean": clean, "degraded": degraded, "shuffled": clean.roll(1, 0), "blank": plain}
    return {name: _score(model, images, batch, text) for name, images in pictures.items()}


def _score(model: Network, images: Tensor, batch: Mapping[str, Tensor], text: Tensor) -> Score:
    goal, frames = batch["actions"][:, -1], model.frames
    parts = [model(*x) for x in zip(*(t.split(64) for t in (images, batch["q"], batch["gripper"], text)), strict=True)]
    joints = torch.cat([p.joints[:, -1] for p in parts])
    opened = torch.cat([p.gripper[:, -1] > 0.5 for p in parts])
    error = (joints - goal).abs().median(0).values.tolist()

    def tips_cm(joints: Tensor) -> Tensor:
        return 100 * (frames(joints) - frames(goal))[:, 3].norm(dim=-1)

    goal_tip = keypoint_px = None
    if parts[0].goal is not None:
        goal_tip = float(tips_cm(torch.cat([p.goal for p in parts])).median())
    if parts[0].pixels is not None:
        pixels, shown = frames.visible(batch["q"], goal)
        keypoint_px = float((torch.cat([p.pixels for p in parts]) - pixels).norm(dim=-1)[shown].median())
    tip = tips_cm(joints)
    wrong = (opened != (batch["action_gripper"][:, -1] > 0.5)).float().mean()
    tips = float(tip.median()), float(tip.quantile(0.9))
    return Score(sum(error[:6]) / 6, tuple(error), *tips, float(wrong), goal_tip, keypoint_px)


def train_controller(training: ControllerTraining) -> None:
    """Trains the controller that follows drawn targets; resumes a run that is in the folder.

    ValueError, FileNotFoundError: an unknown preset; data or weights that are missing, damaged or do not fit.
    """
    preset, device = pick(PRESETS, training.preset, "preset"), set_up(training)
    dataset = Dataset(training.data)
    preset = replace(
        preset,
        model=replace(preset.model, dt_s=1 / dataset.fps, look=pick(LOOKS, training.look, "look")),
        **given(backbone=training.backbone, text_encoder=training.text_encoder),
        train=replace(preset.train, **given(batch_size=training.batch_size, variants=training.variants)),
    )
    model, seed, workers = preset.model, training.seed, training.workers
    text = TextEncoder.of_width(preset.text_encoder, model.text_dim, dataset.instructions, device)
    steps = model.chunk_size, model.size, preset.train.stride
    cache = WindowCache.build(dataset, *steps, folder=training.cache_folder, workers=workers, look=model.look)
    text.check_distinct(cache.instructions)
    following, validation = (
        FollowingWindows(cache, split, preset.train.variants, seed=seed, workers=workers) for split in ("train", "val")
    )
    width, height = model.size
    source = FolderBackgrounds(training.textures) if training.textures else ProceduralBackgrounds()
    pictures = source.sample(np.random.default_rng(seed), training.backgrounds, height, width)
    bank = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
    recode = drawing_coder(training.autoencoder, device) if training.autoencoder else None
    learner = Learner(preset, cache.rig, following, text, bank, seed, recode, device)
    fit(training, learner, validation, cache.fingerprint)


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
    ) -> None:
        """`windows` as `FollowingWindows` gives them; `backgrounds` (N, 3, H, W) uint8."""
        self.preset, self.windows, self.text = preset, windows, text
        self.backgrounds, self.device = backgrounds, device
        frames = DrawnFrames(rig).to(device)
        self.augmentation = Augmentation(preset.augment, frames, recode)
        # Nobody can follow what is not there: validation has its own check for blank pictures.
        self.degradation = Augmentation(replace(preset.augment, blank=0.0), frames, recode)
        torch.manual_seed(seed)
        network = NETWORKS[preset.model.network]
        sample = torch.randperm(len(windows))[:4096]
        q, actions = windows.q.flatten(0, 1)[sample], windows.actions.flatten(0, 1)[sample]
        is_pad = windows.is_pad[sample // windows.variants]
        self.model = network(preset.model, rig, network.measure(q, actions, is_pad, DrawnFrames(rig)))
        if preset.backbone:
            self.model.load_backbone(preset.backbone)
        channels_last(self.model, device)
        self.average = frozen_copy(self.model)
        t = preset.train
        groups = [
            {"params": self.model.parameters_of(backbone), "peak": rate}
            for backbone, rate in ((False, t.learning_rate), (True, t.backbone_rate))
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=t.learning_rate, weight_decay=t.weight_decay, fused=True)

    def pick_backgrounds(self, count: int) -> Tensor:
        """(count, V, 3, H, W) uint8 at random, mirrored at random."""
        views = len(self.model.frames.rig.cameras)
        chosen = self.backgrounds[torch.randint(len(self.backgrounds), (count, views))]
        return torch.where(torch.rand(count, views, 1, 1, 1) < 0.5, chosen, chosen.flip(-1)).to(self.device)

    def embed(self, instructions: Sequence[str]) -> Tensor:
        return self.text.pooled(instructions).to(self.device)

    def step(self, number: int, rate: float) -> dict[str, float]:
        """One update at `rate` times the learning rate; returns the losses."""
        t, model = self.preset.train, self.model
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        model.train()
        with out_of_memory(OUT_OF_MEMORY):
            terms = model.losses(self.batch())
            total = torch.stack(list(terms.values())).sum()
            self.optimizer.zero_grad(set_to_none=True)
            total.backward()
        if t.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), t.clip)
        self.optimizer.step()
        follow(self.average, model, number, t.ema)
        return {"loss": total.item(), **{name: value.item() for name, value in terms.items()}}

    def batch(self) -> TrainingBatch:
        count = self.preset.train.batch_size
        batch = fetch(self.windows, self.windows.pick(count), self.device)
        text = self.embed(batch.pop("instruction"))
        rgb, alpha, goal = batch.pop("rgb"), batch.pop("alpha"), batch["actions"][:, -1]
        pictures = self.augmentation(rgb, alpha, batch["q"], goal, self.pick_backgrounds(count))
        return TrainingBatch(pictures.images, text=text, pixels=pictures.pixels, shown=pictures.shown, **batch)

    def validate(self, windows: FollowingWindows, count: int) -> dict[str, Score]:
        """Scores of the averaged weights on held-out windows, always the same ones."""
        torch.manual_seed(12345)
        batch = fetch(windows, torch.randperm(len(windows))[:count].tolist(), self.device)
        backgrounds = self.pick_backgrounds(len(batch["q"]))
        return score(self.average, batch, self.embed(batch["instruction"]), backgrounds, self.degradation)


def fit(
    training: ControllerTraining,
    learner: Learner,
    validation: FollowingWindows,
    dataset: str = "",
    show_progress: bool = True,
) -> dict[str, Score]:
    """The loop of `train_controller`; `dataset` is a fingerprint."""
    t = learner.preset.train
    steps = count_steps(t.steps, t.epochs, len(learner.windows), t.batch_size)
    options = {"preset": asdict(learner.preset), "dataset": dataset}
    stateful = {"model": learner.model, "average": learner.average, "optimizer": learner.optimizer}
    controller = Controller(learner.average, learner.text)
    scores: dict[str, Score] = {}
    with Run(training, stateful, options, steps, t.batch_size, show_progress=show_progress) as run:
        while run.progress < 1:
            # Kornia takes no generator: batch, augmentation, dropout and latent all follow from seed and step.
            torch.manual_seed(run.generator().initial_seed())
            run.advance(learner.step(run.step, relative_rate(run.progress, t.warmup, t.final_rate)))
            if run.is_checkpoint:
                scores = learner.validate(validation, training.checked)
                text = " | ".join(f"{name} {score}" for name, score in scores.items())
                run.validated({name: asdict(score) for name, score in scores.items()}, text)
                controller.save(run.out / "controller")
        scores = scores or learner.validate(validation, training.checked)
        controller.save(run.out / "controller")
        run.finish({name: asdict(score) for name, score in scores.items()}, learner.model)
    return scores


def fetch(windows: FollowingWindows, index: Sequence[int], device: str = "cpu") -> dict[str, Any]:
    return send_to_device(default_collate([windows[i] for i in index]), device)


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
