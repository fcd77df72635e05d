"""Joint mirroring with the real streamer: engaging, clutch, and everything that must end it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.arm import FR3, PANDA
from genima_core.streaming.mirror import Mirror, MirrorConfig, Mirroring
from genima_core.streaming.states import Reason, Refusal, State, Status
from genima_core.types import JointState

from .cell import AWAY, STEP_S, Cell, commands_keep_limits
from .chunks import HOME
from .conftest import text

WIDE = replace(PANDA, gripper=replace(PANDA.gripper, max_width_m=0.14))


@pytest.fixture
def cell(make_bench):
    return lambda **options: Cell(make_bench, **options)


@pytest.fixture
def mirroring(cell):
    """Makes a cell that mirrors a moving leader."""

    def make(**options):
        made = cell(leader=HOME + 0.05, **options)
        assert made.mirror.engage(made.now_s) is None
        made.until(Mirroring.MIRRORING)
        made.run(0.6)
        made.swing()
        made.run(0.6)
        assert np.abs(made.bench.last.dq).max() > 0.2
        return made

    return make


# ---- engaging


def test_the_follower_approaches_slowly_and_all_joints_arrive_together(cell, broken_limits):
    made = cell()
    assert made.last.status.state is Mirroring.IDLE and made.run(0.3).target is None
    assert made.mirror.engage(made.now_s) is None
    assert "already" in text(made.mirror.engage(made.now_s))
    made.until(Mirroring.MIRRORING)
    approach = [output for output in made.outputs if output.status.state is Mirroring.APPROACHING]
    progress = [output.progress for output in approach]
    assert (np.diff(progress) >= 0).all() and progress[0] == 0.0 and 0.8 < progress[-1] <= 1.0
    speed = np.abs(np.diff(made.bench.commands, axis=0)).max() / STEP_S
    assert 0.25 < speed < 0.33
    made.run(1.0)
    np.testing.assert_allclose(made.bench.q, AWAY, atol=1e-3)
    way = (made.bench.commands - HOME) / (AWAY - HOME)
    middle = way[(way[:, 0] > 0.1) & (way[:, 0] < 0.85)]
    assert np.ptp(middle, axis=1).max() < 0.02
    assert not any(made.refusals) and commands_keep_limits(made, broken_limits)


def test_a_leader_that_moves_a_little_is_approached_all_the_same(cell, broken_limits):
    made = cell()
    made.swing(size=0.1, rate=1.0)
    assert made.mirror.engage(made.now_s) is None
    made.until(Mirroring.MIRRORING)
    made.run(2.0)
    assert np.abs(made.bench.q - made.leader_log[-1]).max() < 0.003
    assert commands_keep_limits(made, broken_limits)


def test_mirroring_is_close(mirroring, broken_limits):
    made = mirroring()
    made.swing(size=0.6, rate=3.0)
    first = len(made.bench.log)
    made.run(4.0)
    error = np.abs(np.array([command.q for command in made.bench.log[first:]]) - made.leader_log[-800:])
    assert error[100:].max() < 0.005 and not any(made.refusals)
    assert commands_keep_limits(made, broken_limits)


def test_a_leader_without_velocities_is_mirrored_too(cell):
    made = cell(leader=HOME + 0.02)
    still = made.motion
    made.motion = lambda t: (still(t)[0], None)
    assert made.mirror.engage(made.now_s) is None
    assert made.until(Mirroring.MIRRORING).distance_rad < 0.03


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda made: setattr(made, "leads", False), "leader"),
        (lambda made: made.mirror.on_leaders(2), "all but one"),
        (lambda made: setattr(made, "follows", False), "follower"),
        (lambda made: made.bench.streamer.disable(), "genima enable"),
        (lambda made: (setattr(made, "streams", False), made.run(3.5)), "streamer is silent"),
        (lambda made: setattr(made, "unreadable", Refusal(Reason.NAMES, "lacks panda_joint1.")), "panda_joint1"),
        (lambda made: made.stay(np.where(np.arange(7) == 3, -0.06, HOME)), "limit"),
        (lambda made: setattr(made, "stamp_shift_s", -1.0), "stamped 1.000 s ago"),
    ],
)
def test_engaging_is_refused_with_the_reason(cell, spoil, words):
    made = cell()
    spoil(made)
    made.run(0.5)
    reason = text(made.mirror.engage(made.now_s))
    assert words in reason and reason.endswith(".")
    assert made.run(1.0).status.state is Mirroring.IDLE and not np.diff(made.bench.commands, axis=0).any()


def test_an_fr3_leader_has_its_own_limits(cell):
    # The FR3's joint 6 begins at 0.5445 rad, the Panda's at -0.0175.
    low = np.where(np.arange(7) == 5, 0.55, HOME)
    assert cell(leader=low).mirror.engage(100.2) is None
    assert "limit" in text(cell(leader=low, leader_arm=FR3).mirror.engage(100.2))
    out = np.where(np.arange(7) == 3, -0.1, HOME)
    reason = text(cell(leader=out, arm=FR3).mirror.engage(100.2))
    assert "fr3_joint4 of the follower" in reason


# ---- clutch


def test_pause_stops_smoothly_and_engaging_again_goes_on(mirroring, broken_limits):
    made = mirroring()
    assert made.mirror.pause(made.now_s) is None
    made.run(1.3)
    assert made.last.status.state is Mirroring.PAUSED and made.bench.last.state is State.HOLDING
    assert not made.bench.streamer.statistics(made.now_s).stops and not any(made.refusals)
    q, (goal, _) = made.bench.q, made.motion(made.now_s)
    made.stay(goal)
    assert np.abs(goal - q).max() > 0.03
    made.run(0.5)
    np.testing.assert_allclose(made.bench.q, q, atol=1e-9)
    assert made.mirror.engage(made.now_s) is None
    made.until(Mirroring.MIRRORING)
    made.run(1.0)
    np.testing.assert_allclose(made.bench.q, goal, atol=1e-3)
    assert commands_keep_limits(made, broken_limits)


def test_pausing_and_stopping_when_nothing_moves(cell):
    made = cell()
    assert "Nothing" in text(made.mirror.pause(made.now_s))
    made.mirror.stop(made.now_s)
    assert made.run(0.1).status.state is Mirroring.STOPPED
    assert made.mirror.engage(made.now_s) is None


# ---- what ends it


def jump(made):
    made.stay(made.motion(made.now_s)[0] + 0.2)


ENDINGS = {
    "silent": (lambda made: setattr(made, "leads", False), "leader"),
    "jump": (jump, "jumped"),
    "renamed": (lambda made: setattr(made, "unreadable", Refusal(Reason.NAMES, "It has fr3_joint1.")), "fr3_joint1"),
    "stale": (lambda made: setattr(made, "stamp_shift_s", -0.5), "stamped"),
    "back": (lambda made: setattr(made, "stamp_shift_s", -0.05), "jumped back"),
    "two": (lambda made: made.mirror.on_leaders(2), "2 publish"),
    "fast": (lambda made: made.stay(made.motion(made.now_s)[0], 9.0), "rad/s"),
    "disabled": (lambda made: made.bench.streamer.disable(), "disabled"),
    "follower silent": (lambda made: setattr(made, "follows", False), "follower"),
    "blocked": (lambda made: (setattr(made.bench, "blocked", True), made.swing(0.8, 2.0)), None),
    "stopped": (lambda made: made.mirror.stop(made.now_s), "operator"),
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_whatever_is_wrong_stops_smoothly_and_nothing_restarts_by_itself(mirroring, broken_limits, kind):
    made = mirroring()
    spoil, words = ENDINGS[kind]
    keep = made.motion
    spoil(made)
    made.until(Mirroring.STOPPED, 3.0)
    assert words is None or words in made.last.status.text
    assert made.last.status.text.endswith(".") or made.last.status.text.endswith(")")
    message = made.last.status.text
    made.run(1.2)
    made.motion, made.unreadable = keep, None
    made.leads = made.follows = made.streams = True
    made.stamp_shift_s, made.bench.blocked = 0.0, False
    made.mirror.on_leaders(1)
    made.bench.streamer.enable()
    made.bench.streamer.reset_fault()
    made.run(0.5)
    while made.bench.streamer.reset_fault() is None or made.bench.last.state is not State.HOLDING:
        made.step()
    before = made.bench.q
    made.run(0.7)
    np.testing.assert_allclose(made.bench.q, before, atol=1e-9)
    assert made.last.target is None and made.last.status.state is Mirroring.STOPPED and made.last.status.text == message
    made.stay(made.motion(made.now_s)[0])
    made.run(0.2)
    assert made.mirror.engage(made.now_s) is None
    made.until(Mirroring.MIRRORING)
    assert commands_keep_limits(made, broken_limits)


def test_a_limit_of_the_leader_ends_it(cell):
    made = cell(leader=HOME + 0.02)
    made.mirror.engage(made.now_s)
    made.until(Mirroring.MIRRORING)
    begin_s, direction = made.now_s, np.arange(7) == 3
    made.motion = lambda t: (HOME + 0.02 - 0.5 * (t - begin_s) * direction, -0.5 * direction)
    made.until(Mirroring.STOPPED)
    assert "panda_joint4 of the leader is at its limit" in made.last.status.text
    made.run(1.0)
    assert made.bench.last.state is State.HOLDING and made.bench.q[3] > PANDA.limits.lower[3]


def test_engaging_while_the_streamer_never_holds_gives_up(cell):
    made = cell()
    assert made.mirror.engage(made.now_s) is None
    made.streams = False
    for _ in range(800):
        made.mirror.on_streamer(Status(State.STOPPING), made.now_s)
        made.step()
    assert made.last.status.state is Mirroring.STOPPED and "still stopping" in made.last.status.text


# ---- gripper and rates


@pytest.mark.parametrize(
    ("leader_width_m", "arm", "width_m"),
    [(0.08, PANDA, 0.08), (0.02, PANDA, 0.02), (0.1, PANDA, 0.08), (0.04, WIDE, 0.07)],
)
def test_the_gripper_opens_in_proportion(cell, leader_width_m, arm, width_m):
    made = cell(leader=HOME, arm=arm)
    made.width_m = leader_width_m
    made.run(0.05)
    made.mirror.engage(made.now_s)
    made.until(Mirroring.MIRRORING)
    widths = [
        output.target.width_m
        for output in made.outputs
        if output.target is not None and output.status.state is Mirroring.MIRRORING
    ]
    assert widths[-1] == pytest.approx(width_m)


def test_a_fast_leader_is_thinned_out():
    mirror, sent = Mirror(PANDA, PANDA), 0
    for k in range(3000):
        now_s = 50.0 + 0.001 * k
        state = JointState(HOME, np.zeros(7), now_s)
        mirror.on_leader(state, now_s)
        mirror.on_follower(state, now_s)
        mirror.on_streamer(Status(State.HOLDING if k < 50 else State.TRACKING), now_s)
        if k == 10:
            assert mirror.engage(now_s) is None
        output = mirror.step(now_s)
        sent += k >= 2000 and output.target is not None
    assert output.status.state is Mirroring.MIRRORING
    assert sent <= 250


@pytest.mark.parametrize(
    "wrong",
    [
        {"approach_speed": 0.0},
        {"leader_margin_rad": -1.0},
        {"max_rate_hz": float("nan")},
    ],
)
def test_a_wrong_configuration_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MirrorConfig(**wrong)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_no_leader_breaks_a_limit_or_raises(make_bench, broken_limits, seed):
    rng = np.random.default_rng(seed)
    made = Cell(make_bench, leader=HOME + rng.uniform(-0.1, 0.1, 7))
    for _ in range(40):
        event = rng.choice(
            [
                "engage",
                "engage",
                "pause",
                "stop",
                "disengage",
                "swing",
                "swing",
                "jump",
                "silent",
                "shift",
                "names",
                "two",
                "one",
                "nothing",
            ]
        )
        if event in ("engage", "pause", "stop", "disengage"):
            getattr(made.mirror, event)(made.now_s)
        elif event == "swing":
            made.swing(float(rng.uniform(0, 0.6)), float(rng.uniform(0.1, 6)))
        elif event == "jump":
            made.stay(rng.uniform(-3.5, 3.5, 7), float(rng.uniform(-3, 3)))
        elif event == "silent":
            made.leads = not made.leads
        elif event == "shift":
            made.stamp_shift_s = float(rng.choice([0.0, 0.0, -0.05, 0.05, -5.0]))
        elif event == "names":
            made.unreadable = None if rng.random() < 0.7 else Refusal(Reason.NAMES, "The joint state lacks joints.")
        elif event in ("two", "one"):
            made.mirror.on_leaders(2 if event == "two" else 1)
        if rng.random() < 0.2:
            made.stay(made.bench.q)
        made.run(float(rng.uniform(0.02, 0.4)))
    assert commands_keep_limits(made, broken_limits)
    made.mirror.stop(made.now_s)
    made.run(1.5)
    assert not made.bench.last.dq.any() and made.last.target is None


def test_a_leader_that_passes_by_is_not_taken_over_from(cell):
    made = cell(leader=HOME + 0.05)
    begin_s, q = made.now_s, HOME.copy()
    made.motion = lambda t: (q + 0.3 * np.sin(5 * (t - begin_s)), np.full(7, 1.5 * np.cos(5 * (t - begin_s))))
    assert made.mirror.engage(made.now_s) is None
    made.run(4.0)
    begun = [
        i
        for i in range(1, len(made.outputs))
        if made.outputs[i].status.state is Mirroring.MIRRORING
        and made.outputs[i - 1].status.state is not Mirroring.MIRRORING
    ]
    assert all(np.abs(made.leader_speed(i)).max() <= 0.35 for i in begun)


def test_a_pause_of_mirroring_itself_needs_the_operator(mirroring):
    made = mirroring()
    made.bench.now_s += 0.3
    made.lead()
    assert made.mirror.step(made.now_s).status.state is Mirroring.STOPPED
    assert "paused for 0.30 s" in made.mirror.step(made.now_s).status.text


def test_what_comes_to_rest_ends_when_the_clock_is_set_back(mirroring):
    """Else it would go on when that time comes again."""
    made = mirroring()
    made.mirror.stop(made.now_s)
    made.run(0.05)
    assert any(output.target is not None for output in made.outputs[-5:])
    made.bench.now_s -= 1.0
    before = len(made.outputs)
    made.run(2.0)
    assert not [output for output in made.outputs[before:] if output.target is not None]
