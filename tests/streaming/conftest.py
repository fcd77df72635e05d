from collections.abc import Callable

import numpy as np
import pytest

from genima_core.arm import PANDA, Arm, JointLimits
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.states import Command, Refusal, State
from genima_core.streaming.streamer import Streamer
from genima_core.types import ActionChunk, JointState

from .chunks import CHUNK_S, HOME

PERIOD_S = 0.02


def text(refusal: Refusal | None) -> str | None:
    return None if refusal is None else refusal.text


class Bench:
    """A streamer, an arm that does what it is told one period later, and a clock."""

    def __init__(self, q: np.ndarray = HOME, enabled: bool = True, arm: Arm = PANDA, clearance=None, **config):
        follows = config.pop("receiver_follows_horizon", False)
        self.streamer = Streamer(arm, StreamerConfig(**{"period_s": PERIOD_S, **config}), clearance, follows)
        self.period_s = self.streamer.config.period_s
        self.now_s = 100.0
        self.q = np.array(q, dtype=np.float64)
        self.connected, self.blocked = True, False
        self.log: list[Command] = []
        self.times_s: list[float] = []
        if enabled:
            self.streamer.enable()

    @property
    def last(self) -> Command:
        return self.log[-1]

    @property
    def commands(self) -> np.ndarray:
        """(n, 7) of the commands that were published."""
        return np.array([command.q for command in self.log if command.q is not None])

    def send(
        self,
        positions: np.ndarray | Refusal,
        age_s: float = 0.0,
        dt_s: float = 0.05,
        first_s: float = 0.0,
        gripper: np.ndarray | None = None,
    ) -> str | None:
        """None, or the text of the refusal."""
        stamp_s = self.now_s - age_s
        chunk = positions
        if not isinstance(positions, Refusal):
            chunk = ActionChunk(positions, gripper, dt_s, stamp_s + first_s, stamp_s)
        return text(self.streamer.on_chunk(chunk, self.now_s))

    def measure(self) -> str | None:
        noise = 1e-8 * (len(self.log) % 2) if self.blocked else 0.0  # a real sensor always has some
        return text(self.streamer.on_joint_state(JointState(self.q + noise, np.zeros(7), self.now_s), self.now_s))

    def step(self, wait_s: float | None = None) -> Command:
        self.now_s += self.period_s if wait_s is None else wait_s
        if self.connected:
            self.measure()
        self.log.append(self.streamer.step(self.now_s))
        self.times_s.append(self.now_s)
        if self.last.q is not None and not self.blocked:
            self.q = self.last.q
        return self.last

    def run(self, duration_s: float) -> Command:
        for _ in range(round(duration_s / self.period_s)):
            self.step()
        return self.last

    def rest_time_s(self) -> float:
        """When the last motion ended."""
        moving = np.flatnonzero(np.abs(np.diff(self.commands, axis=0)).max(axis=1) > 1e-9)
        return self.times_s[moving[-1] + 1] if len(moving) else self.times_s[0]


@pytest.fixture(scope="session")
def make_bench() -> Callable[..., Bench]:
    return Bench


@pytest.fixture(scope="session")
def started(make_bench) -> Callable[..., Bench]:
    """Makes a bench that holds."""

    def make(**config) -> Bench:
        bench = make_bench(**config)
        bench.run(0.1)
        return bench

    return make


@pytest.fixture(scope="session")
def broken_limits() -> Callable[..., dict[str, float]]:
    """Shares above 1 of each limit that commands (n, 7), one period apart, use by their finite differences."""

    def measure(q: np.ndarray, limits: JointLimits, period_s: float = PERIOD_S) -> dict[str, float]:
        share = {
            "position": float(
                np.max(np.abs(q - (limits.upper + limits.lower) / 2) / ((limits.upper - limits.lower) / 2))
            )
        }
        for order, name in enumerate(("velocity", "acceleration", "jerk"), start=1):
            rates = np.diff(q, order, axis=0) / period_s**order
            share[name] = float(np.max(np.abs(rates) / getattr(limits, name), initial=0.0))
        if limits.too_fast(q[:-1], np.diff(q, axis=0) / period_s).any():
            share["velocity"] = max(share["velocity"], np.inf)
        return {name: value for name, value in share.items() if value > 1 + 1e-6}

    return measure


@pytest.fixture(scope="session")
def sweep() -> Callable[..., np.ndarray]:
    """Positions (n, 7) of a smooth motion away from home at times (n,) s: peak about 1 rad/s and 2 rad/s²."""

    def at(times_s: np.ndarray, size: float = 0.5) -> np.ndarray:
        direction = np.array([1.0, 0.8, -1.0, 0.6, 1.0, 0.7, -1.0])
        return HOME + size * (1 - np.cos(2.0 * np.asarray(times_s)[:, None])) * direction

    return at


@pytest.fixture
def tracking(started, sweep):
    """A bench in the middle of a chunk at full speed."""

    def make(**config):
        bench = started(**{"execution": "async", **config})
        assert bench.send(sweep(CHUNK_S)) is None
        bench.run(0.6)
        assert bench.last.state is State.TRACKING
        assert np.abs(bench.last.dq).max() > 0.5
        return bench

    return make
