"""The simulated cell with the printed board in it, seen by MuJoCo's cameras: neither our projection nor our FK."""

import cv2
import numpy as np

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.arm import PANDA
from genima_core.calibration.board import Board
from genima_core.calibration.practice import add_board
from genima_core.cameras import CameraRig
from genima_core.sim.arm import HAND_BODY
from genima_core.sim.scene import build_scene

import mujoco  # isort: skip

SUPERSAMPLE = 2


class CellWithBoard:
    """Context manager; the board hangs in the hand or lies in the base frame, at `T_other_board`."""

    def __init__(self, rig: CameraRig, board: Board, T_other_board: np.ndarray, in_hand: bool) -> None:
        self.rig = rig
        width, height = rig.size
        spec = build_scene(rig, (SUPERSAMPLE * width, SUPERSAMPLE * height), detailed=False)
        body = spec.body(HAND_BODY) if in_hand else spec.worldbody
        add_board(spec, body, board, T_other_board)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._arm = [self.model.joint(name).qposadr[0] for name in PANDA.joint_names]

    def __enter__(self) -> "CellWithBoard":
        width, height = self.rig.size
        self._renderer = mujoco.Renderer(self.model, SUPERSAMPLE * height, SUPERSAMPLE * width)
        return self

    def __exit__(self, *_: object) -> None:
        self._renderer.close()

    def picture(self, name: str, q: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 with the arm at `q` (7,) rad."""
        self.data.qpos[self._arm] = q
        mujoco.mj_forward(self.model, self.data)
        self._renderer.update_scene(self.data, camera=name)
        return cv2.resize(self._renderer.render(), self.rig.size, interpolation=cv2.INTER_AREA)
