"""Commands never enter contact, whatever comes; contact functions are fakes here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.arm import PANDA
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.states import Reason, State
from genima_core.streaming.streamer import Streamer
from genima_core.types import Contact, Target

from .chunks import CHUNK_S, HOME, K
from .conftest import text

PAIR, MARGIN = ("hand", "wall"), 0.1


class Wall:
    """Contact where a @ q exceeds b; the margin keeps MARGIN away from there."""

    def __init__(self, a: np.ndarray, b: float):
        self.a, self.b = a, b

    def distance(self, q: np.ndarray) -> np.ndarray:
        return self.b - q @ self.a

    def find(self, path: np.ndarray, allowed) -> Contact | None:
        for q in path:
            if self.distance(q) - MARGIN < allowed.get(PAIR, 0.0):
                return Contact(PAIR, float(self.distance(q)), MARGIN)
        return None

    def contacts(self, q: np.ndarray) -> tuple[Contact, ...]:
        return (Contact(PAIR, float(self.distance(q)), MARGIN),) if self.distance(q) < MARGIN else ()


def bench_with(make_bench, wall, q=HOME, **config):
    bench = make_bench(q, clearance=wall, **config)
    bench.run(0.1)
    return bench


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    execution=st.sampled_from(["async", "sync"]),
    follows=st.booleans(),
    room=st.floats(MARGIN + 0.01, 1.0),
)
def test_whatever_comes_no_command_and_no_horizon_enters_the_margin(
    make_bench, broken_limits, seed, execution, follows, room
):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=7)
    a /= np.abs(a).sum()
    wall = Wall(a, float(HOME @ a) + room)
    bench = bench_with(
        make_bench, wall, execution=execution, receiver_follows_horizon=follows, max_jump_rad=100.0, max_speed_ratio=1e9
    )
    segments = [[bench.q]]
    for _ in range(30):
        goal = bench.q + rng.uniform(-2, 2, 7)
        positions = np.clip(
            bench.q + np.linspace(0, 1, K)[:, None] * (goal - bench.q) + rng.normal(0, 0.05, (K, 7)),
            PANDA.limits.lower,
            PANDA.limits.upper,
        )
        bench.send(positions)
        if rng.random() < 0.2:
            bench.streamer.set_velocity_scale(float(rng.uniform(0.05, 1.0)))
        if rng.random() < 0.05:
            bench.streamer.emergency_stop()
        for _ in range(int(rng.integers(1, 30))):
            late = rng.random() < 0.05
            command = bench.step(0.09 if late else None)
            if command.q is None:
                bench.streamer.reset_fault()
                bench.streamer.enable()
                continue
            assert wall.distance(command.q) >= MARGIN - 1e-9
            # Its points lie between the looked-at ones, and the way between two of those bends: by a dt² / 8.
            assert (wall.distance(command.horizon_q) >= MARGIN - 5e-4).all()
            if command.restarted or (late and follows):
                segments.append([])
            segments[-1].append(command.q)
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0
    for q in segments:
        assert not broken_limits(np.array(q).reshape(-1, 7), PANDA.limits)


def test_it_stops_before_and_says_who_would_touch(make_bench):
    wall = Wall(np.eye(7)[0], HOME[0] + 0.3)
    bench = bench_with(make_bench, wall, execution="async")
    assert bench.send(HOME + np.linspace(0, 0.5, K)[:, None] * np.eye(7)[0]) is None
    command = bench.run(2.0)
    assert command.state is State.HOLDING and "hand and wall" in command.text
    assert 0 <= wall.distance(command.q) - MARGIN < 0.08  # it had 0.5 rad/s
    assert bench.streamer.statistics(bench.now_s).stops == {"collision": 1}
    back = command.q - np.linspace(0, 0.3, K)[:, None] * np.eye(7)[0]
    assert bench.send(back) is None
    assert np.allclose(bench.run(2.0).q, back[-1], atol=1e-6)


def test_a_start_inside_the_margin_may_leave_it_but_not_go_nearer(make_bench):
    wall = Wall(np.eye(7)[0], HOME[0] + 0.05)
    for sign, moves in ((1, False), (-1, True)):
        bench = bench_with(make_bench, wall, execution="async")
        before = bench.q
        assert bench.send(before + sign * np.linspace(0, 0.3, K)[:, None] * np.eye(7)[0]) is None
        after = bench.run(2.0).q
        assert np.allclose(after[0] - before[0], sign * 0.3 if moves else 0.0, atol=1e-3)
    assert bench.send(after + np.linspace(0, 0.3, K)[:, None] * np.eye(7)[0]) is None
    assert wall.distance(bench.run(2.0).q) >= MARGIN  # once out it stays out


def test_targets_that_lead_into_contact_end_in_a_stop_and_a_pause(make_bench):
    wall = Wall(np.eye(7)[0], HOME[0] + 0.3)
    bench = bench_with(make_bench, wall, execution="async", period_s=0.005)
    q, answers = HOME.copy(), []
    for _ in range(300):
        q[0] += 0.3 * bench.period_s
        dq = np.array([0.3 * (len(answers) > 0), *np.zeros(6)])
        answers.append(text(bench.streamer.on_target(Target(q.copy(), dq, bench.now_s), bench.now_s)))
        assert wall.distance(bench.step().q) >= MARGIN - 1e-9
    assert answers[0] is None and "hand and wall" in answers[-1]
    assert np.abs(bench.last.dq).max() == 0


# ---- emergency stop


def test_an_emergency_stop_is_as_quick_as_any_and_needs_reset_and_enable(tracking, broken_limits):
    bench, other = tracking(), tracking()
    bench.streamer.emergency_stop()
    other.streamer.disable()
    command = bench.run(0.6)
    other.run(0.6)
    assert command.state is State.FAULT and command.q is None and "emergency" in command.text
    assert bench.rest_time_s() <= other.rest_time_s()
    assert not broken_limits(bench.commands, PANDA.limits)
    assert bench.streamer.enable().kind is Reason.EMERGENCY
    assert "FAULT" in bench.send(np.tile(bench.q, (K, 1)))
    assert bench.streamer.reset_fault() is None
    assert bench.run(0.2).q is None and "disabled" in bench.last.text
    assert bench.streamer.enable() is None
    assert bench.step().restarted


@pytest.mark.parametrize("when", ["holding", "disabled", "waiting"])
def test_an_emergency_stop_of_a_still_arm_is_a_fault_too(make_bench, when):
    bench = make_bench(enabled=when != "disabled")
    bench.connected = when != "waiting"
    bench.run(0.1)
    assert bench.streamer.reset_fault()
    bench.streamer.emergency_stop()
    bench.streamer.emergency_stop()
    assert bench.run(0.1).state is State.FAULT and bench.last.q is None
    assert bench.streamer.reset_fault() is None and bench.run(0.1).q is None


def test_an_emergency_stop_also_ends_the_relief_after_another_fault(tracking):
    bench = tracking()
    bench.blocked = True
    while not bench.streamer.statistics(bench.now_s).stops.get("deviation"):
        bench.step()
    while np.abs(bench.step().dq).max() != 0:
        pass
    bench.run(0.1)  # the command goes back to where the arm is
    bench.streamer.emergency_stop()
    before = bench.last.q
    bench.run(1.0)
    assert bench.last.state is State.FAULT and "emergency" in bench.last.text
    assert np.abs(bench.commands[-1] - before).max() < 0.05


# ---- velocity scale


@pytest.mark.parametrize("scale", [0.0, 1e-300, 0.009, -1.0, 1.01, float("nan"), float("inf")])
def test_a_bad_velocity_scale_is_refused(scale):
    streamer = Streamer(PANDA)
    assert "[0.01, 1]" in streamer.set_velocity_scale(scale).text
    assert streamer.config.velocity_scale == 1.0


@pytest.mark.parametrize("period_s", [0.02, 0.005])
@pytest.mark.parametrize("execution", ["sync", "async"])
def test_a_chunk_under_way_is_slowed_without_a_step(started, sweep, broken_limits, execution, period_s):
    bench = started(execution=execution, period_s=period_s)
    assert bench.send(sweep(CHUNK_S)) is None
    bench.run(0.6)
    assert bench.streamer.set_velocity_scale(0.2) is None
    bench.run(1.0)
    slow = np.abs(bench.last.dq).max()
    assert 0 < slow < 0.2 * 0.9 * PANDA.limits.velocity.min() + 1e-9
    assert bench.last.state is State.TRACKING
    assert bench.streamer.set_velocity_scale(1.0) is None  # from the next chunk on
    bench.run(4.0)
    assert np.allclose(bench.q, sweep(CHUNK_S)[-1], atol=1e-6)
    assert not broken_limits(bench.commands, PANDA.limits, period_s)
    acceleration = np.diff(bench.commands, 2, axis=0) / period_s**2
    assert np.abs(acceleration).max() < 6.1
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0


def test_the_next_chunk_and_the_waiting_one_have_the_new_pace(started, sweep):
    bench = started(execution="async")
    assert bench.send(sweep(CHUNK_S), age_s=-0.2) is None
    bench.streamer.set_velocity_scale(0.25)
    bench.run(2.0)
    assert bench.last.state is State.TRACKING
    bench.run(3.0)
    assert np.allclose(bench.q, sweep(CHUNK_S)[-1], atol=1e-6)
    assert np.abs(np.diff(bench.commands, axis=0)).max() / 0.02 < 0.3
    bench.streamer.disable()
    bench.run(0.5)
    bench.streamer.enable()
    bench.run(0.1)
    assert bench.streamer.config == StreamerConfig(execution="async", velocity_scale=0.25)
