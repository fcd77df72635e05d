"""Makes a drawing agent from a base model and the network that was trained to draw with it, in diffusers' layout."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from genima_core.config import given
from genima_core.files import check_replaceable
from genima_core.targets.look import LOOKS


@dataclass(frozen=True)
class Options:
    preset: Literal["sd-turbo", "sdxl-turbo", "instruct-pix2pix"] = "sd-turbo"
    """Preset with the kind of model and the sizes that it was trained with."""
    base: str | None = None
    """Name or folder of the base model that it was trained with; the preset's by default."""
    autoencoder: str | None = None
    """Name or folder of a tiny decoder to draw with, such as madebyollin/taesd."""
    size: int | None = None
    """Width and height of each view in pixels; the preset's by default."""
    denoising_steps: int | None = None
    """Denoising steps of a drawing; the preset's by default."""
    look: Literal["released", "ours"] = "released"
    """What the targets look like that it was trained to draw."""
    prompt: str | None = None
    """What it was told in training, with {} for the instruction; the paper's by default. Without {}, one that draws
    whatever was asked for, as an agent is that was trained on the pictures alone."""


def convert_agent(
    source: Path, out: Path, options: Options = Options(), tell: Callable[[str], object] = lambda text: None
) -> dict[str, Any]:
    """Writes an agent's folder from one that `find_trained` accepts; an older agent is replaced. Returns a summary.

    All is read in half precision, as it is written, which takes half of the memory. `tell` hears what is done. It draws
    with the base's own scheduler, as the published evaluation does (SD-Turbo's: Euler).
    """
    import torch
    from diffusers import UNet2DConditionModel  # takes seconds, and the command line needs the options at once

    from genima_core.diffusion.agent import OF_AGENT, DiffusionAgent
    from genima_core.diffusion.building import find_trained, load_base, with_autoencoder
    from genima_core.diffusion.config import PRESETS
    from genima_core.diffusion.networks import FAMILIES
    from genima_core.weights import load_part

    size = None if options.size is None else (options.size, options.size)
    config = replace(PRESETS[options.preset], **given(base=options.base, size=size, draw_steps=options.denoising_steps))
    check_replaceable(out, *OF_AGENT)
    family, base = FAMILIES[config.family], str(config.base)
    trained = find_trained(source, family.trained)
    half, controlnet = torch.float16, trained if family.controlled else None
    networks = load_base(config.family, base, controlnet, own_scheduler=True, dtype=half, tell=tell)
    if not family.controlled:
        networks = replace(networks, unet=load_part(UNet2DConditionModel, trained, half).eval())
    if options.prompt is not None:
        networks = replace(networks, prompts=replace(networks.prompts, template=options.prompt))
    if options.autoencoder is not None:
        networks = with_autoencoder(networks, options.autoencoder)
    tell(f"writing {out}")
    DiffusionAgent.assemble(networks, config.size, config.draw_steps, LOOKS[options.look]).save(out)
    return {
        "preset": options.preset,
        "base": base,
        "trained": str(trained),
        "size": config.size,
        "steps": config.draw_steps,
        "prompt": networks.prompts.template,
        "scheduler": type(networks.scheduler).__name__,
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in networks.parts().items()},
    }
