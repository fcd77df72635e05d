"""How fast a drawing becomes a chunk, beside a plain forward pass of the same network.

python benchmarks/controller.py --json controller.json
python benchmarks/controller.py --device cuda
"""

from pathlib import Path

import numpy as np
import torch
from _timing import alternate_ms, device_name, report, row

from genima_core.controller.config import NETWORKS, PRESETS
from genima_core.controller.policy import Controller
from genima_core.device import choose_device
from genima_core.language import TextEncoder
from genima_core.sim.scene import default_rig


def main(
    device: str = "auto",
    presets: tuple[str, ...] = tuple(PRESETS),
    compiled: bool = False,
    threads: int | None = None,
    repeats: int = 20,
    json: Path | None = None,
) -> None:
    """Times chunks of networks with random weights; difference_rad is between ours and the plain pass, both clipped.

    Args:
        device: cpu, cuda, cuda:1, ...; by default cuda where there is one.
        presets: Of `genima train controller`.
        compiled: Also time the networks after torch.compile, which takes minutes the first time.
        threads: Of torch on the CPU.
        repeats: Chunks of each kind.
        json: Where to write the results for machines.
    """
    device = choose_device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    rows = []
    for name in presets:
        config = PRESETS[name].model
        torch.manual_seed(0)
        network = NETWORKS[config.network](config, default_rig(*config.size)).eval().requires_grad_(False).to(device)
        text = TextEncoder.tiny(config.text_dim)
        width, height = config.size
        targets = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), dtype=np.uint8)
        limits = default_rig(*config.size).arm.limits
        q = network.q_mean.cpu().double().numpy()

        def plain(network=network, text=text, targets=targets, q=q, limits=limits) -> np.ndarray:
            """An eager forward pass, the instruction's embedding kept."""
            with torch.no_grad():
                images = torch.from_numpy(targets)[None].to(device).permute(0, 1, 4, 2, 3).float() / 255
                state = torch.tensor(q, dtype=torch.float32, device=device)[None]
                embedding = text.pooled(["push the button"]).to(device)
                joints = network(images, state, torch.ones(1, device=device), embedding).joints[0].cpu().numpy()
                return np.clip(joints, limits.lower, limits.upper)

        kinds = {"": Controller(network, text, tuned=True)}
        if compiled:
            kinds["compiled"] = Controller(network, text, tuned=True, compiled=True)
        for kind, controller in kinds.items():

            def ours(controller=controller, targets=targets, q=q) -> np.ndarray:
                return controller.act(targets, q, 1.0, "push the button")[0]

            ms = alternate_ms({"plain": plain, "ours": ours}, repeats)
            rows.append(
                row(
                    f"preset {name}, {kind}" if kind else f"preset {name}",
                    device_name(device),
                    ms["plain"],
                    ms["ours"],
                    difference_rad=float(np.abs(ours() - plain()).max().round(6)),
                )
            )
    missing = [] if device.startswith("cuda") else ["on a GPU: python benchmarks/controller.py --device cuda"]
    report(rows, missing, json)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
