"""Targets that are followed at once: without lag, without shaking, and every bad one ends at rest with a reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genima_core.arm import FR3, PANDA
from genima_core.streaming.inputs import VelocityEstimate
from genima_core.streaming.states import Reason, Refusal, State
from genima_core.types import Target

from .chunks import CHUNK_S, HOME, K
from .conftest import text

RATES = np.array([1.2, 1.5, 1.0, 1.7, 2.0, 1.3, 2.2])
AMPLITUDE = 0.9 / RATES * np.array([1, 0.8, -1, -0.6, 1, -0.7, 1])
TARGET_S = 0.01
LATENCY_S = 0.003


def leader(time_s):
    """q, dq of a motion from home with peaks of 1 rad/s and 2 rad/s²; at rest before 0."""
    time_s = max(time_s, 0.0)
    return HOME + AMPLITUDE * (1 - np.cos(RATES * time_s)), AMPLITUDE * RATES * np.sin(RATES * time_s)


class Sender:
    """Sends a motion at 100 Hz while the bench steps."""

    def __init__(self, bench, motion=leader, measures_velocity=True, noise_rad=0.0, gripper=None):
        self.bench, self.motion, self.measures_velocity, self.noise_rad = bench, motion, measures_velocity, noise_rad
        self.gripper, self.rng = gripper, np.random.default_rng(0)
        self.begin_s = self.next_s = bench.now_s
        self.reasons = []
        self.errors_rad = []

    def send(self, stamp_s):
        q, dq = self.motion(stamp_s - self.begin_s)
        q = q + self.rng.normal(0.0, self.noise_rad, 7) if self.noise_rad else q
        target = Target(q, dq if self.measures_velocity else None, stamp_s, self.gripper)
        return text(self.bench.streamer.on_target(target, self.bench.now_s))

    def run(self, duration_s):
        for _ in range(round(duration_s / self.bench.period_s)):
            while self.next_s + LATENCY_S <= self.bench.now_s + 1e-9:
                self.reasons.append(self.send(self.next_s))
                self.next_s += TARGET_S
            self.bench.step()
            self.errors_rad.append(np.abs(self.bench.last.q - self.motion(self.bench.now_s - self.begin_s)[0]).max())
        return self.bench.last


@pytest.fixture
def following(started):
    """A bench at 5 ms that follows at full speed, and its sender."""

    def make(**config):
        bench = started(**{"period_s": 0.005, **config})
        sender = Sender(bench)
        sender.run(0.8)
        assert bench.last.state is State.TRACKING and not any(sender.reasons)
        assert np.abs(bench.last.dq).max() > 0.5
        return bench, sender

    return make


# ---- following


@pytest.mark.parametrize("period_s", [0.005, 0.02])
@pytest.mark.parametrize(("execution", "measures_velocity"), [("sync", True), ("async", True), ("sync", False)])
def test_a_smooth_leader_is_followed_without_lag(started, broken_limits, period_s, execution, measures_velocity):
    bench = started(period_s=period_s, execution=execution)
    sender = Sender(bench, measures_velocity=measures_velocity)
    sender.run(6.0)
    assert not any(sender.reasons) and bench.last.state is State.TRACKING and not bench.last.wants_chunk
    assert max(sender.errors_rad[round(1 / period_s) :]) < (0.005 if measures_velocity else 0.01)
    assert not broken_limits(bench.commands, PANDA.limits, period_s)
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0


@pytest.mark.parametrize("measures_velocity", [True, False])
def test_noise_of_the_leader_does_not_shake_the_command(started, measures_velocity):
    bench = started(period_s=0.005)
    Sender(bench, lambda _: (HOME, np.zeros(7)), measures_velocity, noise_rad=1e-4).run(5.0)
    acceleration = np.diff(bench.commands, 2, axis=0) / 0.005**2
    assert np.sqrt(np.mean(acceleration**2)) < 0.5 and np.abs(acceleration).max() < 2.0
    assert np.abs(bench.commands - HOME).max() < 5e-4


def test_the_first_targets_may_be_a_little_off(started, broken_limits):
    bench = started(period_s=0.005)
    goal = HOME + 0.049
    Sender(bench, lambda _: (goal, np.zeros(7))).run(1.0)
    np.testing.assert_allclose(bench.q, goal, atol=1e-3)
    assert np.abs(np.diff(bench.commands, 2, axis=0)).max() / 0.005**2 < 10.0
    assert not broken_limits(bench.commands, PANDA.limits, 0.005)


def test_a_leader_that_is_too_fast_for_the_limits_is_followed_within_them(started, broken_limits):
    bench = started(period_s=0.005)

    def motion(t):
        return HOME + 0.15 * np.sin(12 * t) * (np.arange(7) == 1), 1.8 * np.cos(12 * t) * (np.arange(7) == 1)

    Sender(bench, lambda t: motion(t) if t > 0 else (HOME, np.zeros(7))).run(2.0)
    assert not broken_limits(bench.commands, PANDA.limits, 0.005)


def test_the_gripper_follows(started):
    bench = started(period_s=0.005)
    sender = Sender(bench, gripper=0.03)
    assert sender.run(0.1).gripper_width_m == 0.03
    sender.gripper = 0.08
    assert sender.run(0.1).gripper_width_m == 0.08


def test_latencies_are_counted_from_the_stamp_to_the_command(following):
    bench, _ = following()
    statistics = bench.streamer.statistics(bench.now_s)
    p50, p99, most = statistics.follow_latency_s
    assert LATENCY_S <= p50 <= p99 <= most <= LATENCY_S + 2 * bench.period_s
    assert statistics.targets_accepted == 80 and not statistics.targets_rejected


# ---- who moves the arm


@pytest.mark.parametrize("execution", ["sync", "async"])
def test_chunks_wait_for_the_end_of_targets(following, sweep, execution):
    bench, sender = following(execution=execution)
    assert "follows targets" in bench.send(np.tile(bench.q, (K, 1)))
    assert "follows targets" in bench.send(np.full((K, 7), np.nan))
    assert sender.run(0.1).state is State.TRACKING
    bench.run(1.0)
    assert bench.last.state is State.HOLDING
    assert bench.send(bench.q + sweep(CHUNK_S) - HOME) is None


def test_targets_wait_for_the_end_of_a_chunk(tracking):
    bench = tracking()
    for stamp_s in (bench.now_s, bench.now_s - 9.0):
        reason = text(bench.streamer.on_target(Target(bench.q, None, stamp_s), bench.now_s))
        assert "chunk" in reason or "refused" in reason
    assert bench.step().state is State.TRACKING


# ---- bad targets


def bad_targets(q, dq, now_s):
    """Kind of refusal to what was given."""

    def change(i, value):
        changed = q.copy()
        changed[i] = value
        return changed

    return {
        "names": Refusal(Reason.NAMES, "The target lacks panda_joint1."),
        "limits NaN": Target(change(2, np.nan), dq, now_s),
        "jump velocity NaN": Target(q, np.full(7, np.nan), now_s),
        "stale stamp": Target(q, dq, np.nan),
        "limits": Target(change(3, 0.2), dq, now_s),
        "stale future": Target(q, dq, now_s + 0.2),
        "jump": Target(q + 0.1, dq, now_s),
        "jump velocity": Target(q, dq + 20.0, now_s),
        "gripper": Target(q, None, now_s, 3.0),
    }


@pytest.mark.parametrize("kind", bad_targets(HOME, HOME, 0.0))
def test_a_bad_target_stops_the_arm_until_its_sender_pauses(following, broken_limits, kind):
    bench, sender = following()
    target = bad_targets(*leader(bench.now_s - sender.begin_s), bench.now_s)[kind]
    reason = text(bench.streamer.on_target(target, bench.now_s))
    assert reason and reason.endswith(".")
    assert sender.run(bench.period_s).state is State.STOPPING and bench.last.text == reason
    sender.run(1.5)
    assert bench.last.state is State.HOLDING and bench.last.text == reason
    statistics = bench.streamer.statistics(bench.now_s)
    assert statistics.stops == {kind.split()[0]: 1} and statistics.targets_rejected["locked"] > 100
    assert not broken_limits(bench.commands, PANDA.limits, 0.005)
    bench.run(0.6)
    again = Sender(bench, lambda t, q=bench.q: (q, np.zeros(7)))
    assert again.run(0.2).state is State.TRACKING and bench.last.text == ""


def test_silence_stops_without_any_callback(following, broken_limits):
    bench, _ = following()
    bench.run(0.09)
    assert bench.last.state is State.TRACKING
    bench.run(0.03)
    assert bench.last.state is State.STOPPING and "target" in bench.last.text
    before = bench.q
    bench.run(0.5)
    assert bench.last.state is State.HOLDING and np.abs(bench.q - before).max() < 0.15
    assert bench.streamer.statistics(bench.now_s).stops == {"targets": 1}
    assert not broken_limits(bench.commands, PANDA.limits, 0.005)


def test_a_sender_that_ends_at_rest_has_simply_ended(started, sweep):
    bench = started(period_s=0.005, execution="async")
    Sender(bench, lambda _: (HOME, np.zeros(7))).run(0.3)
    assert bench.run(0.4).state is State.TRACKING
    bench.run(0.2)
    assert bench.last.state is State.HOLDING and bench.last.text == "Waiting for a chunk." and bench.last.wants_chunk
    assert not bench.streamer.statistics(bench.now_s).stops
    assert bench.send(sweep(CHUNK_S)) is None
    bench.run(1.5)
    assert Sender(bench, lambda t, q=bench.q: (q, np.zeros(7))).run(0.1).state is State.TRACKING


def test_the_first_target_begins_where_the_arm_is(started):
    bench = started(period_s=0.005)
    sender = Sender(bench, lambda _: (HOME + 0.06, np.zeros(7)))
    sender.run(0.5)
    assert "first target" in sender.reasons[0] and "pause" not in sender.reasons[0]
    assert bench.last.state is State.HOLDING and np.array_equal(bench.q, HOME)
    assert bench.last.text == sender.reasons[0]


def test_a_repeated_or_overtaken_target_is_passed_over(following):
    _, sender = following()
    for stamp_s in (sender.next_s - TARGET_S, sender.next_s - 3 * TARGET_S):
        assert "not after" in sender.send(stamp_s)
    assert sender.run(0.2).state is State.TRACKING


@pytest.mark.parametrize("break_off", ["disable", "joint_states", "clock", "gap", "blocked"])
def test_nothing_is_followed_again_by_itself(following, broken_limits, break_off):
    bench, sender = following()
    if break_off == "disable":
        bench.streamer.disable()
    elif break_off in ("clock", "gap"):
        jump_s = -5.0 if break_off == "clock" else 0.4
        bench.step(jump_s)
        sender.begin_s, sender.next_s = sender.begin_s + jump_s, sender.next_s + jump_s
    elif break_off == "joint_states":
        bench.connected = False
    else:
        bench.blocked = True

    def send_and_step():
        sender.send(bench.now_s)
        return bench.step()

    for _ in range(800):
        send_and_step()
    assert bench.last.state in (State.HOLDING, State.FAULT)
    bench.connected, bench.blocked = True, False
    bench.streamer.reset_fault()
    bench.streamer.enable()
    for _ in range(300):
        assert send_and_step().state in (State.HOLDING, State.STOPPING, State.FAULT)
        bench.streamer.reset_fault()
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0


def test_a_late_target_is_passed_over_and_a_late_sender_stops_the_arm(following):
    bench, sender = following()
    assert "0.150 s ago" in sender.send(bench.now_s - 0.15)
    assert sender.run(0.1).state is State.TRACKING
    for _ in range(40):
        sender.send(bench.now_s - 0.15)
        bench.step()
    assert bench.last.state is State.STOPPING and "more than 100 ms old" in bench.last.text
    sender.next_s = bench.now_s
    assert sender.run(0.4).state is State.HOLDING
    assert sender.run(0.4).state is State.HOLDING


def test_a_late_step_gives_waiting_targets_their_turn(following):
    bench, sender = following()
    bench.step(wait_s=0.11)
    assert bench.last.state is State.TRACKING
    sender.next_s = bench.now_s - 0.005
    assert sender.run(0.1).state is State.TRACKING


# ---- whatever comes


@given(
    seed=st.integers(0, 2**32 - 1),
    arm=st.sampled_from([PANDA, FR3]),
    period_s=st.sampled_from([0.005, 0.02]),
    trusting=st.booleans(),
    follows=st.booleans(),
    jerk_factor=st.sampled_from([0.1, 1.0]),
)
@settings(max_examples=20)
def test_no_target_breaks_a_limit(make_bench, broken_limits, seed, arm, period_s, trusting, follows, jerk_factor):
    rng, limits = np.random.default_rng(seed), arm.limits
    trust = {"max_start_rad": 9.0, "max_lag_rad": 9.0, "max_speed_ratio": 1e6} if trusting else {}
    bench = make_bench(
        rng.uniform(limits.lower, limits.upper),
        arm=arm,
        period_s=period_s,
        jerk_factor=jerk_factor,
        receiver_follows_horizon=follows,
        target_pause_s=0.02,
        **trust,
    )
    bench.step()
    q, dq = bench.q.copy(), np.zeros(7)
    segments = [[bench.q]]
    for _ in range(300):
        kind = rng.choice(
            ["walk", "walk", "still", "far", "edge", "bad", "none"], p=[0.3, 0.3, 0.1, 0.1, 0.1, 0.02, 0.08]
        )
        if kind == "walk":
            dq = np.clip(dq + rng.normal(0, 0.3, 7), -2, 2)
            q = np.clip(q + dq * 0.01, limits.lower, limits.upper)
        elif kind == "still":
            dq = np.zeros(7)
        elif kind == "far":
            q, dq = rng.uniform(limits.lower, limits.upper), rng.uniform(-3, 3, 7)
        elif kind == "edge":
            q = np.where(rng.random(7) < 0.5, limits.lower, limits.upper)
        elif kind == "bad":
            q = rng.uniform(-4, 4, 7)
        if kind != "none":
            velocities = dq if rng.random() < 0.7 else None
            stamp_s = bench.now_s - rng.choice([0.0, 0.004, 0.05, 0.3], p=[0.5, 0.4, 0.08, 0.02])
            bench.streamer.on_target(Target(q, velocities, stamp_s), bench.now_s)
        wait_s = period_s if rng.random() < 0.97 else float(rng.choice([0.001, 0.05, 0.15, 0.3]))
        bench.connected = rng.random() < 0.98
        command = bench.step(wait_s)
        if command.q is None:
            bench.streamer.reset_fault()
            q, dq = bench.q.copy(), np.zeros(7)
        elif command.restarted or (wait_s > 1.5 * period_s and follows):
            segments.append([command.q])
        else:
            segments[-1].append(command.q)
        if rng.random() < 0.05:
            q, dq = bench.q.copy(), np.zeros(7)
    assert bench.streamer.statistics(bench.now_s).limit_violations == 0
    for commands in segments:
        assert not broken_limits(np.array(commands), limits, period_s)
    bench.connected = True
    last = bench.run(3.0)
    assert last.state in (State.HOLDING, State.FAULT) and (last.q is None or not last.dq.any())


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 8))
@settings(max_examples=30)
def test_the_estimate_of_a_steady_velocity_is_exact(seed, count):
    rng = np.random.default_rng(seed)
    q, dq, estimate = rng.normal(size=7), rng.normal(size=7), VelocityEstimate()
    for t in np.cumsum(rng.uniform(0.001, 0.02, count)):
        found = estimate.add(float(t), q + t * dq)
    np.testing.assert_allclose(found, dq, atol=1e-6)


def test_the_first_target_is_at_rest(started):
    bench = started(period_s=0.005)
    reason = text(bench.streamer.on_target(Target(bench.q, np.full(7, 0.5), bench.now_s), bench.now_s))
    assert "begin at rest" in reason
    before = bench.q.copy()
    bench.run(0.3)
    assert np.array_equal(bench.q, before)


def test_no_width_is_commanded_once_nothing_is(started):
    bench = started(period_s=0.005)
    sender = Sender(bench, gripper=0.02)
    sender.run(0.5)
    assert bench.last.gripper_width_m == 0.02
    bench.streamer.disable()
    bench.run(1.0)
    assert bench.last.q is None and bench.last.gripper_width_m is None
    bench.streamer.enable()
    bench.run(0.1)
    assert bench.last.q is not None and bench.last.gripper_width_m is None


def test_enabling_on_the_way_to_rest_is_enough(following):
    bench, _ = following()
    bench.streamer.disable()
    bench.run(0.02)
    assert bench.last.state is State.STOPPING
    bench.streamer.enable()
    bench.run(1.0)
    assert bench.last.state is State.HOLDING and bench.last.text == "Waiting for a chunk."
