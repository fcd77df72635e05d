"""Networks of SD-Turbo's classes and sizes with random weights: their speed is that of the trained ones."""

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    EulerAncestralDiscreteScheduler,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel

from genima_core.diffusion.networks import Networks, Prompts
from genima_core.language import TextEncoder


def sd_turbo(device: str, dtype: torch.dtype, tiny_decoder: bool = False, shrink: int = 1) -> Networks:
    """SD-Turbo with a ControlNet; channels divided by `shrink`, for trying the benchmark itself."""
    torch.manual_seed(0)
    width = _whole(1024, shrink)
    text = TextEncoder.tiny(64)  # for its tokenizer
    with torch.device(device):
        unet = UNet2DConditionModel(
            sample_size=64,
            layers_per_block=2,
            block_out_channels=tuple(_whole(c, shrink) for c in (320, 640, 1280, 1280)),
            attention_head_dim=(5, 10, 20, 20) if shrink == 1 else 4,
            cross_attention_dim=width,
            use_linear_projection=True,
        )
        controlnet = ControlNetModel.from_unet(unet)
        for layer in (
            *controlnet.controlnet_down_blocks,
            controlnet.controlnet_mid_block,
            controlnet.controlnet_cond_embedding.conv_out,
        ):
            torch.nn.init.normal_(layer.weight, std=0.01)  # zeros would hide what the ControlNet does
        vae = (
            AutoencoderTiny()
            if tiny_decoder
            else AutoencoderKL(
                block_out_channels=tuple(_whole(c, shrink) for c in (128, 256, 512, 512)),
                layers_per_block=2,
                latent_channels=4,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
            )
        )
        encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=23,
                num_attention_heads=16,
                hidden_act="gelu",
                eos_token_id=1,
            )
        )
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    )
    for part in (unet, controlnet, vae, encoder):
        part.eval().requires_grad_(False)
        torch.nn.Module.to(part, dtype)
    for part in (unet, controlnet, vae):
        part.to(memory_format=torch.channels_last)
    return Networks("sd", vae, unet, controlnet, Prompts((TextEncoder(text.tokenizer, encoder),)), scheduler)


def _whole(channels: int, shrink: int) -> int:
    """Fewer channels, in whole groups of 32, which normalisation and heads need."""
    return max(32, channels // shrink // 32 * 32)
