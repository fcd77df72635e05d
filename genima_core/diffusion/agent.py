"""Draws joint targets onto the four views."""

import copy
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    DiffusionPipeline,
    EulerAncestralDiscreteScheduler,
    ModelMixin,
    UNet2DConditionModel,
)

from genima_core.capture import channels_last
from genima_core.config import from_overrides
from genima_core.device import check_device
from genima_core.diffusion.autoencoder import load_autoencoder
from genima_core.diffusion.engine import Engine
from genima_core.diffusion.networks import FAMILIES, Networks, cast
from genima_core.diffusion.prompts import Prompts
from genima_core.files import one_line, read_json, replaced_folder, restore, write_json
from genima_core.weights import load_part, read_config

PARTS = ("agent.json", "vae", "unet", "scheduler", "text_encoder", "tokenizer")
OF_AGENT = ("agent.json", (*PARTS, "controlnet", "text_encoder_2", "tokenizer_2"), "a diffusion agent")
"""What `files.replaced_folder` needs to know an older one by."""
SCHEDULERS = {kind.__name__: kind for kind in (EulerAncestralDiscreteScheduler, DDIMScheduler)}
PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MAX_SIDE_PX, MAX_STEPS = 4096, 1000


@dataclass(frozen=True)
class AgentInfo:
    """agent.json."""

    family: str
    size: tuple[int, int]
    """Width and height of one view in pixels."""
    steps: int

    def __post_init__(self) -> None:
        if not (1 <= min(self.size) and max(self.size) <= MAX_SIDE_PX and 1 <= self.steps <= MAX_STEPS):
            raise ValueError(
                f"size {self.size} and steps {self.steps} must be two numbers of 1 to {MAX_SIDE_PX}, and one of 1 to "
                f"{MAX_STEPS}"
            )


@dataclass(frozen=True)
class DiffusionAgent:
    """Networks that draw, and the engine that lets them.

    The condition is the tiled observation, the picture is the drawing. Classifier-free guidance is off (scale 0, as in
    the paper), so each step is one pass of UNet and ControlNet.
    """

    networks: Networks
    engine: Engine
    size: tuple[int, int]
    """Width and height of one view in pixels."""
    steps: int
    """Denoising steps when `draw` is not told otherwise."""

    @classmethod
    def assemble(cls, networks: Networks, size: tuple[int, int], steps: int) -> "DiffusionAgent":
        """From networks whose weights may still change."""
        return cls(networks, Engine(networks, tuned=False), size, steps)

    @classmethod
    def load(
        cls, path: Path | str, device: str = "cpu", precision: str | None = None, compiled: bool = False
    ) -> "DiffusionAgent":
        """Reads a folder that `save` wrote.

        Args:
            path: Folder.
            device: cpu, cuda, cuda:1, ...
            precision: Of `PRECISIONS`; float16 on a GPU and float32 on a CPU by default.
            compiled: See `Engine`.

        Raises:
            FileNotFoundError, ValueError: a part is missing; a part is damaged; there is no such device.
        """
        path = Path(path)
        check_device(device)
        precision = precision or ("float16" if device.startswith("cuda") else "float32")
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; valid are {', '.join(PRECISIONS)}")
        dtype = PRECISIONS[precision]
        for part in PARTS:
            if not (path / part).exists():
                raise FileNotFoundError(f"{path} is not a complete diffusion agent: {part} is missing; {restore(path)}")
        try:
            agent = from_overrides(AgentInfo, read_json(path / "agent.json"), "agent.json")
            family, size, steps = agent.family, agent.size, agent.steps
            if family not in FAMILIES:
                raise ValueError(f"unknown family {family!r}; valid are {', '.join(FAMILIES)}")
            config = read_config(path / "scheduler", "scheduler_config.json")
            kind = SCHEDULERS.get(str(config.get("_class_name")))
            if kind is None:
                raise ValueError(f"unknown scheduler {config.get('_class_name')!r}; valid are {', '.join(SCHEDULERS)}")
            scheduler = kind.from_config(config)
            controlled = FAMILIES[family].controlled
            if controlled and not (path / "controlnet").exists():
                raise FileNotFoundError(
                    f"{path} is not a complete diffusion agent: controlnet is missing; {restore(path)}"
                )
            prompts = Prompts.load(path, FAMILIES[family].text_encoders, device, dtype)
            networks = Networks(
                family,
                load_autoencoder(path / "vae"),
                load_part(UNet2DConditionModel, path / "unet"),
                load_part(ControlNetModel, path / "controlnet") if controlled else None,
                prompts,
                scheduler,
            )
        except FileNotFoundError:
            raise
        except Exception as error:  # safetensors, json and diffusers each have their own
            raise ValueError(
                f"{path} is damaged ({type(error).__name__}: {one_line(error)}); {restore(path)}"
            ) from error
        for name, network in networks.parts().items():
            # SDXL's autoencoder overflows in half precision, and says so.
            overflows = family == "sdxl" and networks.vae.config.get("force_upcast", False)
            kept = name == "vae" and dtype == torch.float16 and overflows
            cast(network.eval().requires_grad_(False), torch.float32 if kept else dtype)
            channels_last(network, device)
        return cls(networks, Engine(networks, compiled=compiled), size, steps)

    def with_steps(self, steps: int) -> "DiffusionAgent":
        """The same agent with another number of denoising steps."""
        return replace(self, steps=steps)

    def save(self, path: Path | str, changed: Collection[str] = ()) -> None:
        """Writes all parts, weights in float16; an older folder is replaced at the end.

        Of an older folder, networks that are not among `changed`, if it names any, are taken over as they are: a
        frozen base is written once.
        """
        path = Path(path)
        with replaced_folder(path, *OF_AGENT) as temporary:
            for name, part in self.networks.parts().items():
                if changed and name not in changed and (path / name / "config.json").is_file():
                    shutil.copytree(path / name, temporary / name, copy_function=os.link)
                else:
                    save_half(part, temporary / name)
            self.networks.scheduler.save_pretrained(temporary / "scheduler")
            self.networks.prompts.save(temporary)
            write_json(temporary / "agent.json", asdict(AgentInfo(self.networks.family, self.size, self.steps)), None)

    def pipeline(self) -> DiffusionPipeline:
        """The stock diffusers pipeline of the same networks: what the engine must agree with."""
        n = self.networks
        family, encoders = FAMILIES[n.family], n.prompts.encoders
        parts = {
            "vae": cast(copy.deepcopy(n.vae), n.dtype),
            "unet": n.unet,
            "scheduler": copy.deepcopy(n.scheduler),
            "text_encoder": encoders[0].model,
            "tokenizer": encoders[0].tokenizer,
        }
        if len(encoders) > 1:
            parts |= {"text_encoder_2": encoders[1].model, "tokenizer_2": encoders[1].tokenizer}
        else:
            parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        if family.controlled:
            parts["controlnet"] = n.controlnet
        pipeline = family.pipeline(**parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def draw(self, images: np.ndarray, instruction: str, seed: int, steps: int | None = None) -> np.ndarray:
        """The views with the targets drawn onto them.

        Args:
            images: (4, H, W, 3) uint8 RGB in the order of the rig, of `size`.
            instruction: What the arm should do; encoded once.
            seed: The same seed gives the same drawing.
            steps: Denoising steps.

        Returns:
            (4, H, W, 3) uint8 RGB.

        Raises:
            ValueError: images of another shape or type; less than one step.
            FloatingPointError: the networks gave numbers that are not finite.
            RuntimeError: out of GPU memory.
        """
        return self.draw_many([images], [instruction], [seed], steps)[0]

    def draw_many(
        self, images: Sequence[np.ndarray], instructions: Sequence[str], seeds: Sequence[int], steps: int | None = None
    ) -> list[np.ndarray]:
        """`draw` for several scenes in one batch."""
        steps = self.steps if steps is None else steps
        if steps < 1:
            raise ValueError(f"steps is {steps}; at least one is needed")
        for views in images:
            self._check(views)
        try:
            drawings, finite = self.engine.draw(
                torch.from_numpy(np.stack(images)), self.networks.prompts.embed(instructions), seeds, steps
            )
        except torch.OutOfMemoryError as error:
            raise RuntimeError(
                "out of GPU memory while drawing: use --precision float16, fewer scenes at once, or "
                "the tiny autoencoder"
            ) from error
        if not finite:
            raise FloatingPointError(
                "the drawing holds numbers that are not finite: the weights are damaged or the "
                "precision is too low (device cpu draws in float32)"
            )
        return list(drawings.numpy())

    def _check(self, images: np.ndarray) -> None:
        width, height = self.size
        if np.shape(images) != (4, height, width, 3) or images.dtype != np.uint8:
            raise ValueError(
                f"images are {np.shape(images)} {getattr(images, 'dtype', '')}; this agent draws onto "
                f"(4, {height}, {width}, 3) uint8: four RGB views of {width}x{height}"
            )


def save_half(model: ModelMixin, folder: Path) -> None:
    """Writes a diffusers model in float16, half the size; loaders read it as float32 again."""
    half = copy.deepcopy(model).to("cpu")
    cast(half, torch.float16)
    for parameter in half.parameters():
        parameter.data = parameter.data.contiguous()
    half.save_pretrained(folder)
