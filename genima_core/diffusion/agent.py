"""Draws joint targets onto the four views, with stock diffusers parts."""

import copy
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    StableDiffusionControlNetPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn

from genima_core.diffusion.autoencoder import load_autoencoder
from genima_core.language import TextEncoder, prompt
from genima_core.tiling import tile, untile

PARTS = ("vae", "unet", "controlnet", "scheduler", "text_encoder", "tokenizer", "agent.json")
SCHEDULERS = {kind.__name__: kind for kind in (EulerAncestralDiscreteScheduler, DDIMScheduler)}
REMEDY = "`git checkout -- checkpoints/demo` restores the shipped one, `make demo-checkpoint` trains it anew"


@dataclass(frozen=True)
class DiffusionAgent:
    """A `StableDiffusionControlNetPipeline` whose condition is the tiled observation and whose picture is the drawing.

    Without classifier-free guidance (scale 0, as in the paper), so each step is one pass of UNet and ControlNet.
    """

    pipeline: StableDiffusionControlNetPipeline
    text: TextEncoder
    size: tuple[int, int]
    """Width and height of one view in pixels."""
    steps: int
    """Denoising steps when `draw` is not told otherwise."""

    @classmethod
    def assemble(cls, vae: nn.Module, unet: nn.Module, controlnet: nn.Module, scheduler, text: TextEncoder,
                 size: tuple[int, int], steps: int) -> "DiffusionAgent":
        """From parts in memory."""
        pipeline = StableDiffusionControlNetPipeline(
            vae=vae, text_encoder=text.model, tokenizer=text.tokenizer, unet=unet, controlnet=controlnet,
            scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        pipeline.set_progress_bar_config(disable=True)
        return cls(pipeline, text, tuple(size), steps)

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> "DiffusionAgent":
        """Reads a folder that `save` wrote, in float32.

        Raises:
            FileNotFoundError, ValueError: a part is missing; a part is damaged.
        """
        path = Path(path)
        for part in PARTS:
            if not (path / part).exists():
                raise FileNotFoundError(f"{path} is no complete diffusion agent: {part} is missing; {REMEDY}")
        try:
            agent = json.loads((path / "agent.json").read_text())
            size, steps = tuple(map(int, agent["size"])), int(agent["steps"])
            if len(size) != 2 or min(size) < 1 or steps < 1:
                raise ValueError(f"size {size} and steps {steps} must be two numbers and one, all positive")
            config = DDIMScheduler.load_config(path / "scheduler")
            scheduler = SCHEDULERS[config["_class_name"]].from_config(config)
            unet, controlnet = (kind.from_pretrained(path / name, torch_dtype=torch.float32, local_files_only=True)
                                for kind, name in ((UNet2DConditionModel, "unet"), (ControlNetModel, "controlnet")))
        except Exception as error:  # safetensors, json and diffusers each have their own
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {str(error).splitlines()[0]}); "
                             f"{REMEDY}") from error
        parts = [part.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
                 for part in (unet, controlnet)]
        return cls.assemble(load_autoencoder(path / "vae", device), *parts, scheduler, TextEncoder.load(path, device),
                            size, steps)

    def save(self, path: Path | str) -> None:
        """Writes all parts, weights in float16; an older folder is replaced at the end."""
        path = Path(path)
        temporary = path.with_name(path.name + ".partial")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        p = self.pipeline
        for name, part in (("vae", p.vae), ("unet", p.unet), ("controlnet", p.controlnet)):
            save_half(part, temporary / name)
        p.scheduler.save_pretrained(temporary / "scheduler")
        self.text.save(temporary)
        (temporary / "agent.json").write_text(json.dumps({"size": self.size, "steps": self.steps}) + "\n")
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)

    def draw(self, images: np.ndarray, instruction: str, seed: int, steps: int | None = None) -> np.ndarray:
        """The views with the targets drawn onto them.

        Args:
            images: (4, H, W, 3) uint8 RGB in the order of the rig, of `size`.
            instruction: What the arm shall do; encoded once.
            seed: The same seed gives the same drawing.
            steps: Denoising steps.

        Returns:
            (4, H, W, 3) uint8 RGB.

        Raises:
            ValueError: images of another shape or type; less than one step.
            FloatingPointError: the networks gave numbers that are not finite.
        """
        return self.draw_many([images], [instruction], [seed], steps)[0]

    def draw_many(self, images: Sequence[np.ndarray], instructions: Sequence[str], seeds: Sequence[int],
                  steps: int | None = None) -> list[np.ndarray]:
        """`draw` for several scenes in one batch."""
        steps = self.steps if steps is None else steps
        if steps < 1:
            raise ValueError(f"steps is {steps}; drawing takes at least one")
        for views in images:
            self._check(views)
        condition = torch.stack([to_tensor(tile(views)) for views in images])
        # Drawn on the CPU, so that a seed means the same noise on every device.
        noise = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with torch.inference_mode():
            words = self.text.tokens([prompt(instruction) for instruction in instructions])
            pictures = self.pipeline(
                image=condition.to(self.pipeline.device), prompt_embeds=words,
                num_inference_steps=steps, guidance_scale=0.0, generator=noise, output_type="pt").images
        if not torch.isfinite(pictures).all():
            raise FloatingPointError("the drawing holds numbers that are not finite: the weights are damaged or the "
                                     f"precision is too low; {REMEDY}")
        return [untile(p) for p in pictures.mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()]

    def _check(self, images: np.ndarray) -> None:
        width, height = self.size
        if np.shape(images) != (4, height, width, 3) or images.dtype != np.uint8:
            raise ValueError(f"images are {np.shape(images)} {getattr(images, 'dtype', '')}; this agent draws onto "
                             f"(4, {height}, {width}, 3) uint8: four RGB views of {width}x{height}")


def to_tensor(picture: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 as (3, H, W) float in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() / 255


def save_half(model: nn.Module, folder: Path) -> None:
    """Writes a diffusers model in float16, half the size; loaders read it as float32 again."""
    half = copy.deepcopy(model).to("cpu", memory_format=torch.contiguous_format)
    nn.Module.half(half).save_pretrained(folder)
