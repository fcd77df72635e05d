"""A folder of samples: what the cameras saw of the board while the arm was at rest, so that solving can be repeated.

board.json        the `Board`
sample_000.json   one `Sample`: joints, hand pose, corners by camera, each with the camera's intrinsics
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from genima_core.arm import Arm
from genima_core.calibration.board import Board, Detection
from genima_core.cameras import PinholeCamera

BOARD_FILE = "board.json"


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
    _write(folder / BOARD_FILE, asdict(board))


def read_board(folder: Path) -> Board:
    data = _read(folder / BOARD_FILE)
    try:
        return Board(**data)
    except TypeError as error:
        raise ValueError(f"{folder / BOARD_FILE} describes no board: {error}") from error


def write_sample(folder: Path, sample: Sample) -> None:
    """Writes one sample, whole or not at all."""
    _write(
        folder / f"{sample.name}.json",
        {
            "stamp_s": sample.stamp_s,
            "q": sample.q.tolist(),
            "T_base_hand": sample.T_base_hand.tolist(),
            "views": {
                name: {
                    "intrinsics": asdict(view.camera),
                    "ids": view.detection.ids.tolist(),
                    "corners_px": view.detection.corners_px.tolist(),
                }
                for name, view in sample.views.items()
            },
        },
    )


def read_sample(file: Path) -> Sample:
    """
    Raises:
        ValueError: a field is missing or of another shape.
    """
    data = _read(file)
    try:
        views = {
            name: CameraView(
                PinholeCamera(**view["intrinsics"]),
                Detection(np.array(view["ids"], dtype=int), np.array(view["corners_px"], dtype=np.float64)),
            )
            for name, view in data["views"].items()
        }
        sample = Sample(
            file.stem,
            float(data["stamp_s"]),
            np.array(data["q"], dtype=np.float64),
            np.array(data["T_base_hand"], dtype=np.float64),
            views,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} is no calibration sample: {error!r}") from error
    shapes_fit = all(view.detection.corners_px.shape == (len(view.detection.ids), 2) for view in views.values())
    if sample.q.shape != (7,) or sample.T_base_hand.shape != (4, 4) or not shapes_fit:
        raise ValueError(
            f"{file} is no calibration sample: it needs q (7), T_base_hand (4, 4) and as many corners_px "
            "(n, 2) as ids (n) in each view"
        )
    return sample


def next_name(names: Iterable[str]) -> str:
    """A name after all of these."""
    numbers = [int(name.removeprefix("sample_")) for name in names if name.removeprefix("sample_").isdigit()]
    return f"sample_{max(numbers, default=-1) + 1:03d}"


def _write(file: Path, data: dict) -> None:
    temporary = file.with_suffix(".part")
    temporary.write_text(json.dumps(data, indent=1) + "\n")
    os.replace(temporary, file)


def _read(file: Path) -> dict:
    try:
        data = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is damaged: {error}; delete it and take the sample again") from error
    if not isinstance(data, dict):
        raise ValueError(f"{file} is damaged: it holds no JSON object; delete it and take the sample again")
    return data
