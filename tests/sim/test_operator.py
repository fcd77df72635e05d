from concurrent.futures import Future

import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.environment import Trajectory
from genima_core.sim import operator as simulated
from genima_core.sim.experts import PEAK_SPEED
from genima_core.sim.hand import Hand
from genima_core.sim.operator import Activity, Operator, lifted

DT_S = 0.01
LOW = np.array([0.1, 0.55, 0.0, -2.0, 0.0, 2.55, 0.9])


class Session:
    """An operator with time, a cell that places scenes at once, and a planner that goes straight down."""

    def __init__(
        self, first_scene: int | None = 7, cell: bool = True, unreachable: tuple[int, ...] = (), **options
    ) -> None:
        self.now_s, self.asked, self.planned, self.warnings, self.leads = 100.0, 0, [], [], []
        self.cell, self.unreachable = cell, unreachable
        self.operator = Operator(
            Hand(PANDA, PANDA.home + simulated.START_FROM_HOME_RAD),
            self._plan,
            self._next_scene,
            self.warnings.append,
            **options,
        )
        if first_scene is not None:
            self.operator.on_scene(first_scene, self.now_s)

    def _plan(self, seed: int, q: np.ndarray, opening: float) -> "Future[Trajectory]":
        self.planned.append(seed)
        future: Future[Trajectory] = Future()
        if seed in self.unreachable:
            future.set_exception(ValueError("out of reach"))
        else:
            s = np.linspace(0, 1, 152)[1:, None]
            future.set_result(Trajectory(q + (LOW - q) * s**3 * (10 - 15 * s + 6 * s * s), np.zeros(151), 0.02))
        return future

    def _next_scene(self) -> bool:
        self.asked += 1
        return self.cell

    def scene(self, seed: int) -> None:
        self.operator.on_scene(seed, self.now_s)

    def record(self, on: bool = True) -> None:
        self.operator.on_recording(on, self.now_s)

    def mirror(self, on: bool = True) -> None:
        self.operator.on_mirroring(on, self.now_s)

    def run(self, duration_s: float) -> Activity:
        for _ in range(round(duration_s / DT_S)):
            self.leads.append(self.operator.step(self.now_s))
            self.now_s += DT_S
        return self.operator.activity

    def demonstrated(self) -> "Session":
        self.mirror()
        self.record()
        self.run(6.0)
        return self


def test_it_demonstrates_once_per_recording_as_soon_as_the_follower_mirrors():
    session = Session()
    session.record()
    assert session.run(1.0) == Activity.READY
    session.mirror()
    assert session.run(1.0) == Activity.PERFORMING
    assert session.run(5.0) == Activity.DONE
    assert session.planned == [7]
    assert session.run(5.0) == Activity.DONE
    np.testing.assert_allclose(session.leads[-1].q, LOW)


def test_after_the_recording_it_asks_for_a_scene_and_goes_back():
    session = Session().demonstrated()
    session.record(False)
    session.scene(8)
    assert session.asked == 1
    assert session.run(6.0) == Activity.READY
    assert np.abs(session.leads[-1].q - PANDA.home).max() < 0.15
    assert session.leads[-1].opening == 1.0
    dq = np.array([lead.dq for lead in session.leads])
    assert np.abs(dq).max() <= 1.05 * PEAK_SPEED
    assert np.abs(np.diff(dq, axis=0)).max() < 0.08
    session.record()
    session.run(6.0)
    assert session.planned == [7, 8]


def test_a_recording_that_follows_at_once_waits_for_the_scene_and_the_way_back():
    session = Session().demonstrated()
    session.record(False)
    session.record()
    session.run(8.0)
    assert session.planned == [7]  # the scene was not announced yet
    session.scene(8)
    assert session.run(1.0) == Activity.PERFORMING
    assert session.planned == [7, 8]


def test_without_a_cell_to_ask_it_performs_in_the_same_scene():
    session = Session(cell=False).demonstrated()
    session.record(False)
    session.run(8.0)
    session.record()
    session.run(6.0)
    assert session.planned == [7, 7]


def test_it_goes_straight_up_first():
    session = Session().demonstrated()
    start = PANDA.frame_pose(session.leads[-1].q, "tcp")[:3, 3]
    session.record(False)
    session.leads.clear()
    session.run(8.0)
    tcp = np.array([PANDA.frame_pose(lead.q, "tcp")[:3, 3] for lead in session.leads])
    assert start[2] < simulated.LIFT_BELOW_M - 0.1
    below = tcp[tcp[:, 2] < start[2] + 0.9 * simulated.LIFT_M]
    assert np.linalg.norm(below[:, :2] - start[:2], axis=1).max() < 0.02
    np.testing.assert_allclose(
        PANDA.frame_pose(lifted(PANDA, LOW), "tcp")[:3, 3], start + [0, 0, simulated.LIFT_M], atol=5e-3
    )


def test_the_clutch_ends_a_demonstration_and_the_next_mirroring_begins_it_anew():
    session = Session()
    session.mirror()
    session.record()
    session.run(1.0)
    session.mirror(False)
    assert session.run(8.0) == Activity.READY
    session.mirror()
    session.run(6.0)
    assert session.planned == [7, 7]
    assert session.operator.performed == 1


def test_what_is_out_of_reach_is_passed_over():
    session = Session(unreachable=(7,))
    session.mirror()
    session.record()
    session.run(0.5)
    assert (session.asked, len(session.warnings)) == (1, 1)
    session.scene(8)
    assert session.run(1.0) == Activity.PERFORMING
    session = Session(unreachable=(7,), cell=False)
    session.mirror()
    session.record()
    session.run(2.0)
    assert session.planned == [7]  # no other scene will come: it does not try again and again


def test_sliders_win_until_they_let_go():
    session = Session()
    session.mirror()
    session.record()
    session.run(1.0)
    for _ in range(30):
        session.operator.on_sliders(PANDA.home, 0.5, session.now_s)
        assert session.run(0.1) == Activity.SLIDERS
    np.testing.assert_allclose(session.leads[-1].q, PANDA.home, atol=1e-3)
    session.record(False)
    session.scene(8)
    session.record()
    assert session.run(0.5) == Activity.SLIDERS
    assert session.run(3.0) == Activity.PERFORMING
    with pytest.raises(ValueError, match="cannot go to"):
        session.operator.on_sliders(np.full(7, 9.0), None, session.now_s)
    assert session.run(0.1) == Activity.PERFORMING


def test_it_performs_when_told_to():
    session = Session(perform_on_recording=False)
    session.mirror()
    session.record()
    assert session.run(1.0) == Activity.READY
    assert session.operator.perform() == "will perform scene 7"
    assert session.run(1.0) == Activity.PERFORMING
    with pytest.raises(RuntimeError, match="busy: performing"):
        session.operator.perform()
    assert session.run(5.0) == Activity.DONE
    with pytest.raises(RuntimeError, match="no scene"):
        Session(first_scene=None).operator.perform()
