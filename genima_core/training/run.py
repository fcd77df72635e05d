"""A training run on disk: how far it is, what it needs to go on, its curves; how fast it learns, and its average."""

import copy
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from genima_core.config import flat
from genima_core.device import choose_device
from genima_core.files import explained, telling_full_disk, write_json
from genima_core.training.config import Training
from genima_core.weights import read_torch

STATE = "training.pt"
Module = TypeVar("Module", bound=nn.Module)


class Run:
    """Counts steps and time, shows progress, and keeps what a run leaves in its folder; resumes from that.

    In the folder: training.pt (to go on from), loss.png, scores.json and TensorBoard events. Batches, noise and
    augmentation must follow from seed and step alone (`generator`); then a resumed run goes on exactly as if it had
    never stopped. With a budget in minutes the learning rate follows the time instead, and how many steps that makes
    depends on the machine.
    """

    def __init__(
        self,
        training: Training,
        stateful: Mapping[str, Any],
        options: Mapping[str, Any],
        steps: int,
        batch_size: int = 1,
        writes: bool = True,
        show_progress: bool = False,
    ) -> None:
        """`stateful` is what has a state_dict: what learns, its average, the optimizer; `options` what must be the same
        when resuming, beside the seed; `steps` the budget where `training` has none; `batch_size` counts for the speed.
        One process `writes` files, when several train together; progress is a bar, and a line for each validation.

        ValueError: a state in the folder that is damaged or has other options.
        """
        self.out, self.steps, self.minutes = Path(training.out), training.steps, training.minutes
        if self.steps is None and self.minutes is None:
            self.steps = steps
        self.every, self.batch_size = training.every, batch_size
        self.stateful, self.options = dict(stateful), {"seed": training.seed, **options}
        self.step, self.elapsed_s = 0, 0.0
        self.history: list[dict[str, float]] = []
        self.out.mkdir(parents=True, exist_ok=True)
        if (self.out / STATE).exists():
            self._resume()
        self._since = time.perf_counter()
        self._bar = Progress(console=Console(quiet=not show_progress), disable=not show_progress)
        self._task = self._bar.add_task("training", total=1.0)
        self._bar.update(self._task, completed=self.progress)
        self._board = None
        if writes:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step)

    def __enter__(self) -> Self:
        # States of weights that hardly matter become denormal, and those are slow.
        torch.set_flush_denormal(True)
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        torch.set_flush_denormal(False)
        self._bar.stop()
        if self._board is not None:
            self._board.close()

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is spent."""
        return min(1.0, self.step / self.steps if self.steps else self.elapsed_s / (60 * (self.minutes or math.inf)))

    def generator(self, part: int = 0) -> torch.Generator:
        """Randomness of the current step, or of one part of its batch."""
        return torch.Generator().manual_seed((self.options["seed"] * 1_000_003 + self.step + part * 2**40) % 2**63)

    def advance(self, values: Mapping[str, float]) -> None:
        """One step is done; RuntimeError if a value is not finite."""
        now = time.perf_counter()
        self.elapsed_s, self._since = self.elapsed_s + now - self._since, now
        self.step += 1
        if not all(math.isfinite(v) for v in values.values()):
            remedy = "begin anew in another folder, with another --seed or, of the drawing agent, another --precision"
            raise RuntimeError(f"the training diverged at step {self.step} ({line(values)}); {remedy}")
        self.history.append({"step": self.step, **values})
        if self.step % 10 == 0:
            self._log(values, "train")
        self._bar.update(self._task, completed=self.progress)

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is time to validate: every so many steps, and after the last."""
        return self.step % self.every == 0 or self.progress >= 1

    def validated(self, scores: Mapping[str, Any], text: str = "") -> None:
        """Logs and prints scores of the present step, as `text` or number by number, and saves the state."""
        numbers = {name: value for name, value in flat(scores, "/").items() if isinstance(value, float)}
        self._log(numbers, "validation")
        self._save()
        left_min = self.elapsed_s / 60 * (1 / max(self.progress, 1e-9) - 1)
        self._bar.console.print(
            f"step {self.step}{f' of {self.steps}' if self.steps else ''}, {self.elapsed_s / 60:.1f} min, about "
            f"{left_min:.1f} min left, {self.samples_per_s:.1f} samples/s\n"
            f"  training    {line(self._recent())}\n"
            f"  validation  {text or line(numbers)}",
            highlight=False,
        )

    def finish(self, scores: Mapping[str, Any], model: nn.Module) -> None:
        """Writes scores.json: on what, how long, how fast, how large, how good."""
        content = {
            "dataset": self.options.get("dataset"),
            "steps": self.step,
            "minutes": self.elapsed_s / 60,
            "samples_per_s": self.samples_per_s,
            "parameters": sum(p.numel() for p in model.parameters()),
            "scores": scores,
        }
        write_json(self.out / "scores.json", content)

    @property
    def samples_per_s(self) -> float:
        return self.step * self.batch_size / max(self.elapsed_s, 1e-9)

    def _log(self, values: Mapping[str, float], prefix: str) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{prefix}/{name}", value, self.step)

    def _recent(self, count: int = 100) -> dict[str, float]:
        last = self.history[-count:]
        return {name: sum(h[name] for h in last) / len(last) for name in last[-1] if name != "step"}

    def _save(self) -> None:
        """Writes the state, atomically, and the curves."""
        if self._board is None:
            return
        state = {
            "options": self.options,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "history": self.history,
            "parts": {name: part.state_dict() for name, part in self.stateful.items()},
        }
        temporary = self.out / f"{STATE}.partial"
        with telling_full_disk(self.out):
            with temporary.open("wb") as file:  # by itself torch does not say what went wrong
                torch.save(state, file)
            os.replace(temporary, self.out / STATE)
        write_curves(self.history, self.out / "loss.png")

    def _resume(self) -> None:
        path, remedy = self.out / STATE, "use the same options, another --out, or delete the file to start again"
        with explained(f"cannot resume from {path}", Exception, remedy):
            state = read_torch(path)
            then, now = flat(state["options"], "."), flat(self.options, ".")
            changed = [f"{name} ({then.get(name)} and {v})" for name, v in now.items() if then.get(name) != v]
            if changed:
                raise ValueError(f"then and now differ in {', '.join(changed)}")
            for name, part in self.stateful.items():
                part.load_state_dict(state["parts"][name])
            self.step, self.elapsed_s, self.history = state["step"], state["elapsed_s"], state["history"]


def set_up(training: Training) -> str:
    """Torch's threads; returns the device."""
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    return choose_device(training.device)


def line(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())


def write_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    if not history:
        return
    from matplotlib.figure import Figure  # takes a while, and only training needs it

    figure = Figure(figsize=(8, 5))
    axes = figure.add_subplot()
    width = max(1, len(history) // 200)
    chunks = [history[i : i + width] for i in range(0, len(history), width)]
    for name in history[0]:
        if name not in ("step", "learning_rate"):
            axes.plot([c[-1]["step"] for c in chunks], [sum(h[name] for h in c) / len(c) for c in chunks], label=name)
    axes.set(xlabel="step", yscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def write_pictures(path: Path, rows: Sequence[tuple[np.ndarray, ...]]) -> None:
    """Rows of tiled pictures (height, width, 3), two rows beside each other, enlarged to be looked at."""
    strips = [np.hstack(row) for row in rows]
    if len(strips) % 2:
        strips.append(np.zeros_like(strips[0]))
    table = np.vstack([np.hstack(strips[i : i + 2]) for i in range(0, len(strips), 2)])
    factor = max(1, 2400 // table.shape[1])
    table = cv2.resize(table, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(path), cv2.cvtColor(table, cv2.COLOR_RGB2BGR))


def count_steps(steps: int | None, epochs: int | None, examples: int, batch_size: int) -> int:
    """Steps of a run: as given, or by whole batches of so many epochs."""
    return steps or (epochs or 1) * max(1, examples // batch_size)


def learning_rate(peak: float, schedule: str, warmup_steps: int, step: int, progress: float) -> float:
    """Linear over the warm-up, then constant or half a cosine of the budget down to 0."""
    rate = peak * min(1.0, (step + 1) / max(warmup_steps, 1))
    return rate * half_cosine(progress) if schedule == "cosine" else rate


def relative_rate(progress: float, warmup: float, final: float) -> float:
    """Learning rate relative to its peak: linear up to `warmup`, then half a cosine down to `final`."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    part = (min(progress, 1.0) - warmup) / max(1 - warmup, 1e-9)
    return final + (1 - final) * half_cosine(part)


def half_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def shuffled(length: int, size: int, step: int, seed: int) -> list[int]:
    """Indices of a step's batch: each epoch is another permutation; the last, incomplete batch of it is left out."""
    size = min(size, length)
    epoch, position = divmod(step, length // size)
    order = torch.randperm(length, generator=torch.Generator().manual_seed((seed << 20) + epoch))
    return order[position * size : (position + 1) * size].tolist()


def frozen_copy(model: Module) -> Module:
    """The start of a model's moving average (EMA), which is less noisy than the model and used in its place."""
    return copy.deepcopy(model).eval().requires_grad_(False)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Moves an average towards a model, with decay 0 all the way; in the first steps further than `decay` says."""
    kept = min(decay, (1 + step) / (10 + step)) if decay > 0 else 0.0
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - kept)
