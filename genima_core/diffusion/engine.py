"""Draws as the stock pipelines do, without what they do again in every call: prompts, scheduler and observation."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn

from genima_core.capture import Captured, compile_frozen, shared_twin
from genima_core.diffusion.autoencoder import PATCH, tiled, to_pictures, untiled
from genima_core.diffusion.networks import Networks, PromptEmbeddings, Scheduler
from genima_core.pixels import tile_grid


@dataclass(frozen=True)
class Schedule:
    """What n steps of a diffusers scheduler do, as numbers, beginning with latents of deviation `start`.

    Step i shows the network `scale[i]` times the latents, and turns latents x, prediction p and fresh noise e into
    `keep[i]` x + `add[i]` p + `noise[i]` e; `draws` says whether every step takes noise from the generator.
    """

    timesteps: Tensor
    start: float
    scale: tuple[float, ...]
    keep: tuple[float, ...]
    add: tuple[float, ...]
    noise: tuple[float, ...]
    draws: bool

    @classmethod
    def of(cls, scheduler: Scheduler, steps: int, device: torch.device | str = "cpu") -> "Schedule":
        """Measures a scheduler, which stays as it is; ValueError: clipped samples, or memory of earlier predictions."""
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
            given = f"{type(scheduler).__name__} with clip_sample or thresholding, or with memory of earlier steps"
            raise ValueError(f"{given}, cannot be used: set clip_sample to false, or take DDIM or Euler Ancestral")
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
        """Noise (1 + n or 1, B, *shape), a generator a seed on the CPU: on every device as of stock pipelines."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        count = 1 + len(self) if self.draws else 1
        noise = [randn_tensor((len(seeds), *shape), generator=generators, dtype=dtype) for _ in range(count)]
        return torch.stack(noise)


class Engine:
    """Draws onto batches of views; same seed, same drawing as the stock pipeline at the same precision."""

    def __init__(self, networks: Networks, tuned: bool = True, compiled: bool = False) -> None:
        """On a GPU `tuned` captures graphs; `compiled` takes minutes at first; weights must then stay as they are."""
        self.device, self.dtype, self._scheduler = networks.device, networks.dtype, networks.scheduler
        self._channels = networks.vae.config.latent_channels
        read = networks.observe
        if networks.controlnet is not None:
            # The observation's embedding is the same in every step: the twin takes it ready-made.
            controlnet = shared_twin(networks.controlnet)
            read, controlnet.controlnet_cond_embedding = controlnet.controlnet_cond_embedding, nn.Identity()
            networks = replace(networks, controlnet=controlnet)
        if tuned and self.device.type == "cuda":
            networks = replace(networks, unet=shared_twin(networks.unet))
            networks.unet.fuse_qkv_projections()
        parts: list[Callable[..., Tensor]] = [read, networks.predict, partial(to_pictures, networks.vae)]
        self._read, self._predict, self._decode = (
            compile_frozen(part, self.device) if compiled else part for part in parts
        )
        self._captured = Captured(self.device, tuned)
        self._schedules: dict[int, Schedule] = {}

    def draw(self, views: Tensor, prompts: PromptEmbeddings, seeds: Sequence[int], steps: int) -> tuple[Tensor, bool]:
        """Drawings (B, V, H, W, 3) uint8 on the CPU of views, prompts and seeds, and whether all was finite."""
        if steps not in self._schedules:
            self._schedules[steps] = Schedule.of(self._scheduler, steps, self.device)
        schedule = self._schedules[steps]
        height, width = (n * s // PATCH for n, s in zip(tile_grid(views.shape[1]), views.shape[2:4], strict=True))
        noise = schedule.draw_noise((self._channels, height, width), list(seeds), self.dtype)
        # Compiled code with frozen weights must not meet inference tensors.
        with torch.no_grad():
            prompts = prompts.to(self.device, self.dtype)
            inputs = [views, noise, prompts.tokens, *([] if prompts.pooled is None else [prompts.pooled])]
            drawing, finite = self._captured((len(views), steps), partial(self._denoise, schedule), inputs)
            return drawing.cpu(), bool(finite)

    def _denoise(
        self, schedule: Schedule, views: Tensor, noise: Tensor, tokens: Tensor, pooled: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        prompts = PromptEmbeddings(tokens, pooled)
        pictures = tiled(views).to(self.dtype) / 255
        observed = self._read(pictures.contiguous(memory_format=torch.channels_last))
        latents = (noise[0] * schedule.start).contiguous(memory_format=torch.channels_last)
        for i, t in enumerate(schedule.timesteps):
            prediction = self._predict(latents * schedule.scale[i], t, prompts, observed)
            latents = schedule.keep[i] * latents.float() + schedule.add[i] * prediction.float()
            if schedule.noise[i]:
                latents = latents + schedule.noise[i] * noise[i + 1].float()
            latents = latents.to(self.dtype)
        pictures = self._decode(latents).float()
        drawings = untiled(pictures.mul(255).round().nan_to_num().byte(), views.shape[1])
        return drawings, torch.isfinite(pictures).all()
