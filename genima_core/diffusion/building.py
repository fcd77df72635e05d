"""Networks to be trained: from nothing, or around a pretrained base that stays frozen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import diffusers
import torch
from torch import nn

from genima_core.capture import channels_last
from genima_core.config import pick
from genima_core.diffusion.autoencoder import PATCH, load_autoencoder
from genima_core.diffusion.config import BaseConfig, DiffusionConfig
from genima_core.diffusion.networks import FAMILIES, SCHEDULERS, Networks, Prompts, cast
from genima_core.language import TextEncoder, prompt
from genima_core.weights import load_part, read_config


@dataclass(frozen=True)
class TrainableNetworks:
    """Networks, which of them learn, and how noise is added for them to learn from."""

    networks: Networks
    trained: tuple[str, ...]
    """Names in `Networks.parts`."""
    noising: diffusers.DDPMScheduler


def build(
    config: DiffusionConfig,
    autoencoder: Path | None = None,
    base: str | None = None,
    controlnet: Path | None = None,
    instructions: Sequence[str] = (),
    seed: int = 0,
    device: str = "cpu",
) -> TrainableNetworks:
    """The networks of a preset, from nothing, or a pretrained base with what should learn to draw with it.

    The latter is a ControlNet that starts from the base's encoder and adds nothing yet, or (pix2pix) the UNet itself,
    with more input channels that are not looked at yet. All else is frozen. `base` is a name or folder; `controlnet` a
    trained one to begin with, as for `find_trained`; a base from nothing knows the words of the `instructions`.

    ValueError, FileNotFoundError: something given that the preset does not take, or missing that it needs; parts that
    are damaged, or do not belong together.
    """
    if isinstance(config.base, BaseConfig):
        for name, given in (("--base", base), ("--controlnet", controlnet)):
            if given is not None:
                raise ValueError(f"this preset trains its own base; leave {name} out or use --preset sd-turbo")
        if autoencoder is None:
            raise ValueError("this preset needs --autoencoder, a folder that `genima train autoencoder` wrote")
        return from_scratch(config, config.base, autoencoder, instructions, seed, device)
    if autoencoder is not None:
        raise ValueError("this preset uses the pretrained model's autoencoder; leave --autoencoder out")
    networks = load_base(config.family, base or config.base, controlnet, device)
    trained = FAMILIES[config.family].trained
    for name, part in networks.parts().items():
        channels_last(part.train(name == trained).requires_grad_(name == trained), device)
    return TrainableNetworks(networks, (trained,), diffusers.DDPMScheduler.from_config(networks.scheduler.config))


def from_scratch(
    config: DiffusionConfig, base: BaseConfig, autoencoder: Path, instructions: Sequence[str], seed: int, device: str
) -> TrainableNetworks:
    """A small UNet to be trained, which reads the observation, around a trained autoencoder."""
    vae = load_autoencoder(autoencoder, device)
    channels = vae.config.latent_channels
    text = TextEncoder.tiny(base.text_width, map(prompt, instructions))
    text.model.to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = diffusers.UNet2DConditionModel(
            sample_size=2 * max(config.size) // PATCH,  # of pictures that nobody gives: drawings have the observation's
            in_channels=2 * channels,
            out_channels=channels,
            block_out_channels=base.block_out_channels,
            layers_per_block=base.layers_per_block,
            down_block_types=base.down_block_types,
            up_block_types=tuple(name.replace("Down", "Up") for name in reversed(base.down_block_types)),
            cross_attention_dim=base.text_width,
            norm_num_groups=16,
            attention_head_dim=base.heads,  # diffusers' name for the number of heads
            # The sentence reaches every block, as what it scales and shifts there: which of the things in a scene it
            # names is told by their colours, and those are gone at the resolutions that attend to words.
            addition_embed_type="text",
            addition_embed_type_num_heads=base.heads,
            resnet_time_scale_shift="scale_shift",
        )
    channels_last(unet, device)
    # The network predicts the picture, not the noise: from scratch that draws the first spheres within minutes.
    noising = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False)
    # Euler Ancestral, which the paper uses, is not implemented in diffusers for networks that predict the picture.
    drawing = diffusers.DDIMScheduler.from_config(noising.config, timestep_spacing="trailing")
    return TrainableNetworks(Networks(config.family, vae, unet, None, Prompts((text,)), drawing), ("unet",), noising)


def load_base(
    family: str,
    base: str,
    controlnet: Path | None = None,
    device: str = "cpu",
    own_scheduler: bool = False,
    dtype: torch.dtype = torch.float32,
    tell: Callable[[str], object] = lambda text: None,
) -> Networks:
    """A pretrained base by name or folder, with a trained ControlNet or a new one; errors as `build`.

    It draws with Euler Ancestral, as the paper says, or with its own scheduler, as the published evaluation does.
    `tell` hears what is read.
    """
    controlled = FAMILIES[family].controlled
    if controlnet is not None and not controlled:
        raise ValueError(f"family {family!r} has no ControlNet; leave --controlnet out")
    try:
        folder = _folder(base)
        tell(f"reading {folder}")
        unet = load_part(diffusers.UNet2DConditionModel, folder / "unet", dtype)
        vae = load_part(diffusers.AutoencoderKL, folder / "vae", dtype)
        config = read_config(folder / "scheduler", "scheduler_config.json")
    except OSError as error:
        parts = "a folder that holds unet/, vae/, scheduler/, text_encoder/ and tokenizer/ with --base"
        remedy = f"download them with `hf download {base}`, or name {parts}"
        raise FileNotFoundError(f"no pretrained weights at {base}: {remedy}") from error
    name = config.get("_class_name") if own_scheduler else diffusers.EulerAncestralDiscreteScheduler.__name__
    scheduler = pick(SCHEDULERS, name, f"the scheduler of {base}").from_config(config)
    prompts = Prompts.load(folder, FAMILIES[family].text_encoders, device, dtype)
    control = None
    if controlnet is not None:
        tell(f"reading {find_trained(controlnet)}")
        control = load_part(diffusers.ControlNetModel, find_trained(controlnet), dtype)
    elif controlled:
        control = diffusers.ControlNetModel.from_unet(unet)
    else:
        add_input_channels(unet, 2 * vae.config.latent_channels)
    networks = Networks(family, vae, unet, control, prompts, scheduler)
    for part in networks.parts().values():
        part.eval().to(device)
    return networks


def find_trained(source: Path, name: str = "controlnet") -> Path:
    """The folder of a ControlNet (or unet): `source` itself, controlnet/ in it, or in its newest checkpoint-<step>."""
    source = Path(source)
    saved = sorted(
        (p for p in source.glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdigit()),
        key=lambda p: -int(p.name.removeprefix("checkpoint-")),
    )
    for folder in (source, source / name, *(p / name for p in saved)):
        if (folder / "config.json").is_file():
            return folder
    needed = f"config.json, or {name}/ or checkpoint-<step>/{name}/ with one"
    raise FileNotFoundError(f"no trained {name} in {source}: it needs {needed}")


def add_input_channels(unet: diffusers.UNet2DConditionModel, channels: int) -> None:
    """Gives a UNet more input channels, whose weights are zero, as InstructPix2Pix begins; none if it has them."""
    old = unet.conv_in
    if old.in_channels == channels:
        return
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        new.bias = old.bias
    unet.conv_in = new
    unet.register_to_config(in_channels=channels)


def with_autoencoder(networks: Networks, folder: Path | str) -> Networks:
    """The same with another decoder by folder or name, such as madebyollin/taesd; latents must mean the same.

    ValueError: networks that read the observation through their own; FileNotFoundError: no such autoencoder.
    """
    if networks.controlnet is None:
        raise ValueError("pix2pix reads the observation through its own autoencoder; it cannot have another")
    vae = load_autoencoder(_folder(str(folder)), str(networks.device))
    return replace(networks, vae=cast(vae, networks.dtype))


def _folder(source: str) -> Path:
    """Of a model by folder or name; FileNotFoundError: no such folder, and no such model among the downloaded ones."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, local_files_only=True))
    except (OSError, ValueError) as error:  # ValueError: nothing on the hub can be called like this
        remedy = f"get it with `hf download {source}`, or name a folder that exists"
        raise FileNotFoundError(f"{source} is neither a folder nor a downloaded model: {remedy}") from error
