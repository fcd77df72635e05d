"""A scheduler's steps as the linear maps they are: measured once, so that a drawing needs no scheduler any more."""

import copy
from dataclasses import dataclass
from typing import TypeAlias

import torch
from diffusers import DDIMScheduler, EulerAncestralDiscreteScheduler
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

Scheduler: TypeAlias = EulerAncestralDiscreteScheduler | DDIMScheduler


@dataclass(frozen=True)
class Schedule:
    """What n steps of a diffusers scheduler do, as numbers.

    Step i shows the network `scale[i]` times the latents, and turns latents x, prediction p and fresh noise e into
    `keep[i]` x + `add[i]` p + `noise[i]` e.
    """

    timesteps: Tensor
    """(n,), what the network is told."""
    start: float
    """Deviation of the first latents."""
    scale: tuple[float, ...]
    keep: tuple[float, ...]
    add: tuple[float, ...]
    noise: tuple[float, ...]
    draws: bool
    """Whether every step takes noise from the generator."""

    @classmethod
    def of(cls, scheduler: Scheduler, steps: int, device: torch.device | str = "cpu") -> "Schedule":
        """Measures a scheduler, which stays as it is.

        Raises:
            ValueError: its steps are not linear (clipped or thresholded samples), or use more than one prediction.
        """
        resting, _ = _steps(scheduler, steps, 0.0, 0.0)
        kept, scale = _steps(scheduler, steps, 1.0, 0.0)
        added, _ = _steps(scheduler, steps, 0.0, 1.0)
        other, _ = _steps(scheduler, steps, 2.0, -3.0)
        keep, add = kept - resting, added - resting
        if not torch.allclose(other, 2 * keep - 3 * add + resting, rtol=1e-4, atol=1e-4):
            raise ValueError(
                f"{type(scheduler).__name__} with clip_sample or thresholding, or with memory of earlier "
                "steps, cannot be used: set clip_sample to false, or take DDIM or Euler Ancestral"
            )
        probe = copy.deepcopy(scheduler)
        probe.set_timesteps(steps)
        unit, generator = torch.ones(1, 1, 1, 1), torch.Generator().manual_seed(0)
        before = generator.get_state()
        probe.scale_model_input(unit, probe.timesteps[0])
        probe.step(unit, probe.timesteps[0], unit, generator=generator)
        draws = not torch.equal(before, generator.get_state())
        drawn = _noises(steps) if draws else torch.ones(steps)
        return cls(
            probe.timesteps.to(device),
            float(probe.init_noise_sigma),
            tuple(scale.tolist()),
            tuple(keep.tolist()),
            tuple(add.tolist()),
            tuple((resting / drawn).tolist()),
            draws,
        )

    def __len__(self) -> int:
        return len(self.scale)

    def draw_noise(self, shape: tuple[int, ...], seeds: list[int], dtype: torch.dtype) -> Tensor:
        """The first latents and the noise of each step, (1 + n or 1, B, *shape), as a stock pipeline draws them.

        On the CPU, one generator a seed: the same seed means the same noise on every device.
        """
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        count = 1 + len(self) if self.draws else 1
        noise = [randn_tensor((len(seeds), *shape), generator=generators, dtype=dtype) for _ in range(count)]
        return torch.stack(noise)


def _steps(scheduler: Scheduler, steps: int, sample: float, prediction: float) -> tuple[Tensor, Tensor]:
    """(steps,) what each step makes of a constant sample and prediction, with the noise of `_noises`.

    And (steps,) what the network is shown of the sample.
    """
    probe, generator = copy.deepcopy(scheduler), torch.Generator().manual_seed(0)
    probe.set_timesteps(steps)
    results, shown = [], []
    for t in probe.timesteps:
        x, p = torch.full((1, 1, 1, 1), sample), torch.full((1, 1, 1, 1), prediction)
        shown.append(probe.scale_model_input(x, t).flatten())
        results.append(probe.step(p, t, x, generator=generator, return_dict=False)[0].flatten())
    return torch.cat(results).double(), torch.cat(shown).double()


def _noises(steps: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.cat([randn_tensor((1, 1, 1, 1), generator=generator).flatten() for _ in range(steps)]).double()
