"""What the diffusion agent is built and trained with, by preset."""

from dataclasses import dataclass, replace
from typing import Literal

DOWN, CROSS_DOWN = "DownBlock2D", "CrossAttnDownBlock2D"


@dataclass(frozen=True)
class AutoencoderConfig:
    """`PatchAutoencoder` and its training: pictures of 8×8 patches as 24 numbers each."""

    latent_channels: int = 24
    width: int = 96
    """Channels at 1/8 of the resolution, where nearly all the work is done."""
    encoder_blocks: int = 2
    decoder_blocks: int = 3
    batch_size: int = 32
    """Pictures of one view's size."""
    learning_rate: float = 2e-3
    steps: int = 1500
    latent_noise: float = 0.1
    """Of the latents' deviation, added in training: the decoder will see latents that were drawn, not encoded."""
    sphere_weight: float = 4.0
    """Extra weight of pixels that show a target: few pixels, and the ones that count."""


@dataclass(frozen=True)
class BaseConfig:
    """A UNet of the agent's own, trained from scratch."""

    block_out_channels: tuple[int, ...] = (128, 192, 192)
    down_block_types: tuple[str, ...] = (DOWN, CROSS_DOWN, CROSS_DOWN)
    """No attention at 16×16, with which a step takes 1.7 times as long; views talk at 8×8 and 4×4."""
    layers_per_block: int = 1
    heads: int = 4
    text_width: int = 64
    """Of the tiny text encoder."""


@dataclass(frozen=True)
class DiffusionConfig:
    """The agent and its training; the values here are the paper's, with SD-Turbo."""

    size: tuple[int, int] = (256, 256)
    """Width and height of one view in pixels."""
    horizon: int = 20
    """K: the targets show the arm this many rows of the data set later."""
    stride: int = 1
    """Rows from one training window to the next: the more, the more demonstrations fit onto the disk."""
    family: Literal["sd", "sdxl", "pix2pix"] = "sd"
    """Which stock pipeline draws, see `networks.FAMILIES`."""
    base: BaseConfig | str = "stabilityai/sd-turbo"
    """Its own, or the name or folder of a pretrained model. Only its ControlNet (pix2pix: its UNet) learns."""
    autoencoder: AutoencoderConfig | None = None
    """Its own, or None for the pretrained model's."""
    draw_steps: int = 5
    """Denoising steps in use; the paper uses 10 and finds 5 as good."""

    batch_size: int = 24
    """Examples a step, on all processes together."""
    learning_rate: float = 1e-5
    weight_decay: float = 1e-2
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate, after the warm-up."""
    warmup_steps: int = 500
    steps: int | None = None
    """Length of a run; None: `epochs` count."""
    epochs: int | None = 200
    ema: float = 0.0
    """Decay of the weights' moving average, which is what is saved; 0 keeps none."""
    sphere_weight: float = 0.0
    """Extra weight of latents that show a target."""
    noise_bias: float = 0.0
    """Timesteps are drawn as T u^(1 / (1 + bias)), u uniform: 0 all alike, above it more of the noisy ones."""
    crop_px: int = 2
    """Largest random shift of the tiled picture in each direction, of condition and target alike, its borders
    reflected. The paper names no size; this one and the jitter are those of its code (`augment_data` of
    diffusion/train_controlnet_genima.py), which draws them once for a batch, here for each example."""
    jitter: tuple[float, float, float, float] | None = (0.2, 0.2, 0.1, 0.05)
    """Brightness, contrast, saturation, hue of kornia's ColorJitter, of the condition only. The script of the paper's
    pix2pix variant colours the target instead, which is not followed: the agent would draw in colours at random."""
    clip: float = 1.0
    """Largest norm of the gradient."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"the batch is {self.batch_size}; it must hold at least one example")


DEMO = DiffusionConfig(
    # Deviates from the paper throughout for one reason: two CPU cores, two hours, no pretrained weights.
    size=(64, 64),
    stride=3,
    family="pix2pix",
    base=BaseConfig(),
    autoencoder=AutoencoderConfig(),
    draw_steps=1,  # on held-out scenes 2 draw no better (94.5 % of the spheres found, with 1 94.7 %); each costs a pass
    batch_size=32,
    learning_rate=4e-4,
    schedule="cosine",  # the last third of the run, at a falling rate, finds most of the precision
    warmup_steps=100,
    steps=4000,
    epochs=None,
    ema=0.995,
    sphere_weight=4.0,
    noise_bias=4.0,  # one step in use, which begins with noise
    crop_px=0,  # would need the autoencoder in every step (latents are encoded once), and breaks the camera geometry
    jitter=None,  # likewise
)

SD_TURBO = DiffusionConfig()

SDXL_TURBO = replace(SD_TURBO, family="sdxl", base="stabilityai/sdxl-turbo")

# The paper's variant: InstructPix2Pix's input and training on SD-Turbo. `--base timbrooks/instruct-pix2pix` begins with
# the original's weights instead.
INSTRUCT_PIX2PIX = replace(SD_TURBO, family="pix2pix")

PRESETS = {"demo": DEMO, "sd-turbo": SD_TURBO, "sdxl-turbo": SDXL_TURBO, "instruct-pix2pix": INSTRUCT_PIX2PIX}
