"""How fast drawings are made, beside the stock diffusers pipeline with the same weights, seed and precision.

python benchmarks/diffusion.py --json diffusion.json
python benchmarks/diffusion.py --device cuda
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from _sd_turbo import sd_turbo
from _timing import alternate_ms, device_name, report, row
from PIL import Image
from rich.console import Console

from genima_core.device import choose_device
from genima_core.diffusion.agent import PRECISIONS, DiffusionAgent
from genima_core.diffusion.engine import Engine
from genima_core.language import prompt
from genima_core.pixels import tile, untile

INSTRUCTION = "push the button"
CASES = (("SD-Turbo size, 10 steps", 10, False), ("SD-Turbo size, 5 steps, tiny decoder", 5, True))
"""Name, steps, tiny decoder; four 256×256 views at once."""


def main(
    device: str = "auto",
    checkpoint: Path = Path("checkpoints/demo"),
    compiled: bool = True,
    precision: str | None = None,
    threads: int | None = None,
    repeats: int = 20,
    shrink: int | None = None,
    json: Path | None = None,
) -> None:
    """Times drawings; psnr_db is between ours and the stock pipeline's.

    Args:
        device: cpu, cuda, cuda:1, ...; by default cuda where there is one.
        checkpoint: Whose agent is timed.
        compiled: Also time networks that went through torch.compile, which takes minutes the first time.
        precision: float32, float16 or bfloat16; by default half precision on a GPU only.
        threads: Of torch on the CPU.
        repeats: Drawings of each kind.
        shrink: Divides SD-Turbo's channels, to try this benchmark where there is no GPU; its ratios mean nothing.
        json: Where to write the results for machines.
    """
    device = choose_device(device)
    precision = precision or ("float16" if device.startswith("cuda") else "float32")
    if threads is not None:
        torch.set_num_threads(threads)
    rows, missing = [], []
    agent = DiffusionAgent.load(checkpoint / "diffusion", device, precision)
    rows += _rows(f"demo preset, {agent.steps} steps", agent, agent.steps, precision, compiled, repeats)
    for name, steps, tiny in CASES:
        if not device.startswith("cuda") and shrink is None:
            missing.append(f"{name}: needs a GPU; python benchmarks/diffusion.py --device cuda")
            continue
        networks = sd_turbo(device, PRECISIONS[precision], tiny, shrink or 1)
        agent = DiffusionAgent(networks, Engine(networks), (256, 256), steps)
        rows += _rows(name, agent, steps, precision, compiled, repeats)
        del networks, agent
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
    report(rows, missing, json)


def _rows(name: str, agent: DiffusionAgent, steps: int, precision: str, compiled: bool, repeats: int) -> Iterator[dict]:
    width, height = agent.size
    images = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), dtype=np.uint8)
    pipeline, picture = agent.pipeline(), Image.fromarray(tile(images))

    def stock() -> np.ndarray:
        """What a user of diffusers writes."""
        with torch.inference_mode():
            drawn = pipeline(
                prompt(INSTRUCTION),
                image=picture,
                num_inference_steps=steps,
                guidance_scale=0.0,
                generator=torch.Generator().manual_seed(0),
            ).images[0]
        return untile(np.array(drawn), len(images))

    agents = {"": agent}
    if compiled:
        begin_s = time.perf_counter()
        agents["compiled"] = DiffusionAgent(agent.networks, Engine(agent.networks, compiled=True), agent.size, steps)
        agents["compiled"].draw(images, INSTRUCTION, 0, steps)
        start_s = time.perf_counter() - begin_s
        Console().print(f"{name}: compiled in {start_s:.0f} s", highlight=False)
    for kind, one in agents.items():
        ms = alternate_ms({"stock": stock, "ours": lambda one=one: one.draw(images, INSTRUCTION, 0, steps)}, repeats)
        error = np.square(one.draw(images, INSTRUCTION, 0, steps).astype(float) - stock()).mean() / 255**2
        more = {"precision": precision, "psnr_db": round(float(-10 * np.log10(max(error, 1e-10))), 1)}
        if kind:
            more["start_s"] = round(start_s, 1)
        yield row(
            f"{name}, {kind}" if kind else name,
            device_name(str(agent.networks.device)),
            ms["stock"],
            ms["ours"],
            **more,
        )


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
