"""What is evaluated and what is collected: light, so that the command line can show it at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from genima_core.environment import Start, Wording
from genima_core.training.config import Precision

Targets = Literal["drawn", "truth", "shuffled", "blank"]

DEMO = (
    "push_button",
    "open_drawer",
    "turn_tap",
    "press_switch",
    "slide_block_to_target",
    "pick_up_cup",
    "take_lid_off_saucepan",
    "put_rubbish_in_bin",
)
PAPER = (
    "basketball_in_hoop",
    "insert_usb_in_computer",
    "lamp_on",
    "move_hanger",
    "open_box",
    "open_door",
    "open_drawer",
    "open_grill",
    "open_microwave",
    "open_washing_machine",
    "open_window",
    "phone_on_base",
    "pick_up_cup",
    "play_jenga",
    "press_switch",
    "push_button",
    "put_books_on_bookshelf",
    "put_knife_on_chopping_board",
    "put_rubbish_in_bin",
    "scoop_with_spatula",
    "slide_block_to_target",
    "take_lid_off_saucepan",
    "take_plate_off_colored_dish_rack",
    "toilet_seat_up",
    "turn_tap",
)
RLBENCH = tuple(f"rlbench/{task}/variation0" for task in PAPER)
SUITES = {"demo": DEMO, "paper25": PAPER, "rlbench25": RLBENCH}
"""Tasks by the name of their suite."""

Tasks = Annotated[tuple[str, ...], tyro.conf.Positional]


def tasks_of(tasks: tuple[str, ...], suite: str | None) -> tuple[str, ...]:
    """The tasks that are named one by one or by a suite.

    ValueError: neither or both, an unknown suite, a task that is named twice.
    """
    if (suite is None) == (not tasks):
        raise ValueError(f"name either tasks or a suite; the suites are {', '.join(SUITES)}")
    if suite is not None:
        if suite not in SUITES:
            raise ValueError(f"unknown suite {suite!r}; the suites are {', '.join(SUITES)}")
        return SUITES[suite]
    if len(set(tasks)) < len(tasks):
        raise ValueError(f"a task is named twice: {', '.join(tasks)}")
    return tasks


def check_seed(seed: int) -> None:
    """ValueError if it is negative: no scene has such a number."""
    if seed < 0:
        raise ValueError(f"seed is {seed}; scenes count from 0")


@dataclass(frozen=True)
class Evaluation:
    """What is run closed loop, on scenes that the checkpoint was not trained on."""

    tasks: Tasks = ()
    """What to do, e.g. push_button; rlbench/NAME is RLBench's task NAME in CoppeliaSim."""
    suite: str | None = None
    """Tasks by the name of their suite instead: demo, paper25, or rlbench25, the paper's in RLBench."""
    episodes: int = 50
    """Scenes of each task to try."""
    seed: int = 20000
    """First scene; seeds below 10000 are for training, below 20000 for tuning."""
    checkpoint: Path = Path("checkpoints/demo")
    """Checkpoint folder."""
    targets: Targets = "drawn"
    """drawn (by the agent), truth (perfect ones), or the controls shuffled (of another scene) and blank (none)."""
    instruction: Wording = "seen"
    """seen (as in training), paraphrase (in words kept out of it), or the control wrong (of another variation)."""
    controls: bool = False
    """Also with true, shuffled and blank targets, with paraphrases and with wrong instructions."""
    perturb: str = ""
    """Perturbations, with commas (`genima tasks` lists them); all: together; each: none, one by one, and together."""
    execution: Literal["sync", "async"] = "sync"
    """sync: execute a chunk, come to rest, look again; async: look and draw on, and splice in the next chunk."""
    execution_horizon: int = 0
    """Actions of each chunk to execute before the next one; 0 means all."""
    latency_s: float | None = None
    """Simulated seconds from capture to chunk; by default 0 in sync mode, where the arm waits, and 0.2 in async."""
    gate: bool = False
    """Check each drawing before it moves the arm; three refused in a row end the episode: nobody is here to resume."""
    timeout_s: float = 25.0
    """Simulated seconds an episode may take."""
    denoising_steps: int | None = None
    """Denoising steps of a drawing; the checkpoint's own number by default."""
    score_episodes: int = 20
    """Demonstrations of each task on which drawing and following are scored separately; 0 skips this."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; by default cuda where there is one."""
    precision: Precision | None = None
    """Of drawing; by default half precision on a GPU only."""
    compiled: bool = False
    """Compile the drawing networks: faster drawings, a start that takes one or two minutes more."""
    video: Path | None = None
    """Folder for a video of each episode."""
    record: Path | None = None
    """New folder for a recording of each episode, which `genima view` shows."""

    def __post_init__(self) -> None:
        check_seed(self.seed)


@dataclass(frozen=True)
class Collection:
    """What decides which demonstrations end up in the data set, and what they look like."""

    tasks: Tasks = ()
    """Names of the tasks, such as push_button."""
    suite: str | None = None
    """Tasks by the name of their suite instead: demo or paper25."""
    seed: int = 0
    """Of each task's first demonstration; the next ones count up. Training uses 0 to 9999."""
    size: int = 256
    """Width and height of each view in pixels."""
    start: Literal["home", "anywhere", "mixed"] = "mixed"
    """Where the arm starts; mixed alternates between home (even seeds) and anywhere."""
    disturbed: float = 0.0
    """Share of the demonstrations that begin under way, after a push: they teach to correct."""
    perturb: str = ""
    """Perturbations of the scenes, with commas (`genima tasks` lists them); all: together."""
    keep_failures: bool = False
    """Also record demonstrations that failed, marked as such."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not 0 <= self.disturbed <= 1:
            raise ValueError(f"disturbed is {self.disturbed}; it is a share from 0 to 1")

    def start_of(self, seed: int) -> Start:
        if self.start == "mixed":
            return "anywhere" if seed % 2 else "home"
        return self.start


@dataclass(frozen=True)
class Workers:
    """Where episodes are simulated; the results do not depend on it."""

    workers: int = 1
    """Processes on this machine."""
    ray: str | None = None
    """Address of a Ray cluster to use instead (auto: the one this machine belongs to; local: a new one here)."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}; it must be at least 1")
