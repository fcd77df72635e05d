"""What a recorder knows of an episode that no message says: `episode.json` in the bag's folder."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from genima_core import panda

FILE = "episode.json"
FORMAT = 1
Label = Literal["success", "failure", ""]


@dataclass(frozen=True)
class About:
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
    joint_names: tuple[str, ...] = panda.JOINT_NAMES
    finger_names: tuple[str, ...] = ("panda_finger_joint1", "panda_finger_joint2")
    """Of joint_states; none where the gripper's width comes by itself, in gripper_state."""
    gripper_max_width_m: float = panda.GRIPPER_WIDTH_M
    """Of the open gripper."""
    leader_joint_names: tuple[str, ...] = panda.JOINT_NAMES
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

    def save(self, folder: Path) -> None:
        """Writes or replaces the file, at once."""
        temporary = folder / f".{FILE}.part"
        with temporary.open("w") as file:
            file.write(json.dumps(asdict(self), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "About":
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
            tuples = ("suspect", "joint_names", "finger_names", "leader_joint_names")
            return cls(**{name: tuple(value) if name in tuples else value for name, value in data.items()})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
