"""Samples as they are taken: what all cameras and the arm show at one moment becomes a file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genima_core.arm import Arm
from genima_core.calibration.board import Board
from genima_core.calibration.samples import (
    BOARD_FILE,
    CameraView,
    Sample,
    next_name,
    read_board,
    read_sample,
    write_board,
    write_sample,
)
from genima_core.cameras import PinholeCamera

NEW_POSE_RAD = 0.05


@dataclass(frozen=True)
class Moment:
    """All cameras and the arm, at rest."""

    stamp_s: float
    """Of the oldest image."""
    q: np.ndarray
    """(7,) rad."""
    opening: float
    """0 closed to 1 open; 1 where the joint states tell nothing of the fingers."""
    images: dict[str, np.ndarray]
    """Camera name to (H, W, 3) uint8."""
    cameras: dict[str, PinholeCamera]


def detect(moment: Moment, board: Board) -> dict[str, CameraView]:
    """What each camera sees of the board; without those that see too little of it."""
    found = {name: board.detect(image) for name, image in moment.images.items()}
    return {
        name: CameraView(moment.cameras[name], detection) for name, detection in found.items() if detection is not None
    }


class CollectSession:
    """The folder that samples go to."""

    def __init__(self, folder: Path, board: Board, arm: Arm) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / BOARD_FILE).is_file() and (there := read_board(folder)) != board:
            raise ValueError(
                f"the samples in {folder} are of another board ({there}); give the same one ({board}), or "
                "another folder"
            )
        write_board(folder, board)
        self.folder, self.board, self.arm, self.taken = folder, board, arm, 0
        self._tried = [read_sample(file).q for file in sorted(folder.glob("sample_*.json"))]

    def is_new(self, q: np.ndarray) -> bool:
        """Whether no sample was taken or tried near these joints (7,) rad."""
        return all(np.abs(q - tried).max() > NEW_POSE_RAD for tried in self._tried)

    def take(self, moment: Moment) -> str:
        """Saves a moment as a sample, if any camera sees the board; says what was seen."""
        self._tried.append(moment.q)
        views = detect(moment, self.board)
        if not views:
            return f"no sample: none of {', '.join(moment.images)} sees the board"
        sample = Sample.at(
            self.arm,
            next_name(file.stem for file in self.folder.glob("sample_*.json")),
            moment.stamp_s,
            moment.q,
            views,
        )
        write_sample(self.folder, sample)
        self.taken += 1
        seen = ", ".join(f"{name} {len(views[name].detection.ids) if name in views else 0}" for name in moment.images)
        return f"{sample.name}: corners seen by {seen}"

    def undo(self) -> str:
        """Deletes the newest sample of this session."""
        if not self.taken:
            return "nothing to delete"
        last = max(self.folder.glob("sample_*.json"))
        last.unlink()
        self.taken -= 1
        return f"{last.stem} deleted"
