"""How long a training takes, how fast it learns at each step, from which examples, and what its average keeps."""

import copy
import math
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


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
    """Where the average (EMA) of weights begins that learn: it is less noisy, and what is used afterwards."""
    return copy.deepcopy(model).eval().requires_grad_(False)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Moves an average towards a model; decay 0 makes it the model. At first, when weights must not stay, it keeps
    less.
    """
    kept = min(decay, (1 + step) / (10 + step)) if decay > 0 else 0.0
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - kept)
