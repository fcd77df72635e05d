"""What a recorder knows of an episode that no message says: `episode.json` in the bag's folder."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from genima_core.arm import PANDA, Arm
from genima_core.arm_description import arm_from

FILE = "episode.json"
FORMAT = 1
Label = Literal["success", "failure", ""]


@dataclass(frozen=True)
class EpisodeInfo:
    """One episode; the roles of `streams` are those of `roles`."""

    task: str
    instruction: str
    streams: Mapping[str, str] = field(default_factory=dict)
    """Role to the topic in the bag, absolute."""
    label: Label = ""
    """What the operator said of it; "" for nothing."""
    suspect: tuple[str, ...] = ()
    """Reasons not to train on it."""
    quality: Mapping[str, object] = field(default_factory=dict)
    """`Quality.to_dict`."""
    arm: Arm = PANDA
    """Whose joints joint_states has, and those of its gripper if that is of kind topic; else gripper_state tells it."""
    fps: float = 30.0
    """Asked of the cameras."""
    rig: Mapping[str, object] | None = None
    """`CameraRig.to_dict`."""
    seed: int = -1
    """What the scene was drawn from; -1 where no seed made it."""
    begun_at: str = ""
    """Local time, ISO 8601."""
    revision: str = ""
    """Git revision of the recorder."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.label not in ("success", "failure", ""):
            raise ValueError(f"label is {self.label!r}; valid are 'success', 'failure' and ''")

    @property
    def finger_names(self) -> tuple[str, ...]:
        """Of joint_states; none where the gripper's width comes by itself, in gripper_state."""
        return self.arm.gripper.joints if self.arm.gripper.kind == "topic" else ()

    def save(self, folder: Path) -> None:
        """Writes or replaces the file, at once."""
        data = {f.name: getattr(self, f.name) for f in fields(self)} | {"arm": self.arm.to_dict()}
        temporary = folder / f".{FILE}.part"
        with temporary.open("w") as file:
            file.write(json.dumps(data, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "EpisodeInfo":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError, ValueError: no such file; not one of ours.
        """
        path = folder / FILE
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no {FILE}: it was not recorded by `genima record`")
        try:
            data = json.loads(path.read_text())
            known = {f.name for f in fields(cls)}
            if data["format"] != FORMAT or set(data) != known:
                raise ValueError(
                    f"it has format {data['format']} and the keys {', '.join(sorted(data))}; needed are "
                    f"format {FORMAT} and {', '.join(sorted(known))}"
                )
            return cls(**data | {"suspect": tuple(data["suspect"]), "arm": arm_from(data["arm"])})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
