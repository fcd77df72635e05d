"""Pretrained bases of the true classes and folders, tiny and random."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from genima_core.language import TextEncoder

WIDTH = 16
"""Of the text encoders."""


def save_base(folder: Path, family: str) -> Path:
    """A folder as `hf download` leaves it; `family` sd or sdxl."""
    torch.manual_seed(0)
    text = TextEncoder.tiny(WIDTH)
    text.save(folder)
    extra = {"cross_attention_dim": WIDTH}
    if family == "sdxl":
        config = CLIPTextConfig(
            vocab_size=len(text.tokenizer),
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            eos_token_id=1,
        )
        TextEncoder(text.tokenizer, CLIPTextModelWithProjection(config)).save(folder, "_2")
        extra = {
            "cross_attention_dim": 2 * WIDTH,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + WIDTH,
        }
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **extra,
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 4, 4),
        norm_num_groups=2,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    # What the turbo models come with; the agent draws with Euler Ancestral instead, as the paper does.
    scheduler = EulerDiscreteScheduler(timestep_spacing="trailing")
    for name, part in (("unet", unet), ("vae", vae), ("scheduler", scheduler)):
        part.save_pretrained(folder / name)
    return folder


def save_tiny_autoencoder(folder: Path) -> Path:
    """Of the class of taesd."""
    torch.manual_seed(0)
    channels = (4, 4, 4, 4)
    model = AutoencoderTiny(
        encoder_block_out_channels=channels,
        decoder_block_out_channels=channels,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    )
    last = model.decoder.layers[-1]  # pictures in the middle of the range: clamped ones would all be the same
    torch.nn.init.normal_(last.weight, std=0.5)
    torch.nn.init.constant_(last.bias, 0.5)
    model.save_pretrained(folder)
    return folder
