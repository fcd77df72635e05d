"""Streamer and mirror under random input: no exception, no limit exceeded, no step, no command after a stop.

    python benchmarks/fuzz.py --ticks 100000 --seed 0 --json fuzz.json

Each episode has an arm, an execution, a period, a receiver and a collision check of its own, and is repeated by
`--seed S --episode N`. The `Checker` knows nothing of the streamer but its configuration and what it publishes.
"""

import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from genima_core.arm import FR3, PANDA, Arm
from genima_core.arm_status import ArmStatus, Level
from genima_core.files import write_json
from genima_core.streaming.config import StreamerConfig
from genima_core.streaming.mirror import ENGAGED, Mirror, Mirroring
from genima_core.streaming.playback import Clearance
from genima_core.streaming.states import Command, Reason, Refusal, State
from genima_core.streaming.streamer import Streamer
from genima_core.types import ActionChunk, Contact, JointState, Target

EPISODE_TICKS = 1000
REST_S = {"panda": 0.34, "fr3": 0.61}
"""After disable and emergency stop, by docs/safety.md."""
TARGETS_REST_S = 0.6
"""After the mirror was stopped: its target comes to rest as gently as it may."""
PREVIEW = 3
"""Points at the front of a horizon that are one period apart; further ones are interpolated here, less exactly."""
COUNTED = ("ticks", "exceptions", "violations")
BAD = Refusal(Reason.NAN, "Fuzzed.")


class Wall:
    """A cheap clearance: contact where a weighted sum of the joints exceeds a bound."""

    def __init__(self, rng: np.random.Generator, start: np.ndarray):
        self._a = rng.normal(size=7)
        self._a /= np.abs(self._a).sum()
        self._b = float(start @ self._a) + rng.uniform(0.1, 0.6)

    def find(self, path: np.ndarray, allowed: Mapping[tuple[str, str], float]) -> Contact | None:
        spare = float((self._b - path @ self._a).min())
        return Contact(("hand", "wall"), spare, 0.0) if spare < allowed.get(("hand", "wall"), 0.0) else None

    def contacts(self, q: np.ndarray) -> tuple[Contact, ...]:
        spare = float(self._b - q @ self._a)
        return (Contact(("hand", "wall"), spare, 0.0),) if spare < 0 else ()


@dataclass
class Checker:
    """Looks at the positions as the arm gets them, one a period; counts what must not be, by kind."""

    arm: Arm
    period_s: float
    violations: Counter[str] = field(default_factory=Counter)
    _recent: list[np.ndarray] = field(default_factory=list)
    _promised: Command | None = None

    def look(self, command: Command, missed: int) -> None:
        """The next command; `missed` periods the receiver moved along the last horizon before it."""
        if command.q is None:
            self._recent, self._promised = [], None
            return
        if command.restarted:
            self._recent = []
        elif missed and self._promised is not None:
            self._follow(self._promised, missed, command.q)
        self._promised = command
        if not (np.isfinite(command.q).all() and np.isfinite(command.horizon_q).all()):
            self.violations["not finite"] += 1
        self._add(command.q)
        self._look_at_horizon(command)

    def _follow(self, promised: Command, missed: int, q: np.ndarray) -> None:
        for k in range(min(missed, PREVIEW)):
            self._add(promised.horizon_q[min(k, len(promised.horizon_q) - 1)])
        if missed <= PREVIEW:
            return
        here, speed = interpolate(promised, missed * self.period_s)
        most = np.minimum(self.arm.limits.velocity, np.abs(speed) + self.arm.limits.acceleration * self.period_s)
        if (np.abs(q - here) > most * self.period_s + 1e-3).any():
            self.violations["step"] += 1
        self._recent = []

    def _add(self, q: np.ndarray) -> None:
        limits = self.arm.limits
        self._recent = [*self._recent[-3:], q]
        if ((q < limits.lower - 1e-9) | (q > limits.upper + 1e-9)).any():
            self.violations["position"] += 1
        for order, name in enumerate(("velocity", "acceleration", "jerk")[: len(self._recent) - 1], start=1):
            rates = np.diff(self._recent[-order - 1 :], order, axis=0)[0] / self.period_s**order
            most = getattr(limits, name)
            if (limits.too_fast(self._recent[-2], rates) if order == 1 else np.abs(rates) > most * (1 + 1e-6)).any():
                self.violations[name] += 1

    def _look_at_horizon(self, command: Command) -> None:
        times_s, limits = command.horizon_times_s, self.arm.limits
        if len(times_s) < 2 or (np.diff(times_s) <= 0).any() or abs(times_s[0] - self.period_s) > 1e-9:
            self.violations["horizon times"] += 1
        if command.horizon_dq[-1].any() or command.horizon_ddq[-1].any():
            self.violations["horizon does not rest"] += 1
        if ((command.horizon_q < limits.lower - 1e-6) | (command.horizon_q > limits.upper + 1e-6)).any():
            self.violations["horizon position"] += 1
        if limits.too_fast(command.horizon_q, command.horizon_dq).any():
            self.violations["horizon velocity"] += 1


def interpolate(command: Command, time_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity (7,) on a horizon, by the quintics of a joint trajectory controller; then it stays."""
    times_s = command.horizon_times_s
    k = int(np.searchsorted(times_s, time_s))
    if k >= len(times_s):
        return command.horizon_q[-1], np.zeros(7)
    T = times_s[k] - times_s[k - 1]
    u = (time_s - times_s[k - 1]) / T
    p0, v0, a0, p1, v1, a1 = (
        getattr(command, name)[j] * T**power
        for j in (k - 1, k)
        for power, name in enumerate(("horizon_q", "horizon_dq", "horizon_ddq"))
    )
    c3 = 10 * (p1 - p0) - 6 * v0 - 4 * v1 - 1.5 * a0 + 0.5 * a1
    c4 = -15 * (p1 - p0) + 8 * v0 + 7 * v1 + 1.5 * a0 - a1
    c5 = 6 * (p1 - p0) - 3 * (v0 + v1) - 0.5 * (a0 - a1)
    q = p0 + u * (v0 + u * (a0 / 2 + u * (c3 + u * (c4 + u * c5))))
    return q, (v0 + u * (a0 + u * (3 * c3 + u * (4 * c4 + u * 5 * c5)))) / T


class Episode:
    """One streamer, one mirror, an arm that mostly does what it is told, and a hand that presses every button."""

    def __init__(self, rng: np.random.Generator, arm: Arm, execution: Literal["sync", "async"], check: str):
        self.rng, self.arm = rng, arm
        trusting = {"max_jump_rad": 100.0, "max_speed_ratio": 1e9, "max_start_rad": 9.0, "max_lag_rad": 9.0}
        self.config = StreamerConfig(
            execution=execution,
            execution_horizon=int(rng.choice([0, 0, 8])),
            period_s=float(rng.choice([0.02, 0.02, 0.005])),
            velocity_scale=float(rng.choice([1.0, 1.0, 0.3, 0.01])),
            jerk_factor=float(rng.choice([0.1, 0.1, 1.0])),
            position_margin_rad=float(rng.choice([0.005, 0.0])),
            smoothing=int(rng.integers(2)),
            watch_arm_status=bool(rng.random() < 0.7),
            target_pause_s=float(rng.choice([0.5, 0.02])),
            **(trusting if rng.random() < 0.5 else {}),
        )
        self.q = arm.clip(arm.home + rng.normal(0, 0.3, 7) if rng.random() < 0.7 else rng.uniform(-3, 3, 7))
        self.follows = bool(rng.random() < 0.5)
        self.clearance = make_clearance(check, rng, arm, self.q)
        self.streamer = Streamer(arm, self.config, self.clearance, self.follows)
        self.taken_over = False
        self.mirror = Mirror(arm, PANDA if rng.random() < 0.5 else FR3)
        self.checker = Checker(arm, self.config.period_s)
        self.now_s = self.due_s = float(rng.choice([0.0, 100.0, 1.8e9]))
        self.silent_until_s = self.blocked_until_s = self.quiet_until_s = -np.inf
        self.placed, self.level, self.leader_q = 0, Level.OK, self.q.copy()
        self.target_q, self.target_dq = self.q.copy(), np.zeros(7)
        self.sends_targets = False
        self.until_rest: int | None = None
        self.must_reset = self.must_enable = False
        self.last: Command | None = None
        self.seen: Counter[str] = Counter()
        self._targets_until_s = np.inf
        self.rest_ticks = int(np.ceil(REST_S[arm.name] / self.config.period_s)) + PREVIEW + 3
        self.enable()

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.press()
            self.say_status()
            self.measure()
            self.mirror_step()
            self.send_chunk()
            self.send_target()
            self.step()

    # ---- the operator

    def enable(self) -> None:
        if self.streamer.enable() is None:
            self.until_rest, self.must_enable = None, False

    def stop(self, emergency: bool) -> None:
        self.must_enable, self.must_reset = True, self.must_reset or emergency
        if self.until_rest is None:
            self.until_rest = self.rest_ticks
        if emergency:
            self.streamer.emergency_stop()
        else:
            self.streamer.disable()

    def press(self) -> None:
        rng, streamer = self.rng, self.streamer
        if self.last is not None and self.last.q is None and rng.random() < 0.05:
            if streamer.reset_fault() is None:
                self.must_reset = False
            self.enable()
        match int(rng.integers(1500)):
            case 0 | 1:
                self.stop(emergency=False)
            case 2:
                self.stop(emergency=True)
            case 3 | 4:
                self.enable()
            case 5:
                if streamer.reset_fault() is None:
                    self.must_reset = False
            case 6 | 7 | 8 | 9:
                streamer.set_velocity_scale(float(rng.choice([1.0, 0.5, 0.1, 0.01, 1e-300, 0.0, np.nan, np.inf, -1.0])))
            case 10:
                streamer.on_commanders(["/other"])
            case 11 | 12 | 13:
                streamer.on_commanders([])
            case 14 | 15:
                streamer.statistics(self.now_s)
            case 16:
                self.silent_until_s = self.now_s + rng.choice([0.05, 0.15, 0.4, 1.3])
            case 17:
                self.blocked_until_s = self.now_s + rng.uniform(0.1, 3.0)
            case 18:
                self.level = Level(int(rng.integers(3)))
            case 19 | 20 | 21:
                self.level = Level.OK
            case 22:
                self.quiet_until_s = self.now_s + rng.uniform(0.1, 1.0)
            case 23 if rng.random() < 0.5:
                self.placed, self.q = self.placed + 1, self.arm.clip(rng.uniform(-3, 3, 7))
            case _:
                pass

    def say_status(self) -> None:
        if self.now_s > self.quiet_until_s and self.rng.random() < 0.3:
            bad = self.rng.random() < 0.01
            status = ArmStatus(self.level, "why", placed=self.placed)
            self.streamer.on_arm_status(BAD if bad else status, self.now_s)

    # ---- the arm

    def measure(self) -> None:
        rng = self.rng
        if self.now_s < self.silent_until_s or rng.random() < 0.02:
            return
        q, stamp_s, kind = self.q + rng.normal(0, 1e-6, 7), self.now_s, int(rng.integers(4000))
        if kind == 0:
            q = q + rng.normal(0, 1.0, 7)
        elif kind == 1:
            q = np.zeros(7)
        elif kind < 20:
            stamp_s += float(rng.choice([-5.0, -0.1, 0.1, 5.0, 1e308]))
        state = JointState(q, None if rng.random() < 0.2 else rng.normal(0, 1, 7), stamp_s)
        given = BAD if 20 <= kind < 60 else state
        self.streamer.on_joint_state(given, self.now_s)
        self.mirror.on_follower(given, self.now_s)

    # ---- what it should do

    def send_chunk(self) -> None:
        rng, limits = self.rng, self.arm.limits
        wanted = self.last is not None and self.last.wants_chunk
        if rng.random() > (0.3 if wanted else 0.02) or (self.sends_targets and rng.random() < 0.9):
            return
        n, here, kind = int(rng.integers(2, 25)), self.q if self.last is None else self.last.q, int(rng.integers(9))
        here = self.q if here is None else here
        ramp = np.linspace(0, 1, n)[:, None]
        if kind < 3:
            positions = here + ramp * rng.uniform(-0.5, 0.5, 7)
        elif kind == 3:
            positions = rng.uniform(limits.lower, limits.upper, (n, 7))
        elif kind == 4:
            positions = np.tile(limits.upper if rng.random() < 0.5 else limits.lower, (n, 1))
        elif kind == 5:
            positions = here + np.cumsum(rng.normal(0.0, 0.1, (n, 7)), axis=0)
        elif kind == 6:
            positions = here + ramp * rng.uniform(-3, 3, 7)
        elif kind == 7:
            positions = here + rng.normal(0.0, 0.02, (n, 7))
        else:
            positions = rng.uniform(-4, 4, (n, 7))
            positions[rng.integers(n), rng.integers(7)] = rng.choice([np.nan, np.inf, 1e300, 0.0])
        positions = self.arm.clip(positions) if kind < 8 else positions
        gripper = None if rng.random() < 0.4 else rng.uniform(-0.002 if kind < 8 else -9, 1.002, n)
        stamp_s = self.now_s - float(rng.choice([0, 0, 0, 0.02, 0.4, 1.5, -0.1, 9.0, -5.0, 1e308]))
        chunk = ActionChunk(
            positions,
            gripper,
            float(rng.choice([0.05, 0.05, 0.01, 0.2, 1e-3, 10.0])),
            stamp_s + float(rng.choice([0.0, 0.0, 0.05, 0.5, 1e9])),
            stamp_s,
        )
        refusal = self.streamer.on_chunk(BAD if rng.random() < 0.02 else chunk, self.now_s)
        self.seen["chunks taken" if refusal is None else "chunks refused"] += 1
        if refusal is None and self.taken_over:
            self.checker.violations["chunk taken in the operator's turn"] += 1

    def send_target(self) -> None:
        rng, limits = self.rng, self.arm.limits
        if rng.random() < (0.005 if self.sends_targets else 0.002):
            self.sends_targets = not self.sends_targets
            here = self.q if self.last is None or self.last.q is None else self.last.q
            self.target_q, self.target_dq = np.array(here), np.zeros(7)
        if not self.sends_targets or rng.random() < 0.2:
            return
        kind = int(rng.integers(200))
        if kind < 190:
            self.target_dq = np.clip(self.target_dq + rng.normal(0, 0.1, 7), -2, 2)
            self.target_q = self.arm.clip(self.target_q + self.target_dq * self.config.period_s)
        elif kind < 194:
            self.target_dq = np.zeros(7)
        elif kind == 194:
            self.target_q = rng.uniform(limits.lower, limits.upper)
        elif kind == 195:
            self.target_q = np.where(rng.random(7) < 0.5, limits.lower, limits.upper)
        elif kind == 196:
            self.target_dq = np.full(7, rng.choice([np.nan, 1e300, -1e300]))
        stamp_s = self.now_s - float(
            rng.choice([0.0, 0.0, 0.0, 0.004, 0.004, 0.05, 0.3, -0.2, 1e308]) if kind > 180 else 0
        )
        width_m = None if rng.random() < 0.5 else rng.uniform(0, 0.08)
        target = Target(self.target_q, None if rng.random() < 0.3 else self.target_dq, stamp_s, width_m)
        refusal = self.streamer.on_target(BAD if kind == 199 else target, self.now_s)
        self.seen["targets taken" if refusal is None else "targets refused"] += 1
        self.sends_targets = self.sends_targets and (refusal is None or rng.random() < 0.5)
        if kind == 196:
            self.target_dq = np.zeros(7)

    def mirror_step(self) -> None:
        rng, mirror = self.rng, self.mirror
        kind = int(rng.integers(1000))
        if kind < 10 and not self.sends_targets:
            mirror.engage(self.now_s)
        elif kind == 10:
            mirror.pause(self.now_s)
        elif kind == 11:
            mirror.stop(self.now_s)
            self._targets_until_s = min(self._targets_until_s, self.now_s + TARGETS_REST_S)
        elif 30 <= kind < 40:
            mirror.disengage(self.now_s)
            self._targets_until_s = min(self._targets_until_s, self.now_s + TARGETS_REST_S)
        elif kind == 12:
            mirror.on_leaders(int(rng.integers(3)))
        elif kind < 20:
            mirror.on_leaders(1)
        elif kind == 20:
            self.leader_q = rng.uniform(-3.5, 3.5, 7)
        elif kind < 24:
            self.leader_q = self.q + rng.uniform(-0.2, 0.2, 7)
        elif kind == 24:
            mirror.on_leader_width(float(rng.uniform(-0.01, 0.1)))
        self.leader_q = self.leader_q + self.config.period_s * rng.normal(0, 0.05, 7)
        if kind < 970:
            stamp_s = self.now_s + (float(rng.choice([-5.0, -0.05, 0.05, 1e308])) if kind == 25 else 0.0)
            state = JointState(self.leader_q, None if kind % 2 else np.zeros(7), stamp_s, 0.04 if kind % 3 else None)
            mirror.on_leader(BAD if kind == 26 else state, self.now_s)
        if self.last is not None:
            mirror.on_streamer(self.last.status, self.now_s, self.last.taken_over)
        output = mirror.step(self.now_s)
        self.seen[f"mirror {output.status.state}"] += 1
        if kind % 10:  # the others are lost
            self.streamer.on_teleop(output.status, self.now_s)
            given_back = (output.status.state, output.status.reason) == (Mirroring.IDLE, Reason.OPERATOR)
            self.taken_over = not given_back and (self.taken_over or output.status.state is not Mirroring.IDLE)
        if output.status.state in ENGAGED:
            self._targets_until_s = np.inf
        if output.target is None:
            return
        limits, q = self.arm.limits, output.target.q
        if not (np.isfinite(q).all() and (q >= limits.lower - 0.3).all() and (q <= limits.upper + 0.3).all()):
            self.checker.violations["target of the mirror"] += 1
        if self.now_s > self._targets_until_s:
            self.checker.violations["target after the mirror was stopped"] += 1
        self.seen["mirrored"] += self.streamer.on_target(output.target, self.now_s) is None

    # ---- time

    def step(self) -> None:
        rng, period_s, missed, shown_s = self.rng, self.config.period_s, 0, None
        kind = int(rng.integers(2000))
        if kind < 40:
            missed = int(rng.choice([1, 2, 3, 4, 7, 15]))
        elif kind == 40:
            self.due_s -= float(rng.choice([0.1, 3.0, 1e6]))  # the clock was set
        elif kind == 41:
            missed = int(rng.choice([60, 500, 3000]))
        elif kind == 42:
            shown_s = float(rng.choice([np.nan, np.inf, -np.inf]))
        self.due_s += (1 + missed) * period_s
        self.now_s = self.due_s + rng.uniform(-0.1, 0.1) * period_s
        command = self.streamer.step(self.now_s if shown_s is None else shown_s)
        self.checker.look(command, missed if self.follows else 0)
        self.look(command)
        if command.q is not None and self.now_s >= self.blocked_until_s:
            self.q = command.q
        self.last = command
        self.seen[command.state] += 1

    def look(self, command: Command) -> None:
        """At what only the buttons explain."""
        violations = self.checker.violations
        commands = command.q is not None
        if self.until_rest is not None and commands:
            self.until_rest -= 1
            violations["commands after a stop"] += self.until_rest < 0
        if not commands and self.must_enable:
            self.until_rest = 0
        if self.must_reset and not commands and command.state is not State.FAULT:
            violations["fault left without a reset"] += 1
        if command.q is None or self.clearance is None:
            return
        touches = bool(self.clearance.contacts(command.q))
        if command.restarted:
            self.touches = touches
        violations["contact"] += touches and not self.touches

    touches = True
    """Whether the stream began too near to something; then it may stay there."""


def make_clearance(check: str, rng: np.random.Generator, arm: Arm, start: np.ndarray) -> Clearance | None:
    if check == "wall":
        return Wall(rng, start)
    if check == "model":
        from genima_core.sim.collision import ClearanceModel

        return ClearanceModel(arm)
    return None


def fuzz(seed: int, episode: int, ticks: int, model: bool = True) -> tuple[dict[str, Any], Counter[str]]:
    """A row of results, and what was seen."""
    rng = np.random.default_rng([seed, episode])
    arm, execution = (PANDA, FR3)[episode % 2], ("sync", "async")[episode // 2 % 2]
    check = ("none", "wall", "none", "model" if model else "wall")[episode // 4 % 4]
    row: dict[str, Any] = {"arm": arm.name, "execution": execution, "check": check, "ticks": ticks, "exceptions": 0}
    run = None
    try:
        run = Episode(rng, arm, execution, check)  # type: ignore[arg-type]  # of a tuple of literals
        run.run(ticks)
    except Exception:  # none may be raised, of whatever kind
        row |= {"exceptions": 1, "failure": f"episode {episode}: {traceback.format_exc(limit=-3)}"}
    violations = Counter() if run is None else +run.checker.violations
    if run is not None:
        violations["counted by itself"] += run.streamer.statistics(run.now_s).limit_violations
    violations = +violations
    if violations:
        row["failure"] = f"episode {episode}: {dict(violations)} {row.get('failure', '')}".strip()
    return row | {"violations": violations.total()}, Counter() if run is None else run.seen


def main(
    ticks: int = 20_000,
    seed: int = 0,
    episode: int | None = None,
    model: bool = True,
    json: Path | None = None,
) -> None:
    """Exits with 1 where anything was raised or violated.

    Args:
        ticks: steps of the streamer, in episodes of 1000
        seed: of everything
        episode: only this one, to repeat it
        model: whether a sixth part of the episodes checks collisions by MuJoCo
        json: where to write the results for machines
    """
    begin_s, seen = time.perf_counter(), Counter[str]()
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for number in range(-(-ticks // EPISODE_TICKS)) if episode is None else (episode,):
        row, saw = fuzz(seed, number, EPISODE_TICKS, model)
        seen += saw
        total = rows.setdefault(
            (row["arm"], row["execution"]),
            {
                "name": f"{row['arm']}, {row['execution']}",
                "seed": seed,
                "ticks": 0,
                "exceptions": 0,
                "violations": 0,
                "failures": [],
            },
        )
        for key in COUNTED:
            total[key] += row[key]
        if "failure" in row:
            total["failures"].append(row["failure"])
            print(row["failure"], flush=True)
    for total in rows.values():
        print(f"{total['name']}: {', '.join(f'{total[key]} {key}' for key in COUNTED)}")
    print(
        f"{time.perf_counter() - begin_s:.0f} s; {', '.join(f'{key} {count}' for key, count in sorted(seen.items()))}"
    )
    write_json(json, {"rows": list(rows.values()), "seen": dict(seen)})
    if any(total["exceptions"] or total["violations"] for total in rows.values()):
        sys.exit(1)


if __name__ == "__main__":
    tyro.cli(main)
