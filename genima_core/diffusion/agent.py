"""Draws joint targets onto all views."""

import copy
import os
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from torch import nn

from genima_core.capture import channels_last
from genima_core.config import from_overrides, pick
from genima_core.device import choose_device, out_of_memory
from genima_core.diffusion.autoencoder import load_autoencoder
from genima_core.diffusion.engine import Engine
from genima_core.diffusion.networks import FAMILIES, SCHEDULERS, SUFFIXES, Networks, Prompts, cast
from genima_core.files import check_complete, check_name, read_json, replaced_folder, told_as_damage, write_json
from genima_core.language import PROMPT
from genima_core.pixels import MAX_VIEWS, USUAL_VIEWS, check_views
from genima_core.targets.look import OURS, Look
from genima_core.weights import load_part, read_config

PARTS = ("agent.json", "vae", "unet", "scheduler", "text_encoder", "tokenizer")
OF_AGENT = ("agent.json", (*PARTS, "controlnet", "text_encoder_2", "tokenizer_2"), "a diffusion agent")
"""How `files.replaced_folder` recognises an older one."""
INCOMPLETE = "is not a complete diffusion agent:"
PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MAX_SIDE_PX, MAX_STEPS = 4096, 1000


@dataclass(frozen=True)
class AgentInfo:
    """agent.json."""

    family: str
    size: tuple[int, int]
    """Width and height of one view in pixels."""
    steps: int
    look: Look = OURS
    prompt: str = PROMPT
    views: int = USUAL_VIEWS
    """That it draws onto at once."""
    cameras: tuple[str, ...] = ()
    """Of these views, in tile order; () in folders of older versions, which do not say."""

    def __post_init__(self) -> None:
        for name in self.cameras:
            check_name(name, "a camera")
        if self.cameras and (len(self.cameras) != self.views or len(set(self.cameras)) != self.views):
            raise ValueError(f"cameras are {', '.join(self.cameras)}; {self.views} views need as many, each once")
        if not 1 <= self.views <= MAX_VIEWS:
            raise ValueError(f"views is {self.views}; an agent draws onto 1 to {MAX_VIEWS}")
        if not (1 <= min(self.size) and max(self.size) <= MAX_SIDE_PX and 1 <= self.steps <= MAX_STEPS):
            raise ValueError(f"size {self.size} and steps {self.steps} must be 1 to {MAX_SIDE_PX} and 1 to {MAX_STEPS}")


@dataclass(frozen=True)
class DiffusionAgent:
    """The networks that draw, and the engine that runs them.

    The condition is the tiled observation, the picture is the drawing. Classifier-free guidance is off (scale 0, as in
    the paper), so each step is one pass of UNet and ControlNet.
    """

    networks: Networks
    engine: Engine
    size: tuple[int, int]
    """Width and height of one view in pixels."""
    steps: int
    """Denoising steps when `draw` is not told otherwise."""
    look: Look = OURS
    """Of the targets that it draws."""
    views: int = USUAL_VIEWS
    """That it draws onto at once."""
    cameras: tuple[str, ...] = ()
    """Of these views, in tile order; () where nobody said."""

    @classmethod
    def assemble(
        cls,
        networks: Networks,
        size: tuple[int, int],
        steps: int,
        look: Look = OURS,
        cameras: tuple[str, ...] = (),
    ) -> "DiffusionAgent":
        """From networks whose weights may still change."""
        views = len(cameras) or USUAL_VIEWS
        return cls(networks, Engine(networks, tuned=False), size, steps, look, views, cameras)

    @classmethod
    def load(
        cls, path: Path | str, device: str = "cpu", precision: str | None = None, compiled: bool = False
    ) -> "DiffusionAgent":
        """Reads a folder that `save` wrote onto a device: cpu, cuda, cuda:1, ...

        `precision` of `PRECISIONS`, float16 on a GPU and float32 on a CPU by default; `compiled` as for `Engine`.
        FileNotFoundError, ValueError: a part is missing; a part is damaged; there is no such device.
        """
        path = Path(path)
        device = choose_device(device)
        dtype = pick(PRECISIONS, precision or ("float16" if device.startswith("cuda") else "float32"), "precision")
        check_complete(path, PARTS, INCOMPLETE)
        with told_as_damage(path):
            agent = from_overrides(AgentInfo, read_json(path / "agent.json"), "agent.json")
            family = pick(FAMILIES, agent.family, "family")
            if family.controlled:
                check_complete(path, ("controlnet",), INCOMPLETE)
            config = read_config(path / "scheduler", "scheduler_config.json")
            networks = Networks(
                agent.family,
                load_autoencoder(path / "vae"),
                load_part(diffusers.UNet2DConditionModel, path / "unet"),
                load_part(diffusers.ControlNetModel, path / "controlnet") if family.controlled else None,
                Prompts.load(path, family.text_encoders, device, dtype, agent.prompt),
                pick(SCHEDULERS, config.get("_class_name"), "scheduler").from_config(config),
            )
        networks.cast(dtype)
        for network in networks.parts().values():
            channels_last(network.eval().requires_grad_(False), device)
        engine = Engine(networks, compiled=compiled)
        return cls(networks, engine, agent.size, agent.steps, agent.look, agent.views, agent.cameras)

    def save(self, path: Path | str, changed: Collection[str] = ()) -> None:
        """Writes all parts in float16, in place of an older folder; of its networks only those `changed`, if any."""
        path = Path(path)
        with replaced_folder(path, *OF_AGENT) as temporary:
            for name, part in self.networks.parts().items():
                if changed and name not in changed and (path / name / "config.json").is_file():
                    shutil.copytree(path / name, temporary / name, copy_function=os.link)
                else:
                    save_half(part, temporary / name)
            self.networks.scheduler.save_pretrained(temporary / "scheduler")
            self.networks.prompts.save(temporary)
            family, prompt = self.networks.family, self.networks.prompts.template
            info = AgentInfo(family, self.size, self.steps, self.look, prompt, self.views, self.cameras)
            write_json(temporary / "agent.json", asdict(info), None)

    def pipeline(self) -> diffusers.DiffusionPipeline:
        """The stock diffusers pipeline of the same networks: what the engine must agree with."""
        n = self.networks
        family, encoders = FAMILIES[n.family], n.prompts.encoders
        parts = {"vae": cast(copy.deepcopy(n.vae), n.dtype), "unet": n.unet, "scheduler": copy.deepcopy(n.scheduler)}
        for suffix, encoder in zip(SUFFIXES, encoders, strict=False):
            parts |= {f"text_encoder{suffix}": encoder.model, f"tokenizer{suffix}": encoder.tokenizer}
        if len(encoders) == 1:
            parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        if family.controlled:
            parts["controlnet"] = n.controlnet
        pipeline = family.pipeline(**parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def draw(self, images: np.ndarray, instruction: str, seed: int, steps: int | None = None) -> np.ndarray:
        """The views with the targets drawn onto them, (V, H, W, 3) uint8 RGB; the same seed gives the same drawing.

        `images` (V, H, W, 3) uint8 RGB are in the order of the rig, of `size`. ValueError: images of another shape or
        type, less than one step; RuntimeError: the networks gave numbers that are not finite, or out of GPU memory.
        """
        steps = self.steps if steps is None else steps
        if steps < 1:
            raise ValueError(f"steps is {steps}; at least one is needed")
        check_views(images, self.views, self.size, "images are")
        views, prompts = torch.from_numpy(images.copy())[None], self.networks.prompts.embed([instruction])
        with out_of_memory("out of GPU memory while drawing: use --precision float16, or the tiny autoencoder"):
            drawings, finite = self.engine.draw(views, prompts, [seed], steps)
        if not finite:
            why = "the weights are damaged or the precision is too low (device cpu draws in float32)"
            raise RuntimeError(f"the drawing holds numbers that are not finite: {why}")
        return drawings[0].numpy()


def save_half(model: nn.Module, folder: Path) -> None:
    """Writes a diffusers model in float16, half the size; loaders read it as float32 again."""
    half: Any = model
    if not all(p.dtype == torch.float16 and p.device.type == "cpu" for p in model.parameters()):
        half = cast(copy.deepcopy(model).to("cpu"), torch.float16)
    for parameter in half.parameters():
        parameter.data = parameter.data.contiguous()
    half.register_to_config(_name_or_path="")  # where it was loaded from is nobody else's business
    half.save_pretrained(folder)
