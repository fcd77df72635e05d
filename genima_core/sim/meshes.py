"""The Franka meshes of gymnasium-robotics: where they are, where they lie at a pose, coarse ones for viewers.

Nothing here imports MuJoCo: a viewer on a real cell needs none.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from genima_core.arm import FINGER_Z_M, FRAMES, Arm
from genima_core.geometry import make_transform

CELL_M = 0.008
"""Vertices that lie in one cube of this size become one: a browser without a GPU shows such meshes fluently."""


def mesh_folder() -> Path:
    """Folder with ``visual/`` and ``collision/`` STL files of the Panda; RuntimeError where they are not installed."""
    # Found without importing it: the import would load a whole reinforcement-learning stack.
    spec = find_spec("gymnasium_robotics")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            "the Panda's meshes come with gymnasium-robotics, which is not installed: pip install 'genima_ros[sim]'"
        )
    folder = Path(spec.submodule_search_locations[0], "envs/assets/kitchen_franka/franka_assets/meshes")
    if not folder.is_dir():
        raise RuntimeError(f"gymnasium-robotics has no Panda meshes at {folder}; install version 1.4.2")
    return folder


def mesh_poses(arm: Arm, q: np.ndarray, opening: float | np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Name of each mesh and its pose (..., 4, 4) in the base frame, at q (..., 7) rad and openings (...)."""
    frames = dict(zip(FRAMES, np.moveaxis(arm.forward_kinematics(q), -3, 0), strict=True))
    yield "link0", np.broadcast_to(np.eye(4), frames["hand"].shape)
    for i in range(1, 8):
        yield f"link{i}", frames[f"joint{i}"]
    yield "hand", frames["hand"]
    for side in (1.0, -1.0):  # the second finger is the first one, turned by half a turn about the hand's z axis
        T_hand_finger = np.broadcast_to(
            make_transform(np.diag([side, side, 1.0]), np.array([0.0, 0.0, FINGER_Z_M])), frames["hand"].shape
        ).copy()
        T_hand_finger[..., 1, 3] = side * np.asarray(opening) * arm.gripper.max_width_m / 2
        yield "finger", frames["hand"] @ T_hand_finger


def coarse_meshes(arm: Arm) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vertices (N, 3) and faces (M, 3) of each of `mesh_poses`; none of other arms, or where none are installed."""
    if arm.shapes != "franka":
        return []
    try:
        import trimesh

        folder = mesh_folder() / "visual"
    except (ImportError, RuntimeError):
        return []
    shapes = {}
    names = [name for name, _ in mesh_poses(arm, arm.home, 1.0)]
    for name in dict.fromkeys(names):
        mesh = trimesh.load_mesh(folder / f"{name}.stl")
        shapes[name] = coarsen(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    return [shapes[name] for name in names]


def coarsen(vertices: np.ndarray, faces: np.ndarray, cell_m: float = CELL_M) -> tuple[np.ndarray, np.ndarray]:
    """A mesh (N, 3), (M, 3) with the vertices of each cube of this size put together."""
    cells, owner, counts = np.unique(np.round(vertices / cell_m), axis=0, return_inverse=True, return_counts=True)
    owner = owner.ravel()
    middles = np.zeros((len(cells), 3))
    np.add.at(middles, owner, vertices)
    corners = owner[faces]
    a, b, c = corners.T
    whole = corners[(a != b) & (b != c) & (c != a)]
    _, first = np.unique(np.sort(whole, axis=1), axis=0, return_index=True)
    return (middles / counts[:, None]).astype(np.float32), whole[first].astype(np.uint32)
