"""Known configurations, and those of demonstrations; distances against MuJoCo's own."""

import mujoco
import numpy as np
import pytest

from genima_core.arm import PANDA
from genima_core.sim.cell import Cell
from genima_core.sim.collision import ClearanceModel
from genima_core.sim.margins import Margins
from genima_core.sim.scene import default_rig
from genima_core.sim.task import make_task, task_names

LOWER, UPPER = PANDA.limits.lower, PANDA.limits.upper
FOLDED = np.array([0.0, -1.7, 0.0, -3.05, 0.0, 0.5, 0.785])
"""The hand is in the shoulder."""
FLAT = ("insert_usb_in_computer", "play_jenga")
"""Tasks with things so flat that fingers must come nearer to the table than the margin is by default."""


@pytest.fixture(scope="module")
def model() -> ClearanceModel:
    return ClearanceModel(PANDA)


def lowered(height_m: float) -> np.ndarray:
    """The hand points straight down, its tcp so high above the table."""
    from genima_core.sim.inverse_kinematics import InverseKinematics, point_down

    return InverseKinematics(PANDA).solve(point_down(np.array([0.5, 0.0, height_m])))


@pytest.mark.parametrize("opening", [0.0, 0.5, 1.0])
def test_home_is_free(model, opening):
    assert model.check(PANDA.home, opening) is None


def test_an_arm_in_itself_is_found(model):
    contact = model.check(FOLDED)
    assert contact.distance_m < 0 and not {"table"} & set(contact.bodies)


def test_the_table_is_found_where_the_fingers_reach_it(model):
    for height_m, free in ((0.05, True), (0.03, True), (0.015, False), (0.0, False)):
        q = lowered(height_m)
        contact = model.check(q)
        assert (contact is None) == free
        if contact is not None:
            assert "table" in contact.bodies and {"finger1", "finger2"} & set(contact.bodies)
            assert contact.distance_m == pytest.approx(height_m - 0.009, abs=1e-3)  # FINGERTIP_BELOW_TCP_M


def test_the_table_may_be_lower_and_the_margin_smaller():
    q = lowered(0.0)
    assert ClearanceModel(PANDA, Margins(table_height_m=-0.1)).check(q) is None
    assert ClearanceModel(PANDA, Margins(hand_clearance_m=0.0)).check(lowered(0.015)) is None


def test_it_is_deterministic_and_forgets_what_it_saw_before(model, rng):
    poses = rng.uniform(LOWER, UPPER, (50, 7))
    first = [model.check(q) for q in poses]
    assert [model.check(q) for q in poses[::-1]][::-1] == first
    assert [ClearanceModel(PANDA).check(q) for q in poses[:5]] == first[:5]


def test_turning_the_base_changes_nothing(model, rng):
    for q in rng.uniform(LOWER, UPPER, (100, 7)):
        turned = q.copy()
        turned[0] = rng.uniform(LOWER[0], UPPER[0])
        one, other = model.check(q), model.check(turned)
        # Link 0 does not turn along.
        if all(c is None or "link0" not in c.bodies for c in (one, other)):
            assert (one is None) == (other is None)
            assert one is None or one.distance_m == pytest.approx(other.distance_m, abs=5e-3)


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("start", ["home", "anywhere"])
def test_every_pose_of_demonstrations_is_free(model, task, start):
    if task in FLAT:
        model = ClearanceModel(PANDA, Margins(hand_clearance_m=0.003))
    cell = Cell(make_task(task), default_rig(64, 64))
    for seed in range(100, 103):
        cell.reset(seed, start)
        trajectory = cell.plan()
        assert model.find(trajectory.q) is None
        assert all(model.check(q, opening) is None for q, opening in zip(trajectory.q, trajectory.gripper, strict=True))


def test_no_contact_on_a_path_is_overlooked(model, rng):
    """Against every thousandth of the way: what is found is there, and what is left out is no contact."""
    seen = 0
    for _ in range(60):
        path = rng.uniform(LOWER, UPPER, (1, 7)) + np.linspace(0, 1, 8)[:, None] * rng.uniform(-1, 1, 7)
        fine = path[0] + np.linspace(0, 1, 700)[:, None] * (path[-1] - path[0])
        if model.check(path[0]) is not None:
            continue
        contact = model.find(path)
        touches = any(c is not None and c.distance_m < 0 for c in map(model.check, fine))
        seen += touches
        assert contact is not None or not touches
        assert contact is None or contact.clearance_m < 0
    assert seen > 5


def test_an_arm_within_a_margin_is_allowed_what_is_not_worse(model):
    low, high = lowered(0.015), lowered(0.06)
    allowed = {contact.bodies: contact.clearance_m - 1e-4 for contact in model.contacts(low)}
    assert set(allowed) == {("finger1", "table"), ("finger2", "table")}
    assert model.find(np.array([low, high]), allowed) is None
    assert model.find(np.array([low, lowered(0.005)]), allowed) is not None
    assert model.find(np.array([low, high])) is not None
    assert model.find(np.array([low, FOLDED]), allowed) is not None  # of those bodies only


def test_the_nearest_pair_is_found_among_all(model, rng):
    """Against MuJoCo's other way to a distance, pair by pair, on the model's own geoms."""
    parts, data = model._model, model._data
    pairs = [(a, b, model._least_m[a, b]) for a, b in zip(parts.pair_geom1, parts.pair_geom2, strict=True)]
    found = 0
    for q in rng.uniform(LOWER, UPPER, (150, 7)):
        contact = model.check(q)
        nearest = min(mujoco.mj_geomDistance(parts, data, a, b, 1.0, None) - least_m for a, b, least_m in pairs)
        if abs(nearest) > 1e-3:
            assert (contact is not None) == (nearest < 0)
        if contact is not None and contact.distance_m > 0:
            found += 1
            assert contact.clearance_m == pytest.approx(nearest, abs=1e-3)
    assert found > 3


@pytest.mark.parametrize(
    "change",
    [
        {"self_clearance_m": -0.01},
        {"hand_clearance_m": 10.0},
        {"arm_clearance_m": float("nan")},
        {"table_height_m": 750.0},
    ],
)
def test_margins_in_other_units_are_refused(change):
    with pytest.raises(ValueError, match="metres"):
        Margins(**change)
