"""What a recorder knows of an episode that no message says: its folder's number, and `episode.json` in the folder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genima_core.arm import PANDA, Arm
from genima_core.arm_description import arm_from
from genima_core.config import from_overrides
from genima_core.files import check_name, explained, read_json, write_json

FILE = "episode.json"
FORMAT = 1
Label = Literal["success", "failure", ""]
EPISODE = re.compile(r"episode_(\d+)")


@dataclass(frozen=True)
class EpisodeInfo:
    task: str
    instruction: str
    streams: Mapping[str, str] = field(default_factory=dict)
    """Role to the topic in the bag, absolute."""
    label: Label = ""
    """What the operator said of it; "" for nothing."""
    suspect: tuple[str, ...] = ()
    quality: Mapping[str, Any] = field(default_factory=dict)
    arm: Arm = PANDA
    """Whose joints joint_states has, and those of its gripper if that is of kind topic; else gripper_state tells it."""
    fps: float = 30.0
    rig: Mapping[str, Any] | None = None
    seed: int = -1
    """What the scene was drawn from; -1 where no seed made it."""
    begun_at: str = ""
    revision: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.label not in ("success", "failure", ""):
            raise ValueError(f"label is {self.label!r}; valid are 'success', 'failure' and ''")
        if self.task:
            check_name(self.task, "the task")

    @property
    def finger_names(self) -> tuple[str, ...]:
        """Of joint_states; none where the gripper's width comes by itself, in gripper_state."""
        return self.arm.gripper.joints if self.arm.gripper.kind == "topic" else ()

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, vars(self) | {"arm": self.arm.to_dict()})

    @classmethod
    def load(cls, folder: Path) -> "EpisodeInfo":
        """FileNotFoundError, ValueError: no such file; not one of ours."""
        path = folder / FILE
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no {FILE}: it was not recorded by `genima record`")
        data = read_json(path)
        if data.get("format") != FORMAT:
            raise ValueError(f"{path} has format {data.get('format')}; this version reads format {FORMAT}")
        with explained(f"{path} is damaged", (ValueError, FileNotFoundError)):
            return from_overrides(cls, {**data, "arm": arm_from(data.get("arm"))}, FILE)


def folder_of(out: Path, number: int) -> Path:
    return out / f"episode_{number:06d}"


def number_of(folder: Path) -> int:
    return int(folder.name.removeprefix("episode_"))


def episodes_in(out: Path) -> list[Path]:
    """The folders of episodes, by number; empty where there is no such folder."""
    try:
        return sorted((path for path in out.iterdir() if EPISODE.fullmatch(path.name)), key=number_of)
    except OSError:
        return []


def next_number(out: Path) -> int:
    """After the last that exists, whatever became of it."""
    return max(map(number_of, episodes_in(out)), default=-1) + 1
