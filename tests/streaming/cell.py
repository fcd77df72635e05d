"""A leader, a mirror and a streamer, for tests of what they do together."""

import numpy as np

from genima_core.arm import PANDA
from genima_core.streaming.mirror import Mirror, MirrorConfig
from genima_core.types import JointState

from .chunks import HOME
from .conftest import text

STEP_S = 0.005
AWAY = HOME + np.array([0.3, -0.2, 0.1, 0.25, -0.4, 0.3, 0.2])


class Cell:
    """A leader, a mirror, and a streamer with an ideal arm, all on one clock: leader at 100 Hz, the others at 200."""

    def __init__(self, make_bench, leader=AWAY, arm=PANDA, leader_arm=PANDA, execution="sync", **config):
        self.bench = make_bench(period_s=STEP_S, execution=execution)
        self.mirror = Mirror(arm, leader_arm, MirrorConfig(**config))
        self.stay(leader)
        self.unreadable, self.width_m = None, None
        self.leads, self.follows, self.streams, self.tells = True, True, True, True
        self.stamp_shift_s = 0.0
        self.outputs, self.refusals, self.leader_log = [], [], []
        self.ticks = 0
        self.run(0.2)

    @property
    def now_s(self):
        return self.bench.now_s

    @property
    def last(self):
        return self.outputs[-1]

    def run(self, duration_s):
        for _ in range(round(duration_s / STEP_S)):
            self.step()
        return self.last

    def until(self, state, limit_s=10.0):
        for _ in range(round(limit_s / STEP_S)):
            if self.step().status.state is state:
                return self.last
        raise AssertionError(f"{state} not reached: {self.last}")

    def step(self):
        bench = self.bench
        if self.leads and self.ticks % 2 == 0:
            self.lead()
        output = self.mirror.step(self.now_s)
        self.outputs.append(output)
        if self.tells:
            bench.streamer.on_teleop(output.status, self.now_s)
        if output.target is not None:
            self.refusals.append(bench.streamer.on_target(output.target, self.now_s))
        command = bench.step()
        self.leader_log.append(self.motion(self.now_s)[0])
        if self.streams:
            self.mirror.on_streamer(command.status, self.now_s, command.taken_over)
        if self.follows:
            self.mirror.on_follower(JointState(bench.q, None, self.now_s), self.now_s)
        self.ticks += 1
        return output

    def lead(self):
        q, dq = self.motion(self.now_s)
        state = self.unreadable or JointState(q, dq, self.now_s + self.stamp_shift_s, self.width_m)
        return text(self.mirror.on_leader(state, self.now_s))

    def leader_speed(self, tick):
        return (self.leader_log[tick] - self.leader_log[tick - 1]) / STEP_S

    def stay(self, q, dq=0.0):
        self.motion = lambda _: (q, np.full(7, dq))

    def swing(self, size=0.3, rate=2.0):
        """The leader moves from where it is."""
        begin_s, (q, _) = self.now_s, self.motion(self.now_s)
        self.motion = lambda t: (
            q + size * (1 - np.cos(rate * (t - begin_s))) / 2,
            np.full(7, size * rate * np.sin(rate * (t - begin_s)) / 2),
        )


def commands_keep_limits(made, broken_limits):
    return (
        not broken_limits(made.bench.commands, PANDA.limits, STEP_S)
        and made.bench.streamer.statistics(made.now_s).limit_violations == 0
    )
