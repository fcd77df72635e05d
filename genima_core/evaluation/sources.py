"""Where the targets of an evaluation come from: the drawing agent, the truth, or the control experiments."""

from bisect import bisect_right
from collections.abc import Callable

import numpy as np

from genima_core.environment import Environment, follow
from genima_core.evaluation.config import Targets
from genima_core.policy import Policy
from genima_core.targets.draw import TargetViews, over_observation
from genima_core.targets.look import OURS, Look
from genima_core.targets.renderer import TargetRenderer
from genima_core.types import Observation

Draw = Callable[[Observation, int], np.ndarray]
"""From an observation and a seed to all views (V, H, W, 3) uint8 with targets."""

OTHER = 2
"""A shuffled episode is shown the scene so many seeds later: where a task has variations, another one."""
SHOWN_EVERY = 4
"""Every so many states, 0.05 s apart, of that scene's demonstration are shown."""


class TrueTargets:
    """Renders targets onto what the cameras of an environment see, wherever they are in the present scene."""

    def __init__(self, environment: Environment, look: Look = OURS) -> None:
        self._environment, self._look = environment, look
        self._renderer = TargetRenderer(environment.seen_rig, look=look)

    def render(self, q_now: np.ndarray, q_target: np.ndarray, gripper_target: float) -> TargetViews:
        """As `TargetRenderer.render`."""
        if self._renderer.rig.fingerprint() != self._environment.seen_rig.fingerprint():
            self._renderer.close()
            self._renderer = TargetRenderer(self._environment.seen_rig, look=self._look)
        return self._renderer.render(q_now, q_target, gripper_target)

    def close(self) -> None:
        self._renderer.close()


def make_draw(targets: Targets, policy: Policy, environment: Environment, true_targets: TrueTargets, seed: int) -> Draw:
    """What draws in the episode of a seed: the diffusion agent for `drawn`, else one of the functions below."""
    if targets == "shuffled":
        return shuffled(policy, environment, seed + OTHER)
    if targets == "truth":
        return truth(environment, true_targets, policy.checkpoint.info.chunk_size)
    return policy.draw if targets == "drawn" else blank(environment)


def truth(environment: Environment, true_targets: TrueTargets, chunk_size: int) -> Draw:
    """Perfect targets: where the expert would be one chunk from now, if it took over in the present state."""

    def draw(observation: Observation, seed: int) -> np.ndarray:
        images = observation.views(environment.rig.names)
        try:
            trajectory = environment.plan()
        except ValueError:  # the expert would not get any further either
            return images
        k = min(chunk_size, len(trajectory)) - 1
        views = true_targets.render(observation.q, trajectory.q[k], float(trajectory.gripper[k]))
        return over_observation(views, images)

    return draw


def shuffled(policy: Policy, environment: Environment, seed: int) -> Draw:
    """Control: the agent is shown the expert in another scene, at the same time; it is recorded now.

    Where the expert finds no way there, the scene stands still.
    """
    environment.reset(seed)
    shown = [environment.observe()]
    try:
        trajectory = environment.plan()
    except ValueError:
        pass
    else:
        shown += [environment.observe() for k in follow(environment, trajectory) if k % SHOWN_EVERY == 0]
    stamps_s = [observation.stamp_s for observation in shown]

    def draw(observation: Observation, seed: int) -> np.ndarray:
        return policy.draw(shown[max(0, bisect_right(stamps_s, observation.stamp_s) - 1)], seed)

    return draw


def blank(environment: Environment) -> Draw:
    """Control: no targets at all, only the scene."""
    return lambda observation, seed: observation.views(environment.rig.names)
