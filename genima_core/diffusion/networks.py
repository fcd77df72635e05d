"""What draws: UNet, ControlNet, autoencoder and text encoders, of three families of stock diffusers pipelines."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, get_args

import diffusers
import torch
from torch import Tensor, nn

from genima_core.config import pick
from genima_core.diffusion.autoencoder import Autoencoder, encode
from genima_core.language import PROMPT, TextEncoder, prompt

Scheduler: TypeAlias = (
    diffusers.EulerAncestralDiscreteScheduler | diffusers.EulerDiscreteScheduler | diffusers.DDIMScheduler
)
SCHEDULERS: dict[str, type[Scheduler]] = {kind.__name__: kind for kind in get_args(Scheduler)}
SUFFIXES = ("", "_2")
"""Of the folders of the first and the second text encoder."""


@dataclass(frozen=True)
class PromptEmbeddings:
    tokens: Tensor
    """(n, tokens, width)."""
    pooled: Tensor | None = None
    """(n, pooled width) of the second encoder; None with one."""

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "PromptEmbeddings":
        pooled = None if self.pooled is None else self.pooled.to(device, dtype)
        return PromptEmbeddings(self.tokens.to(device, dtype), pooled)


@dataclass(frozen=True)
class Prompts:
    encoders: tuple[TextEncoder, ...]
    template: str = PROMPT

    @classmethod
    def load(
        cls,
        folder: Path | str,
        count: int,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        template: str = PROMPT,
    ) -> "Prompts":
        """Reads tokenizer/ and text_encoder/, and for two tokenizer_2/ and text_encoder_2/."""
        return cls(tuple(TextEncoder.load(folder, device, suffix, dtype) for suffix in SUFFIXES[:count]), template)

    def save(self, folder: Path) -> None:
        for encoder, suffix in zip(self.encoders, SUFFIXES, strict=False):
            encoder.save(folder, suffix)

    def check_distinct(self, instructions: Sequence[str]) -> None:
        """ValueError if two instructions are the same to it; see `TextEncoder.check_distinct`."""
        self.encoders[0].check_distinct([prompt(instruction, self.template) for instruction in instructions])

    def embed(self, instructions: Sequence[str]) -> PromptEmbeddings:
        """What the networks are told for these instructions."""
        texts = [prompt(instruction, self.template) for instruction in instructions]
        encoded = [[encoder.encode(text) for text in texts] for encoder in self.encoders]
        if len(encoded) == 1:
            return PromptEmbeddings(torch.cat([text.tokens for text in encoded[0]]))
        # SDXL reads both encoders' last layers but one, and the second one's pooled embedding.
        tokens = [torch.cat([text.penultimate for text in texts]) for texts in encoded]
        return PromptEmbeddings(torch.cat(tokens, -1), torch.cat([text.pooled for text in encoded[1]]))


@dataclass(frozen=True)
class Family:
    """How a kind of base model is told what to draw and onto what."""

    pipeline: type
    controlled: bool
    """A ControlNet reads the observation; else the UNet does, as latents beside the noisy ones."""
    text_encoders: int

    @property
    def trained(self) -> str:
        """The network that a pretrained base is taught to draw with."""
        return "controlnet" if self.controlled else "unet"


FAMILIES = {
    "sd": Family(diffusers.StableDiffusionControlNetPipeline, controlled=True, text_encoders=1),
    "sdxl": Family(diffusers.StableDiffusionXLControlNetPipeline, controlled=True, text_encoders=2),
    "pix2pix": Family(diffusers.StableDiffusionInstructPix2PixPipeline, controlled=False, text_encoders=1),
}


@dataclass(frozen=True)
class Networks:
    family: str
    """Of `FAMILIES`."""
    vae: Autoencoder
    unet: diffusers.UNet2DConditionModel
    controlnet: diffusers.ControlNetModel | None
    prompts: Prompts
    scheduler: Scheduler

    def __post_init__(self) -> None:
        """ValueError: an unknown family, or parts that do not belong together."""
        family, unet = pick(FAMILIES, self.family, "family"), self.unet.config
        if family.controlled != (self.controlnet is not None):
            raise ValueError(f"family {self.family!r} {'needs a' if family.controlled else 'has no'} ControlNet")
        if self.controlnet is not None:
            check_fit(self.unet, self.controlnet)
        channels = self.vae.config.latent_channels
        expected = channels if family.controlled else 2 * channels
        if unet.in_channels != expected:
            given = f"the UNet reads {unet.in_channels} channels and the autoencoder makes {channels}"
            raise ValueError(f"{given}; family {self.family!r} needs {expected}")

    @property
    def dtype(self) -> torch.dtype:
        """Of UNet and latents."""
        return self.unet.dtype

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def parts(self) -> dict[str, nn.Module]:
        """The networks that are there, by the names of their folders."""
        named = {"vae": self.vae, "unet": self.unet, "controlnet": self.controlnet}
        return {name: part for name, part in named.items() if part is not None}

    def cast(self, dtype: torch.dtype, kept: Collection[str] = ()) -> None:
        """Changes the precision of all parts but `kept`, and of SDXL's autoencoder where that would overflow."""
        overflows = self.family == "sdxl" and dtype == torch.float16 and self.vae.config.get("force_upcast", False)
        for name, part in self.parts().items():
            if name not in kept and not (name == "vae" and overflows):
                cast(part, dtype)

    def observe(self, pictures: Tensor) -> Tensor:
        """What the networks see of tiled observations (B, 3, height, width) in [0, 1]: these, or their latents."""
        return pictures if self.controlnet is not None else encode(self.vae, pictures)

    def predict(self, noisy: Tensor, t: Tensor, prompts: PromptEmbeddings, observed: Tensor) -> Tensor:
        """One pass over noisy latents (B, C, h, w) at times t, () or (B,); guidance is off, as in the paper."""
        extra = None
        if prompts.pooled is not None:  # SDXL is told the picture's size, and that nothing was cropped
            height, width = noisy.shape[-2] * 8, noisy.shape[-1] * 8
            # Filled on the device: numbers that travel to it would keep a graph from being captured.
            ids = [noisy.new_full((len(noisy), 1), number) for number in (height, width, 0, 0, height, width)]
            extra = {"text_embeds": prompts.pooled, "time_ids": torch.cat(ids, 1)}
        if self.controlnet is None:
            return self.unet(torch.cat([noisy, observed], 1), t, prompts.tokens, return_dict=False)[0]
        down, middle = self.controlnet(noisy, t, prompts.tokens, observed, added_cond_kwargs=extra, return_dict=False)
        return self.unet(
            noisy,
            t,
            prompts.tokens,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            added_cond_kwargs=extra,
            return_dict=False,
        )[0]


def cast(part: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The part itself, in another precision; diffusers' own `to` warns whenever it is asked for one."""
    return nn.Module.to(part, dtype)


def check_fit(unet: diffusers.UNet2DConditionModel, controlnet: diffusers.ControlNetModel) -> None:
    """ValueError: the ControlNet was made for another base (SD against SDXL, or other sizes)."""
    wrong = []
    for key in ("cross_attention_dim", "block_out_channels", "layers_per_block", "addition_embed_type", "in_channels"):
        ours, theirs = (list(c) if isinstance(c, tuple) else c for c in (controlnet.config[key], unet.config[key]))
        if ours != theirs:
            wrong.append(f"{key} {ours} instead of {theirs}")
    if wrong:
        remedy = "SD-Turbo, SD 1.5 and SDXL-Turbo each need a ControlNet that was trained with them"
        raise ValueError(f"the ControlNet does not belong to this base: it has {', '.join(wrong)}; {remedy}")
