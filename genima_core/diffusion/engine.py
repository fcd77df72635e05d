"""Draws as the stock pipelines do, without what they do again in every call: prompts, scheduler and observation.

They also pass through PIL and numpy and ask the device for results in between; here a drawing stays on the device, and
on a GPU it is one captured graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from genima_core.capture import Captured, compile_frozen, shared_twin
from genima_core.diffusion.autoencoder import tiled, to_pictures, untiled
from genima_core.diffusion.networks import Networks
from genima_core.diffusion.prompts import PromptEmbeddings
from genima_core.diffusion.schedule import Schedule


class Engine:
    """Draws onto batches of views; same seed, same drawing as the stock pipeline at the same precision."""

    def __init__(self, networks: Networks, tuned: bool = True, compiled: bool = False) -> None:
        """On a GPU `tuned` fuses projections and captures graphs; `compiled` takes minutes at the first drawing.

        With either, the weights, which are shared, must not change any more.
        """
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
        """Drawings (B, 4, H, W, 3) uint8 on the CPU, and whether all their numbers were finite.

        `views` (B, 4, H, W, 3) uint8 RGB on the CPU; `prompts` of B prompts; B seeds.
        """
        if steps not in self._schedules:
            self._schedules[steps] = Schedule.of(self._scheduler, steps, self.device)
        schedule = self._schedules[steps]
        height, width = (2 * s // 8 for s in views.shape[2:4])
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
        """The drawing, all of it on the device."""
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
        return untiled(pictures.mul(255).round().nan_to_num().byte()), torch.isfinite(pictures).all()
