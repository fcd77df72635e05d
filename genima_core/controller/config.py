"""What the controller is built and trained with; the presets `paper` and `demo`."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ControllerConfig:
    """The network. The values here are the paper's; `demo` lists what it changes, and why."""

    size: tuple[int, int] = (256, 256)
    """Width and height of one view in pixels."""
    chunk_size: int = 20
    """K, actions a chunk."""
    dt_s: float = 0.05
    """Time between two actions: demonstrations are recorded at 20 Hz."""
    text_dim: int = 512
    """Width of the instruction's embedding (CLIP's pooled text embedding)."""

    # Backbone: ResNet-18 by default, weights of torchvision or transformers fit.
    stem: Literal["resnet", "patch"] = "resnet"
    """resnet: 7x7 stride 2 and max-pooling; patch: 4x4 stride 2."""
    widths: tuple[int, ...] = (64, 128, 256, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    strides: tuple[int, ...] = (1, 2, 2, 2)
    norm: Literal["frozen", "group"] = "frozen"
    film_stages: tuple[int, ...] = (0, 1, 2)
    """Stages whose output is modulated by the instruction (FiLM)."""

    # Image tokens.
    image_tokens: Literal["grid", "keypoints"] = "grid"
    keypoints: int = 4
    """Heat maps a view, if image_tokens is "keypoints"; the first four are the drawn frames."""
    descriptor: int = 16
    """Features read at each keypoint (colour, stripes)."""

    # Transformer and CVAE.
    hidden: int = 256
    heads: int = 8
    feedforward: int = 2048
    encoder_layers: int = 4
    decoder_layers: int = 6
    posterior_layers: int = 4
    dropout: float = 0.1
    joint_dropout: float = 0.3
    """Dropout inside the joint state's projection, so that the drawing is not ignored."""
    latent: int = 32
    """Width of the CVAE's latent: a sample of the posterior in training, zeros in use."""

    # Actions.
    base: Literal["none", "now", "goal"] = "none"
    """What joints are predicted relative to: nothing, the current ones, or the straight way from there to the goal
    whose frames project onto the keypoints (`goal.GoalSolver`; needs keypoint tokens)."""

    hold_at_end: bool = False
    """Actions after the end of a demonstration are learned too, as standing still; else they are padding."""

    # Loss.
    gripper_weight: float = 0.05
    kl_weight: float = 10.0
    position_weight: float = 0.0
    """Weight of the drawn frames' position error (L1, metres) at the predicted joints."""
    keypoint_weight: float = 0.0
    """Weight of the keypoints' cross-entropy against the projected frames (training only)."""

    def __post_init__(self) -> None:
        lengths = {len(self.widths), len(self.blocks), len(self.strides)}
        if len(lengths) != 1:
            raise ValueError(f"widths {self.widths}, blocks {self.blocks} and strides {self.strides} need one length")
        if self.hidden % self.heads or self.hidden % 4:
            raise ValueError(f"hidden {self.hidden} must be a multiple of heads {self.heads} and of 4")
        if self.base == "goal" and self.image_tokens != "keypoints":
            raise ValueError('base "goal" is computed from keypoints: set image_tokens to "keypoints"')
        if self.image_tokens == "keypoints" and self.keypoints < 4:
            raise ValueError(f"keypoints is {self.keypoints}; the four drawn frames need at least 4")

    @property
    def stride(self) -> int:
        """Pixels of a view per cell of the last feature map."""
        stride = 4 if self.stem == "resnet" else 2
        for s in self.strides:
            stride *= s
        return stride

    def save(self, path: Path) -> None:
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "ControllerConfig":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError, ValueError: no such file; not a controller's configuration.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; a controller folder holds config.json, model.safetensors, "
                                    "statistics.json and text_encoder/: restore it or run `genima train controller`")
        try:
            data = json.loads(path.read_text())
            unknown = set(data) - {f.name for f in fields(cls)}
            if unknown:
                raise ValueError(f"unknown keys {sorted(unknown)}; valid are {sorted(f.name for f in fields(cls))}")
            return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
        except (json.JSONDecodeError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is no controller configuration: {error}; restore it or run "
                             "`genima train controller`") from error


@dataclass(frozen=True)
class AugmentConfig:
    """How training images are degraded; probabilities are per sample unless said otherwise."""

    jitter: tuple[float, float, float, float] = (0.2, 0.2, 0.1, 0.05)
    """Brightness, contrast, saturation, hue."""
    jitter_share: float = 1.0
    """Share of the samples whose colours are jittered."""
    crop_px: int = 4
    """Padding of the random crop."""
    elastic: tuple[float, float] = (80.0, 10.0)
    """Alpha in pixels and sigma in pixels of the elastic deformation, for any size of view."""
    elastic_share: float = 1.0
    noise: float = 5 / 255
    """Standard deviation of the Gaussian noise."""
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
    """Probability that nothing is drawn at all, and the arm shall stay."""
    shift_px: float = 0.0
    """Standard deviation of each sphere's own displacement in a view."""
    recode: float = 0.0
    """Probability of a round trip through the diffusion agent's autoencoder, if there is one."""
    latent_noise: float = 0.0
    """Largest standard deviation of the noise on the latents of that round trip, in the latents' own deviations."""


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast."""

    batch_size: int = 96
    learning_rate: float = 1e-5
    backbone_rate: float = 1e-5
    weight_decay: float = 1e-4
    steps: int = 100_000
    warmup: float = 0.0
    """Share of the run over which the learning rate rises; then it falls along a cosine to `final_rate`."""
    final_rate: float = 1.0
    """Learning rate at the end, relative to its maximum."""
    ema: float = 0.0
    """Decay of the weights' moving average; 0 keeps none."""
    clip: float = 10.0
    """Largest norm of the gradient."""


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


PAPER = Preset(ControllerConfig(), AugmentConfig(), TrainConfig(), "openai/clip-vit-base-patch32",
               "microsoft/resnet-18")

DEMO = Preset(
    # Everything here deviates from the paper for one reason: two CPU cores, half an hour, no pretrained weights.
    ControllerConfig(
        size=(64, 64),
        text_dim=64,  # the tiny text encoder's
        stem="patch",  # keeps 32x32 cells: small spheres vanish behind a stride of 4
        widths=(16, 32),
        blocks=(1, 2),
        strides=(1, 2),
        norm="group",  # nothing pretrained whose statistics could be frozen
        film_stages=(1,),
        image_tokens="keypoints",  # where the spheres are is all that counts; grid tokens learn that slowly
        hidden=128,
        heads=4,
        feedforward=256,
        encoder_layers=2,
        decoder_layers=2,
        posterior_layers=1,
        dropout=0.0,  # costs precision: the targets are exact and the data are augmented
        joint_dropout=0.0,  # a joint error of 0.01 rad is a pixel's tenth
        base="goal",  # where the spheres are is learned; what joints that means is geometry, and exact
        hold_at_end=True,  # the last actions before the end are those that press: they need their goal learned too
        position_weight=5.0,  # where the frames end up is what the drawing shows and what the task needs
        keypoint_weight=0.1,  # localises the spheres within a minute instead of an hour
    ),
    AugmentConfig(
        jitter_share=0.5,  # the dearest of the augmentations
        crop_px=0,  # shifting a view breaks the camera geometry: at 64 px one pixel is two centimetres
        elastic=(0.6, 6.0),
        elastic_share=0.3,
        noise=8 / 255,
        drawing_share=0.8, blur_px=1.2, fade=0.35, drop=0.08, blank=0.04, shift_px=0.7, recode=0.5, latent_noise=0.35,
    ),
    TrainConfig(batch_size=64, learning_rate=1.5e-3, backbone_rate=1.5e-3, weight_decay=1e-4, steps=4000, warmup=0.03,
                final_rate=0.01, ema=0.995, clip=1.0),
)

PRESETS = {"demo": DEMO, "paper": PAPER}


def preset(name: str, **model: object) -> Preset:
    """A preset by name, with values of its `ControllerConfig` replaced.

    Raises:
        ValueError: unknown name.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; the controller has {', '.join(PRESETS)}")
    return replace(PRESETS[name], model=replace(PRESETS[name].model, **model))
