"""A training run on disk: how far it is, what it needs to go on, and its curves."""

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from genima_core.files import one_line, telling_full_disk
from genima_core.weights import read_torch

STATE = "training.pt"


class Run:
    """Counts steps and time, writes training.pt, loss.png and TensorBoard events into a folder, and resumes from it.

    Batches, noise and augmentation must follow from seed and step alone (`generator`); then a resumed run goes on
    exactly as if it had never stopped. With a budget in minutes the learning rate follows the time instead, and how
    many steps that makes depends on the machine.
    """

    def __init__(
        self,
        out: Path,
        stateful: Mapping[str, nn.Module | torch.optim.Optimizer],
        options: Mapping,
        steps: int | None,
        minutes: float | None,
        writes: bool = True,
    ) -> None:
        """
        Args:
            out: Folder.
            stateful: What learns, its average, the optimizer.
            options: What must be the same when resuming; contains the seed.
            steps: Budget.
            minutes: Budget, instead of steps.
            writes: Whether this process writes files: one does, when several train together.

        Raises:
            ValueError: not exactly one budget, or a state in the folder that is damaged or has other options.
        """
        if (steps is None) == (minutes is None) or not (steps or minutes or 0) > 0:
            raise ValueError(f"steps is {steps} and minutes is {minutes}; give one of them, above 0")
        self.out, self.stateful, self.options = Path(out), dict(stateful), dict(options)
        self.steps, self.minutes = steps, minutes
        self.step, self.elapsed_s = 0, 0.0
        self.history: list[dict[str, float]] = []
        self.out.mkdir(parents=True, exist_ok=True)
        if (self.out / STATE).exists():
            self._resume()
        self._since = time.perf_counter()
        self._board = None
        if writes:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step)

    def __enter__(self) -> "Run":
        # States of weights that hardly matter become denormal, and those are slow.
        torch.set_flush_denormal(True)
        return self

    def __exit__(self, *_) -> None:
        torch.set_flush_denormal(False)
        if self._board is not None:
            self._board.close()

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is spent."""
        return min(1.0, self.step / self.steps if self.steps else self.elapsed_s / (60 * (self.minutes or 1)))

    def generator(self, part: int = 0) -> torch.Generator:
        """Randomness of the current step, or of one part of its batch."""
        return torch.Generator().manual_seed((self.options["seed"] * 1_000_003 + self.step + part * 2**40) % 2**63)

    def advance(self, values: Mapping[str, float]) -> None:
        """One step is done.

        Raises:
            FloatingPointError: a value is not finite.
        """
        now = time.perf_counter()
        self.elapsed_s, self._since = self.elapsed_s + now - self._since, now
        self.step += 1
        if not all(math.isfinite(v) for v in values.values()):
            raise FloatingPointError(
                f"training went wrong at step {self.step}: {dict(values)}; resume from the last "
                f"state in {self.out}, or lower the learning rate"
            )
        self.history.append({"step": self.step, **values})
        if self.step % 10 == 0:
            self.log(values)

    def log(self, values: Mapping[str, float], prefix: str = "train") -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{prefix}/{name}", value, self.step)

    def recent(self, count: int = 100) -> dict[str, float]:
        """Means of the last steps' values."""
        last = self.history[-count:]
        return {name: sum(h[name] for h in last) / len(last) for name in last[-1] if name != "step"}

    def save(self) -> None:
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
        plot(self.history, self.out / "loss.png")

    def _resume(self) -> None:
        path = self.out / STATE
        try:
            state = read_torch(path)
            changed = {k: (state["options"].get(k), v) for k, v in self.options.items() if state["options"].get(k) != v}
            if changed:
                raise ValueError(
                    "then and now differ in " + ", ".join(f"{k} ({a} and {b})" for k, (a, b) in changed.items())
                )
            for name, part in self.stateful.items():
                part.load_state_dict(state["parts"][name])
            self.step, self.elapsed_s, self.history = state["step"], state["elapsed_s"], state["history"]
        except Exception as error:  # states of other networks have many of their own
            raise ValueError(
                f"cannot resume from {path}: {one_line(error)}; use the same options, another "
                "--out, or delete the file to start anew"
            ) from error


def learning_rate(peak: float, schedule: str, warmup_steps: int, step: int, progress: float) -> float:
    """Linear over the warm-up, then constant or half a cosine of the budget down to 0."""
    rate = peak * min(1.0, (step + 1) / max(warmup_steps, 1))
    return rate * 0.5 * (1 + math.cos(math.pi * progress)) if schedule == "cosine" else rate


def shuffled(length: int, size: int, step: int, seed: int) -> list[int]:
    """Indices of a step's batch: each epoch is another permutation; the last, incomplete batch of it is left out."""
    size = min(size, length)
    epoch, position = divmod(step, length // size)
    order = torch.randperm(length, generator=torch.Generator().manual_seed((seed << 20) + epoch))
    return order[position * size : (position + 1) * size].tolist()


def plot(history: list[dict[str, float]], path: Path) -> None:
    """Smoothed curves as PNG."""
    if not history:
        return
    from matplotlib.figure import Figure

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
