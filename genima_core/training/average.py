"""Weights that follow those that learn, on average (EMA): less noisy, and what is used afterwards."""

import copy
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def frozen_copy(model: Module) -> Module:
    """Where an average begins."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def decay_at(step: int, decay: float) -> float:
    """How much of itself the average keeps: less in the first steps, whose weights must not stay; 0 for no average."""
    return min(decay, (1 + step) / (10 + step)) if decay > 0 else 0.0


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, kept: float) -> None:
    """Moves the average towards a model of the same structure."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - kept)
