"""What MuJoCo renders lies where the rig's cameras project it."""

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from genima_core import gl  # noqa: F401  (gl selects the GL backend before mujoco loads)
from genima_core.arm import PANDA
from genima_core.cameras import CameraRig
from genima_core.geometry import invert, transform_points
from genima_core.sim.arm import VISUAL_GROUP
from genima_core.sim.cell import Cell
from genima_core.sim.scene import default_rig
from genima_core.sim.task import Task, make_task

import mujoco  # isort: skip


class Probe(Task):
    """A small red ball that glows, to be put anywhere."""

    instructions = ("look at the ball",)

    def build(self, spec):
        spec.add_material(name="glow", rgba=[1, 0, 0, 1], emission=1.0, specular=0.0)
        body = spec.worldbody.add_body(name="probe", mocap=True, pos=[0.5, 0, 0.1])
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.012, 0, 0], material="glow", contype=0, conaffinity=0)

    def reset(self, cell, rng):
        pass

    def success(self, cell):
        return False

    def waypoints(self, cell):
        return ()


def _centroid(image):
    r, g, b = np.moveaxis(image.astype(float) / 255, 2, 0)
    weight = np.clip(r - np.maximum(g, b) - 0.15, 0.0, None)  # grey to red, so mixed pixels at the rim count less
    v, u = np.indices(weight.shape)
    return np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()


def _rigs():
    square = default_rig(256, 256)
    cropped = CameraRig(tuple(replace(c, intrinsics=c.intrinsics.crop(60, 10, 180, 200)) for c in square.cameras))
    return {"256x256": square, "64x64": default_rig(64, 64), "cropped": cropped, "stretched": square.resize(240, 160)}


@pytest.mark.parametrize("rig", _rigs().values(), ids=_rigs().keys())
def test_a_ball_is_seen_where_the_camera_projects_it(rig):
    cell = Cell(Probe(), rig)
    cell.model.geom_rgba[:, 3] = np.where(cell.model.geom_group == VISUAL_GROUP, 0.0, cell.model.geom_rgba[:, 3])
    rng = np.random.default_rng(0)
    seen = dict.fromkeys(rig.names, 0)
    for seed in range(20):
        cell.reset(seed, "anywhere")
        T_base_hand = PANDA.frame_pose(cell.q, "hand")
        for camera in rig.cameras:
            T_base_cam = camera.T_base_cam(T_base_hand)
            # In front of the hand for the wrist camera, anywhere over the table for the others.
            p = (
                T_base_cam[:3, 3] + T_base_cam[:3, :3] @ [*rng.uniform(-0.1, 0.1, 2), 0.25]
                if camera.mount == "hand"
                else rng.uniform([0.2, -0.4, 0.05], [0.7, 0.4, 0.6])
            )
            cell.data.mocap_pos[0] = p
            mujoco.mj_forward(cell.model, cell.data)
            p_cam = transform_points(invert(T_base_cam), p)
            expected = camera.intrinsics.project(p_cam)
            if p[2] < 0.02 or np.any(expected < 8) or np.any(expected > np.array(rig.size) - 9):
                continue  # in the table, or cut off at the border
            seen[camera.name] += 1
            assert np.linalg.norm(_centroid(cell.render(camera.name)) - expected) < 0.5, camera.name
    cell.close()
    assert min(seen.values()) >= 5, seen


def test_static_cameras_see_all_targets_at_home(cell):
    cell.reset(3)
    p_base = PANDA.target_poses(cell.q)[:, :3, 3]
    for name in ("front", "right_shoulder", "left_shoulder"):
        camera = cell.rig[name]
        uv = camera.intrinsics.project(transform_points(invert(camera.T_base_cam(np.eye(4))), p_base))
        assert camera.intrinsics.contains(uv).all(), name


def test_only_objects_have_saturated_colours():
    """Red, green, purple, cyan and yellow targets stand out against arm, table and walls."""
    with closing(Cell(make_task("open_microwave"), default_rig(64, 64))) as cell:
        cell.reset(1)
        for image in cell.observe().images.values():
            assert np.ptp(image.astype(int), axis=-1).max() < 0.35 * 255


def test_unknown_camera(cell):
    with pytest.raises(ValueError, match="unknown camera 'top'; the rig has wrist, front"):
        cell.render("top")


def test_no_opengl_gives_one_clear_error():
    code = (
        "import mujoco\n"
        "from genima_core.sim.cell import Cell\nfrom genima_core.sim.scene import default_rig\n"
        "from genima_core.sim.task import make_task\n"
        "cell = Cell(make_task('push_button'), default_rig(64, 64))\n"
        "cell.observe()"
    )
    # GLFW without a display cannot make a context, on any machine.
    environment = {**os.environ, "MUJOCO_GL": "glfw", "PYOPENGL_PLATFORM": "egl", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "RuntimeError: no OpenGL context for the cell's cameras" in result.stderr.splitlines()[-1]
