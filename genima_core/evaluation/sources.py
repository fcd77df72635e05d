"""Where the targets of an evaluation come from: the drawing agent, the truth, or the control experiments."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import numpy as np

from genima_core.evaluation.config import Targets
from genima_core.policy import Policy
from genima_core.sim import experts
from genima_core.sim.cell import Cell
from genima_core.sim.task import make_task
from genima_core.targets.draw import over_observation
from genima_core.targets.renderer import TargetRenderer
from genima_core.types import Observation

Draw = Callable[[Observation, int], np.ndarray]
"""From an observation and a seed to four views (4, H, W, 3) uint8 with targets."""


@contextmanager
def target_source(
    targets: Targets, policy: Policy, cell: Cell, renderer: TargetRenderer, other_seed: int
) -> Iterator[Draw]:
    """What draws in one episode: the diffusion agent for `drawn`, else one of the functions below."""
    if targets == "shuffled":
        with closing(Cell(make_task(cell.task.name), cell.rig)) as other:
            yield shuffled(policy, other, other_seed)
    elif targets == "truth":
        yield truth(cell, renderer, policy.checkpoint.info.chunk_size)
    else:
        yield policy.draw if targets == "drawn" else blank(cell)


def truth(cell: Cell, renderer: TargetRenderer, chunk_size: int) -> Draw:
    """Perfect targets: where the expert would be one chunk from now, if it took over in the present state."""

    def draw(observation: Observation, seed: int) -> np.ndarray:
        trajectory = experts.plan(cell)
        k = min(chunk_size, len(trajectory)) - 1
        views = renderer.render(observation.q, trajectory.q[k], float(trajectory.gripper[k]))
        return over_observation(views, observation.views(cell.rig.names))

    return draw


def shuffled(policy: Policy, other: Cell, seed: int) -> Draw:
    """Control: the agent is shown the expert in another episode, at the same time."""
    other.reset(seed)
    demonstration = experts.follow(other, experts.plan(other))

    def draw(observation: Observation, seed: int) -> np.ndarray:
        while other.time_s < observation.stamp_s and next(demonstration, None) is not None:
            pass
        return policy.draw(other.observe(), seed)

    return draw


def blank(cell: Cell) -> Draw:
    """Control: no targets at all, only the scene."""
    return lambda observation, seed: observation.views(cell.rig.names)
