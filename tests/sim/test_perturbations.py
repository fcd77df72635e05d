"""Each perturbation changes the picture in its part, and nothing that a task is measured by."""

import re
from contextlib import closing

import cv2
import numpy as np
import pytest

from genima_core.cameras import CameraRig
from genima_core.environment import follow
from genima_core.geometry import invert, make_transform, transform_points
from genima_core.sim.cell import Cell
from genima_core.sim.distractors import THINGS
from genima_core.sim.perturbations import (
    ALL,
    CAMERA_MOVED_M,
    CAMERA_TURNED_RAD,
    PERTURBATIONS,
    choose,
)
from genima_core.sim.scene import default_rig
from genima_core.sim.shapes import COLOURS
from genima_core.sim.task import make_task, task_names

import mujoco  # isort: skip

RIG = default_rig(64, 64)
SEEDS = range(3)
SIGNS = np.array(np.meshgrid(*3 * [(-1, 1)])).reshape(3, 8).T
"""Of the corners of a box."""


def make_cell(*perturbations: str, task: str = "open_drawer", rig: CameraRig = RIG) -> Cell:
    return Cell(make_task(task), rig, perturbations=perturbations)


@pytest.fixture(scope="module")
def plain():
    with closing(make_cell()) as cell:
        yield cell


@pytest.fixture(scope="module")
def perturbed():
    """Cells with one perturbation each."""
    cells = {name: make_cell(name) for name in (*PERTURBATIONS, ALL)}
    yield cells
    for cell in cells.values():
        cell.close()


def views(cell: Cell, seed: int) -> np.ndarray:
    cell.reset(seed)
    return np.stack(list(cell.observe().images.values())).astype(int)


def shows(cell: Cell, seed: int, wanted: str) -> np.ndarray:
    """(4, H, W) where geoms are seen: of the `task`, of `distractors`, the `table` or what is `far`."""
    cell.reset(seed)
    model, masks = cell.model, []
    names = np.array([model.geom(i).name for i in range(model.ngeom)])
    bodies = np.array([model.body(i).name for i in model.geom_bodyid])
    chosen = {
        "task": cell.task_geoms,
        "distractors": np.flatnonzero(np.char.startswith(bodies, "distractor_")),
        "table": np.flatnonzero(names == "table"),
        "far": np.append(np.flatnonzero((names == "floor") | np.char.startswith(names, "wall_")), -1),
    }[wanted]
    with closing(mujoco.Renderer(model, 2 * RIG.size[1], 2 * RIG.size[0])) as renderer:
        renderer.enable_segmentation_rendering()
        for name in RIG.names:
            renderer.update_scene(cell.data, camera=name, scene_option=cell._option)
            masks.append(np.isin(renderer.render()[..., 0], chosen).reshape(RIG.size[1], 2, -1, 2).any(axis=(1, 3)))
    return np.stack(masks)


def wider(masks: np.ndarray) -> np.ndarray:
    """With the pixels beside, which a smooth edge reaches."""
    return np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for mask in masks])


@pytest.mark.parametrize(
    ("name", "part"),
    [("object_color", "task"), ("distractors", "distractors"), ("table_texture", "table"), ("background", "far")],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_picture_changes_in_one_part_and_nowhere_else(plain, perturbed, name, part, seed):
    changed = np.abs(views(perturbed[name], seed) - views(plain, seed)).max(axis=-1) > 3
    mask = shows(perturbed[name], seed, part)
    assert not (changed & ~wider(mask)).any()
    assert changed[mask].mean() > 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_another_light_changes_everything_that_is_lit(plain, perturbed, seed):
    changed = np.abs(views(perturbed["lighting"], seed) - views(plain, seed)).max(axis=-1) > 3
    assert changed[shows(plain, seed, "table")].mean() > 0.9
    assert changed[shows(plain, seed, "task")].mean() > 0.7


@pytest.mark.parametrize("seed", SEEDS)
def test_moved_cameras_see_what_cameras_there_see(perturbed, seed):
    cell = perturbed["camera_pose"]
    seen = views(cell, seed)
    assert cell.rig is RIG
    with closing(make_cell(rig=cell.seen_rig)) as there:
        np.testing.assert_array_equal(seen, views(there, seed))
    for told, true in zip(cell.rig.cameras, cell.seen_rig.cameras, strict=True):
        moved = np.abs(true.T_mount_cam - told.T_mount_cam)
        assert 0 < moved[:3, 3].max() <= (CAMERA_MOVED_M if told.mount == "base" else 0.01)
        assert 0 < moved[:3, :3].max() < np.sqrt(3) * CAMERA_TURNED_RAD


def test_cameras_are_where_the_rig_says_without_the_perturbation(plain, perturbed):
    for cell in (plain, perturbed["lighting"]):
        cell.reset(1)
        assert cell.seen_rig is RIG


def test_the_same_seed_gives_the_same_picture_whatever_was_before(perturbed):
    for name, cell in perturbed.items():
        first = views(cell, 5)
        others = [views(cell, seed) for seed in (6, 7)]
        np.testing.assert_array_equal(first, views(cell, 5), err_msg=name)
        with closing(make_cell(name)) as new:
            np.testing.assert_array_equal(first, views(new, 5), err_msg=name)
        assert all((np.abs(first - other) > 20).mean() > 0.001 for other in others), name


def test_each_is_the_same_alone_and_with_others(perturbed):
    together = perturbed[ALL]
    for seed in SEEDS:
        for cell in perturbed.values():
            cell.reset(seed)
        for name in THINGS:
            body = f"distractor_{name}"
            np.testing.assert_array_equal(perturbed["distractors"].body_pose(body), together.body_pose(body))
        np.testing.assert_array_equal(perturbed["lighting"].model.light_diffuse, together.model.light_diffuse)
        for geom, name in (("table", "table_texture"), ("floor", "background")):
            assert pattern(perturbed[name], geom) == pattern(together, geom)
        for mine, its in zip(perturbed["camera_pose"].seen_rig.cameras, together.seen_rig.cameras, strict=True):
            np.testing.assert_array_equal(mine.T_mount_cam, its.T_mount_cam)


def pattern(cell: Cell, geom: str) -> tuple:
    found = cell.model.geom(geom)
    return cell.model.material(int(found.matid[0])).name, *found.rgba


@pytest.mark.parametrize("task", task_names())
def test_objects_arm_and_expert_are_the_same(task):
    """All of them together leave a task as it is, and the way to its end free."""
    with closing(make_cell(task=task)) as plain, closing(make_cell(ALL, task=task)) as cell:
        for seed in range(4):
            start = "anywhere" if seed % 2 else "home"
            plain.reset(seed, start)
            cell.reset(seed, start)
            np.testing.assert_array_equal(plain.data.qpos, cell.data.qpos)
            for body in {plain.model.body(i).name for i in plain.model.geom_bodyid}:
                np.testing.assert_array_equal(plain.body_pose(body), cell.body_pose(body), err_msg=body)
            assert plain.instruction == cell.instruction
            assert not cell.success()
            touched = set()
            for _ in follow(cell, cell.plan()):
                for things in THINGS:
                    touched |= cell.touching(f"distractor_{things}") - {"world"}
            assert cell.success(), f"{task} seed {seed}"
            assert not touched


@pytest.mark.parametrize("task", task_names())
def test_there_are_distractors_on_the_table_and_they_keep_apart(task):
    with closing(make_cell("distractors", task=task)) as cell:
        for seed in range(10):
            cell.reset(seed, "anywhere" if seed % 2 else "home")
            places = {name: cell.body_pose(f"distractor_{name}")[:3, 3] for name in THINGS}
            shown = {name: place for name, place in places.items() if place[2] >= 0}
            assert 1 <= len(shown) <= 4
            assert cell.arm_is_free
            for name, place in shown.items():
                radius = THINGS[name].radius_m
                assert np.abs(place[1]) + radius < 0.6 and -0.3 < place[0] - radius and place[0] + radius < 1.0
                others = [np.linalg.norm(place - shown[o]) - THINGS[o].radius_m for o in shown if o != name]
                assert min(others, default=1.0) > radius
            hidden = [cell.model.body(f"distractor_{name}").id for name in set(places) - set(shown)]
            assert not cell.model.geom_rgba[np.isin(cell.model.geom_bodyid, hidden), 3].any()


@pytest.mark.parametrize("task", task_names())
def test_no_instruction_names_a_distractor(task):
    texts = (*make_task(task).instructions, *make_task(task).paraphrases)
    assert not THINGS.keys() & set(re.findall(r"\w+", " ".join(texts).lower()))


@pytest.mark.parametrize("name", THINGS)
def test_a_thing_is_as_large_as_it_says(name):
    with closing(make_cell("distractors")) as cell:
        model, T_body_base = cell.model, invert(cell.body_pose(f"distractor_{name}"))
        points = []
        for geom in np.flatnonzero(model.geom_bodyid == model.body(f"distractor_{name}").id):
            T_base_geom = make_transform(cell.data.geom_xmat[geom].reshape(3, 3), cell.data.geom_xpos[geom])
            if (mesh := model.geom_dataid[geom]) >= 0:
                first = model.mesh_vertadr[mesh]
                own = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
            else:
                own = model.geom_aabb[geom, :3] + SIGNS * model.geom_aabb[geom, 3:]
            points.append(transform_points(T_body_base @ T_base_geom, own))
        lower, upper = np.vstack(points).min(axis=0), np.vstack(points).max(axis=0)
        assert lower[2] == pytest.approx(0.0, abs=0.003)
        assert upper[2] == pytest.approx(THINGS[name].height_m, abs=0.003)
        assert max(*-lower[:2], *upper[:2]) == pytest.approx(THINGS[name].radius_m, abs=0.008)


@pytest.mark.parametrize("task", task_names())
def test_a_colour_that_tells_a_variation_stays(task):
    """Of each there is as much as before, lighter or darker, and it is not taken for another one's."""
    words = {word for variation in make_task(task).variations for word in variation.split()} & set(COLOURS)
    with closing(make_cell(task=task)) as plain, closing(make_cell("object_color", task=task)) as cell:
        for seed in range(4 if words else 0):
            plain.reset(seed)
            cell.reset(seed)
            before, after = (c.model.geom_rgba[c.task_geoms, :3] for c in (plain, cell))
            for word in words:
                told = np.abs(before - COLOURS[word]).max(axis=1) < 1e-3
                assert told.any(), f"nothing of {task} has the colour {word} of shapes.COLOURS"
                for rgb in after[told]:
                    assert word == min(words, key=lambda other: np.linalg.norm(rgb - COLOURS[other]))
                    assert np.linalg.norm(rgb - COLOURS[word]) < 0.25


def test_a_task_names_more_that_keeps_its_colour():
    task = make_task("open_drawer")
    task.keeps_colour = ("chest",)
    with closing(Cell(task, RIG, perturbations=["object_color"])) as cell, closing(make_cell()) as plain:
        bodies = np.array([cell.model.body(cell.model.geom_bodyid[geom]).name for geom in cell.task_geoms])
        change = cell.model.geom_rgba[cell.task_geoms, :3] / plain.model.geom_rgba[plain.task_geoms, :3]
        shade = change.max(axis=1) / change.min(axis=1)
        assert shade[bodies == "chest"].max() < 1.01 < shade[bodies != "chest"].min()


def test_a_kept_colour_that_does_not_exist():
    task = make_task("pick_up_cup")
    task.keeps_colour = ("red_cup", "green_mug")
    with pytest.raises(ValueError, match="pick_up_cup keeps the colour of green_mug, which it does not build"):
        Cell(task, RIG, perturbations=["object_color"])


def test_names():
    assert choose([]) == choose("") == ()
    assert choose(["lighting", "object_color", "lighting"]) == choose("lighting, object_color")
    assert choose("lighting,object_color") == ("object_color", "lighting")
    assert choose([ALL]) == choose("all,lighting") == tuple(PERTURBATIONS)
    with pytest.raises(ValueError, match=r"unknown perturbation 'fog', 'rain'; valid are object_color, .*, or all"):
        make_cell("lighting", "rain", "fog")
    with closing(make_cell("lighting")) as cell:
        assert cell.perturbations == ("lighting",)
