"""The ChArUco board: its picture for printing, and its corners and pose in an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from genima_core.cameras import PinholeCamera
from genima_core.geometry import checked_numbers, make_transform, transform_points

MIN_CORNERS = 6
MARGIN_SQUARES = 0.25
"""Width of the white margin around the printed board, in squares."""
ENLARGED_BELOW_PX = 1000
"""Smaller images are enlarged twofold: more markers are read, and corners are located twice as precisely."""


@dataclass(frozen=True)
class CameraView:
    """What one camera saw of the board: corners at `corners_px` (n, 2), whose `ids` are rows of `Board.corners`."""

    intrinsics: PinholeCamera
    ids: tuple[int, ...]
    corners_px: np.ndarray

    def __post_init__(self) -> None:
        checked_numbers(self.corners_px, (len(self.ids), 2), "corners_px")


@dataclass(frozen=True)
class Board:
    """A printed ChArUco board, by default for A4; lengths as measured on the print.

    Its frame has the origin at the picture's top left corner, x right, y down, z into the paper.
    """

    columns: int = 7
    """Squares from left to right."""
    rows: int = 5
    """Squares from top to bottom."""
    square_m: float = 0.037
    """Side of a square."""
    marker_m: float = 0.028
    """Side of a marker, which lies in a white square."""
    dictionary: str = "DICT_4X4_50"
    """OpenCV's name of the set of markers."""
    legacy: bool = False
    """Whether the pattern starts with a marker, as OpenCV before 4.6 printed boards with an even number of rows."""

    def __post_init__(self) -> None:
        if self.columns < 3 or self.rows < 3:
            raise ValueError(f"a board of {self.columns}x{self.rows} squares has too few corners; it needs 3x3 or more")
        if not 0 < self.marker_m < self.square_m:
            raise ValueError(f"markers of {self.marker_m} m do not fit into squares of {self.square_m} m; measure")
        known = [name for name in dir(cv2.aruco) if name.startswith("DICT_")]
        if self.dictionary not in known:
            raise ValueError(f"unknown dictionary {self.dictionary!r}; valid are {', '.join(known)}")
        available, needed = len(self._dictionary.bytesList), self.columns * self.rows // 2
        if needed > available:
            wanted = f"a board of {self.columns}x{self.rows} squares needs {needed} markers"
            raise ValueError(f"{wanted}; {self.dictionary} has {available}")

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of the pattern."""
        return self.columns * self.square_m, self.rows * self.square_m

    @property
    def centre(self) -> np.ndarray:
        """(3,) in the board's frame."""
        return np.array([*self.size_m, 0.0]) / 2

    @cached_property
    def corners(self) -> np.ndarray:
        """(n, 3) of the inner corners in the board's frame, by id."""
        return np.array(self._charuco.getChessboardCorners(), dtype=np.float64)

    @cached_property
    def _charuco(self) -> cv2.aruco.CharucoBoard:
        charuco = cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_m, self.marker_m, self._dictionary)
        charuco.setLegacyPattern(self.legacy)
        return charuco

    @property
    def _dictionary(self) -> cv2.aruco.Dictionary:
        return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))

    def _read(self, grey: np.ndarray) -> tuple[list[int], np.ndarray]:
        corners, ids, _, _ = cv2.aruco.CharucoDetector(self._charuco).detectBoard(grey)
        if ids is None:
            return [], np.zeros((0, 2))
        return [int(i) for i in np.ravel(ids)], np.reshape(corners, (-1, 2)).astype(np.float64)

    @cached_property
    def _bias_px(self) -> np.ndarray:
        """(2,) that this OpenCV adds to every corner (0.5 before version 5), measured on the board's own picture."""
        square_px = 40
        ids, corners_px = self._read(self.picture(square_px / self.square_m))
        true_px = (self.corners[ids, :2] / self.square_m + MARGIN_SQUARES) * square_px - 0.5
        return np.round(2 * np.mean(corners_px - true_px, axis=0)) / 2 if len(ids) else np.zeros(2)

    def picture(self, px_per_m: float, margin: bool = True) -> np.ndarray:
        """(H, W) uint8 of the pattern for printing, by default with a white margin."""
        square_px = round(self.square_m * px_per_m)
        if square_px < 10:
            raise ValueError(f"{px_per_m:g} pixels a metre leave {square_px} for a square; it needs 10 or more")
        border = round(MARGIN_SQUARES * square_px) if margin else 0
        size = self.columns * square_px + 2 * border, self.rows * square_px + 2 * border
        return self._charuco.generateImage(size, marginSize=border)

    def detect(self, rgb: np.ndarray, camera: PinholeCamera) -> CameraView | None:
        """What an image (H, W, 3) or (H, W) uint8 shows; None for fewer than `MIN_CORNERS`, or all in one line."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if rgb.ndim == 3 else rgb
        scale = 2 if max(grey.shape) < ENLARGED_BELOW_PX else 1
        if scale > 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        ids, corners_px = self._read(grey)
        if len(ids) < MIN_CORNERS or not self.spans_a_plane(ids):
            return None
        # Pixels are counted from the centre of the first one.
        return CameraView(camera, tuple(ids), (corners_px - self._bias_px + 0.5) / scale - 0.5)

    def spans_a_plane(self, ids: Sequence[int]) -> bool:
        """Whether these corners do not lie in one line, so that they have a pose."""
        corners = self.corners[list(ids), :2]
        return len(ids) >= 4 and np.linalg.matrix_rank(corners - corners.mean(axis=0), tol=1e-6) == 2

    def pose(self, view: CameraView) -> np.ndarray:
        """T_cam_board (4, 4) from a view without distortion; ValueError for too few corners, or all in one line."""
        if not self.spans_a_plane(view.ids):
            raise ValueError(f"{len(view.ids)} corners in one line determine no pose; show more of the board")
        seen = self.corners[list(view.ids)], view.corners_px, view.intrinsics.K, None
        _, rotation, translation = cv2.solvePnP(*seen, flags=cv2.SOLVEPNP_IPPE)
        rotation, translation = cv2.solvePnPRefineLM(*seen, rotation, translation)
        return make_transform(cv2.Rodrigues(rotation)[0], np.ravel(translation))

    def project(self, T_cam_board: np.ndarray, camera: PinholeCamera) -> np.ndarray:
        """Pixels (n, 2) of all corners; NaN for those behind the camera."""
        return camera.project(transform_points(T_cam_board, self.corners))

    def off_px(self, T_cam_board: np.ndarray, view: CameraView) -> np.ndarray:
        """Distances (n,) in px between the corners seen and where a pose of the board puts them."""
        return np.linalg.norm(self.project(T_cam_board, view.intrinsics)[list(view.ids)] - view.corners_px, axis=1)
