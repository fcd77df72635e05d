"""Draws joint targets onto pictures of your own cell: what the drawing agent learns to do.

The folder holds rig.json (`genima calibrate` writes it) and one picture for each of its cameras, <camera>.png.

python examples/draw_targets.py my_cell --out targets.png
"""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image

import genima_core as genima
from genima_core.pixels import tile

HOME = tuple(genima.PANDA.home.tolist())


def main(
    folder: tyro.conf.Positional[Path],
    q_now: tuple[float, ...] = HOME,
    q_target: tuple[float, ...] = (0.3, -0.5, 0.2, -2.1, 0.1, 1.8, 0.8),
    gripper_open: bool = True,
    out: Path = Path("targets.png"),
) -> None:
    """Writes the four pictures, tiled, with the spheres of `q_target` (rad) as seen while the arm is at `q_now`."""
    rig = genima.CameraRig.load(folder / "rig.json")
    images = np.stack([np.asarray(Image.open(folder / f"{name}.png").convert("RGB")) for name in rig.names])
    views = genima.TargetRenderer(rig).render(np.array(q_now), np.array(q_target), float(gripper_open))
    Image.fromarray(tile(genima.over_observation(views, images))).save(out)
    print(f"{out} shows the targets in {', '.join(rig.names)}")


if __name__ == "__main__":
    tyro.cli(main)
