"""A folder of samples: what the cameras saw of the board while the arm was at rest, so that solving can be repeated.

board.json        the `Board`
sample_000.json   one `Sample`: joints, hand pose, corners by camera, each with the camera's intrinsics
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from genima_core.arm import Arm
from genima_core.calibration.board import Board, Detection
from genima_core.cameras import PinholeCamera
from genima_core.config import from_overrides
from genima_core.files import check_name, read_json, write_json
from genima_core.geometry import checked_numbers, checked_pose

BOARD_FILE = "board.json"
MAX_CORNERS = 1000
"""The largest dictionary of markers has 1000."""


@dataclass(frozen=True)
class CameraView:
    """What one camera saw of the board."""

    camera: PinholeCamera
    detection: Detection


@dataclass(frozen=True)
class Sample:
    """One pose of the arm."""

    name: str
    """Names the file, and the pose in messages."""
    stamp_s: float
    q: np.ndarray
    """(7,) rad."""
    T_base_hand: np.ndarray
    """(4, 4), by our forward kinematics of `q`."""
    views: Mapping[str, CameraView]
    """By name, the cameras that saw the board."""

    @classmethod
    def at(cls, arm: Arm, name: str, stamp_s: float, q: np.ndarray, views: Mapping[str, CameraView]) -> "Sample":
        """With the hand where forward kinematics puts it."""
        return cls(name, stamp_s, np.asarray(q, np.float64), arm.frame_pose(q, "hand"), views)


@dataclass(frozen=True)
class StoredView:
    """A `CameraView` as its file holds it."""

    intrinsics: PinholeCamera
    ids: tuple[int, ...]
    corners_px: np.ndarray

    def __post_init__(self) -> None:
        checked_numbers(self.corners_px, (len(self.ids), 2), "corners_px")
        if self.ids and not 0 <= min(self.ids) <= max(self.ids) < MAX_CORNERS:
            raise ValueError(f"ids {self.ids[:5]} ... must be 0 to {MAX_CORNERS}")


@dataclass(frozen=True)
class StoredSample:
    """A `Sample` as its file holds it."""

    stamp_s: float
    q: np.ndarray
    T_base_hand: np.ndarray
    views: Mapping[str, StoredView]

    def __post_init__(self) -> None:
        checked_numbers(self.q, (7,), "q")
        checked_pose(self.T_base_hand, "T_base_hand")
        for name in self.views:
            check_name(name, "a camera")


@dataclass(frozen=True)
class SampleSet:
    """Samples of one board that nobody moved relative to what carries it."""

    board: Board
    samples: tuple[Sample, ...]

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras that saw the board at least once."""
        return tuple(dict.fromkeys(name for sample in self.samples for name in sample.views))

    def seen_by(self, camera: str) -> tuple[Sample, ...]:
        """The samples with a view of this camera.

        Raises:
            ValueError: its intrinsics differ between samples.
        """
        samples = tuple(sample for sample in self.samples if camera in sample.views)
        by_intrinsics = {sample.views[camera].camera: sample.name for sample in samples}
        if len(by_intrinsics) > 1:
            (first, name), (other, other_name) = list(by_intrinsics.items())[:2]
            raise ValueError(
                f"camera {camera!r} has intrinsics of {first.width}x{first.height}, fx {first.fx:.1f} in "
                f"{name} and of {other.width}x{other.height}, fx {other.fx:.1f} in {other_name}; collect "
                "all samples with one profile"
            )
        return samples

    def save(self, folder: Path) -> None:
        """Writes the folder; samples that are there under other names stay."""
        folder.mkdir(parents=True, exist_ok=True)
        write_board(folder, self.board)
        for sample in self.samples:
            write_sample(folder, sample)

    @classmethod
    def load(cls, folder: Path) -> "SampleSet":
        """
        Raises:
            FileNotFoundError, ValueError: no such folder, or no samples in it; a file is damaged.
        """
        folder = Path(folder)
        files = sorted(folder.glob("sample_*.json"))
        if not (folder / BOARD_FILE).is_file() or not files:
            raise FileNotFoundError(
                f"{folder} holds no calibration samples ({BOARD_FILE} and sample_*.json); take "
                f"some: genima calibrate collect {folder}"
            )
        return cls(read_board(folder), tuple(read_sample(file) for file in files))


def write_board(folder: Path, board: Board) -> None:
    write_json(folder / BOARD_FILE, asdict(board))


def read_board(folder: Path) -> Board:
    """
    Raises:
        FileNotFoundError, ValueError: no such file; not a board.
    """
    return from_overrides(Board, read_json(folder / BOARD_FILE), str(folder / BOARD_FILE))


def write_sample(folder: Path, sample: Sample) -> None:
    """Writes one sample, whole or not at all."""
    views = {
        name: StoredView(view.camera, view.detection.ids.tolist(), view.detection.corners_px)
        for name, view in sample.views.items()
    }
    write_json(
        folder / f"{sample.name}.json",
        asdict(StoredSample(sample.stamp_s, sample.q, sample.T_base_hand, views)),
        1,
    )


def read_sample(file: Path) -> Sample:
    """
    Raises:
        ValueError: a field is missing or of another shape.
    """
    try:
        stored = from_overrides(StoredSample, read_json(file), "the sample")
        views = {
            name: CameraView(view.intrinsics, Detection(np.array(view.ids, dtype=int), view.corners_px))
            for name, view in stored.views.items()
        }
    except ValueError as error:
        raise ValueError(f"{file} is not a calibration sample: {error}; delete it and take the sample again") from error
    return Sample(file.stem, stored.stamp_s, stored.q, stored.T_base_hand, views)


def next_name(names: Iterable[str]) -> str:
    """A name after all of these."""
    numbers = [int(name.removeprefix("sample_")) for name in names if name.removeprefix("sample_").isdigit()]
    return f"sample_{max(numbers, default=-1) + 1:03d}"
