"""Pictures of the printed board as a camera sees it, made without our projection."""

import cv2
import numpy as np

from genima_core.calibration.board import Board
from genima_core.cameras import PinholeCamera

PX_PER_M = 4000.0
SUPERSAMPLE = 4


def photograph(board: Board, T_cam_board: np.ndarray, camera: PinholeCamera) -> np.ndarray:
    """(H, W, 3) uint8: the board on a grey wall, seen from T_cam_board (4, 4)."""
    print_ = board.picture(PX_PER_M, margin=False)
    # A point of the plane z = 0, in metres, to the image: K [x-axis, y-axis, origin].
    H_image_metres = camera.K @ T_cam_board[:3, [0, 1, 3]]
    # The centre of the print's first pixel lies half a pixel inside the board.
    H_metres_print = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, PX_PER_M]]) / PX_PER_M
    s = SUPERSAMPLE
    H_large_image = np.array([[s, 0.0, (s - 1) / 2], [0.0, s, (s - 1) / 2], [0.0, 0.0, 1.0]])
    # What is much finer than the large image's pixels would alias.
    large = cv2.warpPerspective(
        cv2.GaussianBlur(print_, (0, 0), 1.5),
        H_large_image @ H_image_metres @ H_metres_print,
        (s * camera.width, s * camera.height),
        flags=cv2.INTER_LINEAR,
        borderValue=150,
    )
    grey = cv2.resize(large, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
