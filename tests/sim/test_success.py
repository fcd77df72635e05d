"""Success is the named thing in its place, however it came there, and nothing that only looks like it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import mujoco
import numpy as np
import pytest

from genima_core.geometry import make_transform
from genima_core.sim.cell import Cell
from genima_core.sim.scene import build_scene, default_rig
from genima_core.sim.shapes import yawed
from genima_core.sim.task import make_task, task_names
from genima_core.sim.tasks import basketball_in_hoop as basketball
from genima_core.sim.tasks import insert_usb_in_computer as usb
from genima_core.sim.tasks import play_jenga as jenga
from genima_core.sim.tasks import put_books_on_bookshelf as books
from genima_core.sim.tasks import put_knife_on_chopping_board as knife
from genima_core.sim.tasks import take_lid_off_saucepan as lid
from genima_core.sim.waypoints import down

RIG = default_rig(16, 16)


@contextmanager
def reset(task: str) -> Iterator[Cell]:
    with closing(Cell(make_task(task), RIG)) as cell:
        assert not cell.success()
        yield cell


def put(cell: Cell, body: str, T_base_body: np.ndarray) -> None:
    cell.place(body, T_base_body[:3, 3], T_base_body[:3, :3])
    mujoco.mj_forward(cell.model, cell.data)
    cell.task.update(cell)


def at(x: float, y: float, z: float, yaw_rad: float = 0.0) -> np.ndarray:
    return make_transform(yawed(yaw_rad), (x, y, z))


@pytest.mark.parametrize(("yaw_rad", "inserted"), [(0.0, True), (np.pi / 2, False), (np.pi, False)])
def test_a_stick_is_inserted_with_its_tip(yaw_rad, inserted):
    with reset("insert_usb_in_computer") as cell:
        T_base_middle = cell.body_pose("computer") @ at(usb.GOAL_M - usb.TIP_MIDDLE_M, 0.0, usb.CASE_M[2] / 2, yaw_rad)
        put(cell, f"{cell.variation}_usb", T_base_middle)
        assert cell.success() == inserted


@pytest.mark.parametrize("yaw_rad", [0.0, np.pi / 2, np.pi])
@pytest.mark.parametrize(("beside_m", "lies"), [(-0.01, True), (0.01, False)])
def test_a_knife_lies_on_the_board_with_its_middle(yaw_rad, beside_m, lies):
    with reset("put_knife_on_chopping_board") as cell:
        T_board_middle = at(knife.BOARD_HALF_M[0] + beside_m, 0.0, 2 * knife.BOARD_HALF_M[2] + 0.01, yaw_rad)
        T_middle_knife = at((knife.HANDLE_M - knife.BLADE_M) / 2, 0.0, 0.0)
        put(cell, f"{cell.variation}_knife", cell.body_pose("board") @ T_board_middle @ T_middle_knife)
        assert cell.success() == lies


def test_a_ball_in_the_net_must_be_let_go():
    with reset("basketball_in_hoop") as cell:
        ball = f"{cell.variation}_ball"
        in_net = cell.body_pose("hoop") @ at(0.0, 0.0, basketball.RING_HEIGHT_M - basketball.NET_M / 2)
        cell.place_arm(cell.inverse_kinematics.solve(down(in_net[:3, 3])), 0.7)
        put(cell, ball, in_net)
        assert cell.holds(ball) and not cell.success()
        cell.place_arm(cell.arm.home, 1.0)
        put(cell, ball, in_net)
        assert cell.success()


@pytest.mark.parametrize(("ahead_m", "outside"), [(-0.06, True), (0.06, False), (0.14, True)])
def test_a_block_pushed_into_the_tower_is_not_out(ahead_m, outside):
    with reset("play_jenga") as cell:
        put(cell, cell.variation, cell.body_pose(cell.variation) @ at(ahead_m, 0.0, 0.0))
        assert cell.success() == outside


def test_a_block_is_not_out_if_the_tower_fell():
    with reset("play_jenga") as cell:
        put(cell, cell.variation, cell.body_pose(cell.variation) @ at(-0.06, 0.0, 0.0))
        put(cell, "block3", cell.body_pose("block3") @ at(0.0, 1.1 * jenga.STANDS_M, 0.0))
        assert not cell.success()


@pytest.mark.parametrize(("height_m", "lies"), [(0.01, True), (-0.01, False), (0.1, False)])
def test_a_plate_that_fell_off_the_table_does_not_lie_on_it(height_m, lies):
    with reset("take_plate_off_colored_dish_rack") as cell:
        put(cell, f"{cell.variation}_plate", at(0.2, 0.55, height_m))
        assert cell.success() == lies


@pytest.mark.parametrize("name", task_names())
def test_every_part_that_moves_has_the_mass_that_its_task_says(name):
    """A geom without one would weigh as much as water."""
    spec = build_scene(RIG, RIG.size, detailed=False)
    room = set(spec.geoms)
    make_task(name).build(spec)
    moving = [geom for geom in spec.geoms if geom not in room and geom.parent.joints]
    assert not [geom.parent.name for geom in moving if np.isnan(geom.mass)]


def test_lid_and_books_weigh_what_their_constants_say():
    with reset("take_lid_off_saucepan") as cell:
        assert cell.model.body("lid").mass == pytest.approx(lid.LID_KG + lid.KNOB_KG)
    with reset("put_books_on_bookshelf") as cell:
        assert cell.model.body("red_book").mass == pytest.approx(books.BOOK_KG)
