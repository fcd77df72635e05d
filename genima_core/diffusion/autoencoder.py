"""Pictures to latents at 1/8 of the resolution and back: a small autoencoder that fits stock diffusers pipelines."""

from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, IdentityDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn
from torch.nn import functional as F

from genima_core.capture import channels_last
from genima_core.config import pick
from genima_core.files import told_as_damage
from genima_core.pixels import tile_grid
from genima_core.weights import load_part, read_config

PATCH = 8


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Codes 8×8 patches, each with a look at its neighbours; fully convolutional, so single views and tiles both work.

    Convolving at full resolution is what makes autoencoders slow on a CPU. Here the first layer takes whole patches,
    the last ones hand them back, and a linear path past both sides lets training begin where a PCA would end. Without
    normalisation layers, what a view is coded as does not depend on the other views in its tile.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 24,
        width: int = 96,
        encoder_blocks: int = 2,
        decoder_blocks: int = 3,
        scaling_factor: float = 1.0,
        block_out_channels: tuple[int, ...] | None = None,
    ) -> None:
        """`latent_channels` are numbers per patch; `width` channels at 1/8 of the resolution, half and a quarter of
        them at 1/4 and 1/2; `encoder_blocks` and `decoder_blocks` residual blocks on both sides of the latents.

        `scaling_factor` is what latents are multiplied by, so that their deviation is 1; measured after training.
        Pipelines take the factor 8 from the length of `block_out_channels`, 4, whose values follow from `width`.
        """
        super().__init__()
        self.register_to_config(block_out_channels=(width // 4, width // 4, width // 2, width))
        half, quarter = width // 2, width // 4
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, PATCH, PATCH),
            *(_Residual(width) for _ in range(encoder_blocks)),
            nn.Conv2d(width, latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, width, 1),
            *(_Residual(width) for _ in range(decoder_blocks)),
            nn.Conv2d(width, 4 * half, 3, padding=1),
            nn.PixelShuffle(2),
            _Residual(half),
            nn.Conv2d(half, 4 * quarter, 1),
            nn.PixelShuffle(2),
            _Residual(quarter),  # smooths the patches' seams
            nn.Conv2d(quarter, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.linear = nn.Sequential(nn.Conv2d(latent_channels, 3 * PATCH**2, 1), nn.PixelShuffle(PATCH))

    @torch.no_grad()
    def start_from_pca(self, pictures: Tensor) -> None:
        """Makes the untrained network code patches by their principal components, the best linear code there is.

        `pictures` (B, 3, H, W) in [-1, 1]. Training then improves on some 27 dB instead of finding them first.
        """
        channels = self.config.latent_channels
        patches = F.unfold(pictures, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1).double()
        mean = patches.mean(0)
        basis = torch.linalg.eigh((patches - mean).T @ (patches - mean)).eigenvectors.flip(1)[:, :channels]
        layers = self.encoder[0], self.encoder[-1], self.linear[0], self.decoder[-2]
        (first, first_bias), (last, last_bias), (linear, linear_bias), (out, out_bias) = map(
            nn.Module.parameters, layers
        )
        # The residual blocks pass the first channels on unchanged until they have learnt something.
        first[:channels] = basis.T.reshape(channels, 3, PATCH, PATCH).float()
        first_bias[:channels] = -(mean @ basis).float()
        last.zero_()
        last[:, :channels, 0, 0] = torch.eye(channels)
        last_bias.zero_()
        linear.copy_(basis[:, :, None, None].float())
        linear_bias.copy_(mean.float())
        out.zero_()
        out_bias.zero_()

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """Latents (B, C, H/8, W/8), not scaled, of pictures (B, 3, H, W) in [-1, 1]; ValueError: not multiples of 8."""
        if x.shape[-1] % PATCH or x.shape[-2] % PATCH:
            raise ValueError(f"pictures are {x.shape[-1]}x{x.shape[-2]}; width and height must be multiples of {PATCH}")
        distribution = IdentityDistribution(self.encoder(x))
        return AutoencoderKLOutput(latent_dist=distribution) if return_dict else (distribution,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        """Pictures (B, 3, H, W) of latents that are not scaled any more; `generator` is what pipelines pass along."""
        picture = self.decoder(z) + self.linear(z)
        return DecoderOutput(sample=picture) if return_dict else (picture,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> Any:
        return self.decode(self.encoder(sample), return_dict)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


Autoencoder: TypeAlias = PatchAutoencoder | AutoencoderKL | AutoencoderTiny
KINDS = {kind.__name__: kind for kind in (PatchAutoencoder, AutoencoderKL, AutoencoderTiny)}


def load_autoencoder(folder: Path | str, device: str = "cpu") -> Autoencoder:
    """Whichever of `KINDS` the config.json of a folder, or of vae/ in it, names, in float32."""
    folder = Path(folder)
    if (folder / "vae" / "config.json").is_file():
        folder = folder / "vae"
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no autoencoder; `genima train autoencoder` trains one")
    with told_as_damage(folder):
        model = load_part(pick(KINDS, read_config(folder).get("_class_name"), "_class_name"), folder)
    return channels_last(model.eval().requires_grad_(False), device)


def encode(autoencoder: Autoencoder, pictures: Tensor) -> Tensor:
    """The most probable latents, not scaled yet, of pictures (B, 3, H, W) in [0, 1]."""
    encoded = autoencoder.encode((pictures * 2 - 1).to(autoencoder.dtype))
    return encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()


def to_latents(autoencoder: Autoencoder, pictures: Tensor) -> Tensor:
    """Latents of deviation 1 of pictures (B, 3, H, W) in [0, 1]."""
    return encode(autoencoder, pictures) * autoencoder.config.scaling_factor


def to_pictures(autoencoder: Autoencoder, latents: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] of latents of deviation 1."""
    decoded = autoencoder.decode((latents / autoencoder.config.scaling_factor).to(autoencoder.dtype)).sample
    return (decoded / 2 + 0.5).clamp(0, 1)


def tiled(views: Tensor) -> Tensor:
    """Tiled pictures (B, C, height, width) of views (B, V, H, W, C): `pixels.tile` for batches, on their device."""
    B, V, H, W, C = views.shape
    rows, columns = tile_grid(V)
    if blank := rows * columns - V:
        views = torch.cat([views, views.new_zeros(B, blank, H, W, C)], 1)
    parts = views.reshape(B, rows, columns, H, W, C).permute(0, 5, 1, 3, 2, 4)
    return parts.reshape(B, C, rows * H, columns * W)


def untiled(pictures: Tensor, count: int) -> Tensor:
    """The views (B, count, H, W, C) of tiled pictures (B, C, height, width)."""
    B, C, height, width = pictures.shape
    rows, columns = tile_grid(count)
    H, W = height // rows, width // columns
    parts = pictures.reshape(B, C, rows, H, columns, W).permute(0, 2, 4, 3, 5, 1)
    return parts.reshape(B, rows * columns, H, W, C)[:, :count]
