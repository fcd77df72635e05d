"""Draws as the stock pipelines do, without what they do again in every call.

A stock pipeline encodes the prompt, sets up its scheduler, passes through PIL and numpy, asks the device for results
in between, and lets the ControlNet read the same observation in every step. Here all that depends on the call is the
picture and the noise: prompts are kept, the scheduler is a table of numbers, the observation is read once, pictures
are tiled and untiled on the device, and on a GPU the whole drawing is one captured graph.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from genima_core.diffusion.autoencoder import to_pictures
from genima_core.diffusion.networks import Networks, predict
from genima_core.diffusion.prompts import Words
from genima_core.diffusion.schedule import Schedule


class Engine:
    """Draws onto batches of views; same seed, same drawing as the stock pipeline at the same precision."""

    def __init__(self, networks: Networks, tuned: bool = True, compiled: bool = False) -> None:
        """
        Args:
            networks: What draws. Their weights are shared, not copied.
            tuned: Fuse projections and capture graphs, on a GPU. Weights must not change any more.
            compiled: Compile the networks with torch.compile; the first drawing then takes minutes. Likewise.
        """
        self.networks = networks
        self.device, self.dtype = networks.device, networks.dtype
        self._captures = tuned and self.device.type == "cuda"
        self._unet, self._controlnet, self._read = networks.unet, None, networks.observe
        if networks.controlnet is not None:
            # The observation's embedding is the same in every step: the twin takes it ready-made.
            self._controlnet = shared_twin(networks.controlnet)
            self._read = self._controlnet.controlnet_cond_embedding
            self._controlnet.controlnet_cond_embedding = nn.Identity()
        if self._captures:
            self._unet = shared_twin(networks.unet)
            self._unet.fuse_qkv_projections()
        self._predict = partial(predict, self._unet, self._controlnet)
        self._decode = partial(to_pictures, networks.vae)
        if compiled:
            # On a CPU, weights become constants that are laid out once; a GPU's graphs are captured here, around all.
            options = {"freezing": True} if self.device.type == "cpu" else {"max_autotune": True}
            self._predict, self._decode, self._read = (
                torch.compile(part, dynamic=False, options=options) for part in
                (self._predict, self._decode, self._read))
        self._schedules: dict[int, Schedule] = {}
        self._graphs: dict[tuple[int, int], _Graph] = {}

    def draw(self, views: Tensor, words: Words, seeds: Sequence[int], steps: int) -> tuple[Tensor, bool]:
        """Drawings (B, 4, H, W, 3) uint8 on the CPU, and whether all their numbers were finite.

        `views` (B, 4, H, W, 3) uint8 RGB on the CPU; `words` of B prompts; B seeds.
        """
        if steps not in self._schedules:
            self._schedules[steps] = Schedule.of(self.networks.scheduler, steps, self.device)
        schedule = self._schedules[steps]
        height, width = (2 * s // 8 for s in views.shape[2:4])
        noise = schedule.draw_noise((self.networks.vae.config.latent_channels, height, width), list(seeds), self.dtype)
        # Compiled code with frozen weights must not meet inference tensors.
        with torch.no_grad():
            drawing, finite = self._run(views, noise, words.to(self.device, self.dtype), schedule)
            return drawing.cpu(), bool(finite)

    def _run(self, views: Tensor, noise: Tensor, words: Words, schedule: Schedule) -> tuple[Tensor, Tensor]:
        inputs = [views, noise, words.tokens, *([] if words.pooled is None else [words.pooled])]
        if not self._captures:
            return self._denoise(schedule, *(x.to(self.device) for x in inputs))
        key = len(views), len(schedule)
        if key not in self._graphs:
            try:
                self._graphs[key] = _Graph(partial(self._denoise, schedule), inputs, self.device)
            except RuntimeError as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                warnings.warn(f"drawing without a captured graph, which is slower: {str(error).splitlines()[0]}",
                              RuntimeWarning, stacklevel=2)
                self._captures = False
                return self._denoise(schedule, *(x.to(self.device) for x in inputs))
        return self._graphs[key](inputs)

    def _denoise(self, schedule: Schedule, views: Tensor, noise: Tensor, tokens: Tensor,
                 pooled: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The drawing, all of it on the device."""
        words = Words(tokens, pooled)
        pictures = tiled(views).to(self.dtype) / 255
        observed = self._read(pictures.contiguous(memory_format=torch.channels_last))
        latents = (noise[0] * schedule.start).contiguous(memory_format=torch.channels_last)
        for i, t in enumerate(schedule.timesteps):
            prediction = self._predict(latents * schedule.scale[i], t, words, observed)
            latents = schedule.keep[i] * latents.float() + schedule.add[i] * prediction.float()
            if schedule.noise[i]:
                latents = latents + schedule.noise[i] * noise[i + 1].float()
            latents = latents.to(self.dtype)
        pictures = self._decode(latents).float()
        return untiled(pictures.mul(255).round().nan_to_num().byte()), torch.isfinite(pictures).all()


class _Graph:
    """A function of tensors as one captured CUDA graph, which costs one launch instead of thousands."""

    def __init__(self, function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor],
                 device: torch.device) -> None:
        self._inputs = [x.to(device, copy=True) for x in inputs]
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):  # cuDNN chooses and compiled code is made before anything is captured
            for _ in range(3):
                function(*self._inputs)
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = function(*self._inputs)

    def __call__(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        for static, given in zip(self._inputs, inputs, strict=True):
            static.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._outputs


def shared_twin(module: nn.Module) -> nn.Module:
    """The same module with the same tensors, whose structure can be changed without changing the original's."""
    twin = copy.copy(module)
    twin.__dict__ = dict(module.__dict__)
    for registry in ("_parameters", "_buffers"):
        twin.__dict__[registry] = dict(module.__dict__[registry])
    twin.__dict__["_modules"] = {name: None if child is None else shared_twin(child)
                                 for name, child in module.__dict__["_modules"].items()}
    return twin


def tiled(views: Tensor) -> Tensor:
    """Tiled pictures (B, C, 2H, 2W) of views (B, 4, H, W, C); `tiling.tile` on the device."""
    B, _, H, W, C = views.shape
    return views.reshape(B, 2, 2, H, W, C).permute(0, 5, 1, 3, 2, 4).reshape(B, C, 2 * H, 2 * W)


def untiled(pictures: Tensor) -> Tensor:
    """Views (B, 4, H, W, C) of tiled pictures (B, C, 2H, 2W)."""
    B, C, H, W = pictures.shape
    return pictures.reshape(B, C, 2, H // 2, 2, W // 2).permute(0, 2, 4, 3, 5, 1).reshape(B, 4, H // 2, W // 2, C)
