"""Diffusion Policy as a controller: a chunk is denoised from Gaussian noise (preset `diffusion-policy`).

Chi et al. 2023, the CNN variant; Shridhar et al. 2024 (GENIMA) compare with it. Here it reads drawings, like the other
controllers. What differs from the published method stands beside the value or the line.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal, get_args

import torch
from diffusers import DDIMScheduler
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import Conv1dBlock, Downsample1D, Upsample1D
from torch import Tensor, nn

from genima_core.cameras import CameraRig
from genima_core.controller.keypoints import cell_centres
from genima_core.controller.kinematics import DrawnFrames
from genima_core.controller.network import ACTION, STATE, Network, Prediction, Statistics, TrainingBatch
from genima_core.controller.resnet import FilmResNet, ResNetConfig

GROUPS = 8
Sampler = Literal["ddim", "ddpm"]


@dataclass(frozen=True)
class DiffusionPolicyConfig(ResNetConfig):
    """Values of Diffusion Policy's image configurations, unless said otherwise.

    It reads no instruction and has a backbone for each view; here the instruction modulates one for all, as in `act`,
    and is part of the condition. It looks at the last two observations, and runs only some of the actions; the
    interface gives one observation, and whoever executes decides how many actions run.
    """

    network: ClassVar[str] = "diffusion-policy"

    keypoints: int = 32
    """Maps of a view whose expected position the spatial softmax gives."""
    unet_widths: tuple[int, ...] = (256, 512, 1024)
    """RoboBase's, and the published ones on a real arm; in simulation those are twice as wide."""
    kernel_size: int = 5
    step_dim: int = 256
    """Width of the diffusion step's embedding; RoboBase's, half of it in the published image configurations."""
    train_steps: int = 100
    """Diffusion steps in training, with a squared-cosine schedule."""
    steps: int = 20
    """Diffusion steps in use; GENIMA's. Published: 100 in simulation, 16 on a real arm."""
    sampler: Sampler = "ddim"
    """In use; published: `ddpm` in simulation, `ddim` on a real arm."""
    seed: int = 0
    """Of the noise that every chunk starts from; the published method draws another for each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        stride = 2 * 2 ** len(self.widths)
        if min(self.size) <= stride:
            raise ValueError(f"size {self.size} leaves a single cell: views need more than {stride} pixels")
        factor = 2 ** (len(self.unet_widths) - 1)
        if self.chunk_size < 1 or self.chunk_size % factor:
            near = factor * max(1, self.chunk_size // factor)
            why = f"unet_widths {self.unet_widths} halve the chunk {len(self.unet_widths) - 1} times"
            valid = f"a multiple of {factor}, because {why}: {near} or {near + factor} would do"
            raise ValueError(f"chunk_size {self.chunk_size} must be {valid}")
        if not self.unet_widths or any(w % GROUPS for w in self.unet_widths) or self.kernel_size % 2 == 0:
            given = f"unet_widths {self.unet_widths} must be multiples of {GROUPS}"
            raise ValueError(f"{given}, and kernel_size {self.kernel_size} odd")
        if self.step_dim < 4 or self.step_dim % 2 or not 1 <= self.steps <= self.train_steps:
            needed = f"step_dim {self.step_dim} must be even and at least 4"
            raise ValueError(f"{needed}, and steps {self.steps} lie in 1 to train_steps {self.train_steps}")
        if self.sampler not in get_args(Sampler):
            raise ValueError(f"sampler is {self.sampler!r}; valid are {', '.join(get_args(Sampler))}")


class ResidualBlock(nn.Module):
    """Two convolutions along the chunk, with scale and shift by the condition between them.

    diffusers' ResidualTemporalBlock1D, and RoboBase's, only shift.
    """

    def __init__(self, inner: int, outer: int, condition_dim: int, kernel_size: int) -> None:
        super().__init__()
        self.conv_in = Conv1dBlock(inner, outer, kernel_size, GROUPS)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition_dim, 2 * outer))
        self.conv_out = Conv1dBlock(outer, outer, kernel_size, GROUPS)
        self.shortcut = nn.Conv1d(inner, outer, 1) if inner != outer else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, outer, K) from x (B, inner, K) and condition (B, condition_dim)."""
        scale, shift = self.film(condition)[..., None].chunk(2, 1)
        return self.conv_out(scale * self.conv_in(x) + shift) + self.shortcut(x)


class Stage(nn.ModuleList):
    """Two residual blocks, and what makes the chunk shorter or longer."""

    def __init__(self, inner: int, outer: int, condition_dim: int, kernel_size: int) -> None:
        sizes = ((inner, outer), (outer, outer))
        super().__init__(ResidualBlock(*size, condition_dim, kernel_size) for size in sizes)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """At this length, and at the next."""
        first, second, resize = self
        x = second(first(x, condition), condition)
        return x, resize(x)


class ConditionalUNet1D(nn.Module):
    """The noise in noisy chunks; each width after the first works at half of the actions."""

    def __init__(
        self, channels: int, widths: tuple[int, ...], condition_dim: int, kernel_size: int, step_dim: int
    ) -> None:
        super().__init__()
        self.step_embedding = nn.Sequential(
            Timesteps(step_dim, flip_sin_to_cos=False, downscale_freq_shift=1),
            TimestepEmbedding(step_dim, 4 * step_dim, act_fn="mish", out_dim=step_dim),
        )
        of_block = step_dim + condition_dim, kernel_size
        halve: list[nn.Module] = [Downsample1D(width, use_conv=True) for width in widths[:-1]] + [nn.Identity()]
        self.down = nn.ModuleList(
            Stage(inner, outer, *of_block).append(half)
            for inner, outer, half in zip((channels, *widths[:-1]), widths, halve, strict=True)
        )
        self.middle = Stage(widths[-1], widths[-1], *of_block).append(nn.Identity())
        self.up = nn.ModuleList(
            Stage(2 * wide, narrow, *of_block).append(Upsample1D(narrow, use_conv_transpose=True))
            for narrow, wide in reversed(list(pairwise(widths)))
        )
        self.head = nn.Sequential(
            Conv1dBlock(widths[0], widths[0], kernel_size, GROUPS), nn.Conv1d(widths[0], channels, 1)
        )

    def forward(self, x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """(B, channels, K) from x of that shape, step (B,) and condition (B, condition_dim)."""
        condition = torch.cat([self.step_embedding(step), condition], -1)
        skips = []
        for stage in self.down:
            skip, x = stage(x, condition)
            skips.append(skip)
        x, _ = self.middle(x, condition)
        for stage in self.up:
            # As published, the first width's skip is left over.
            _, x = stage(torch.cat([x, skips.pop()], 1), condition)
        return self.head(x)


class DiffusionPolicy(Network):
    """One vector says what is drawn where, what the joints are and what the instruction is; a UNet denoises by it.

    The actions' range becomes -1 to 1, and the gripper is an eighth number between -1 (closed) and 1 (open) beside the
    joints. Diffusion Policy maps the joint state in the same way; here it is normalised as in the other networks.
    """

    config_type = DiffusionPolicyConfig
    config: DiffusionPolicyConfig
    noise: Tensor
    action_min: Tensor
    action_max: Tensor
    """(7,) rad."""

    def __init__(self, config: DiffusionPolicyConfig, rig: CameraRig, statistics: Statistics | None = None) -> None:
        super().__init__(config, rig, statistics)
        c = config
        # Frozen batch norm; published: group norm, since batch statistics and averaged weights do not go together.
        self.backbone = FilmResNet(c.widths, c.blocks, c.film_stages, c.hidden)
        self.text = nn.Linear(c.text_dim, c.hidden)
        self.heat = nn.Conv2d(self.backbone.channels, c.keypoints, 1)
        condition = len(rig.cameras) * 2 * c.keypoints + STATE + c.hidden
        self.unet = ConditionalUNet1D(ACTION, c.unet_widths, condition, c.kernel_size, c.step_dim)
        self.scheduler = DDIMScheduler(
            c.train_steps,
            beta_schedule="squaredcos_cap_v2",
            prediction_type="epsilon",
            clip_sample=True,
            clip_sample_range=1.0,
        )
        self.scheduler.set_timesteps(c.steps)
        self.timesteps: list[int] = self.scheduler.timesteps.tolist()
        # Of the start and of each step. The CPU's generator: every device gives the same chunk; and a buffer: random
        # numbers that travel to the device in the forward pass would keep it from being captured.
        generator = torch.Generator().manual_seed(c.seed)
        noise = [torch.randn(1, ACTION, c.chunk_size, generator=generator) for _ in range(1 + c.steps)]
        self.register_buffer("noise", torch.stack(noise), persistent=False)

    @classmethod
    def unit_statistics(cls, chunk_size: int) -> Statistics:
        return {**super().unit_statistics(chunk_size), "action_min": -torch.ones(7), "action_max": torch.ones(7)}

    @classmethod
    def measure(cls, q: Tensor, actions: Tensor, is_pad: Tensor, frames: DrawnFrames) -> Statistics:
        known = actions[~is_pad]
        low, high = known.amin(0), known.amax(0)
        # Samples are clipped at the range. Published: exactly that of all data. Here it is that of some windows, so a
        # tenth is added; and a joint that hardly moves should not fill it with its noise.
        middle, half = (low + high) / 2, (0.55 * (high - low)).clamp(min=0.1)
        own = {"action_min": middle - half, "action_max": middle + half}
        return {**super().measure(q, actions, is_pad, frames), **own}

    @torch.no_grad()
    def forward(self, images: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> Prediction:
        condition = self.observe(images, q, gripper, text)
        x = self.noise[0].expand(len(q), -1, -1)
        for t, fresh in zip(self.timesteps, self.noise[1:], strict=True):
            predicted = self.unet(x, torch.full((len(q),), t, device=q.device), condition)
            # With eta 1, and noise that fits the clipped chunk, DDIM is DDPM.
            options = {"eta": 1.0, "use_clipped_model_output": True, "variance_noise": fresh}
            x = self.scheduler.step(predicted, t, x, **options if self.config.sampler == "ddpm" else {}).prev_sample
        x = x.transpose(1, 2)
        middle, half = self.action_range()
        return Prediction(x[..., :7] * half + middle, (x[..., 7] + 1) / 2)

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        keep = ~batch.is_pad
        # Published: padding is learned as standing still. Here it counts as no error, as in `act`; the convolutions
        # read it all the same, so it is always the last known action.
        last = keep.sum(1, keepdim=True).clamp(min=1) - 1
        index = torch.arange(keep.shape[1], device=keep.device).minimum(last)[..., None].expand(-1, -1, ACTION)
        chunk = self.normalise(batch.actions, batch.action_gripper).gather(1, index).transpose(1, 2)
        noise = torch.randn_like(chunk)
        t = torch.randint(self.config.train_steps, (len(chunk),), device=chunk.device)
        condition = self.observe(batch.images, batch.q, batch.gripper, batch.text)
        predicted = self.unet(self.scheduler.add_noise(chunk, noise, t), t, condition)
        error = ((predicted - noise).square() * keep[:, None]).mean((0, 2)) / ACTION
        return {"joints": error[:7].sum(), "gripper": error[7]}

    def observe(self, images: Tensor, q: Tensor, gripper: Tensor, text: Tensor) -> Tensor:
        """(B, 8 keypoints + 8 + hidden): positions in the views, between -1 and 1, joint state and instruction."""
        B, V = images.shape[:2]
        instruction = self.text(text)
        heat = self.heat(self.backbone(images.flatten(0, 1), instruction.repeat_interleave(V, 0)))
        positions = heat.flatten(2).softmax(-1) @ cell_centres(heat.shape[-2], heat.shape[-1], heat.device)
        return torch.cat([positions.reshape(B, -1), (q - self.q_mean) / self.q_std, gripper[:, None], instruction], -1)

    def normalise(self, actions: Tensor, opened: Tensor) -> Tensor:
        """(B, K, 8) between -1 and 1 from actions (B, K, 7) rad and openings (B, K) 0 to 1."""
        middle, half = self.action_range()
        return torch.cat([(actions - middle) / half, 2.0 * (opened[..., None] > 0.5) - 1], -1)

    def action_range(self) -> tuple[Tensor, Tensor]:
        """Middle and half width (7,) rad."""
        return (self.action_max + self.action_min) / 2, (self.action_max - self.action_min) / 2

    def load_backbone(self, source: str | Path) -> None:
        self.backbone.load_pretrained(source)
