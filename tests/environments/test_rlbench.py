"""RLBench's adapter on a stand-in of RLBench (see `rlbench_standin`): conventions, scenes, words, time and troubles."""

import random
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from genima_core.arm import FR3, PANDA
from genima_core.environment import follow, run_expert
from genima_core.environments.make import check_environment, make_environment, task_in
from genima_core.environments.rlbench.environment import RlbenchEnvironment, parse_name
from genima_core.evaluation.collect import collect
from genima_core.evaluation.config import SUITES, Collection, Evaluation
from genima_core.evaluation.evaluate import evaluate
from genima_core.evaluation.rollout import roll_out
from genima_core.evaluation.sources import shuffled
from genima_core.sim.scene import default_rig
from genima_core.streaming.config import StreamerConfig

from ..data.rlbench_source import Q_ZERO
from . import rlbench_standin as standin

RIG = default_rig(24, 24)
FIT_RAD = 2e-3
"""How well joint 4's zero is found, as RLBench's joints 5 to 7 lie 0.7 mm off."""
OPEN_BOX, PUSH_BUTTON = "rlbench/open_box", "rlbench/push_button"


@pytest.fixture
def world(tmp_path):
    with standin.installed(tmp_path) as world:
        yield world
        world.faults.clear()
    assert not world.launched, "CoppeliaSim was left running"


@pytest.fixture
def box(world):
    with closing(RlbenchEnvironment(OPEN_BOX, RIG)) as environment:
        yield environment


@pytest.fixture
def button(world):
    with closing(RlbenchEnvironment(PUSH_BUTTON, RIG)) as environment:
        yield environment


def scene(environment):
    """What the front camera shows of where things are."""
    return environment.render("front")[0, :7, 0].tolist()


# Cameras, arm and conventions.


def test_the_rig_is_found_in_the_running_simulation(box):
    assert box.rig.differences(RIG) == ()
    assert [camera.mount for camera in box.rig.cameras] == ["hand", "base", "base", "base"]
    assert [camera.target_radius_m for camera in box.rig.cameras] == [0.03, 0.08, 0.065, 0.065]
    for found, true in zip(box.rig.cameras, RIG.cameras, strict=True):
        np.testing.assert_allclose(found.T_mount_cam, true.T_mount_cam, atol=1e-3)
        np.testing.assert_allclose(found.intrinsics.K, true.intrinsics.K, atol=1e-6)


def test_tiles_have_the_order_and_the_size_that_were_asked_for(world):
    asked = replace(default_rig(32, 32), cameras=tuple(reversed(default_rig(32, 32).cameras)))
    with closing(make_environment(OPEN_BOX, asked)) as environment:
        assert environment.rig.names == asked.names
        images = environment.observe().images
        assert [images[name].shape for name in asked.names] == [(32, 32, 3)] * 4
        assert images["front"][5, 5, 0] != images["wrist"][5, 5, 0]


def test_joints_are_in_the_vendors_convention(box, world):
    np.testing.assert_allclose(box.q, standin.START + Q_ZERO, atol=FIT_RAD)
    target = box.q + [0.1, -0.1, 0.1, -0.2, 0.1, 0.1, 0.1]
    for _ in range(10):
        box.step(target, 1.0, 0.05)
    np.testing.assert_allclose(box.q, target, atol=1e-9)
    np.testing.assert_allclose(world.q, target - Q_ZERO, atol=FIT_RAD)


def test_commands_beyond_the_limits_are_held_at_the_limits(box):
    for _ in range(100):
        box.step(np.append(np.full(3, 0.0), [1.0, 0.0, 1.5, 0.0]), 1.0, 0.05)
    assert box.q[3] == pytest.approx(PANDA.limits.upper[3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(6), 1.0, 0.05), "needs 7 finite joint positions"),
        ((np.full(7, np.nan), 1.0, 0.05), "needs 7 finite joint positions"),
        ((np.zeros(7), np.inf, 0.05), "gripper_command is inf"),
        ((np.zeros(7), 1.0, -0.05), "duration_s is -0.05"),
    ],
)
def test_commands_that_are_none_move_nothing(box, world, arguments, message):
    before = world.steps
    with pytest.raises(ValueError, match=message):
        box.step(*arguments)
    assert world.steps == before


def test_an_arm_that_does_not_follow_is_told(world):
    world.stuck = True
    with pytest.raises(RuntimeError, match=r"hardly follows joint positions: a joint has turned by 0\.000 rad"):
        RlbenchEnvironment(OPEN_BOX, RIG)


# Time.


def test_fifty_commands_a_second_become_twenty_actions(box, world):
    before = world.steps
    for k in range(1, 51):
        box.step(box.q, 1.0, 0.02)
        assert box.time_s == pytest.approx(0.02 * k)
        assert world.steps - before == int(0.02 * k / 0.05 + 1e-9)
    assert world.steps - before == 20
    box.step(box.q, 1.0, 0.5)
    assert world.steps - before == 30


def test_the_last_command_counts(box):
    home = box.q
    box.step(home + 0.04, 1.0, 0.02)
    np.testing.assert_array_equal(box.q, home)
    box.step(home + 0.02, 1.0, 0.03)
    np.testing.assert_allclose(box.q, home + 0.02)


def test_the_gripper_takes_no_time_of_the_policys(box, world):
    before = world.steps
    box.step(box.q, 0.0, 0.05)
    assert world.steps - before > 5
    assert box.time_s == pytest.approx(0.05)
    assert box.gripper == 0.0
    before = world.steps
    box.step(box.q, 0.2, 0.05)  # closed already
    assert world.steps - before == 1
    box.step(box.q, 1.0, 0.05)
    assert box.gripper == 1.0


def test_cameras_are_drawn_only_when_they_are_looked_through(box, world):
    before = world.drawn
    for _ in range(20):
        box.step(box.q, 1.0, 0.05)
    assert world.drawn == before
    observation = box.observe()
    assert world.drawn == before + 4
    box.render("wrist")
    assert world.drawn == before + 4, "nothing has moved since"
    assert observation.stamp_s == box.time_s
    np.testing.assert_array_equal(observation.q, box.q)
    box.step(box.q + 0.04, 1.0, 0.05)
    assert (box.render("front") != observation.images["front"]).any()


# Scenes, variations and words.


def test_a_seed_is_a_scene_whatever_happened_before(button):
    button.reset(7)
    first = scene(button)
    button.reset(8)
    assert scene(button) != first
    run_expert(button)
    for wording in ("seen", "paraphrase", "wrong"):
        button.reset(7, wording=wording)
        assert scene(button) == first
    assert button.time_s == 0.0
    np.testing.assert_allclose(button.q, standin.START + Q_ZERO, atol=FIT_RAD)


def test_other_peoples_random_numbers_are_left_alone(button):
    def drawn():
        return random.random(), np.random.random()  # noqa: NPY002  (the generator of the process is what is tested)

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = drawn()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    button.reset(5)
    button.plan()
    assert drawn() == expected


def test_variations_take_turns(button):
    assert button.variations == ("variation0", "variation1", "variation2")
    said = []
    for seed in range(12):
        button.reset(seed)
        said.append((button.variation, button.instruction))
    assert said[0:6:2] == [
        ("variation0", "push the maroon button"),
        ("variation1", "push the green button"),
        ("variation2", "push the blue button"),
    ]
    assert said[1::2] == said[0::2]
    assert said[6:] == said[:6]


def test_one_variation_has_no_name(box):
    assert box.variations == ("",)
    assert box.variation == ""


def test_a_name_may_choose_the_variation(world):
    with closing(make_environment(f"{PUSH_BUTTON}/variation1", RIG)) as environment:
        for seed in range(3):
            environment.reset(seed)
            assert environment.variation == "variation1"
            assert environment.instruction == "push the green button"
            environment.reset(seed, wording="wrong")
            assert environment.instruction in ("push the maroon button", "push the blue button")


def test_words(button):
    for seed in range(6):
        button.reset(seed)
        seen = button.instruction
        button.reset(seed, wording="paraphrase")
        assert button.instruction == seen.replace("push", "press")
        button.reset(seed, wording="wrong")
        assert button.instruction != seen
        assert button.instruction.startswith("push")


def test_words_that_there_are_not(world):
    with closing(RlbenchEnvironment("rlbench/reach_target", RIG)) as environment:
        with pytest.raises(ValueError, match="one variation, so there is no wrong instruction"):
            environment.reset(0, wording="wrong")
        with pytest.raises(ValueError, match="one sentence only, so there is no paraphrase"):
            environment.reset(0, wording="paraphrase")


def test_controls_that_a_task_cannot_have_are_left_out(world):
    asked = Evaluation(("rlbench/reach_target",), episodes=1, controls=True, timeout_s=0.3, score_episodes=1)
    assert set(evaluate(asked)["variants"]) == {"truth", "shuffled", "blank"}
    for instruction in ("paraphrase", "wrong"):
        with pytest.raises(ValueError, match=f"none of rlbench/reach_target has .* of the kind {instruction}"):
            evaluate(replace(asked, controls=False, instruction=instruction))


def test_there_is_one_start(box):
    with pytest.raises(ValueError, match="no start 'anywhere'; the only one is home"):
        box.reset(0, start="anywhere")


# The expert, and success.


@pytest.mark.parametrize("seed", range(6))
def test_the_demonstration_solves_the_scene(button, seed):
    button.reset(seed)
    before = scene(button)
    trajectory = button.plan()
    assert scene(button) == before, "the scene begins anew"
    assert button.time_s == 0.0
    assert not button.success()
    assert trajectory.dt_s == 0.05
    assert (trajectory.gripper[:-1] == 1).all() and trajectory.gripper[-1] == 0
    for _ in follow(button, trajectory):
        pass
    assert button.success()
    assert button.time_s == pytest.approx(trajectory.duration_s)


@pytest.mark.parametrize("seed", range(4))
def test_the_plan_is_the_rest_of_the_demonstration(box, world, seed):
    """Planned anew after every three commands."""
    box.reset(seed)
    lengths = []
    for _ in range(20):
        trajectory = box.plan()
        lengths.append(len(trajectory))
        for k in follow(box, trajectory):
            if k == 3:
                break
        if box.success():
            break
    assert box.success()
    assert world.planned == 1
    assert lengths == sorted(lengths, reverse=True) and len(lengths) > 1


def test_a_plan_may_have_another_period(box):
    box.reset(3)
    coarse, fine = box.plan(), box.plan(0.02)
    assert fine.duration_s == pytest.approx(coarse.duration_s, abs=0.02)
    np.testing.assert_allclose(fine.q[4], coarse.q[1])
    np.testing.assert_allclose(fine.q[-1], coarse.q[-1])
    for _ in follow(box, fine):
        pass
    assert box.success()


def test_a_plan_in_the_middle_needs_one_at_the_beginning(box):
    box.step(box.q, 1.0, 0.05)
    with pytest.raises(RuntimeError, match="before the arm moves; ask for the plan right after the reset"):
        box.plan()


def test_rlbenchs_planner_is_asked_again(box, world):
    world.bad_plans = 3
    box.reset(2)
    before = scene(box)
    assert len(box.plan()) > 1
    assert world.planned == 4
    assert scene(box) == before


def test_no_demonstration_is_no_way(box, world):
    world.bad_plans = 100
    box.reset(2)
    before = scene(box)
    with pytest.raises(
        ValueError, match="seed 2, 10 attempts: RLBench finds no demonstration.*Could not collect demos"
    ):
        box.plan()
    assert scene(box) == before
    box.step(box.q, 1.0, 0.05)
    with pytest.raises(ValueError, match="10 attempts"):  # as true targets ask, time and again
        box.plan()
    assert world.planned == 10


def test_the_first_verdict_stays(box):
    box.reset(1)
    for _ in follow(box, box.plan()):
        pass
    assert box.success()
    for _ in range(30):
        box.step(standin.START, 1.0, 0.05)
    assert box.success()
    box.reset(1)
    assert not box.success()


def test_failed_is_failed(box):
    box.reset(1)
    trajectory = box.plan()
    out = box.q + [1.2, 0, 0, 0, 0, 0, 0]
    for target in (out, box.q):
        for _ in range(40):
            box.step(target, 1.0, 0.05)
    for _ in follow(box, trajectory):
        pass
    assert not box.success()


class Expert:
    """A policy that does what the environment's expert would do from the present state."""

    def __init__(self, environment):
        self.environment, self.controller, self.dt_s = environment, self, 0.05

    def draw(self, observation, seed):
        self.environment.plan()  # as true targets do, before the arm moves
        return observation.views(self.environment.rig.names)

    def act(self, drawing, q, gripper, instruction):
        trajectory = self.environment.plan()
        k = np.minimum(np.arange(20), len(trajectory) - 1)
        return trajectory.q[k], trajectory.gripper[k]


@pytest.mark.parametrize("execution", ["sync", "async"])
@pytest.mark.parametrize("seed", range(3))
def test_the_control_loop_and_the_streamer_solve_it(button, world, seed, execution):
    before = world.planned
    rollout = roll_out(button, Expert(button), seed, config=StreamerConfig(execution=execution))
    assert rollout.success
    assert rollout.duration_s < 10
    assert rollout.limit_violations == 0
    assert not rollout.stops and not rollout.rejected
    assert world.planned == before + 1
    assert rollout.instruction == button.instruction


def test_shuffled_targets_need_no_second_simulation(button):
    shower = SimpleNamespace(draw=lambda observation, seed: observation.views(RIG.names))
    draw = shuffled(shower, button, seed=8)
    first, last = (draw(SimpleNamespace(stamp_s=stamp_s), 0) for stamp_s in (0.0, 60.0))
    button.reset(8)
    np.testing.assert_array_equal(first, button.observe().views(RIG.names))
    assert (first != last).any()


# Troubles.


def test_without_rlbench_it_says_how_to_install_it():
    with pytest.raises(
        RuntimeError, match="RLBench is not installed.*install CoppeliaSim 4.1, PyRep and RLBench"
    ) as info:
        make_environment(OPEN_BOX, RIG)
    assert "docs/rlbench.md" in str(info.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rlbench/open_boxes", "RLBench has no task 'open_boxes'; it has open_box, push_button, reach_target"),
        ("rlbench/", "'rlbench/' names no RLBench task"),
        ("rlbench/open_box/3", "names no RLBench task; rlbench/open_box does, or rlbench/open_box/variation0"),
        ("rlbench/push_button/variation3", "has no variation 3; it has variation0 to variation2"),
        ("rlbench/../open_box", "names no RLBench task"),
    ],
)
def test_unknown_names_list_the_valid_ones(world, name, message):
    with pytest.raises(ValueError, match=message):
        make_environment(name, RIG)


def test_unknown_cameras_list_the_valid_ones(world):
    cameras = (replace(RIG.cameras[0], name="ceiling"), *RIG.cameras[1:])
    with pytest.raises(
        ValueError, match="no camera ceiling; it has wrist, front, right_shoulder, left_shoulder, overhead"
    ):
        RlbenchEnvironment(OPEN_BOX, replace(RIG, cameras=cameras))


def test_another_arm_is_refused(world):
    with pytest.raises(ValueError, match="RLBench's arm is a Panda, not the fr3"):
        RlbenchEnvironment(OPEN_BOX, default_rig(24, 24, FR3))


def test_the_papers_suite_keeps_to_its_variation():
    assert [task_in(name) for name in SUITES["rlbench25"]] == list(SUITES["paper25"])
    assert {parse_name(name)[1] for name in SUITES["rlbench25"]} == {0}


def test_names_are_checked_without_a_start(world):
    check_environment(f"{PUSH_BUTTON}/variation1")
    with pytest.raises(ValueError, match="RLBench has no task 'open_boxes'; it has open_box"):
        check_environment("rlbench/open_boxes")
    assert not world.launched
    assert [task_in(name) for name in ("open_box", OPEN_BOX, f"{OPEN_BOX}/variation0")] == ["open_box"] * 3


def test_it_cannot_be_perturbed(world):
    with pytest.raises(ValueError, match=r"rlbench/open_box cannot be perturbed \(lighting\)"):
        make_environment(OPEN_BOX, RIG, ("lighting",))


def test_its_demonstrations_are_recorded_elsewhere(tmp_path):
    with pytest.raises(ValueError, match="recorded by its own generator; then genima convert rlbench"):
        collect(Collection(tasks=(OPEN_BOX,)), 1, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_one_at_a_time(box):
    with pytest.raises(RuntimeError, match="open in this process; close it, or use another process"):
        RlbenchEnvironment(PUSH_BUTTON, RIG)
    box.close()
    box.close()
    with closing(RlbenchEnvironment(PUSH_BUTTON, RIG)) as environment:
        box.close()
        environment.reset(0)


@pytest.mark.parametrize(
    ("where", "raised", "do", "message"),
    [
        ("place", standin.BoundaryError(), lambda e: e.reset(4), "cannot place the scene of seed 4 .*leave it out"),
        ("step", standin.InvalidActionError("bad"), lambda e: e.step(e.q, 1.0, 0.05), "InvalidActionError: bad.*reset"),
        ("step", standin.IKError("far"), lambda e: e.step(e.q, 1.0, 0.05), "IKError: far"),
        ("draw", standin.PyRepError("no GL"), lambda e: e.observe(), "cannot draw .*no GL.*xvfb-run"),
        ("shutdown", standin.PyRepError("gone"), lambda e: e.close(), "does not shut down .*end the process"),
    ],
)
def test_what_rlbench_raises_has_a_remedy(box, world, where, raised, do, message):
    world.faults[where] = raised
    with pytest.raises(RuntimeError, match=message):
        do(box)
    world.faults.clear()
    if where == "shutdown":
        world.launched = 0
    else:
        box.reset(0)
        box.observe()


def test_a_start_that_fails_can_be_repeated(world):
    world.faults["launch"] = standin.PyRepError("COPPELIASIM_ROOT not defined")
    with pytest.raises(RuntimeError, match="does not start .*COPPELIASIM_ROOT not defined.*needs a display"):
        RlbenchEnvironment(OPEN_BOX, RIG)
    world.faults.clear()
    RlbenchEnvironment(OPEN_BOX, RIG).close()
