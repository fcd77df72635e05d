"""The simulated cell with the printed board in it, seen by MuJoCo's cameras: neither our projection nor our FK."""

import cv2
import numpy as np

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.arm import PANDA
from genima_core.calibration.board import Board
from genima_core.cameras import CameraRig
from genima_core.geometry import make_transform, to_quat_wxyz
from genima_core.sim.arm import HAND_BODY
from genima_core.sim.scene import build_scene

import mujoco  # isort: skip

PX_PER_M = 4000.0
THICKNESS_M = 0.002
SUPERSAMPLE = 2


class CellWithBoard:
    """Context manager; the board hangs in the hand or lies in the base frame, at `T_other_board`."""

    def __init__(self, rig: CameraRig, board: Board, T_other_board: np.ndarray, in_hand: bool) -> None:
        self.rig = rig
        width, height = rig.size
        spec = build_scene(rig, (SUPERSAMPLE * width, SUPERSAMPLE * height), detailed=False)
        body = spec.body(HAND_BODY) if in_hand else spec.worldbody
        _add_board(spec, body, board, T_other_board)
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


def _add_board(spec: mujoco.MjSpec, body: mujoco.MjsBody, board: Board, T_other_board: np.ndarray) -> None:
    print_ = cv2.cvtColor(board.picture(PX_PER_M, margin=False), cv2.COLOR_GRAY2RGB)
    height, width = print_.shape[:2]
    texture = spec.add_texture(
        name="board", type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
    )
    texture.data = np.ascontiguousarray(print_).tobytes()
    material = spec.add_material(name="board", emission=0.6, specular=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "board"
    # MuJoCo's z points out of the paper, and its y up.
    T_board_geom = make_transform(np.diag([1.0, -1.0, -1.0]), board.centre + [0.0, 0.0, THICKNESS_M / 2])
    T_other_geom = T_other_board @ T_board_geom
    body.add_geom(
        name="board",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[*(s / 2 for s in board.size_m), THICKNESS_M / 2],
        pos=T_other_geom[:3, 3],
        quat=to_quat_wxyz(T_other_geom),
        material="board",
        contype=0,
        conaffinity=0,
        group=0,
    )
