"""Trains the controller on spheres over random backgrounds."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset as Windows
from torch.utils.data import default_collate

from genima_core.cameras import CameraRig
from genima_core.controller.augment import Augmentation, Recode
from genima_core.controller.backbone import heat_targets
from genima_core.controller.config import ControllerConfig, Preset
from genima_core.controller.config import preset as controller_preset
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.model import Act, Prediction, Statistics
from genima_core.controller.policy import Controller
from genima_core.controller.scores import Score, as_numbers, score
from genima_core.data.dataset import Dataset
from genima_core.data.windows import FollowingWindows, WindowCache
from genima_core.diffusion.autoencoder import load_autoencoder, to_latents, to_pictures
from genima_core.diffusion.run import Run
from genima_core.language import TextEncoder
from genima_core.targets.backgrounds import FolderBackgrounds, ProceduralBackgrounds

Text = Callable[[Sequence[str]], Tensor]
"""Instructions (n,) -> embeddings (n, text_dim)."""


def train_controller(data: Path, out: Path, preset: str = "demo", steps: int | None = None,
                     minutes: float | None = None, seed: int = 0, autoencoder: Path | None = None,
                     textures: Path | None = None, text_encoder: str | None = None, backbone: str | None = None,
                     variants: int = 4, backgrounds: int = 3000, device: str = "cpu", threads: int | None = None,
                     workers: int = 2, every: int = 250) -> None:
    """Train the controller that follows drawn targets; resumes a run that is in the folder.

    Args:
        data: Data set (`genima collect`).
        out: Folder for controller/ (the result), training.pt, loss.png, scores.json and tensorboard/.
        preset: demo, or paper.
        steps: Length of the run; the preset's by default.
        minutes: Length of the run, instead of steps; the learning rate falls in time.
        seed: Of weights, batches and augmentation.
        autoencoder: Folder of the drawing agent's autoencoder: pictures take a round trip through it.
        textures: Folder of images for the backgrounds; procedural ones by default.
        text_encoder: Name or folder of a CLIP model, if not the preset's.
        backbone: Name, folder or file of ResNet-18 weights, if not the preset's.
        variants: Windows made of each recorded one, with moved starts and goals.
        backgrounds: Pictures to draw backgrounds from.
        device: cpu or cuda.
        threads: Of torch on the CPU.
        workers: Processes that prepare the data once.
        every: Steps between two validations.
    """
    chosen = controller_preset(preset)
    if threads is not None:
        torch.set_num_threads(threads)
    source = text_encoder or chosen.text_encoder
    text = TextEncoder.load(source, device) if source else TextEncoder.tiny(chosen.model.text_dim)
    if text.pooled_width != chosen.model.text_dim:
        raise ValueError(f"the text encoder gives {text.pooled_width} numbers, preset {preset!r} needs "
                         f"{chosen.model.text_dim}; leave --text-encoder out, or give one of that width")
    model = chosen.model
    cache = WindowCache.build(Dataset(Path(data)), model.chunk_size, model.size, workers=workers)
    following, validation = (FollowingWindows(cache, split, variants, seed=seed, workers=workers)
                             for split in ("train", "val"))
    width, height = model.size
    source = FolderBackgrounds(textures) if textures else ProceduralBackgrounds()
    bank = source.sample(np.random.default_rng(seed), backgrounds, height, width)
    bank = torch.from_numpy(bank).permute(0, 3, 1, 2).contiguous()
    recode = drawing_coder(autoencoder, device) if autoencoder else None
    chosen = replace(chosen, backbone=backbone or chosen.backbone)
    learner = Learner(chosen, cache.rig, following, text, bank, seed, recode, device, cache.fingerprint)
    fit(learner, validation, Path(out), steps, minutes, every)


class Learner:
    """The network, its average, its optimizer, and what they learn from."""

    def __init__(self, preset: Preset, rig: CameraRig, windows: Windows, text: TextEncoder, backgrounds: Tensor,
                 seed: int, recode: Recode | None = None, device: str = "cpu", dataset: str = "") -> None:
        """`windows` as `FollowingWindows` gives them; `backgrounds` (N, 3, H, W) uint8; `dataset` is a fingerprint."""
        self.preset, self.rig, self.windows, self.text = preset, rig, windows, text
        self.backgrounds, self.seed, self.device, self.dataset = backgrounds, seed, device, dataset
        frames = DrawnFrames(rig).to(device)
        self.augmentation = Augmentation(preset.augment, frames, recode)
        # Nobody can follow what is not there: validation has its own check for blank pictures.
        self.degradation = Augmentation(replace(preset.augment, blank=0.0), frames, recode)
        torch.manual_seed(seed)
        sample = fetch(windows, torch.randperm(len(windows))[:4096].tolist())
        self.statistics = Statistics.of(sample["q"], sample["actions"], sample["is_pad"], preset.model.base,
                                        DrawnFrames(rig))
        self.model = Act(preset.model, rig, self.statistics)
        if preset.backbone:
            self.model.backbone.load_pretrained(preset.backbone)
        self.model.to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        t = preset.train
        backbone = list(self.model.backbone.parameters())
        rest = [p for name, p in self.model.named_parameters() if not name.startswith("backbone.")]
        self.optimizer = torch.optim.AdamW([{"params": rest, "peak": t.learning_rate},
                                            {"params": backbone, "peak": t.backbone_rate}],
                                           lr=t.learning_rate, weight_decay=t.weight_decay, fused=True)

    def pick_backgrounds(self, count: int) -> Tensor:
        """(count, 4, 3, H, W) uint8 at random, mirrored at random."""
        chosen = self.backgrounds[torch.randint(len(self.backgrounds), (count, 4))]
        return torch.where(torch.rand(count, 4, 1, 1, 1) < 0.5, chosen, chosen.flip(-1)).to(self.device)

    def embed(self, instructions: Sequence[str]) -> Tensor:
        return self.text.pooled(instructions).to(self.device)

    def step(self, rate: float, decay: float) -> dict[str, float]:
        """One update at `rate` times the learning rate; the average keeps `decay` of itself. Returns the losses."""
        t, model = self.preset.train, self.model
        batch = fetch(self.windows, torch.randint(len(self.windows), (t.batch_size,)).tolist(), self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        pictures = self.augmentation(batch["rgb"], batch["alpha"], batch["q"], batch["actions"][:, -1],
                                     self.pick_backgrounds(t.batch_size))
        model.train()
        if model.config.hold_at_end:
            batch["is_pad"] = torch.zeros_like(batch["is_pad"])
        prediction = model(pictures.images, batch["q"], batch["gripper"], self.embed(batch["instruction"]),
                           batch["actions"], batch["action_gripper"], batch["is_pad"])
        heat = None
        if prediction.keypoints is not None:
            w, h = (s // model.config.stride for s in model.config.size)
            heat = heat_targets(pictures.pixels, pictures.shown, model.config.size, h, w)
        target = model.normalise(batch["actions"], prediction.base)
        terms = losses(prediction, target, batch, heat, model.frames, model.config)
        total = torch.stack(list(terms.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), t.clip)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(model.parameters()), 1 - decay)
        return {"loss": total.item(), **{name: value.item() for name, value in terms.items()}}

    def validate(self, windows: Windows, count: int = 256) -> dict[str, Score]:
        """Scores of the averaged weights on held-out windows, always the same ones; see `scores.CHECKS`."""
        torch.manual_seed(12345)
        batch = fetch(windows, torch.randperm(len(windows))[:count].tolist(), self.device)
        return score(self.average, batch, self.embed(batch["instruction"]), self.pick_backgrounds(len(batch["q"])),
                     self.degradation)

    def controller(self) -> Controller:
        """The averaged weights, ready for use."""
        return Controller(self.average, self.text, self.device)


def fit(learner: Learner, validation: Windows, out: Path, steps: int | None = None, minutes: float | None = None,
        every: int = 250, show_progress: bool = True) -> dict[str, Score]:
    """The loop of `train_controller`."""
    t = learner.preset.train
    if steps is None and minutes is None:
        steps = t.steps
    options = {"seed": learner.seed, "preset": json.dumps(asdict(learner.preset)), "dataset": learner.dataset}
    stateful = {"model": learner.model, "average": learner.average, "optimizer": learner.optimizer}
    console = Console(quiet=not show_progress)
    with Run(out, stateful, options, steps, minutes) as run, \
            Progress(console=console, disable=not show_progress) as bar:
        task = bar.add_task("controller", total=1.0, completed=run.progress)
        scores = {}
        while run.progress < 1:
            # Kornia takes no generator: batch, augmentation, dropout and latent all follow from seed and step.
            torch.manual_seed(run.generator().initial_seed())
            decay = min(t.ema, (1 + run.step) / (10 + run.step)) if t.ema > 0 else 0.0  # not the first steps' weights
            run.advance(learner.step(schedule(run.progress, t.warmup, t.final_rate), decay))
            if run.step % every == 0 or run.progress >= 1:
                scores = learner.validate(validation)
                for name, s in as_numbers(scores).items():
                    run.log({k: v for k, v in s.items() if isinstance(v, float)}, f"validation/{name}")
                run.save()
                learner.controller().save(out / "controller")
                rate = run.step * t.batch_size / run.elapsed_s
                losses_now = " ".join(f"{k} {v:.3f}" for k, v in run.recent().items())
                bar.console.print(f"step {run.step} {run.elapsed_s / 60:.1f} min {rate:.0f} samples/s {losses_now} | "
                                  + " | ".join(f"{k} {s}" for k, s in scores.items()), highlight=False)
            bar.update(task, completed=run.progress)
        scores = scores or learner.validate(validation)
        learner.controller().save(out / "controller")
        summary = {"steps": run.step, "minutes": run.elapsed_s / 60,
                   "samples_per_s": run.step * t.batch_size / max(run.elapsed_s, 1e-9),
                   "parameters": sum(p.numel() for p in learner.model.parameters()), "scores": as_numbers(scores)}
        (out / "scores.json").write_text(json.dumps(summary, indent=2) + "\n")
    return scores


def losses(prediction: Prediction, target: Tensor, batch: Mapping[str, Tensor], heat: Tensor | None,
           frames: DrawnFrames, config: ControllerConfig) -> dict[str, Tensor]:
    """Weighted terms of the loss; padded actions count nowhere.

    target (B, K, 7) normalised actions; heat (B, 4, 4, cells + 1), what the first four heat maps should be.
    """
    keep = (~batch["is_pad"]).float()
    count = keep.sum().clamp(min=1)

    def average(x: Tensor) -> Tensor:
        return (x * keep).sum() / count

    terms = {"joints": average((prediction.normalised - target).abs().mean(-1))}
    opened = (batch["action_gripper"] > 0.5).long()
    cross_entropy = F.cross_entropy(prediction.gripper.flatten(0, 1), opened.flatten(), reduction="none")
    terms["gripper"] = config.gripper_weight * average(cross_entropy.reshape(keep.shape))
    if prediction.mean is not None:
        divergence = prediction.mean.square() + prediction.log_variance.exp() - prediction.log_variance - 1
        terms["kl"] = config.kl_weight * 0.5 * divergence.sum(-1).mean()
    if config.position_weight > 0:
        away = (frames(prediction.joints) - frames(batch["actions"])).abs().sum(-1).mean(-1)
        terms["position"] = config.position_weight * average(away)
    if config.keypoint_weight > 0 and heat is not None:
        log = prediction.keypoints.heat[:, :, :4].log_softmax(-1)
        terms["keypoints"] = config.keypoint_weight * -(heat * log).sum(-1).mean()
    return terms


def schedule(progress: float, warmup: float, final: float) -> float:
    """Learning rate relative to its peak: linear up to `warmup`, then half a cosine down to `final`."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    part = (min(progress, 1.0) - warmup) / max(1 - warmup, 1e-9)
    return final + (1 - final) * 0.5 * (1 + float(np.cos(np.pi * part)))


def fetch(windows: Windows, index: Sequence[int], device: str = "cpu") -> dict:
    """A batch of windows by index, in torch's own protocol for batched reading where the windows speak it."""
    items = windows.__getitems__(index) if hasattr(windows, "__getitems__") else [windows[i] for i in index]
    batch = default_collate(items)
    return {k: v.to(device, torch.float32) if isinstance(v, Tensor) and v.is_floating_point() else
            v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}


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
