"""The whole idea on one screen: observe, draw, act."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from genima_core.checkpoint import Checkpoint
from genima_core.controller.policy import Controller
from genima_core.diffusion.agent import DiffusionAgent
from genima_core.types import ActionChunk, Observation


@dataclass(frozen=True)
class Policy:
    """Draws targets onto an observation and follows them."""

    checkpoint: Checkpoint
    agent: DiffusionAgent
    controller: Controller

    @classmethod
    def load(cls, path: Path, device: str = "cpu", precision: str | None = None, compiled: bool = False) -> "Policy":
        """Loads a checkpoint folder (see `checkpoint`); precision and compiled as for `DiffusionAgent.load`."""
        checkpoint = Checkpoint.open(path)
        return cls(
            checkpoint,
            DiffusionAgent.load(checkpoint.path / "diffusion", device, precision, compiled),
            Controller.load(checkpoint.path / "controller", device),
        )

    def with_steps(self, steps: int) -> "Policy":
        """The same policy with another number of denoising steps."""
        return replace(self, agent=replace(self.agent, steps=steps))

    def draw(self, observation: Observation, seed: int) -> np.ndarray:
        """Targets drawn onto all views, (V, H, W, 3) uint8; the same seed gives the same drawing."""
        return self.agent.draw(observation.views(self.checkpoint.rig.names), observation.instruction, seed)

    def act(self, drawing: np.ndarray, observation: Observation) -> ActionChunk:
        """The chunk that follows a drawing from the observed joint positions; action 0 is due one step after them."""
        positions, gripper = self.controller.act(drawing, observation.q, observation.gripper, observation.instruction)
        dt_s = self.controller.dt_s
        return ActionChunk(positions, gripper, dt_s, observation.stamp_s + dt_s, observation.stamp_s)
