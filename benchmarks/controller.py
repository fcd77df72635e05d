"""How fast a drawing becomes a chunk, beside a plain forward pass of the same network.

python benchmarks/controller.py --json controller.json
python benchmarks/controller.py --device cuda
"""

import sys
from pathlib import Path

import numpy as np
import torch
from _timing import alternate_ms, device_name, report, row

from genima_core.controller.config import PRESETS
from genima_core.controller.networks import NETWORKS
from genima_core.controller.policy import Controller
from genima_core.language import TextEncoder
from genima_core.sim.scene import default_rig

LEAST_ON_GPU = {"paper": 3.0}


def main(
    device: str | None = None,
    presets: tuple[str, ...] = tuple(PRESETS),
    compiled: bool = False,
    threads: int | None = None,
    repeats: int = 20,
    json: Path | None = None,
) -> None:
    """Exits with 1 where a chunk takes longer than it may, or is another one. Random weights.

    Args:
        device: cpu or cuda; cuda where there is one.
        presets: Of `genima train controller`.
        compiled: Also time the networks after torch.compile, which takes minutes the first time.
        threads: Of torch on the CPU.
        repeats: Chunks of each kind.
        json: Where to write the results for machines.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
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
        q = network.q_mean.cpu().double().numpy()

        def plain(network=network, text=text, targets=targets, q=q) -> np.ndarray:
            """An eager forward pass, the instruction's embedding kept."""
            with torch.no_grad():
                images = torch.from_numpy(targets)[None].to(device).permute(0, 1, 4, 2, 3).float() / 255
                state = torch.tensor(q, dtype=torch.float32, device=device)[None]
                embedding = text.pooled(["push the button"]).to(device)
                return network(images, state, torch.ones(1, device=device), embedding).joints[0].cpu().numpy()

        kinds = {"": Controller(network, text, device, tuned=True)}
        if compiled:
            kinds["compiled"] = Controller(network, text, device, tuned=True, compiled=True)
        for kind, controller in kinds.items():

            def ours(controller=controller, targets=targets, q=q) -> np.ndarray:
                return controller.act(targets, q, 1.0, "push the button")[0]

            ms = alternate_ms({"plain": plain, "ours": ours}, repeats)
            least = LEAST_ON_GPU.get(name) if device.startswith("cuda") else None
            rows.append(
                row(
                    f"preset {name}, {kind}" if kind else f"preset {name}",
                    device_name(device),
                    ms["plain"],
                    ms["ours"],
                    least,
                    difference_rad=float(np.abs(ours() - plain()).max().round(6)),
                )
            )
    missing = [] if device.startswith("cuda") else ["on a GPU: python benchmarks/controller.py --device cuda"]
    reached = report(rows, missing, json)
    sys.exit(0 if reached and all(r["difference_rad"] < 1e-3 for r in rows) else 1)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
