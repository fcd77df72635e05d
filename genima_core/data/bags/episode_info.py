"""What a recorder knows of an episode beside its messages: the folder's number, and `episode.json` in the folder."""

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
    """Role to the full name of its topic in the bag."""
    label: Label = ""
    """What the operator said of it; "" if nothing."""
    suspect: tuple[str, ...] = ()
    """Flaws; none for a good episode."""
    quality: Mapping[str, Any] = field(default_factory=dict)
    """As of `Quality.to_dict`; empty until it was measured."""
    arm: Arm = PANDA
    """The arm whose joints are in joint_states; its gripper's are there too if it is of kind topic, else in
    gripper_state."""
    fps: float = 30.0
    """Rate that the cameras were set to."""
    rig: Mapping[str, Any] | None = None
    """As of `CameraRig.to_dict`; None if nobody said where the cameras were."""
    seed: int = -1
    """Of the simulated scene; -1 for a real one."""
    begun_at: str = ""
    """ISO 8601, UTC."""
    revision: str = ""
    """Of the recorder's source tree."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.label not in ("success", "failure", ""):
            raise ValueError(f"label is {self.label!r}; valid are 'success', 'failure' and ''")
        if self.task:
            check_name(self.task, "the task")

    @property
    def finger_names(self) -> tuple[str, ...]:
        """Gripper joints in joint_states; none if the width comes separately, in gripper_state."""
        return self.arm.gripper.joints if self.arm.gripper.kind == "topic" else ()

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, vars(self) | {"arm": self.arm.to_dict()})

    @classmethod
    def load(cls, folder: Path) -> "EpisodeInfo":
        """FileNotFoundError if there is no such file, ValueError if it is damaged or of another format."""
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
    """The folders of episodes, by number; empty if `out` does not exist."""
    try:
        return sorted((path for path in out.iterdir() if EPISODE.fullmatch(path.name)), key=number_of)
    except OSError:
        return []


def next_number(out: Path) -> int:
    """The number after the last existing one, whatever state that episode is in."""
    return max(map(number_of, episodes_in(out)), default=-1) + 1
