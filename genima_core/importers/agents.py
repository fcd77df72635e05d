"""Makes an agent of a base model and the network that somebody has trained to draw with it, in diffusers' layout."""

from dataclasses import replace
from pathlib import Path

from diffusers import UNet2DConditionModel

from genima_core.diffusion.agent import OF_AGENT, DiffusionAgent
from genima_core.diffusion.building import find_trained, load_base, with_autoencoder
from genima_core.diffusion.config import BaseConfig
from genima_core.diffusion.config import preset as diffusion_preset
from genima_core.diffusion.networks import FAMILIES
from genima_core.files import check_replaceable
from genima_core.weights import load_part


def convert_agent(
    source: Path,
    out: Path,
    preset: str = "sd-turbo",
    base: str | None = None,
    autoencoder: str | None = None,
    size: int | None = None,
    steps: int | None = None,
) -> dict:
    """Writes an agent's folder.

    Args:
        source: What `find_trained` takes: a ControlNet, or for preset instruct-pix2pix a UNet.
        out: Folder for `DiffusionAgent.load`; an older agent is replaced.
        preset: sd-turbo, sdxl-turbo or instruct-pix2pix.
        base: Name or folder of the pretrained model, if not the preset's.
        autoencoder: Name or folder of another decoder, such as madebyollin/taesd.
        size: Width and height of a view in pixels; the preset's by default.
        steps: Denoising steps in use; the preset's by default.

    Returns:
        What was put together.

    Raises:
        FileNotFoundError, ValueError: something is missing, damaged, or does not belong together.
    """
    config = diffusion_preset(preset, size=(size, size) if size else None, draw_steps=steps)
    if isinstance(config.base, BaseConfig):
        raise ValueError(f"preset {preset!r} has no pretrained base; valid are sd-turbo, sdxl-turbo, instruct-pix2pix")
    out = Path(out)
    check_replaceable(out, *OF_AGENT)
    family = FAMILIES[config.family]
    trained = find_trained(source, family.trained)
    networks = load_base(config.family, base or config.base, trained if family.controlled else None)
    if not family.controlled:
        unet = load_part(UNet2DConditionModel, trained).eval()
        networks = replace(networks, unet=unet)
    if autoencoder is not None:
        networks = with_autoencoder(networks, autoencoder)
    DiffusionAgent.assemble(networks, config.size, config.draw_steps).save(out)
    return {
        "preset": preset,
        "base": base or config.base,
        "trained": str(trained),
        "size": config.size,
        "steps": config.draw_steps,
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in networks.parts().items()},
    }
