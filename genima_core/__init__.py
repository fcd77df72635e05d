"""Genima's core: drawing targets, following them and streaming safely. No ROS anywhere.

`import genima_core as genima` gives the names below; each is imported when it is first used.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genima_core.arm import FR3, PANDA, Arm
    from genima_core.cameras import CameraRig
    from genima_core.checkpoint import Checkpoint
    from genima_core.data.bags.episodes import read_episode
    from genima_core.data.dataset import Dataset
    from genima_core.evaluation.config import Evaluation
    from genima_core.evaluation.evaluate import evaluate
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


@cache
def _modules() -> dict[str, str]:
    """Each name's module, as the imports above say."""
    parts = ast.walk(ast.parse(Path(__file__).read_text()))
    imports = [part for part in parts if isinstance(part, ast.ImportFrom) and str(part.module).startswith(__name__)]
    return {alias.name: str(part.module) for part in imports for alias in part.names}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return list(_modules())
    if name not in _modules():
        raise AttributeError(f"genima_core has no {name!r}; it has {', '.join(_modules())}, and its modules")
    return getattr(import_module(_modules()[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_modules()})
