"""Genima's core: drawing targets, following them and streaming safely. No ROS anywhere.

`import genima_core as genima` gives the names below; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genima_core.arm import FR3, PANDA, Arm
    from genima_core.cameras import CameraRig
    from genima_core.checkpoint import Checkpoint
    from genima_core.data.bags.episodes import read_episode
    from genima_core.data.dataset import Dataset
    from genima_core.evaluation.config import Evaluation
    from genima_core.evaluation.report import evaluate
    from genima_core.evaluation.rollout import roll_out
    from genima_core.loop import ControlLoop
    from genima_core.policy import Policy
    from genima_core.sim.cell import Cell
    from genima_core.sim.task import make_task
    from genima_core.streaming.config import StreamerConfig
    from genima_core.streaming.streamer import Streamer
    from genima_core.targets.draw import over_observation
    from genima_core.targets.renderer import TargetRenderer
    from genima_core.types import ActionChunk, JointState, Observation

_MODULES = {
    "FR3": "arm",
    "PANDA": "arm",
    "ActionChunk": "types",
    "Arm": "arm",
    "CameraRig": "cameras",
    "Cell": "sim.cell",
    "Checkpoint": "checkpoint",
    "ControlLoop": "loop",
    "Dataset": "data.dataset",
    "Evaluation": "evaluation.config",
    "JointState": "types",
    "Observation": "types",
    "Policy": "policy",
    "Streamer": "streaming.streamer",
    "StreamerConfig": "streaming.config",
    "TargetRenderer": "targets.renderer",
    "evaluate": "evaluation.report",
    "make_task": "sim.task",
    "over_observation": "targets.draw",
    "read_episode": "data.bags.episodes",
    "roll_out": "evaluation.rollout",
}
"""Name to its module, for those who run; the imports above are for those who read."""

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"genima_core has no {name!r}; it has {', '.join(_MODULES)}, and its modules")
    return getattr(import_module(f"genima_core.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
