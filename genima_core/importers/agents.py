"""Makes a drawing agent from a base model and the network that was trained to draw with it, in diffusers' layout."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from genima_core.config import from_overrides, given
from genima_core.files import check_replaceable
from genima_core.importers.settings import CAMERAS, Settings, find_settings
from genima_core.targets.look import LOOKS

PUBLISHED = ("wrist", "front", "right_shoulder", "left_shoulder")
"""Tile order of the published renderer, which makes the training pictures."""
BESIDE = ("../controller*/config.yaml",)
"""Where a release keeps the configuration, relative to the agent's folder."""


@dataclass(frozen=True)
class Options:
    preset: Literal["sd-turbo", "sdxl-turbo", "instruct-pix2pix"] = "sd-turbo"
    """Preset with the kind of model and the sizes that it was trained with."""
    base: str | None = None
    """Name or folder of the base model that it was trained with; the preset's by default."""
    autoencoder: str | None = None
    """Name or folder of a tiny decoder to draw with, such as madebyollin/taesd."""
    cameras: str | None = None
    """Names of the cameras in tile order, as wrist,front,right_shoulder,left_shoulder; by default as its config.yaml
    says."""
    size: int | None = None
    """Width and height of each view in pixels; its config.yaml's or the preset's by default."""
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

    All is read in half precision, as it is written, which takes half of the memory. `tell` hears what is done, and what
    had to be assumed. It draws with the base's own scheduler, as the published evaluation does (SD-Turbo's: Euler).
    """
    import torch
    from diffusers import UNet2DConditionModel  # takes seconds, and the command line needs the options at once

    from genima_core.diffusion.agent import OF_AGENT, AgentInfo, DiffusionAgent
    from genima_core.diffusion.building import find_trained, load_base, with_autoencoder
    from genima_core.diffusion.config import PRESETS
    from genima_core.diffusion.networks import FAMILIES
    from genima_core.weights import load_part

    pictures, settings = read_pictures(source, options, tell)
    chosen = given(base=options.base, size=pictures.size, draw_steps=options.denoising_steps)
    config = replace(PRESETS[options.preset], **chosen)
    AgentInfo(config.family, config.size, config.draw_steps, views=len(pictures.cameras), cameras=pictures.cameras)
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
    look = LOOKS[options.look]
    DiffusionAgent.assemble(networks, config.size, config.draw_steps, look, pictures.cameras).save(out)
    return {
        "preset": options.preset,
        "base": base,
        "trained": str(trained),
        "config": settings,
        "cameras": list(pictures.cameras),
        "size": config.size,
        "steps": config.draw_steps,
        "prompt": networks.prompts.template,
        "scheduler": type(networks.scheduler).__name__,
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in networks.parts().items()},
    }


@dataclass(frozen=True)
class Pictures:
    """What the views are that an agent draws onto."""

    cameras: tuple[str, ...]
    """In tile order."""
    size: tuple[int, int] | None
    """Width and height of each; None where nobody said."""


def read_pictures(source: Path, options: Options, tell: Callable[[str], object]) -> tuple[Pictures, str | None]:
    """What options, else the config.yaml says, and where that is; `tell` hears what neither does.

    The published evaluation tiles the views in the order of the config.yaml of the controller, which lies beside the
    agent. No thresholds are in it: those of the gate are found from the data set (`checkpoint.assemble`).
    """
    path = find_settings(source, *BESIDE)
    settings, told = None if path is None else Settings.read(path), dict[str, Any]()
    for field, name in (("cameras", CAMERAS), ("size", "visual_observation_shape")):
        if settings is not None:
            with suppress(ValueError):
                told[field] = settings.get(name)
    chosen = None if options.cameras is None else options.cameras.split(",")
    told |= given(cameras=chosen, size=None if options.size is None else (options.size, options.size))
    if not told.get("cameras"):
        silent = f"no config.yaml in {source} or beside it" if path is None else f"{path} has no {CAMERAS}"
        tell(f"warning: {silent}; the tile order is taken to be {','.join(PUBLISHED)} (--cameras says another)")
        told["cameras"] = PUBLISHED
    read = from_overrides(Pictures, {"size": None, **told}, "the agent's views" if path is None else str(path))
    return read, None if path is None else str(path)
