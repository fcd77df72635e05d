"""What is evaluated and what is collected: light, so that the command line can show it at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from genima_core.types import Execution

Targets = Literal["drawn", "truth", "shuffled", "blank"]


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint closed loop on scenes that it was not trained on."""

    task: tyro.conf.Positional[str]
    """What to do, e.g. push_button."""
    episodes: int = 50
    """Scenes to try."""
    seed: int = 20000
    """First scene; seeds below 10000 are for training, below 20000 for tuning."""
    checkpoint: Path = Path("checkpoints/demo")
    """Checkpoint folder."""
    targets: Targets = "drawn"
    """drawn by the agent; truth (perfect targets); or the controls: shuffled (the agent sees the expert in another
    episode, the next seed's) and blank (no targets)."""
    execution: Execution = "sync"
    """sync: execute a chunk, then look again; async: splice in every new chunk."""
    execution_horizon: int = 0
    """Actions of each chunk to execute in sync mode; 0 means all."""
    latency_s: float | None = None
    """Simulated seconds from capture to chunk; by default 0 in sync mode, where the arm waits, and 0.2 in async."""
    gate: bool = False
    """Check each drawing before it moves the arm; one that fails ends the episode, as nobody is here to resume."""
    timeout_s: float = 12.0
    """Simulated seconds an episode may take."""
    denoising_steps: int | None = None
    """Denoising steps of a drawing; the checkpoint's own number by default."""
    score_episodes: int = 20
    """Demonstrations on which drawing and following are scored apart; 0 skips it."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; by default cuda where there is one."""
    precision: Literal["float32", "float16", "bfloat16"] | None = None
    """Of drawing; by default half precision on a GPU only."""
    compiled: bool = False
    """Compile the drawing networks: faster drawings, a start that takes one or two minutes more."""
    video: Path | None = None
    """Folder for one video an episode."""


@dataclass(frozen=True)
class Collection:
    """What decides which demonstrations end up in the data set, and what they look like."""

    task: tyro.conf.Positional[str]
    """Name of the task, such as push_button."""
    seed: int
    """Of the first demonstration; the next ones count up. Training uses 0 to 9999."""
    size: int = 256
    """Width and height of each view in pixels."""
    start: Literal["home", "anywhere", "mixed"] = "mixed"
    """Where the arm starts; mixed alternates between home (even seeds) and anywhere."""
    keep_failures: bool = False
    """Also record demonstrations that failed, marked as such."""

    def start_of(self, seed: int) -> Literal["home", "anywhere"]:
        if self.start == "mixed":
            return "anywhere" if seed % 2 else "home"
        return self.start
