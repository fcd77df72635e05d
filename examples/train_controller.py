"""Trains a controller on a data set and looks at what it learnt: from spheres to joint positions.

genima collect push_button --episodes 20 --seed 0 --size 64 --out data/push_button
python examples/train_controller.py data/push_button --steps 2000
"""

from pathlib import Path

import numpy as np
import tyro

import genima_core as genima
from genima_core.controller.policy import Controller
from genima_core.controller.train import train_controller
from genima_core.training.config import ControllerTraining


def main(data: tyro.conf.Positional[Path], out: Path = Path("runs/example"), steps: int = 2000) -> float:
    """Trains, then follows one true drawing; returns how far the chunk ends from the demonstration's joints, rad."""
    train_controller(ControllerTraining(data, out, steps=steps, backgrounds=200, checked=32))
    controller = Controller.load(out / "controller")
    dataset = genima.Dataset(data)
    episode, rig = dataset.episode(0), dataset.rig.resize(*controller.size)
    k = min(controller.chunk_size, len(episode.q) - 1)
    views = genima.TargetRenderer(rig).render(episode.q[0], episode.q[k], episode.action_gripper[k])
    drawing = genima.over_observation(views, np.full_like(views.rgb, 128))
    positions, _ = controller.act(drawing, episode.q[0], episode.gripper[0], episode.instruction)
    error_rad = float(np.abs(positions[k - 1] - episode.q[k]).mean())
    print(f"after {steps} steps, the chunk ends {error_rad:.3f} rad from the demonstration (mean of the joints)")
    return error_rad


if __name__ == "__main__":
    tyro.cli(main)
