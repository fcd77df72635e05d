"""What a training is given: light, so that the command line can show it at once."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Training:
    """Options of every training; a run that is already in the folder continues where it stopped."""

    data: Path
    """Data set (`genima collect`, `genima convert`)."""
    out: Path
    """Folder for the result, training.pt, loss.png, scores.json, validation.png and tensorboard/."""
    preset: str = "demo"
    """Name of a set of networks, sizes and rates; a wrong name lists the valid ones."""
    look: str = "ours"
    """What the targets look like: ours, or released as in the published models. One for all parts of a checkpoint."""
    steps: int | None = None
    """Length of the run; the preset's by default."""
    minutes: float | None = None
    """Length of the run, instead of steps; the learning rate then follows the time."""
    seed: int = 0
    """Of weights, batches, noise and augmentation."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; by default cuda where there is one."""
    threads: int | None = None
    """Threads of torch on the CPU; torch's own choice by default."""
    workers: int = 2
    """Processes that prepare the data, once, before the training."""
    cache: Path | None = None
    """Folder of what is prepared; by default the data set's .cache, or that of `out` where nothing can be written."""
    every: int = 100
    """Steps between two validations."""
    checked: int = 64
    """Held-out examples per validation; the last validation of a drawing agent takes four times as many."""

    def __post_init__(self) -> None:
        budgets = [budget for budget in (self.steps, self.minutes) if budget is not None]
        if len(budgets) > 1 or not all(budget > 0 for budget in budgets):
            raise ValueError(f"steps is {self.steps} and minutes is {self.minutes}; give one of them, above 0")
        if self.every < 1 or self.checked < 1:
            raise ValueError(f"every is {self.every} and checked is {self.checked}; both must be at least 1")

    @property
    def cache_folder(self) -> Path:
        return self.cache or (self.data if os.access(self.data, os.W_OK) else self.out) / ".cache"


@dataclass(frozen=True)
class DiffusionTraining(Training):
    """Options of the drawing agent's training."""

    autoencoder: Path | None = None
    """Folder that `genima train autoencoder` wrote (preset demo)."""
    base: str | None = None
    """Name or folder of the pretrained model, if not the preset's."""
    controlnet: Path | None = None
    """Folder of a trained ControlNet to continue from, such as a released one."""
    batch_size: int | None = None
    """Examples per step, on all processes together, if not the preset's."""
    precision: Precision = "float32"
    """Precision of forward and backward passes; weights that learn are kept in float32."""
    accumulate: int = 1
    """Number of parts into which each process splits its batch, to fit into memory."""
    checkpointing: bool = False
    """Save memory by computing activations twice."""
    every: int = 500
    checked: int = 16


@dataclass(frozen=True)
class ControllerTraining(Training):
    """Options of the controller's training."""

    autoencoder: Path | None = None
    """Folder of the drawing agent's autoencoder: pictures take a round trip through it."""
    textures: Path | None = None
    """Folder of images for the backgrounds; procedural ones by default."""
    text_encoder: str | None = None
    """Name or folder of a CLIP model, if not the preset's."""
    backbone: str | None = None
    """Name, folder or file of ResNet-18 weights, if not the preset's."""
    batch_size: int | None = None
    """Windows per step, if not the preset's; lower it if the GPU runs out of memory."""
    variants: int | None = None
    """Windows made from each recorded one, by moving start and goal, if not the preset's."""
    backgrounds: int = 3000
    """Number of pictures from which backgrounds are drawn."""
    every: int = 250
    checked: int = 256
