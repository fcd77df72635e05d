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
        probe = copy.deepcopy(scheduler)
        probe.set_timesteps(steps)
        # What it makes of nothing, of the sample, of the prediction, and of both, with the same noise each time.
        sample, prediction = (torch.tensor(x).reshape(4, 1, 1, 1) for x in ([0.0, 1, 0, 2], [0.0, 0, 1, -3]))
        generators = [torch.Generator().manual_seed(0) for _ in range(4)]
        same = torch.Generator().manual_seed(0)
        fresh = same.get_state()
        results, shown, noise = [], [], []
        for t in probe.timesteps:
            shown.append(probe.scale_model_input(sample, t)[1])
            results.append(probe.step(prediction, t, sample, generator=generators, return_dict=False)[0])
            noise.append(randn_tensor((1, 1, 1, 1), generator=same))
        resting, kept, added, both = torch.stack(results).double().reshape(steps, 4).T
        keep, add = kept - resting, added - resting
        if not torch.allclose(both, 2 * keep - 3 * add + resting, rtol=1e-4, atol=1e-4):
            raise ValueError(
                f"{type(scheduler).__name__} with clip_sample or thresholding, or with memory of earlier "
                "steps, cannot be used: set clip_sample to false, or take DDIM or Euler Ancestral"
            )
        draws = not torch.equal(generators[0].get_state(), fresh)
        drawn = torch.cat(noise).double().flatten() if draws else torch.ones(steps)
        return cls(
            probe.timesteps.to(device),
            float(probe.init_noise_sigma),
            tuple(torch.cat(shown).double().flatten().tolist()),
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
