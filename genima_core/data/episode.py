"""One demonstration, recorded or generated, as arrays over time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Frames(Protocol):
    """Of one camera in order, an array (T, H, W, 3) or what makes them one at a time: ten minutes of four are 9 GB."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


@dataclass(frozen=True)
class Episode:
    """T rows: what was measured at row t, and what was commanded because of it.

    Row t holds the observation taken at ``stamps_s[t]`` and the command that was sent from that moment on, due at the
    stamp of row t + 1: ``action_q[t]`` is where the arm was told to be at row t + 1.
    """

    stamps_s: np.ndarray
    """(T,) capture time of the joint state, strictly increasing."""
    image_stamps_s: np.ndarray
    """(T, cameras) capture time of each camera's image, in the order of `images`."""
    images: Mapping[str, Frames]
    """Camera name to (T, H, W, 3) uint8 RGB; the names in the order of the rig. Arrays where it was read."""
    q: np.ndarray
    """(T, 7) measured, rad."""
    dq: np.ndarray
    """(T, 7) measured, rad/s."""
    gripper: np.ndarray
    """(T,) measured opening, 0 closed to 1 open."""
    action_q: np.ndarray
    """(T, 7) commanded, rad."""
    action_gripper: np.ndarray
    """(T,) commanded opening, 0 closed to 1 open."""
    instruction: str
    task: str
    seed: int
    """What the scene was drawn from; -1 where no seed made it."""
    success: bool
    commander: np.ndarray | None = None
    """(T,) from each row to the next, the place of a `Commander`; None where nobody noted that."""

    def __post_init__(self) -> None:
        T, cameras = len(self.stamps_s), len(self.images)
        if T < 1:
            raise ValueError("an episode needs at least one row")
        expected: dict[str, tuple[int, ...]] = dict.fromkeys(("q", "dq", "action_q"), (T, 7))
        expected |= dict.fromkeys(("stamps_s", "gripper", "action_gripper"), (T,))
        for name, shape in (expected | {"image_stamps_s": (T, cameras)}).items():
            value = getattr(self, name)
            if value.shape != shape:
                raise ValueError(f"{name} has shape {value.shape}; {T} rows and {cameras} cameras need {shape}")
            if not np.isfinite(value).all():
                raise ValueError(f"{name} holds NaN or infinite values; an episode needs finite ones")
        if self.commander is not None and self.commander.shape != (T,):
            raise ValueError(f"commander has shape {self.commander.shape}; {T} rows need ({T},)")
        if (np.diff(self.stamps_s) <= 0).any():
            raise ValueError("stamps_s does not increase strictly; drop repeated or reordered rows")
        for name, frames in self.images.items():
            if frames.dtype != np.uint8 or len(frames.shape) != 4 or frames.shape[0] != T or frames.shape[3] != 3:
                given = f"images of camera {name!r} are {frames.dtype} {frames.shape}"
                raise ValueError(f"{given}; needed are uint8 ({T}, H, W, 3)")

    def __len__(self) -> int:
        return len(self.stamps_s)

    def frames(self, camera: str) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB of one camera, whole."""
        frames = self.images[camera]
        return frames if isinstance(frames, np.ndarray) else np.stack(list(frames))
