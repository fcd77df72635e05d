"""The whole idea on one screen: observe, draw, act."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from genima_core.checkpoint import Checkpoint
from genima_core.controller.policy import Controller
from genima_core.diffusion.agent import DiffusionAgent
from genima_core.types import ActionChunk, Observation


@dataclass(frozen=True)
class PolicyStep:
    """One drawing, and what the controller made of it."""

    drawing: np.ndarray
    """(4, H, W, 3) uint8 RGB."""
    chunk: ActionChunk
    draw_ms: float
    act_ms: float


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
        return replace(self, agent=self.agent.with_steps(steps))

    def draw(self, observation: Observation, seed: int) -> np.ndarray:
        """Targets drawn onto the four views, (4, H, W, 3) uint8; the same seed gives the same drawing."""
        images = np.stack([observation.images[name] for name in self.checkpoint.rig.names])
        return self.agent.draw(images, observation.instruction, seed)

    def act(self, drawing: np.ndarray, observation: Observation, start_s: float) -> ActionChunk:
        """The chunk that follows a drawing from the observed joint positions; action 0 is due at `start_s`."""
        positions, gripper = self.controller.act(drawing, observation.q, observation.gripper, observation.instruction)
        return ActionChunk(positions, gripper, self.checkpoint.info.dt_s, start_s, observation.stamp_s)

    def step(self, observation: Observation, seed: int) -> PolicyStep:
        """Draw and act; the first action is due one `dt_s` after the observation."""
        begin = time.perf_counter()
        drawing = self.draw(observation, seed)
        drawn = time.perf_counter()
        chunk = self.act(drawing, observation, observation.stamp_s + self.checkpoint.info.dt_s)
        return PolicyStep(drawing, chunk, 1e3 * (drawn - begin), 1e3 * (time.perf_counter() - drawn))
