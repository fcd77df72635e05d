"""How fast a diffusion agent of SD-Turbo's size trains, and how much memory it takes; random weights and pictures.

python benchmarks/training.py --device cuda
"""

import json as json_format
import time
from dataclasses import replace
from pathlib import Path

import torch
from _sd_turbo import sd_turbo
from _timing import device_name
from diffusers import DDPMScheduler
from rich.console import Console

from genima_core.device import choose_device
from genima_core.diffusion.building import TrainableNetworks
from genima_core.diffusion.config import SD_TURBO
from genima_core.diffusion.examples import Batch
from genima_core.diffusion.train import Learner, drawing_loss, make_accelerator, prepare_frozen
from genima_core.files import write_json
from genima_core.training.config import DiffusionTraining, Precision


def main(
    device: str = "auto",
    batch: int = 24,
    precision: Precision = "bfloat16",
    checkpointing: bool = False,
    steps: int = 10,
    shrink: int | None = None,
    json: Path | None = None,
) -> None:
    """Exits with 1 if it takes more than 80 GB.

    Args:
        device: cpu or cuda; cuda where there is one.
        batch: Examples a step.
        precision: float32, bfloat16 or float16.
        checkpointing: Compute activations twice.
        steps: Timed steps, after two that are not.
        shrink: Divides SD-Turbo's channels, to try this benchmark where there is no GPU.
        json: Where to write the results for machines.
    """
    device = choose_device(device)
    if device == "cpu" and shrink is None:
        line = "training step, SD-Turbo size: needs a GPU; python benchmarks/training.py --device cuda"
        Console().print(f"not run: {line}", highlight=False)
        if json is not None:
            json.write_text(json_format.dumps({"rows": [], "not_run": [line]}, indent=2) + "\n")
        return
    nowhere = Path()
    training = DiffusionTraining(nowhere, nowhere, device=device, precision=precision, checkpointing=checkpointing)
    accelerator = make_accelerator(training)
    networks = sd_turbo(device, torch.float32, shrink=shrink or 1)
    networks.controlnet.requires_grad_(True).train()
    trainable = TrainableNetworks(networks, ("controlnet",), DDPMScheduler.from_config(networks.scheduler.config))
    prepare_frozen(trainable, training)
    learner = Learner(trainable)
    config = replace(SD_TURBO, batch_size=batch)
    optimizer = torch.optim.AdamW(learner.parameters(), config.learning_rate, fused=True)
    model, stepper = accelerator.prepare(learner, optimizer)
    generator = torch.Generator().manual_seed(0)
    with accelerator.autocast(), torch.no_grad():
        condition = torch.rand(batch, 3, 512, 512, generator=generator).to(device)
    example = Batch(
        condition,
        torch.randn(batch, 4, 64, 64, generator=generator).to(device),
        torch.zeros(batch, 1, 64, 64, device=device),
        ["push the button"] * batch,
    )
    times_s = []
    for _ in range(steps + 2):
        begin_s = time.perf_counter()
        with accelerator.autocast(), torch.no_grad():
            networks.vae.encode((condition * 2 - 1).to(networks.vae.dtype))  # as augmented training does in every step
        with accelerator.autocast():
            loss = drawing_loss(model, trainable, example, config, generator)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), config.clip)
        stepper.step()
        stepper.zero_grad(set_to_none=True)
        loss.item()
        times_s.append(time.perf_counter() - begin_s)
    step_s = sorted(times_s[2:])[steps // 2]
    memory_gb = torch.cuda.max_memory_allocated(device) / 1e9 if device.startswith("cuda") else None
    result = {
        "name": "training step, SD-Turbo size",
        "device": device_name(device),
        "batch": batch,
        "precision": precision,
        "checkpointing": checkpointing,
        "step_s": round(step_s, 3),
        "samples_per_s": round(batch / step_s, 2),
        "memory_gb": memory_gb and round(memory_gb, 1),
    }
    Console().print("  ".join(f"{k} {v}" for k, v in result.items()), highlight=False)
    write_json(json, {"rows": [result], "not_run": []})


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
