"""A ChArUco board in the simulated cell, to practise calibration with."""

import numpy as np

from genima_core import geometry, gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.calibration.board import Board
from genima_core.calibration.simulated import board_in_hand, board_on_table
from genima_core.sim.arm import HAND_BODY

import mujoco  # isort: skip

SQUARE_PX = 48
THICKNESS_M = 0.004


def place_board(spec: mujoco.MjSpec, place: str) -> None:
    """Puts the default board on the "table" or into the "hand", as `calibration.simulated` does; "" does nothing."""
    if place == "table":
        T_base_board = board_on_table(Board())
        T_base_board[2, 3] += THICKNESS_M  # above the surface of the table, which would hide the picture
        add_board(spec, spec.worldbody, Board(), T_base_board)
    elif place == "hand":
        add_board(spec, spec.body(HAND_BODY), Board(), board_in_hand(Board()))


def add_board(spec: mujoco.MjSpec, body: mujoco.MjsBody, board: Board, T_body_board: np.ndarray) -> None:
    """Adds a stiff print with its white margin, with which nothing collides, at `T_body_board` (4, 4)."""
    picture = np.repeat(board.picture(SQUARE_PX / board.square_m)[..., None], 3, axis=2)
    height, width, _ = picture.shape
    texture = spec.add_texture(
        name="board", type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
    )
    texture.data = picture.tobytes()
    material = spec.add_material(name="board", emission=0.6, specular=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "board"
    # A box shows its texture where its own z points; the picture's z points into the paper.
    T_board_box = geometry.make_transform(np.diag([1.0, -1.0, -1.0]), board.centre + [0.0, 0.0, THICKNESS_M / 2])
    T_body_box = T_body_board @ T_board_box
    body.add_geom(
        name="board",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[*(np.array([width, height]) * board.square_m / SQUARE_PX / 2), THICKNESS_M / 2],
        pos=T_body_box[:3, 3],
        quat=geometry.to_quat_wxyz(T_body_box),
        material="board",
        contype=0,
        conaffinity=0,
    )
