"""Samples: what the cameras saw of the board while the arm was at rest. A folder keeps them for solving.

board.json        the `Board`
sample_000.json   one `Sample`: joints, hand pose, corners by camera, each with the camera's intrinsics
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from genima_core.arm import Arm
from genima_core.calibration.board import Board, CameraView
from genima_core.cameras import PinholeCamera
from genima_core.config import from_overrides
from genima_core.files import check_name, explained, read_json, write_json
from genima_core.geometry import checked_numbers, checked_pose

BOARD_FILE = "board.json"
NEW_POSE_RAD = 0.05
"""A pose is new if some joint is further than this from where it was in each earlier one."""


@dataclass(frozen=True)
class Sample:
    """One pose of the arm."""

    name: str
    stamp_s: float
    q: np.ndarray
    """(7,) rad."""
    T_base_hand: np.ndarray
    """(4, 4), by our forward kinematics of `q`."""
    views: Mapping[str, CameraView]

    def __post_init__(self) -> None:
        checked_numbers(self.q, (7,), "q")
        checked_pose(self.T_base_hand, "T_base_hand")
        for name in self.views:
            check_name(name, "a camera")

    @classmethod
    def at(cls, arm: Arm, name: str, stamp_s: float, q: np.ndarray, views: Mapping[str, CameraView]) -> "Sample":
        """A sample whose hand is where forward kinematics puts it."""
        return cls(name, stamp_s, np.asarray(q, np.float64), arm.frame_pose(q, "hand"), views)

    def save(self, folder: Path) -> None:
        content = asdict(self)
        write_json(folder / f"{content.pop('name')}.json", content, 1)

    @classmethod
    def load(cls, file: Path) -> "Sample":
        """ValueError if a field is missing or has another shape."""
        content = read_json(file)
        with explained(f"{file} is not a calibration sample", remedy="delete it and take the sample again"):
            return from_overrides(cls, {**content, "name": file.stem}, "the sample")


@dataclass(frozen=True)
class SampleSet:
    """Samples of one board that did not move relative to what carries it."""

    board: Board
    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        count = len(self.board.corners)
        for sample in self.samples:
            for name, view in sample.views.items():
                if wrong := [i for i in view.ids if not 0 <= i < count]:
                    given = f"{sample.name} has corners {wrong[:5]} in the view of {name}"
                    remedy = f"correct {BOARD_FILE}, or delete the sample and take it again"
                    raise ValueError(f"{given}, the board has 0 to {count - 1}; {remedy}")

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for sample in self.samples for name in sample.views))

    def seen_by(self, camera: str) -> tuple[Sample, ...]:
        """The samples in which this camera saw the board; ValueError if its intrinsics differ between them."""
        samples = tuple(sample for sample in self.samples if camera in sample.views)
        by_intrinsics = {sample.views[camera].intrinsics: sample.name for sample in samples}
        if len(by_intrinsics) > 1:
            given = [f"{k.width}x{k.height}, fx {k.fx:.1f} in {name}" for k, name in by_intrinsics.items()][:2]
            raise ValueError(f"camera {camera!r} has intrinsics of {' and of '.join(given)}; use one profile")
        return samples

    def save(self, folder: Path) -> None:
        """Writes the folder; samples with other names that are in it stay."""
        write_json(folder / BOARD_FILE, asdict(self.board))
        for sample in self.samples:
            sample.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "SampleSet":
        """FileNotFoundError if the folder contains no samples, ValueError if a file is damaged."""
        files = sample_files(folder)
        if not (folder / BOARD_FILE).is_file() or not files:
            raise FileNotFoundError(f"{folder} holds no calibration samples; take some: genima calibrate collect")
        return cls(read_board(folder), tuple(map(Sample.load, files)))


def sample_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("sample_*.json"))


def read_board(folder: Path) -> Board:
    """The board of a folder of samples; FileNotFoundError if there is none, ValueError if it is damaged."""
    return from_overrides(Board, read_json(folder / BOARD_FILE), str(folder / BOARD_FILE))


def next_name(names: Iterable[str]) -> str:
    numbers = [int(name.removeprefix("sample_")) for name in names if name.removeprefix("sample_").isdigit()]
    return f"sample_{max(numbers, default=-1) + 1:03d}"


@dataclass(frozen=True)
class Moment:
    """Images of all cameras and the state of the arm, while it is at rest."""

    stamp_s: float
    """Of the oldest image."""
    q: np.ndarray
    """(7,) rad."""
    opening: float
    """0 closed to 1 open; 1 if the joint states do not contain the fingers."""
    images: dict[str, np.ndarray]
    """Camera name to (H, W, 3) uint8."""
    cameras: dict[str, PinholeCamera]

    def sample(self, arm: Arm, board: Board, name: str) -> Sample:
        """What each camera sees of the board; cameras that see too little of it are left out."""
        found = {camera: board.detect(image, self.cameras[camera]) for camera, image in self.images.items()}
        views = {camera: view for camera, view in found.items() if view is not None}
        return Sample.at(arm, name, self.stamp_s, self.q, views)


class CollectSession:
    """The folder that samples go to as they are taken."""

    def __init__(self, folder: Path, board: Board, arm: Arm) -> None:
        if (folder / BOARD_FILE).is_file() and (there := read_board(folder)) != board:
            given = f"the samples in {folder} are of another board ({there}, not {board})"
            raise ValueError(f"{given}; name another folder, or the same board")
        SampleSet(board, ()).save(folder)
        self.folder, self.board, self.arm = folder, board, arm
        self.taken: list[Path] = []
        self.views: Counter[str] = Counter()
        """Camera to the number of samples of this session in which it saw the board, deleted ones included."""
        self._tried = [Sample.load(file).q for file in sample_files(folder)]

    def is_new(self, q: np.ndarray) -> bool:
        """Whether no sample was taken or tried near these joints (7,) rad."""
        return all(np.abs(q - tried).max() > NEW_POSE_RAD for tried in self._tried)

    def take(self, moment: Moment) -> str:
        """Saves a moment as a sample, if any camera sees the board; says what was seen."""
        self._tried.append(moment.q)
        sample = moment.sample(self.arm, self.board, next_name(file.stem for file in sample_files(self.folder)))
        if not sample.views:
            return f"no sample: none of {', '.join(moment.images)} sees the board"
        sample.save(self.folder)
        self.views.update(sample.views.keys())
        self.taken.append(self.folder / f"{sample.name}.json")
        corners = {name: len(view.ids) for name, view in sample.views.items()}
        return f"{sample.name}: corners seen by {', '.join(f'{name} {corners.get(name, 0)}' for name in moment.images)}"

    def undo(self) -> str:
        if not self.taken:
            return "nothing to delete"
        last = self.taken.pop()
        last.unlink(missing_ok=True)
        return f"{last.stem} deleted"
