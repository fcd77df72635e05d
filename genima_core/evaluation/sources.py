"""Where the targets of an evaluation come from: the drawing agent, the truth, or the control experiments."""

from collections.abc import Iterator

import numpy as np

from genima_core.evaluation.rollout import Draw
from genima_core.policy import Policy
from genima_core.sim import experts
from genima_core.sim.cell import Cell
from genima_core.sim.task import make_task
from genima_core.targets.draw import over_observation
from genima_core.targets.renderer import TargetRenderer
from genima_core.types import Observation


def drawn(policy: Policy) -> Draw:
    """The diffusion agent draws what it sees."""
    return policy.draw


def truth(cell: Cell, renderer: TargetRenderer, chunk_size: int) -> Draw:
    """Perfect targets: where the expert would be one chunk from now, if it took over in the present state."""

    def draw(observation: Observation, seed: int) -> np.ndarray:
        trajectory = experts.plan(cell)
        k = min(chunk_size, len(trajectory)) - 1
        views = renderer.render(observation.q, trajectory.q[k], float(trajectory.gripper[k]))
        return over_observation(views, stack(cell, observation))

    return draw


def shuffled(policy: Policy, task: str, other_seed: int) -> tuple[Draw, Cell]:
    """Control: the agent is shown the expert in another episode, at the same time; close the returned cell."""
    other = Cell(make_task(task), policy.checkpoint.rig)
    other.reset(other_seed)
    demonstration = _expert_steps(other)

    def draw(observation: Observation, seed: int) -> np.ndarray:
        while other.time_s < observation.stamp_s and next(demonstration, None) is not None:
            pass
        return policy.draw(other.observe(), seed)

    return draw, other


def blank(cell: Cell) -> Draw:
    """Control: no targets at all, only the scene."""

    def draw(observation: Observation, seed: int) -> np.ndarray:
        return stack(cell, observation)

    return draw


def stack(cell: Cell, observation: Observation) -> np.ndarray:
    """The observation's images (4, H, W, 3) in the rig's order."""
    return np.stack([observation.images[name] for name in cell.rig.names])


def _expert_steps(cell: Cell) -> Iterator[int]:
    yield from experts.follow(cell, experts.plan(cell))
