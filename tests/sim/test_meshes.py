import numpy as np

from genima_core.arm import PANDA
from genima_core.sim.cell import Cell
from genima_core.sim.meshes import coarsen, mesh_poses
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task


def test_meshes_lie_where_the_simulated_bodies_are():
    cell = Cell(make_task("push_button"), default_rig(32, 32))
    cell.reset(3)
    bodies = ["link0", *(f"link{i}" for i in range(1, 8)), "hand", "finger1", "finger2"]
    poses = list(mesh_poses(PANDA, cell.q, cell.gripper))
    assert [name.rstrip("12") for name in bodies[-2:]] == [name for name, _ in poses[-2:]]
    for body, (_, T_base_mesh) in zip(bodies, poses, strict=True):
        np.testing.assert_allclose(T_base_mesh, cell.body_pose(body), atol=1e-6, err_msg=body)


def test_poses_of_many_moments_are_those_of_each(rng):
    q, openings = PANDA.home + 0.2 * rng.standard_normal((5, 7)), rng.uniform(0, 1, 5)
    for together, alone in zip(
        mesh_poses(PANDA, q, openings), mesh_poses(PANDA, q[3], float(openings[3])), strict=True
    ):
        assert together[0] == alone[0] and together[1].shape == (5, 4, 4)
        np.testing.assert_allclose(together[1][3], alone[1], atol=1e-12)


def test_a_coarse_mesh_stays_within_a_cell_of_the_fine_one(rng):
    points = rng.uniform(-0.1, 0.1, (2000, 3))
    faces = rng.integers(0, 2000, (5000, 3))
    vertices, kept = coarsen(points, faces, 0.02)
    assert len(vertices) < len(points) and kept.max() < len(vertices)
    corners = vertices[kept]
    assert (corners[:, 0] != corners[:, 1]).any(axis=1).all()
    nearest = np.linalg.norm(points[:, None] - vertices[None], axis=-1).min(axis=1)
    assert nearest.max() < 0.02 * np.sqrt(3)
