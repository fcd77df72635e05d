"""Builds what is trained: UNet, ControlNet, schedulers and text encoder, from scratch or around a pretrained base."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    UNet2DConditionModel,
)
from torch import nn

from genima_core.diffusion.autoencoder import PATCH, Autoencoder, load_autoencoder
from genima_core.diffusion.config import BaseConfig, DiffusionConfig
from genima_core.language import TextEncoder


@dataclass(frozen=True)
class Networks:
    """The parts of an agent in training."""

    autoencoder: Autoencoder
    unet: UNet2DConditionModel
    controlnet: ControlNetModel
    text: TextEncoder
    noising: DDPMScheduler
    """In training."""
    drawing: EulerAncestralDiscreteScheduler | DDIMScheduler
    """In use."""
    unet_trains: bool

    @property
    def trained(self) -> nn.ModuleDict:
        """What learns, by name."""
        parts = {"controlnet": self.controlnet}
        return nn.ModuleDict({"unet": self.unet, **parts} if self.unet_trains else parts)


def from_scratch(config: DiffusionConfig, autoencoder: Path, seed: int, device: str = "cpu") -> Networks:
    """A small UNet and its ControlNet, both to be trained, around an autoencoder that is trained already.

    Raises:
        FileNotFoundError, ValueError: no autoencoder; a damaged one.
    """
    base = config.base
    vae = load_autoencoder(autoencoder, device)
    text = TextEncoder.tiny(base.text_width)
    text.model.to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=2 * max(config.size) // PATCH, in_channels=vae.config.latent_channels,
            out_channels=vae.config.latent_channels, block_out_channels=base.block_out_channels,
            layers_per_block=base.layers_per_block, down_block_types=base.down_block_types,
            up_block_types=tuple(name.replace("Down", "Up") for name in reversed(base.down_block_types)),
            cross_attention_dim=base.text_width, norm_num_groups=16,
            attention_head_dim=base.heads)  # diffusers' name for the number of heads
        controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=base.conditioning_channels,
                                               load_weights_from_unet=False)
        # ControlNet begins with zeros so as not to disturb a pretrained base. Here nothing is pretrained, and with
        # zeros in its way the condition is not found for thousands of steps.
        for layer in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block,
                      controlnet.controlnet_cond_embedding.conv_out):
            layer.reset_parameters()
    # The networks predict the picture, not the noise: from scratch that draws the first spheres within minutes.
    noising = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False)
    # Euler Ancestral, which the paper uses, is not implemented in diffusers for networks that predict the picture.
    drawing = DDIMScheduler.from_config(noising.config, timestep_spacing="trailing")
    return Networks(vae, *(part.to(device, memory_format=torch.channels_last) for part in (unet, controlnet)), text,
                    noising, drawing, unet_trains=True)


def around_base(config: DiffusionConfig, base: str | None = None, device: str = "cpu") -> Networks:
    """A pretrained Stable Diffusion, frozen, with a ControlNet that starts from its encoder and adds nothing yet.

    `base` is a name or folder, the preset's by default.

    Raises:
        FileNotFoundError: not downloaded.
        ValueError: damaged.
    """
    source = base or config.base
    options = {"torch_dtype": torch.float32, "local_files_only": True}
    try:
        unet = UNet2DConditionModel.from_pretrained(source, subfolder="unet", **options)
        vae = AutoencoderKL.from_pretrained(source, subfolder="vae", **options)
        noising = DDPMScheduler.from_pretrained(source, subfolder="scheduler", local_files_only=True)
        drawing = EulerAncestralDiscreteScheduler.from_pretrained(source, subfolder="scheduler", local_files_only=True)
        folder = _folder(source)
    except OSError as error:
        raise FileNotFoundError(
            f"no pretrained weights at {source}: download them with `huggingface-cli download {config.base}`, or name "
            "a folder that holds unet/, vae/, scheduler/, text_encoder/ and tokenizer/ with --base") from error
    except Exception as error:  # safetensors, json and diffusers each have their own
        raise ValueError(f"the pretrained weights at {source} are damaged ({str(error).splitlines()[0]}); download "
                         "them again") from error
    text = TextEncoder.load(folder, device)
    controlnet = ControlNetModel.from_unet(unet)
    parts = [part.to(device, memory_format=torch.channels_last) for part in (vae, unet, controlnet)]
    for part in parts[:2]:
        part.eval().requires_grad_(False)
    return Networks(*parts, text, noising, drawing, unet_trains=False)


def build(config: DiffusionConfig, autoencoder: Path | None, base: str | None, seed: int,
          device: str = "cpu") -> Networks:
    """The networks of a preset.

    Raises:
        ValueError, FileNotFoundError: something given that the preset does not take, or missing that it needs.
    """
    if isinstance(config.base, BaseConfig):
        if base is not None:
            raise ValueError("this preset trains its own base; leave --base away or use --preset sd-turbo")
        if autoencoder is None:
            raise ValueError("this preset needs --autoencoder, a folder that `genima train autoencoder` wrote")
        return from_scratch(config, autoencoder, seed, device)
    if autoencoder is not None:
        raise ValueError("this preset uses the pretrained model's autoencoder; leave --autoencoder away")
    return around_base(config, base, device)


def _folder(source: str) -> Path:
    """Where the files of a folder or of a downloaded model lie."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    return Path(snapshot_download(source, local_files_only=True))
