"""How each controller is trained: augmentation, length and rates; the presets and their networks by name."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

from genima_core.config import from_overrides, pick
from genima_core.controller.act import ActConfig
from genima_core.controller.diffusion_policy import DiffusionPolicyConfig
from genima_core.controller.keypoint_act import KeypointActConfig
from genima_core.controller.network import ControllerConfig, Network
from genima_core.weights import read_config


@dataclass(frozen=True)
class AugmentConfig:
    """How training images are degraded; probabilities are per sample unless said otherwise.

    The values here are the paper's, and those of its code (controller/method/genima_act.py) where it names none. That
    draws each augmentation once for a batch; here every sample has its own, of colours and elastic every view.
    """

    jitter: tuple[float, float, float, float] = (0.2, 0.2, 0.1, 0.05)
    """Brightness, contrast, saturation, hue."""
    jitter_share: float = 0.5
    """Share of the samples whose colours are jittered."""
    crop_px: int = 4
    """Padding of the random crop, black, the same shift for all views."""
    crop_share: float = 0.5
    elastic: tuple[float, float] = (40.0, 10.0)
    """Alpha in pixels and sigma in pixels of the elastic deformation, for any size of view. Alpha is half of
    torchvision's, of which the paper's is 80: there a view is two wide."""
    elastic_share: float = 0.5
    noise: tuple[float, float] = (5 / 255, 5 / 255)
    """Least and largest standard deviation of the Gaussian noise; each view draws its own in between."""
    opacity: tuple[float, float] = (0.7, 1.0)
    """Of the spheres over the random background."""

    # What drawings look like, and renderings do not; off in the paper's recipe.
    drawing_share: float = 0.0
    """Share of the samples that get the degradations below."""
    blur_px: float = 0.0
    """Largest standard deviation of the blur."""
    fade: float = 0.0
    """Largest loss of opacity of one view's spheres, on top of `opacity`."""
    drop: float = 0.0
    """Probability that a sphere is missing in a view."""
    blank: float = 0.0
    """Probability that nothing is drawn at all, and the arm should stay."""
    shift_px: float = 0.0
    """Standard deviation of each sphere's own displacement in a view."""
    recode: float = 0.0
    """Probability of a round trip through the diffusion agent's autoencoder, if there is one."""
    latent_noise: float = 0.0
    """Largest standard deviation of the noise on the latents of that round trip, in the latents' own deviations."""


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast; the values here are the paper's."""

    batch_size: int = 96
    learning_rate: float = 1e-5
    """The paper's, and its README's; the released configuration says 5e-5."""
    backbone_rate: float = 1e-5
    """The released code moves the image encoder a second time in each step, by an Adam at `learning_rate`."""
    weight_decay: float = 1e-4
    steps: int | None = None
    """Length of a run; None: `epochs` count."""
    epochs: int | None = 1000
    """Of as many steps as whole batches fit into the windows."""
    warmup: float = 0.0
    """Share of the run over which the learning rate rises; then it falls along a cosine to `final_rate`."""
    final_rate: float = 1.0
    """Learning rate at the end, relative to its maximum."""
    ema: float = 0.0
    """Decay of the weights' moving average; 0 keeps none."""
    clip: float | None = None
    """Largest norm of the gradient; None: any."""
    stride: int = 1
    """Rows from one recorded window to the next."""
    variants: int = 1
    """Windows made of each recorded one; those after the first have moved ends (`data.cache.MovedEnds`)."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"steps is {self.steps} and epochs is {self.epochs}; give one of them")
        if self.batch_size < 1 or self.variants < 1:
            raise ValueError(f"batch_size is {self.batch_size}, variants is {self.variants}; both must be at least 1")


@dataclass(frozen=True)
class Preset:
    """Network, pictures and training, and the pretrained parts they start from."""

    model: ControllerConfig
    augment: AugmentConfig
    train: TrainConfig
    text_encoder: str | None = None
    """Name or folder of a CLIP model; None for the tiny one, which needs no download."""
    backbone: str | None = None
    """Name, folder or file of ResNet-18 weights; None to start from nothing."""


PAPER = Preset(ActConfig(), AugmentConfig(), TrainConfig(), "openai/clip-vit-base-patch32", "microsoft/resnet-18")

DIFFUSION_POLICY = replace(
    # Pictures and pretrained parts are the paper's. Diffusion Policy's ResNet starts from nothing, with group norm; the
    # frozen batch norm of the backbone here needs the statistics of pretrained weights.
    PAPER,
    model=DiffusionPolicyConfig(),
    train=TrainConfig(
        batch_size=64,
        learning_rate=1e-4,
        backbone_rate=1e-4,
        weight_decay=1e-6,  # Diffusion Policy's
        epochs=1000,  # as the paper's controller, which it is compared with; published: 3050, on a real arm 600
        warmup=0.005,
        final_rate=0.0,  # published: 500 steps up, then a cosine to 0; in a run of 100,000 they are this
        ema=0.9999,  # published: at most; both averages are short at first, theirs keeps 1 - step^-0.75
        # Adam's first beta is published as 0.95; here it is 0.9, as for all networks.
    ),
)

DEMO = Preset(
    # Everything here deviates from the paper for one reason: two CPU cores, half an hour, no pretrained weights.
    KeypointActConfig(),
    AugmentConfig(
        jitter_share=0.5,  # the dearest of the augmentations
        crop_px=0,  # shifting a view breaks the camera geometry: at 64 px one pixel is two centimetres
        elastic=(0.6, 6.0),
        elastic_share=0.3,
        noise=(0.0, 8 / 255),
        drawing_share=0.8,
        blur_px=1.2,
        fade=0.35,
        drop=0.08,
        blank=0.04,
        shift_px=0.7,
        recode=0.5,
        latent_noise=0.35,
    ),
    TrainConfig(
        batch_size=64,
        learning_rate=1.5e-3,
        backbone_rate=1.5e-3,
        weight_decay=1e-4,
        steps=4000,
        epochs=None,
        warmup=0.03,
        final_rate=0.01,
        ema=0.995,
        clip=1.0,
        stride=3,
        variants=4,
    ),
)

PRESETS = {"demo": DEMO, "paper": PAPER, "diffusion-policy": DIFFUSION_POLICY}


NETWORKS: dict[str, type[Network]] = {
    network.config_type.network: network
    for network in Network.__subclasses__()
    if any(isinstance(preset.model, network.config_type) for preset in PRESETS.values())
}
"""Those that a preset builds, by the key `network` of config.json."""


def load_config(path: Path) -> ControllerConfig:
    """Reads what `ControllerConfig.save` wrote; FileNotFoundError, ValueError: no such file; not a configuration."""
    data = read_config(path.parent, path.name)
    kind = pick(NETWORKS, data.pop("network", None), "network").config_type
    if missing := [f.name for f in fields(kind) if f.name not in data]:
        raise ValueError(f"missing keys in {path}: {', '.join(missing)}")
    return from_overrides(kind, data, kind.network)
