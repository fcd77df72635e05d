"""Trains the controller on spheres over random backgrounds."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate

from genima_core.cameras import CameraRig
from genima_core.controller.augment import Augmentation, Recode
from genima_core.controller.backbone import heat_targets
from genima_core.controller.config import ControllerConfig, Preset
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.model import Act, Prediction, Statistics

Embed = Callable[[Sequence[str]], Tensor]
"""Instructions (n,) -> embeddings (n, text_dim)."""

Windows = Dataset
"""Items as `data.windows.FollowingWindows` gives them."""


@dataclass(frozen=True)
class Score:
    """How well held-out windows are followed; medians."""

    joints_rad: tuple[float, ...]
    """(7,) error of each joint at t+K."""
    goal_rad: float
    """Of joints 1 to 6 as solved from the keypoints alone, mean of the medians; NaN without."""
    keypoint_px: float
    """Distance of the keypoints from the visible spheres; NaN without."""
    tip_cm: float
    tip_p90_cm: float
    """Distance of the gripper from where the spheres show it, at t+K."""

    @property
    def follow_rad(self) -> float:
        """Mean of joints 1 to 6: what four spheres show well."""
        return sum(self.joints_rad[:6]) / 6


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


class Trainer:
    """Everything that changes while training, and one step of it."""

    def __init__(self, preset: Preset, rig: CameraRig, windows: Windows, embed: Embed, backgrounds: Tensor,
                 seed: int, recode: Recode | None = None, device: str = "cpu", pretrained: str | None = None):
        """`backgrounds` (N, 3, H, W) uint8; `recode` imitates the diffusion agent's autoencoder (`augment`)."""
        self.preset, self.seed, self.device = preset, seed, device
        self.windows, self.embed, self.backgrounds = windows, embed, backgrounds
        self.table: dict[str, Tensor] = {}
        self.frames = DrawnFrames(rig).to(device)
        self.augmentation = Augmentation(preset.augment, self.frames, recode)
        torch.manual_seed(seed)
        statistics = self._statistics()
        self.model = Act(preset.model, rig, statistics).to(device, memory_format=torch.channels_last)
        if pretrained:
            self.model.backbone.load_pretrained(pretrained)
        self.average = Act(preset.model, rig, statistics).to(device, memory_format=torch.channels_last).eval()
        self.average.load_state_dict(self.model.state_dict())
        t = preset.train
        backbone = list(self.model.backbone.parameters())
        rest = [p for name, p in self.model.named_parameters() if not name.startswith("backbone.")]
        self.optimizer = torch.optim.AdamW([{"params": rest, "lr": t.learning_rate, "peak": t.learning_rate},
                                            {"params": backbone, "lr": t.backbone_rate, "peak": t.backbone_rate}],
                                           weight_decay=t.weight_decay)
        self.step_count = 0
        self.elapsed_s = 0.0
        self.history: list[dict[str, float]] = []

    def _statistics(self, count: int = 4096) -> Statistics:
        generator = torch.Generator().manual_seed(self.seed)
        index = torch.randperm(len(self.windows), generator=generator)[:count].tolist()
        batch = fetch(self.windows, index)
        return Statistics.of(batch["q"], batch["actions"], batch["is_pad"], self.preset.model.base,
                             DrawnFrames(self.frames.rig))

    def text(self, instructions: Sequence[str]) -> Tensor:
        """Embeddings (B, text_dim); each instruction is encoded once."""
        new = sorted(set(instructions) - set(self.table))
        if new:
            self.table.update(zip(new, self.embed(new), strict=True))
        return torch.stack([self.table[i] for i in instructions]).to(self.device)

    def pick_backgrounds(self, count: int) -> Tensor:
        """(count, 4, 3, H, W) uint8 at random, mirrored at random."""
        index = torch.randint(len(self.backgrounds), (count, 4))
        chosen = self.backgrounds[index]
        return torch.where(torch.rand(count, 4, 1, 1, 1) < 0.5, chosen, chosen.flip(-1)).to(self.device)

    def step(self, progress: float) -> dict[str, float]:
        """One update at `progress` 0 to 1 of the run; batch and noise depend on seed and step only."""
        t, model = self.preset.train, self.model
        torch.manual_seed(self.seed * 1_000_003 + self.step_count)
        batch = fetch(self.windows, torch.randint(len(self.windows), (t.batch_size,)).tolist(), self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * schedule(progress, t.warmup, t.final_rate)
        pictures = self.augmentation(batch["rgb"], batch["alpha"], batch["q"], batch["actions"][:, -1],
                                     self.pick_backgrounds(t.batch_size))
        model.train()
        prediction = model(pictures.images, batch["q"], batch["gripper"], self.text(batch["instruction"]),
                           batch["actions"], batch["action_gripper"], batch["is_pad"])
        heat = None
        if prediction.keypoints is not None:
            w, h = (s // model.config.stride for s in model.config.size)
            heat = heat_targets(pictures.pixels, pictures.shown, model.config.size, h, w)
        target = model.normalise(batch["actions"], prediction.base)
        terms = losses(prediction, target, batch, heat, self.frames, model.config)
        total = sum(terms.values())
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), t.clip)
        self.optimizer.step()
        self.step_count += 1
        # A short run must not average in its first steps.
        decay = min(t.ema, (1 + self.step_count) / (10 + self.step_count)) if t.ema > 0 else 0.0
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(model.parameters()), 1 - decay)
        return {"loss": float(total.detach()), **{k: float(v.detach()) for k, v in terms.items()}}

    def save(self, path: Path) -> None:
        """Writes the state of the run, atomically."""
        state = {"model": self.model.state_dict(), "average": self.average.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step_count, "elapsed_s": self.elapsed_s,
                 "history": self.history, "seed": self.seed}
        temporary = path.with_suffix(".partial")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def resume(self, path: Path) -> None:
        """Continues a run that `save` wrote.

        Raises:
            ValueError: the file is damaged, or from a run with another seed or another network.
        """
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            if state["seed"] != self.seed:
                raise ValueError(f"it was started with seed {state['seed']}, not {self.seed}")
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError, EOFError, OSError) as error:
            raise ValueError(f"cannot resume from {path}: {str(error).splitlines()[0]}; use the same options or delete "
                             "it to start anew") from error
        self.step_count, self.elapsed_s, self.history = state["step"], state["elapsed_s"], state["history"]


def schedule(progress: float, warmup: float, final: float) -> float:
    """Learning rate relative to its peak: linear up to `warmup`, then half a cosine down to `final`."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    part = (min(progress, 1.0) - warmup) / max(1 - warmup, 1e-9)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * part))


def fetch(windows: Windows, index: Sequence[int], device: str = "cpu") -> dict:
    """A batch of windows by index."""
    many = getattr(windows, "__getitems__", None)
    batch = default_collate(many(list(index)) if many else [windows[i] for i in index])
    return {k: v.to(device).float() if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in batch.items()}


CHECKS = ("clean", "degraded", "shuffled", "blank")


@torch.inference_mode()
def validate(trainer: Trainer, windows: Windows, count: int = 256) -> dict[str, Score]:
    """Scores of the averaged weights on held-out windows, for each of `CHECKS`.

    clean: opaque spheres; degraded: as augmented in training; shuffled: another window's spheres; blank: none.
    With the last two the error must grow manifold, or the drawing is not read.
    """
    model, frames = trainer.average, trainer.frames
    before = torch.get_rng_state()
    torch.manual_seed(12345)
    batch = fetch(windows, torch.randperm(len(windows))[:count].tolist(), trainer.device)
    n = len(batch["q"])
    backgrounds = trainer.pick_backgrounds(n)
    alpha = batch["alpha"].float() / 255
    plain = backgrounds.float() / 255
    clean = plain * (1 - alpha) + batch["rgb"].float() / 255 * alpha
    goal = batch["actions"][:, -1]
    pictures = {"clean": clean, "shuffled": clean.roll(1, 0), "blank": plain,
                "degraded": trainer.augmentation(batch["rgb"], batch["alpha"], batch["q"], goal, backgrounds).images}
    text = trainer.text(batch["instruction"])
    scores = {}
    for name in CHECKS:
        joints = torch.cat([model(i, q, g, t).joints[:, -1] for i, q, g, t in zip(
            *(x.split(64) for x in (pictures[name], batch["q"], batch["gripper"], text)), strict=True)])
        tip = 100 * (frames(joints) - frames(goal))[:, 3].norm(dim=-1)
        scores[name] = Score(tuple((joints - goal).abs().median(0).values.tolist()), float(tip.median()),
                             float(tip.quantile(0.9)))
    torch.set_rng_state(before)
    return scores


def fit(trainer: Trainer, validation: Windows, out: Path, *, steps: int | None = None, minutes: float | None = None,
        every: int = 250, show: Callable[[str], None] = print) -> dict[str, Score]:
    """Trains until `steps` updates or `minutes` of training are done; goes on where an earlier call stopped.

    Writes to `out`: training.pt (state), TensorBoard events, loss.png, scores.json.

    Raises:
        ValueError: neither or both of steps and minutes.
        RuntimeError: the loss is not finite.
    """
    if (steps is None) == (minutes is None):
        raise ValueError("give steps or minutes, one of them")
    from torch.utils.tensorboard import SummaryWriter
    out.mkdir(parents=True, exist_ok=True)
    state = out / "training.pt"
    if state.exists():
        trainer.resume(state)
        show(f"resumed at step {trainer.step_count}")
    with SummaryWriter(str(out / "tensorboard")) as board:
        scores = {}
        while True:
            progress = trainer.step_count / steps if steps is not None else trainer.elapsed_s / (60 * minutes)
            if trainer.step_count and (trainer.step_count % every == 0 or progress >= 1):
                scores = validate(trainer, validation)
                record(trainer, scores, board, progress, show)
                trainer.save(state)
                plot(trainer.history, out / "loss.png")
            if progress >= 1:
                break
            begin = time.perf_counter()
            terms = trainer.step(progress)
            trainer.elapsed_s += time.perf_counter() - begin
            if not math.isfinite(terms["loss"]):
                raise RuntimeError(f"the loss became {terms['loss']} at step {trainer.step_count}; lower the learning "
                                   "rate or check the data set for non-finite joints")
            trainer.history.append({"step": trainer.step_count, **terms})
            if trainer.step_count % 10 == 0:
                for name, value in terms.items():
                    board.add_scalar(f"train/{name}", value, trainer.step_count)
    (out / "scores.json").write_text(json.dumps(summary(trainer, scores), indent=2) + "\n")
    return scores


def summary(trainer: Trainer, scores: Mapping[str, Score]) -> dict:
    return {"steps": trainer.step_count, "minutes": trainer.elapsed_s / 60,
            "samples_per_s": trainer.step_count * trainer.preset.train.batch_size / max(trainer.elapsed_s, 1e-9),
            "parameters": sum(p.numel() for p in trainer.model.parameters()),
            "scores": {name: {"joints_rad": s.joints_rad, "follow_rad": s.follow_rad, "tip_cm": s.tip_cm,
                              "tip_p90_cm": s.tip_p90_cm} for name, s in scores.items()}}


def record(trainer: Trainer, scores: Mapping[str, Score], board, progress: float, show: Callable[[str], None]) -> None:
    """Writes scores to TensorBoard and one line of text."""
    for name, score in scores.items():
        board.add_scalar(f"follow_rad/{name}", score.follow_rad, trainer.step_count)
        board.add_scalar(f"tip_cm/{name}", score.tip_cm, trainer.step_count)
    recent = trainer.history[-100:]
    mean = {k: sum(h[k] for h in recent) / len(recent) for k in recent[0] if k != "step"}
    rate = trainer.step_count * trainer.preset.train.batch_size / max(trainer.elapsed_s, 1e-9)
    show(f"{100 * progress:3.0f} % step {trainer.step_count} {trainer.elapsed_s / 60:.1f} min {rate:.0f}/s | "
         + " ".join(f"{k} {v:.3f}" for k, v in mean.items()) + " | "
         + " ".join(f"{k} {s.follow_rad:.3f} rad {s.tip_cm:.1f} cm (p90 {s.tip_p90_cm:.1f})" for k, s in scores.items()))


def plot(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss curves as PNG."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(8, 5))
    axes = figure.add_subplot()
    names = [k for k in history[0] if k != "step"]
    width = max(1, len(history) // 200)
    for name in names:
        values = torch.tensor([h[name] for h in history])
        values = F.avg_pool1d(values[None, None], width, width)[0, 0]
        axes.plot([history[min(i * width + width // 2, len(history) - 1)]["step"] for i in range(len(values))],
                  values.clamp(min=1e-6), label=name)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
